"""What is wrong with a configuration, said so that it can be put right: where, what was expected, what was found."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, NamedTuple, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Path = tuple[str | int, ...]
"""Names and positions from the top of a document down to a value."""

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")


class Problem(Struct, frozen=True):
    """One error or warning. Lines and columns count from 1, as editors do."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: "
        return f"{where}{self.path}: {self.message}" if self.path else where + self.message


class Fault(NamedTuple):
    """One thing that is wrong with a section; `where` is inside of it, and `key` means the name there."""

    where: Path
    expected: str
    found: str
    advice: str = ""
    key: bool = False


class Written(Protocol):
    """What a configuration was read from: a file, or the body of one object."""

    def problem(self, path: Path, message: str, *, key: bool = False) -> Problem:
        """A problem at the value of `path`, or at its key."""

    def position(self, path: Path, *, key: bool = False) -> tuple[int, int]:
        """Line and column of a value or of its key."""

    def written(self, path: Path) -> str | None:
        """The scalar at `path` as it was written; None when there is no scalar."""


class ConfigError(ValueError):
    """The configuration cannot be used; `problems` holds everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: (problem.line, problem.column))
        super().__init__("\n".join(map(str, self.problems)))


def dotted(path: Path) -> str:
    """A path as people write it: `models.gpt-4o.deployments[0].weight`, odd names in quotes."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        name = part if _PLAIN_NAME.fullmatch(part) else '"' + printable(part) + '"'
        text += f".{name}" if text else name
    return text


def printable(text: str, limit: int = 60) -> str:
    """Text that fits a line of a log: control characters escaped, no longer than `limit`."""
    clean = text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was probably meant to be."""
    names = list(known)
    folded = {name.casefold().replace("-", "_"): name for name in _likely(word, names)}
    # difflib compares everything with everything: a pasted page in place of a name must not take minutes.
    close = difflib.get_close_matches(word[:64].casefold().replace("-", "_"), folded, n=1)
    return folded[close[0]] if close else None


_COMPARED = 64
"""Words that are compared letter by letter: that takes 50 µs each, and a thousand models may be called alike."""


def _likely(word: str, names: Sequence[str]) -> Sequence[str]:
    """Of many names those that begin as the word does; few enough to be compared."""
    length = 32
    while len(names) > _COMPARED and length:
        found = [name for name in names if name.startswith(word[:length])]
        if found:
            return found[:_COMPARED]
        length //= 2
    return names[:_COMPARED]


def suggestion(word: str, known: Iterable[str], what: str = "known here") -> str:
    """What to do about an unknown word: the nearest known one, else all of them."""
    names = list(known)
    match = nearest(word, names)
    if match is not None:
        return f"did you mean {match!r}?"
    if not names:
        return f"{what}: none"
    shown = ", ".join(names[:30])
    return f"{what}: {shown}, …" if len(names) > 30 else f"{what}: {shown}"


def sentence(expected: str, found: str = "", advice: str = "") -> str:
    """The one form all messages have."""
    text = f"expected {expected}"
    if found:
        text += f", found {found}"
    return f"{text}; {advice}" if advice else text
