"""What another program's configuration says: values that remember where they were written, and what is left of them.

A foreign configuration is plain dicts and lists with a `Said` at each leaf. It is read through `Given`, which takes
one field after the other; what nobody took is named in the end, so that nothing is ignored in silence.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from proxy.core.config.problem import Problem, dotted, printable, sentence, suggestion
from proxy.core.config.references import SECRET_NAME

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from proxy.core.config.document import Document, Leaf
    from proxy.core.config.problem import Path

ENVIRONMENT = "environment"
"""The name of the file that variables of this process come from."""
USUAL = "usual there"

_TRUE = frozenset(("true", "1", "yes", "on", "t", "y"))
_FALSE = frozenset(("false", "0", "no", "off", "f", "n"))


class Origin(Struct, frozen=True):
    """Where something was written. Lines and columns count from 1."""

    file: str
    line: int
    column: int
    path: str
    """In the other program's words: `Global.Timeout`, `APP_PORT`."""


class Said(Struct, frozen=True):
    """One value."""

    value: Any
    origin: Origin | None = None
    note: str = ""
    """For people, instead of the origin."""
    variable: str = ""
    """The variable of this process that holds exactly this."""

    def as_(self, value: Any, note: str = "") -> Said:
        """Another value with the same origin."""
        return replace(self, value=value, note=note, variable="")


def usual(value: Any) -> Said:
    """What the other program takes where nothing is said."""
    return Said(value, None, USUAL)


def said(document: Document, *, under: Path = ()) -> Any:
    """A document as plain dicts and lists of what is said in it."""
    from proxy.core.config.document import resolve

    def scalar(path: Path, leaf: Leaf) -> Any:
        value = resolve(leaf.text) if leaf.plain else leaf.text
        return Said(value, Origin(document.file, leaf.line, leaf.column, dotted((*under, *path))))

    return document.build(scalar)


def variables(
    env: Iterable[tuple[str, str]], names: frozenset[str] | None = None
) -> dict[str, Any]:
    """Variables of this process as what is said; only these names, where there are any."""
    return {
        name: Said(value, Origin(ENVIRONMENT, 1, 1, name), "", name)
        for name, value in env
        if names is None or name in names
    }


class Own(dict[str, Any]):
    """A mapping that is passed on as it is."""


class Sheet:
    """What is wrong with one foreign configuration, and what has no place here."""

    __slots__ = ("file", "problems", "warnings")

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        """With one of these it cannot be used."""
        self.warnings: list[Problem] = []

    def error(self, origin: Origin | None, message: str) -> None:
        self.problems.append(self._at(origin, message))

    def warn(self, origin: Origin | None, message: str) -> None:
        self.warnings.append(self._at(origin, message))

    def _at(self, origin: Origin | None, message: str) -> Problem:
        at = origin or Origin(self.file, 1, 1, "")
        return Problem(at.file, at.line, at.column, at.path, message)


class Given:
    """One mapping of a foreign configuration, read field by field.

    With `folded`, case does not matter, and neither do `_` and `-`. A null is as good as leaving the line out.
    """

    __slots__ = ("_folded", "_left", "_names", "_values", "path", "sheet")

    def __init__(
        self, sheet: Sheet, values: dict[str, Any], path: str = "", *, folded: bool = False
    ) -> None:
        self.sheet = sheet
        self.path = path
        self._folded = folded
        self._values = values
        self._names = {_fold(name): name for name in values} if folded else {n: n for n in values}
        self._left = dict.fromkeys(values)

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def names(self) -> list[str]:
        """As they were written."""
        return list(self._values)

    def left(self) -> list[str]:
        """Those that nobody took."""
        return list(self._left)

    def _find(self, name: str) -> Any:
        written = self._names.get(_fold(name) if self._folded else name)
        found = None if written is None else self._values[written]
        return None if isinstance(found, Said) and found.value is None else found

    def take(self, name: str) -> Any:
        """The value or the tree of this name; None where there is none."""
        written = self._names.get(_fold(name) if self._folded else name)
        if written is not None:
            self._left.pop(written, None)
        return self._find(name)

    def origin(self, name: str) -> Origin:
        """Where it was written; the place of the mapping where it was not."""
        written = self._names.get(_fold(name) if self._folded else name, name)
        first = next(leaves(self._values.get(written)), None) or next(leaves(self._values), None)
        at = first.origin if first is not None and first.origin is not None else None
        path = self.below(written)
        if at is None:
            return Origin(self.sheet.file, 1, 1, path)
        return replace(at, path=at.path if at.file == ENVIRONMENT else path)

    def below(self, name: str) -> str:
        """The path of a field of this mapping."""
        inner = dotted((name,))
        return f"{self.path}.{inner}" if self.path else inner

    # --- values ---

    def text(self, name: str, usually: str | None = None) -> Said | None:
        """Text; blank text is none."""
        found = self._leaf(name, "text")
        if found is None:
            return None if usually is None else usual(usually)
        value = found.value
        if isinstance(value, bool):
            return found.as_("true" if value else "false")
        if not isinstance(value, str):
            return found.as_(str(value))
        if not value.strip():
            return None if usually is None else usual(usually)
        return found if value == value.strip() else found.as_(value.strip())

    def whole(self, name: str, usually: int | None = None, *, least: int = 0) -> Said | None:
        """A whole number, as such or as text."""
        found = self._leaf(name, "a whole number")
        value = None if found is None else _number(found.value, int)
        if found is None or found.value == "":
            return None if usually is None else usual(usually)
        if value is None or value < least:
            self._expected(name, found, f"a whole number of {least} or more")
            return None
        return found if found.value == value else found.as_(value)

    def number(self, name: str, usually: float | None = None, *, least: float = 0) -> Said | None:
        """A number, as such or as text."""
        found = self._leaf(name, "a number")
        value = None if found is None else _number(found.value, float)
        if found is None or found.value == "":
            return None if usually is None else usual(usually)
        if value is None or not least <= value < math.inf:
            self._expected(name, found, f"a number of {least:g} or more")
            return None
        whole = int(value) if value == int(value) else value
        return found.as_(whole)

    def switch(self, name: str, usually: bool | None = None) -> Said | None:
        """True or false, as such or as text."""
        found = self._leaf(name, "true or false")
        if found is None or found.value == "":
            return None if usually is None else usual(usually)
        word = str(found.value).strip().lower()
        if word in _TRUE:
            return found.as_(True)
        if word in _FALSE:
            return found.as_(False)
        self._expected(name, found, "true or false")
        return None

    def texts(self, name: str) -> list[Said]:
        """A list of texts; blank ones do not count. A text alone is a list of one."""
        found = self.take(name)
        if found is None:
            return []
        listed = found if isinstance(found, list) else [found]
        result: list[Said] = []
        for item in listed:
            if not isinstance(item, Said):
                self.sheet.error(self.origin(name), sentence("a list of texts"))
            elif item.value is not None and str(item.value).strip():
                result.append(item if isinstance(item.value, str) else item.as_(str(item.value)))
        return result

    def section(self, name: str) -> Given:
        """A mapping; an empty one where there is none."""
        found = self.take(name)
        if found is not None and not isinstance(found, dict):
            self.sheet.error(self.origin(name), sentence("a mapping"))
            found = None
        return Given(self.sheet, found or {}, self.below(name), folded=self._folded)

    def each(self, name: str) -> list[Given]:
        """The mappings of a list."""
        found = self.take(name)
        if found is None:
            return []
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            self.sheet.error(self.origin(name), sentence("a list of mappings"))
            return []
        path = self.below(name)
        return [
            Given(self.sheet, item, f"{path}[{index}]", folded=self._folded)
            for index, item in enumerate(found)
        ]

    def mapping(self, name: str) -> Own:
        """A mapping whose names are its writer's own, as a tree."""
        found = self.take(name)
        if found is not None and not isinstance(found, dict):
            self.sheet.error(self.origin(name), sentence("a mapping"))
            found = None
        return Own(found or {})

    # --- what has no place here ---

    def leave(self, name: str, message: str) -> bool:
        """Take it, and say why it is not used. Whether it was there."""
        there = name in self
        if there:
            self.sheet.warn(self.origin(name), message)
        self.take(name)
        return there

    def refuse(self, name: str, message: str) -> None:
        """Running without it would mislead."""
        self.sheet.error(self.origin(name), message)

    def missing(self, name: str, expected: str, advice: str) -> None:
        """A field that has to be there."""
        self.sheet.error(self.origin(name), sentence(expected, "none", advice))

    def done(self, known: Collection[str] = ()) -> None:
        """Name what nobody took."""
        for name in self._left:
            if name.startswith(("//", "$schema", "_comment", "#")):
                continue
            message = "not known, and not used"
            if known:
                message += f"; {suggestion(name, known)}"
            self.sheet.warn(self.origin(name), message)

    def _leaf(self, name: str, expected: str) -> Said | None:
        found = self.take(name)
        if found is None or isinstance(found, Said):
            return found
        self.sheet.error(self.origin(name), sentence(expected, "a list or a mapping"))
        return None

    def _expected(self, name: str, found: Said, expected: str) -> None:
        shown = "something else" if SECRET_NAME.search(name) else repr(printable(str(found.value)))
        self.sheet.error(self.origin(name), sentence(expected, shown))


def leaves(tree: Any) -> Iterator[Said]:
    """All values of a tree, in order."""
    if isinstance(tree, Said):
        yield tree
    elif isinstance(tree, dict):
        for value in tree.values():
            yield from leaves(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from leaves(value)


def spread(value: Any, said: Said) -> Any:
    """A mapping or a list that was written as one text, with the origin of that at each leaf."""
    if isinstance(value, dict):
        return Own({name: spread(inner, said) for name, inner in value.items()})
    if isinstance(value, list):
        return [spread(inner, said) for inner in value]
    return said.as_(value)


def _number(value: Any, kind: type[int] | type[float]) -> Any:
    """The finite number that a number or a text is; None for what is none."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = kind(value)
        return number if isinstance(value, str) or number == value else None
    except (TypeError, ValueError, OverflowError):
        return None


def _fold(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "")
