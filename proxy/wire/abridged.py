"""A large JSON text without what is long and plain in it: as well-formed as the whole, and a fraction of its length.

Large bodies are mostly a few long strings: pictures, recordings, pages, in base64. A parser looks at each of their bytes, 0.23 ms a
megabyte, and then they are looked through for UTF-8 and for brackets. What is cut out here is ASCII without a quotation mark, a
backslash or a control character, as libraries that look at many bytes at once find out. Within a string such a run changes
nothing for the parser. Outside of one the mark in its place is no JSON, so whoever is told that the short text is malformed
has to ask about the whole: what is well-formed short is well-formed whole.

What is sought in a text is found in the short one too, if it begins with a quotation mark or a semicolon and has at most EDGE bytes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson

LARGE: Final = 48 * 1024
"""Bytes of a text that is worth it."""
STEP: Final = 32 * 1024
"""Bytes from one look to the next: a run twice as long is always found."""
LEAST: Final = 16 * 1024
"""Bytes of a run that is cut out."""
EDGE: Final = 256
"""Bytes at both ends of a run that are left."""
_PIECE = 128 * 1024
"""Bytes that are looked at by each library in turn, so that the next has them in the processor's cache."""
_ENDS = ((b"\\", 6), (b";", 1))
"""What ends a run too, and what of it is behind that: an escape has six bytes at most."""
_OUTSIDE = b",:]} \t\r\n"
"""What usually follows the mark that ends a string."""
MARK: Final = b"~%b:" % os.urandom(9).hex().encode()
"""Stands in every place where something was cut out, with a number. Nobody who writes a text knows it."""
_MARKED = re.compile(re.escape(MARK) + rb"(\d+)~")


class Abridged(NamedTuple):
    """A text, and the runs that are not in it."""

    text: bytes
    whole: bytes
    runs: Sequence[tuple[int, int]]
    """Begin and end of each, in the whole; its index is the number of its mark."""

    def missing(self, part: bytes) -> int:
        """Bytes by which a part of the short text is shorter than the same part of the whole."""
        return sum(
            self.runs[int(mark[1])][1] - self.runs[int(mark[1])][0] - len(mark[0])
            for mark in _MARKED.finditer(part)
        )

    def restored(self, part: bytes) -> bytes:
        """A part of the short text as it is in the whole."""
        pieces = _MARKED.split(part)
        view = memoryview(self.whole)
        for at in range(1, len(pieces), 2):
            begin, end = self.runs[int(pieces[at])]
            pieces[at] = view[begin:end]
        return b"".join(pieces)


def abridge(whole: bytes) -> Abridged | None:
    """`whole` in short. None: there is little to be gained, or nothing."""
    runs: list[tuple[int, int]] = []
    size, before, at = len(whole), 0, STEP
    with memoryview(whole) as view:
        while at < size:
            begin, end = _run(whole, before, at)
            if end - begin >= LEAST and whole[begin] not in _OUTSIDE and _is_plain(view[begin:end]):
                runs.append((begin + EDGE, end - EDGE))
            before, at = end, max(at, end) + STEP
    if not runs:
        return None
    parts: list[bytes] = []
    at = 0
    for number, (begin, end) in enumerate(runs):
        parts += (whole[at:begin], MARK, b"%d~" % number)
        at = end
    parts.append(whole[at:])
    return Abridged(b"".join(parts), whole, runs)


def _run(whole: bytes, before: int, at: int) -> tuple[int, int]:
    """Around `at`, where there is neither a quotation mark, nor a semicolon, nor any of an escape; not from before `before`."""
    end = whole.find(b'"', at)
    if end < 0:
        return len(whole), len(whole)
    begin = whole.rfind(b'"', before, at) + 1 or before
    for letter, length in _ENDS:
        found = whole.find(letter, at, end)
        end = end if found < 0 else found
        found = whole.rfind(letter, begin, at)
        begin = begin if found < 0 else found + length
    return begin, end


def _is_plain(run: memoryview) -> bool:
    """Whether it is ASCII without anything that would have to be escaped in JSON. Other letters cost more than they would save."""
    try:
        for at in range(0, len(run), _PIECE):
            piece = run[at : at + _PIECE]
            if len(orjson.dumps(str(piece, "ascii"))) != len(piece) + 2:
                return False
    except UnicodeDecodeError:
        return False
    return True
