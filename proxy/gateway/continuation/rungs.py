"""Where the text of another answer goes on after what the client has: three ways to find the place.

Each is fed the other answer's text as it comes and says from where on it is new. None of them guesses: what does not
fit is a miss, and another way is tried, or the client is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Protocol

REPEAT = 40
"""Characters of its end that an answer is asked to repeat."""
BOUND = 600
"""Characters within which the repeat must have come."""
_UNMISTAKABLE = 12
"""Characters, white space apart, of a repeat that need not be the first thing said."""
_SPACE = re.compile(r"\s*")


class Rung(Protocol):
    """Looks for the place."""

    missed: bool
    """The other answer does not go on from there."""

    def feed(self, text: str) -> str | None:
        """More text. What of it is new, once the place is found; None: not yet, or `missed`."""

    def end(self) -> str | None:
        """The other answer is complete. What is new of it, "" when nothing is; None: the place was not found."""


class Match:
    """The same answer from its beginning: new is what comes after all of `said`, if that came character by character."""

    def __init__(self, said: str) -> None:
        self._said = said
        self._at = 0
        self.missed = False

    def feed(self, text: str) -> str | None:
        at, said = self._at, self._said
        overlap = min(len(text), len(said) - at)
        if not said.startswith(text[:overlap], at):
            self.missed = True
            return None
        self._at = at + overlap
        if self._at < len(said) or (overlap == len(text) and said):
            return None  # all of it may be there: whoever ends now, or says more, shows it
        return text[overlap:]

    def end(self) -> str | None:
        return "" if self._at == len(self._said) and not self.missed else None


class Joint:
    """New text behind white space that may have been said already, in part or in other words."""

    def __init__(self, said: str) -> None:
        self._said = said[len(said.rstrip()) :]
        self._held = ""
        self._open = not self._said

    def feed(self, text: str) -> str | None:
        if self._open:
            return text
        self._held += text
        if self._held.isspace() or not self._held:
            return None
        return self.end()

    def end(self) -> str:
        """What follows, with no more space at its start than is new."""
        held, self._held, self._open = self._held, "", True
        space = held[: len(held) - len(held.lstrip())]
        rest = held[len(space) :]
        if space.startswith(self._said):
            return space[len(self._said) :] + rest
        # Other space than the client has. A new line is worth keeping, more blanks are not.
        keep = "\n" in space and "\n" not in self._said
        return space + rest if keep else rest


class Anchor:
    """An answer that begins by repeating the end of `said`, up to white space: new is what follows the repeat.

    Words before the repeat are passed over, if it is long enough not to be found by chance and stands in `said` once:
    else it must be the first thing said. Words that end as the repeat does may be a repeat that came out too short; what
    follows them is new then, and may well hold the same words again: a miss.
    """

    def __init__(self, said: str) -> None:
        anchor = anchor_of(said)
        words = anchor.split()
        pattern = r"\s+".join(map(re.escape, words))
        self._pattern = re.compile(pattern)
        self._end = "".join(words)[-_UNMISTAKABLE:]
        anywhere = len("".join(words)) >= _UNMISTAKABLE and len(self._pattern.findall(said)) == 1
        self._search: Callable[..., re.Match[str] | None] = (
            self._pattern.search if anywhere else self._pattern.match
        )
        self._joint = Joint(said)
        self._held = ""
        self._found = False
        self.missed = not words

    def feed(self, text: str) -> str | None:
        if self._found:
            return self._joint.feed(text)
        self._held += text
        found = self._look()
        if found is None:
            self.missed = self.missed or len(self._held) > BOUND
            return None
        if self._end in "".join(self._held[: found.start()].split()):
            self.missed = True
            return None
        self._found = True
        rest, self._held = self._held[found.end() :], ""
        return self._joint.feed(rest)

    def _look(self) -> re.Match[str] | None:
        space = _SPACE.match(self._held)
        return self._search(self._held, 0 if space is None else space.end())

    def end(self) -> str | None:
        return self._joint.end() if self._found else None


class Prefill:
    """An answer that is the rest of `said`, which ended the request less the white space at its end.

    One that begins like `said`, or like its end, has been begun again by a model that knows no prefill.
    """

    def __init__(self, said: str) -> None:
        self._starts = (said.lstrip(), anchor_of(said))
        self._joint = Joint(said)
        self._held = ""
        self._looked = False
        self.missed = False

    def feed(self, text: str) -> str | None:
        if self._looked:
            return self._joint.feed(text)
        self._held += text
        if len(self._held.strip()) < REPEAT:
            return None
        return self._look()

    def _look(self) -> str | None:
        self._looked = True
        held, start = self._held, self._held.strip()[:REPEAT]
        if len("".join(start.split())) >= _UNMISTAKABLE:
            self.missed = any(begun.startswith(start) for begun in self._starts)
        return None if self.missed else self._joint.feed(held)

    def end(self) -> str | None:
        rest = "" if self._looked else self._look() or ""
        return None if self.missed else rest + self._joint.end()


RUNGS: Mapping[str, Callable[[str], Rung]] = {"match": Match, "anchor": Anchor, "prefill": Prefill}


def anchor_of(said: str) -> str:
    """What is to be repeated: the last REPEAT characters, white space around them apart."""
    return said.rstrip()[-REPEAT:].lstrip()
