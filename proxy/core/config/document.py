"""A YAML document that remembers where everything was written.

It is composed from parser events, not by `yaml.load`: that keeps lines and columns, finds duplicate keys (PyYAML
silently takes the last), constructs no Python objects, bounds depth and alias expansion, and is five times faster.

Plain scalars follow YAML 1.2: only `true` and `false` are booleans, so that `no` and `on` can be names; `010` and
`12:30` are text. Nothing else of 1.1 and 1.2 differs here.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import yaml

from proxy.core.config.problem import ConfigError, Path, Problem, dotted, sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Scalar = str | int | float | bool | None

MAX_DEPTH = 40
MAX_EXPANDED = 100_000
"""Values that aliases may add: a few lines of aliases of aliases can stand for billions."""

# libyaml is part of every PyYAML wheel; a build without it still works, slowly.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_TAG = "tag:yaml.org,2002:"
_SCALAR_TAGS = frozenset(_TAG + name for name in ("str", "int", "float", "bool", "null"))
NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,30})")
_OTHER_BASE = re.compile(r"0x[0-9a-fA-F]{1,16}|0o[0-7]{1,22}")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*(?=$|[eE])|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?"
)

# Neither is repeated: it may be a password that begins so, and has no quotes.
_BAD_TAG = sentence("plain YAML", "a tag", "remove the tag, or quote text that begins with '!'")
_BAD_ALIAS = sentence("a name anchored above", "another one", "quote text that begins with '*'")


def resolve(text: str) -> Scalar:
    """The value of an unquoted scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "0123456789+-.":
        return text
    if _INTEGER.fullmatch(text):
        # JSON libraries end at 64 bits.
        number = int(text)
        return number if -(2**63) <= number < 2**64 else text
    if _OTHER_BASE.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text) and math.isfinite(real := float(text)):
        return real
    return text


class Leaf:
    """A scalar as it was written."""

    __slots__ = ("column", "line", "plain", "text")

    size, height = 1, 0

    def __init__(self, text: str, plain: bool, line: int, column: int) -> None:
        self.text = text
        self.plain = plain
        self.line = line
        self.column = column


class Listing:
    """A sequence. `size` and `height` count what is in it, aliases expanded."""

    __slots__ = ("column", "height", "items", "line", "size")

    def __init__(self, line: int, column: int) -> None:
        self.line = line
        self.column = column
        self.items: list[Node] = []
        self.size = 1
        self.height = 1


class Table:
    """A mapping: each name to the key as written and its value."""

    __slots__ = ("column", "entries", "height", "line", "size")

    def __init__(self, line: int, column: int) -> None:
        self.line = line
        self.column = column
        self.entries: dict[str, tuple[Leaf, Node]] = {}
        self.size = 1
        self.height = 1


Node = Leaf | Listing | Table


class Document:
    """The nodes of one file, and what was wrong with how they were written."""

    __slots__ = ("file", "problems", "root")

    def __init__(self, file: str, root: Node | None, problems: list[Problem]) -> None:
        self.file = file
        self.root = root
        self.problems = problems

    def problem(self, path: Path, message: str, *, key: bool = False) -> Problem:
        """A problem at the value of `path`, or at its key."""
        line, column = self.position(path, key=key)
        return Problem(self.file, line, column, dotted(path), message)

    def position(self, path: Path, *, key: bool = False) -> tuple[int, int]:
        """Line and column of a value or of its key; of the nearest thing above it when it is not in the file."""
        name, node, found = self._find(path)
        if name is not None and (key or found < len(path)):
            node = name
        return (1, 1) if node is None else (node.line, node.column)

    def line(self, path: Path) -> int | None:
        """The line of the key at `path`, or of the item of a list; None where nothing is."""
        name, node, found = self._find(path)
        if node is None or found < len(path):
            return None
        return (name or node).line

    def written(self, path: Path) -> str | None:
        """The scalar at `path` as it was written, before references were resolved."""
        _, node, found = self._find(path)
        return node.text if found == len(path) and isinstance(node, Leaf) else None

    def _find(self, path: Path) -> tuple[Leaf | None, Node | None, int]:
        """The key and node of the deepest part of `path` that exists, and how deep that is."""
        name: Leaf | None = None
        node = self.root
        for depth, part in enumerate(path):
            if isinstance(node, Table) and part in node.entries:
                name, node = node.entries[str(part)]
            elif isinstance(node, Listing) and isinstance(part, int) and part < len(node.items):
                name, node = None, node.items[part]
            else:
                return name, node, depth
        return name, node, len(path)

    def build(self, scalar: Callable[[Path, Leaf], Scalar]) -> Any:
        """The document as plain dicts and lists; `scalar` says what each leaf is."""
        return None if self.root is None else _build(self.root, (), scalar)

    def part(self, path: Path, scalar: Callable[[Path, Leaf], Scalar]) -> Any:
        """The same of what is at `path`; None where nothing is."""
        _, node, found = self._find(path)
        return _build(node, path, scalar) if node is not None and found == len(path) else None


def _build(node: Node, path: Path, scalar: Callable[[Path, Leaf], Scalar]) -> Any:
    if isinstance(node, Leaf):
        return scalar(path, node)
    if isinstance(node, Listing):
        return [_build(item, (*path, index), scalar) for index, item in enumerate(node.items)]
    return {name: _build(value, (*path, name), scalar) for name, (_, value) in node.entries.items()}


def compose(text: str, file: str) -> Document:
    """Read YAML text. What cannot be parsed at all is a `ConfigError`; the rest is in `problems`."""
    bad = NOT_YAML.search(text)
    if bad is not None:
        raise _syntax_error(
            text,
            file,
            bad.start(),
            f"the character U+{ord(bad[0]):04X} is not allowed in YAML; remove it",
        )
    return _Composer(file).document(text)


def _syntax_error(text: str, file: str, index: int, message: str) -> ConfigError:
    line = text.count("\n", 0, index) + 1
    column = index - (text.rfind("\n", 0, index) + 1) + 1
    return ConfigError([Problem(file, line, column, "", message)])


class _Composer:
    """Turns parser events into nodes."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._anchors: dict[str, Node] = {}
        self._problems: list[Problem] = []
        self._events: Iterator[Any] = iter(())
        self._written = 0

    def document(self, text: str) -> Document:
        self._events = yaml.parse(text, Loader=_LOADER)
        try:
            root = self._first()
        except yaml.MarkedYAMLError as error:
            raise ConfigError([*self._problems, self._unparsable(error, text)]) from None
        return Document(self._file, root, self._problems)

    def _first(self) -> Node | None:
        root: Node | None = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._report(event, "expected one document, found a second one; remove '---'")
                    return root
                root = self._node(next(self._events), ())
        return root

    def _unparsable(self, error: yaml.MarkedYAMLError, text: str) -> Problem:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        what = "; ".join(part for part in (error.context, error.problem) if part)
        written = text.split("\n")[line - 1 : line]
        if written and written[0][column - 1 : column] == "\t":
            what += "; indent with spaces, not with tabs"
        elif "expected ',' or" in what:
            what += "; inside { } and [ ], put text with any of {}[], in quotes"
        elif "mapping values are not allowed" in what:
            what += "; put text that holds ': ' in quotes"
        return Problem(self._file, line, column, "", f"not valid YAML: {what}")

    def _report(self, event: Any, message: str, path: Path = ()) -> None:
        mark = event.start_mark
        self._problems.append(
            Problem(self._file, mark.line + 1, mark.column + 1, dotted(path), message)
        )

    def _node(self, event: Any, path: Path) -> Node:
        mark = event.start_mark
        line, column = mark.line + 1, mark.column + 1
        self._written += 1
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = Leaf(event.value, self._is_plain(event, path), line, column)
        elif isinstance(event, yaml.AliasEvent):
            return self._aliased(event, path)
        elif len(path) >= MAX_DEPTH:
            raise self._too_much(f"{MAX_DEPTH} levels", line, column)
        else:
            self._check_tag(event, path)
            if isinstance(event, yaml.SequenceStartEvent):
                node = self._listing(Listing(line, column), path)
            else:
                node = self._table(Table(line, column), path)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _is_plain(self, event: Any, path: Path) -> bool:
        if event.implicit[0]:
            return True
        if event.implicit[1] or event.tag == "!":
            return False
        if event.tag not in _SCALAR_TAGS:
            self._report(event, _BAD_TAG, path)
        return bool(event.tag != _TAG + "str")

    def _check_tag(self, event: Any, path: Path) -> None:
        usual = "seq" if isinstance(event, yaml.SequenceStartEvent) else "map"
        if event.tag not in (None, "!", _TAG + usual):
            self._report(event, _BAD_TAG, path)

    def _aliased(self, event: Any, path: Path) -> Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            self._report(event, _BAD_ALIAS, path)
            return Leaf(event.anchor, False, event.start_mark.line + 1, event.start_mark.column + 1)
        return node

    def _grow(self, parent: Listing | Table, child: Node) -> None:
        parent.size += child.size
        if child.height >= parent.height:
            parent.height = child.height + 1
            if parent.height > MAX_DEPTH:
                raise self._too_much(f"{MAX_DEPTH} levels", child.line, child.column)
        if parent.size > self._written + MAX_EXPANDED:
            raise self._too_much(f"{MAX_EXPANDED} values from aliases", child.line, child.column)

    def _too_much(self, what: str, line: int, column: int) -> ConfigError:
        message = sentence(f"at most {what}", "more")
        return ConfigError([*self._problems, Problem(self._file, line, column, "", message)])

    def _listing(self, listing: Listing, path: Path) -> Listing:
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            item = self._node(event, (*path, len(listing.items)))
            listing.items.append(item)
            self._grow(listing, item)
        return listing

    def _table(self, table: Table, path: Path) -> Table:
        merged: list[Node] = []
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._key(event, path)
            value = self._node(next(self._events), (*path, "?" if key is None else key.text))
            if key is None:
                continue
            if key.plain and key.text == "<<":
                merged.append(value)
                continue
            first = table.entries.setdefault(key.text, (key, value))[0]
            if first is not key:
                message = f"a name that occurs once, found a second one (the first is on line {first.line})"
                self._report(event, f"expected {message}; remove one", (*path, key.text))
            self._grow(table, value)
        for value in merged:
            self._merge(table, value, path)
        return table

    def _key(self, event: Any, path: Path) -> Leaf | None:
        """The key as a leaf; its text counts whatever it looks like: a model may be called `4` or `on`."""
        node = self._node(event, (*path, "?"))
        if isinstance(node, Leaf) and node.text:
            return node
        self._report(event, sentence("a name", "an empty or a compound key"), path)
        return None

    def _merge(self, table: Table, value: Node, path: Path) -> None:
        """`<<: *base`: what the mapping does not say itself comes from the base."""
        for base in value.items if isinstance(value, Listing) else [value]:
            if not isinstance(base, Table):
                message = sentence("a mapping or a list of mappings after '<<'")
                self._problems.append(
                    Problem(self._file, base.line, base.column, dotted(path), message)
                )
                continue
            for name, entry in base.entries.items():
                if name not in table.entries:
                    table.entries[name] = entry
                    self._grow(table, entry[1])
