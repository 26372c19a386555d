"""Words that neither go in nor come out: a hook that comes along, and an example of one.

    hooks:
      - name: keywords
        points: screen
        options: {words: [Project Bluebird, hunter2], action: refuse}

However an answer is cut into pieces, a client is never given one of the words whole: the end of a piece that could be
the beginning of one is held back until that is known. The holding back ends with the configuration's `hold.time`; a
word whose beginning has gone out by then is still stopped before its end.

Words are compared as they are written, in any case. Who spells them otherwise (with spaces between the letters, in
letters that only look alike, in base64) is not stopped.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import groupby, takewhile

from proxy.hooks.documents import Request
from proxy.hooks.points import Piece, Refuse, Window

LONGEST = 100
"""Characters of a word."""
_STEP = 16 * 1024
_KINDS = ("text", "reasoning", "arguments")


class Keywords:
    """Points: before_route, screen."""

    def __init__(
        self,
        words: Sequence[str],
        action: str = "refuse",
        mask: str = "***",
        message: str = "",
        whole_words: bool = False,
        kinds: Sequence[str] = _KINDS,
    ) -> None:
        """`action`: `refuse`, or `mask`, which puts `mask` in the place of a word. `whole_words`: not inside another.

        `kinds` of words it looks at: text, reasoning, arguments.
        """
        if isinstance(words, str) or not words or not all(isinstance(one, str) for one in words):
            raise ValueError("words: a list of at least one word")
        if any(not one.strip() or len(one) > LONGEST for one in words):
            raise ValueError(f"words: each of 1 to {LONGEST} characters")
        if action not in ("refuse", "mask"):
            raise ValueError("action: refuse or mask")
        if not kinds or not set(kinds) <= set(_KINDS):
            raise ValueError(f"kinds: some of {', '.join(_KINDS)}")
        if any(folded(one.strip()) in folded(mask) for one in words):
            raise ValueError("mask: none of the words in it")
        self._refuses = action == "refuse"
        self._mask = mask
        self._message = message or "This contains something that must not pass this gateway."
        self._whole = whole_words
        self._kinds = frozenset(kinds)
        self._words = sorted({folded(one.strip()) for one in words})
        pattern = _any(self._words)
        self._word = re.compile(rf"(?<!\w){pattern}(?!\w)" if whole_words else pattern)
        self.needs = max(map(len, self._words))
        """Characters that it has to be able to hold back."""

    def before_route(self, request: Request) -> None:
        """Refuse a request that has one, or mask it."""
        for word in request.words():
            if word.kind in self._kinds:
                word.text = self._all(word.text)

    async def screen(self, request: Request, window: Window) -> Piece | None:
        """The same of an answer."""
        return self._passed(window) if window.kind in self._kinds else None

    def _all(self, text: str) -> str:
        """In steps: a search lets no other thread run."""
        out, said, held = [], "", ""
        for at in range(0, len(text), _STEP):
            final = at + _STEP >= len(text)
            piece = self._passed(Window(held + text[at : at + _STEP], said, final))
            out.append(piece.text)
            said, held = (said + piece.text)[-LONGEST:], piece.held
        return "".join(out)

    def _passed(self, window: Window) -> Piece:
        text, at = window.before + window.text, len(window.before)
        flat = folded(text)
        out = []
        for match in self._word.finditer(flat):
            start, end = match.span()
            if end <= at:
                continue  # the client has it: it was held for as long as it could be
            if self._whole and end == len(text) and not window.final:
                break  # perhaps the beginning of another word
            if self._refuses:
                raise Refuse(self._message, code="keyword_refused")
            out += [text[at : max(start, at)], self._mask]
            at = end
        # A word may have begun in what the client has; but not in what was masked.
        held = len(text) if window.final else max(self._begun(flat, at if out else 0), at)
        out.append(text[at:held])
        return Piece("".join(out), text[held:])

    def _begun(self, flat: str, since: int) -> int:
        """Where a word begins that may go on behind the end."""
        # A word that is there as a whole may be a part of another.
        longest = self.needs if self._whole else self.needs - 1
        for start in range(max(len(flat) - longest, since), len(flat)):
            beginning = flat[start:]
            index = bisect_left(self._words, beginning)
            if index < len(self._words) and self._words[index].startswith(beginning):
                return start
        return len(flat)


class _Fold(dict[int, int]):
    """Letters of a word in any case; one for one, so that places stay."""

    def __missing__(self, code: int) -> int:
        letter = chr(code)
        flat = " " if letter.isspace() else letter.casefold()
        self[code] = found = ord(flat) if len(flat) == 1 else code
        return found


_FOLD = _Fold()


def folded(text: str) -> str:
    """As words are compared: of the same length."""
    return text.translate(_FOLD)


def _any(words: Sequence[str]) -> str:
    """A pattern of these (sorted, different), the longest first: words are parted where they part."""
    groups = []
    for _, found in groupby(words, lambda word: word[:1]):
        some = list(found)
        first, last = some[0], some[-1]
        start = first[
            : sum(
                1 for _ in takewhile(lambda two: two[0] == two[1], zip(first, last, strict=False))
            )
        ]
        rest = [word[len(start) :] for word in some if word != start]
        more = _any(rest) if rest else ""
        optional = f"(?:{more})?" if more and start in some else more
        groups.append(re.escape(start) + optional)
    return groups[0] if len(groups) == 1 else f"(?:{'|'.join(groups)})"
