"""The text every answer is made of: word i of a fixed list, so that any two runs compare equal.

A few words are Chinese, Japanese or emoji (multi-byte) and one needs escaping in JSON, as real text has them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from time import monotonic_ns
from typing import TYPE_CHECKING

import orjson
from msgspec import Struct

from proxy.simulator import schema

if TYPE_CHECKING:
    from proxy.simulator.grammar import Steer

WORDS = (
    "The", " mill", " turns", " 水車", " while", " the", " river", " 🌊", " sings", " über",
    " low", " stones", ' "so', ' slow",\n', " says", " 風の音", " an", " old", " 👩‍🔧", " keeper.",
)  # fmt: skip


def _escaped(text: str) -> str:
    return orjson.dumps(text).decode()[1:-1]


_ONCE = tuple(_escaped(word).encode() for word in WORDS)
_TWICE = tuple(_escaped(_escaped(word)).encode() for word in WORDS)
_COUNT = len(WORDS)

Source = Callable[[int], bytes]
"""Token number to its text, already escaped for the inside of a JSON string."""


def stamp() -> bytes:
    """The monotonic clock, as a reader on the same machine can compare it."""
    return b"%020d" % monotonic_ns()


def source(steer: Steer) -> Source:
    """The tokens of a text."""
    padding = b"x" * steer.pad
    if steer.stamp:
        return lambda index: stamp() + padding
    if padding:
        return lambda index: _ONCE[index % _COUNT] + padding
    return lambda index: _ONCE[index % _COUNT]


def arguments(steer: Steer) -> tuple[int, Source]:
    """How many fragments a tool call's arguments come in, and the fragments: `{"text":"…"}`, escaped."""
    count = max(1, steer.tokens)
    padding = b"x" * steer.pad

    def fragment(index: int) -> bytes:
        text = _TWICE[index % _COUNT] + padding
        if index == 0:
            text = b'{\\"text\\":\\"' + text
        return text + b'\\"}' if index == count - 1 else text

    return count, fragment


@lru_cache(256)
def whole(steer: Steer, count: int) -> str:
    """The text of `count` tokens. A stamped text has zeros where the stamp of each token would be."""
    padding = "x" * steer.pad
    if steer.stamp:
        return ("0" * 20 + padding) * count
    return "".join([WORDS[index % _COUNT] + padding for index in range(count)])


def whole_arguments(steer: Steer) -> str:
    """The arguments that `arguments` gives in fragments."""
    padding = "x" * steer.pad
    count = max(1, steer.tokens)
    text = "".join([_escaped(WORDS[index % _COUNT]) + padding for index in range(count)])
    return f'{{"text":"{text}"}}'


class Text(Struct, frozen=True):
    """A text that is not just words: `pieces`, or, without any, `count` words of a JSON text between two ends."""

    count: int
    pieces: tuple[str, ...] = ()
    before: str = ""
    after: str = ""

    def source(self, steer: Steer) -> Source:
        """Its tokens."""
        if self.pieces:
            escaped = tuple(_escaped(piece).encode() for piece in self.pieces)
            return escaped.__getitem__
        before, after = _escaped(self.before).encode(), _escaped(self.after).encode()
        padding, last = b"x" * steer.pad, self.count - 1

        def fragment(index: int) -> bytes:
            text = _TWICE[index % _COUNT] + padding
            if index == 0:
                text = before + text
            return text + after if index == last else text

        return fragment

    def whole(self, steer: Steer) -> str:
        """All of it."""
        if self.pieces:
            return "".join(self.pieces)
        padding = "x" * steer.pad
        words = [_escaped(WORDS[index % _COUNT]) + padding for index in range(self.count)]
        return f"{self.before}{''.join(words)}{self.after}"


_PIECE = 8
"""Characters in a piece of a text that is not made of words."""


def cut(text: str) -> Text:
    """A text as it is, in pieces."""
    pieces = tuple(text[start : start + _PIECE] for start in range(0, len(text), _PIECE))
    return Text(len(pieces), pieces) if pieces else Text(1, ("",))


def fitting(steer: Steer, wanted: object, quote: str = "") -> Text:
    """JSON that satisfies the schema `wanted` (None: an empty object); in its first free text is `quote`, or words."""
    if wanted is None:
        return cut("{}")
    before, after = schema.around(wanted)
    if after is None:
        return cut(before)
    if quote:
        return cut(before + _escaped(quote) + after)
    return Text(max(1, steer.tokens), before=before, after=after)


def quoted(results: list[str]) -> str:
    """A text that shows what the tools have said."""
    shown = [result if len(result) <= _QUOTED else result[:_QUOTED] + "…" for result in results]
    return f"The tools said: {' | '.join(shown)}."


_QUOTED = 80
"""Characters of each result that are quoted."""
