"""Chunks of a stream that say the same as one before, but for a word: recognised by their bytes, and not read.

A stream of tokens is one event again and again: the same keys, the same id, another text. Once an event was read and
understood, one that differs from it in nothing but what its texts say means the same to whoever only wants to know
*that* there is text. Comparing its bytes costs a fraction of reading it, and it can go on in the chunk (RFC 9112, 7.1)
in which it came.

Nothing is taken for alike that is not certainly so. Everything but the texts is compared byte for byte, the length of the
chunk included, and what stands in the place of a text must be what JSON (RFC 8259, 7) has between two quotes: at
least one character, of valid UTF-8, that ends where the rest goes on. Where events are numbered, any number will do.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise

from msgspec import Struct

LONGEST = 4096
"""Bytes of a chunk with its framing that is looked at; longer ones are read."""
MOST = 4
"""Places of an event that may differ: the token, its number, and `obfuscation`, which OpenAI puts beside it against who counts bytes."""

_PLAIN = bytes(code for code in range(0x20, 0x7F) if code not in b'"\\')
"""What stands for itself in a string."""
_STRING = (
    rb'(?:[ !#-\[\]-~]|\\["\\/bfnrt]|\\u(?:[0-9a-cefA-CEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2})'
    rb"|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}"
    rb"|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}"
    rb"|\xf4[\x80-\x8f][\x80-\xbf]{2})+"
)
"""A string that says something. Surrogates are left to who reads it: alone they are none."""
_NUMBER = rb"(?:0|[1-9][0-9]{0,14})"
_is_string = re.compile(_STRING).fullmatch
_is_number = re.compile(_NUMBER).fullmatch
_places = re.compile(
    rb'"(?:content|text|delta|reasoning_content|reasoning|thinking|partial_json|arguments|refusal|obfuscation)"'
    rb': ?"(' + _STRING + rb')"|"sequence_number": ?(' + _NUMBER + rb")[,}]"
).finditer
"""Texts whose words nobody here asks for, and numbers. A quote that begins a key is never within a string: there it has a
backslash."""
_numbers = re.compile(rb'"sequence_number": ?(' + _NUMBER + rb")[,}]").findall


@cache
def _heading(whole: int) -> bytes:
    """The line before the data of a chunk of so many bytes, framing included. Others write it otherwise: that is not looked for."""
    for digits in (1, 2, 3):
        heading = b"%x\r\n" % max(whole - digits - 4, 0)
        if len(heading) == digits + 2 and whole > digits + 4:
            return heading
    return b"-"  # no chunk is as long as that


class Likeness(Struct, frozen=True, gc=False):
    """What the events of one kind have in common."""

    first: bytes
    """All before the first place."""
    between: tuple[tuple[bool, bytes], ...]
    """Of each place but the last: whether it is a number, and all up to the next."""
    is_number: bool
    """The last place is one."""
    last: bytes
    """All behind it, up to the end of the chunk."""

    def fits(self, event: bytes) -> bool:
        """Whether a whole event would teach nothing new: what it is like would be this."""
        return self.size(b"%x\r\n%b\r\n" % (len(event), event)) > 0

    def size(self, data: bytes) -> int:
        """Bytes of the event, if `data` is one chunk with one event of this kind and nothing but one plain text; else 0."""
        whole = len(data)
        if whole < LONGEST and not self.between and not self.is_number:
            heading = _heading(whole)
            first, last = self.first, self.last
            at = len(heading)
            if data.startswith(first, at) and data.endswith(last) and data.startswith(heading):
                text = data[at + len(first) : -len(last)]
                if text and not text.translate(None, _PLAIN):
                    return whole - at - 2
        return 0

    def sizes(self, data: bytes) -> tuple[int, int]:
        """How many events, and bytes of them, if `data` is whole chunks with one event of this kind each; else (0, 0)."""
        first, last = self.first, self.last
        is_said = _is_number if self.is_number else _is_string
        *chunks, rest = data.split(last)
        if rest:
            return 0, 0
        framing = 0
        for chunk in chunks:
            whole = len(chunk) + len(last)
            if whole >= LONGEST:
                return 0, 0
            heading = _heading(whole)
            at = len(heading)
            framing += at + 2
            if not (chunk.startswith(heading) and chunk.startswith(first, at)):
                return 0, 0
            at += len(first)
            for is_number, literal in self.between:
                end = chunk.find(literal, at)
                if end < 0 or not (_is_number if is_number else _is_string)(chunk, at, end):
                    return 0, 0
                at = end + len(literal)
            if not is_said(chunk, at):
                return 0, 0
        return len(chunks), len(data) - framing


def likeness(event: bytes) -> Likeness | None:
    """What others may have in common with `event`, a whole one as it came. None: it has no text, or too much of its own."""
    places = [(match[2] is not None, *match.span(match.lastindex or 0)) for match in _places(event)]
    if len(places) > MOST or all(is_number for is_number, _, _ in places):
        return None
    between = tuple(
        (is_number, event[end:start]) for (is_number, _, end), (_, start, _) in pairwise(places)
    )
    is_number, _, end = places[-1]
    return Likeness(event[: places[0][1]], between, is_number, event[end:] + b"\r\n")


def last_number(data: bytes) -> int:
    """The greatest `sequence_number` in such chunks; -1: they have none."""
    return max(map(int, _numbers(data)), default=-1)
