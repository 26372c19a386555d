"""Chunks of a stream that say the same as one before, but for a word: recognised by their bytes, and not read.

A stream of tokens is one event again and again: the same keys, the same id, another text. Once an event was read and
understood, one that differs from it in nothing but what its texts say means the same to whoever only wants to know
*that* there is text. Comparing its bytes costs a fraction of reading it, and it can go on in the chunk (RFC 9112, 7.1)
in which it came.

Nothing is taken for alike that is not certainly so. Everything but the texts is compared byte for byte, the length of the
chunk included, and what stands in the place of a text must be what JSON (RFC 8259, 7) has between two quotes: at
least one character, of valid UTF-8, that ends where the rest goes on.
"""

from __future__ import annotations

import re

from msgspec import Struct

LONGEST = 4096
"""Bytes of a chunk with its framing that is looked at; longer ones are read."""
MOST = 2
"""Texts of an event: the token, and `obfuscation`, which OpenAI puts beside it against who counts bytes."""

_PLAIN = bytes(code for code in range(0x20, 0x7F) if code not in b'"\\')
"""What stands for itself in a string."""
_STRING = (
    rb'(?:[ !#-\[\]-~]|\\["\\/bfnrt]|\\u(?:[0-9a-cefA-CEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2})'
    rb"|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}"
    rb"|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}"
    rb"|\xf4[\x80-\x8f][\x80-\xbf]{2})+"
)
"""A string that says something. Surrogates are left to who reads it: alone they are none."""
_is_string = re.compile(_STRING).fullmatch
_texts = re.compile(
    rb'"(?:content|text|delta|reasoning_content|reasoning|thinking|partial_json|arguments|refusal|obfuscation)"'
    rb': ?"(' + _STRING + rb')"'
).finditer
"""Those whose words nobody here asks for. A quote that begins a key is never within a string: there it has a backslash."""


def _headings() -> list[bytes]:
    headings = [b"-"] * LONGEST
    for size in range(1, LONGEST):
        heading = b"%x\r\n" % size
        if len(heading) + size + 2 < LONGEST:
            headings[len(heading) + size + 2] = heading
    return headings


_HEADINGS = _headings()
"""The line before the data of a chunk, by the bytes of the whole of it. Others write it otherwise: that is not looked for."""


class Likeness(Struct, frozen=True, gc=False):
    """What the events of one kind have in common."""

    first: bytes
    """All before the text."""
    middle: bytes
    """All between two texts; empty: there is one."""
    last: bytes
    """All behind the text, up to the end of the chunk."""

    def fits(self, event: bytes) -> bool:
        """Whether a whole event would teach nothing new: what it is like would be this."""
        return not self.middle and self.size(b"%x\r\n%b\r\n" % (len(event), event)) > 0

    def size(self, data: bytes) -> int:
        """Bytes of the event, if `data` is one chunk with one event of this kind and one plain text; else 0."""
        whole = len(data)
        if whole < LONGEST:
            heading = _HEADINGS[whole]
            first, last = self.first, self.last
            at = len(heading)
            if (
                data.startswith(first, at)
                and data.endswith(last)
                and data.startswith(heading)
                and not self.middle
            ):
                text = data[at + len(first) : -len(last)]
                if text and not text.translate(None, _PLAIN):
                    return whole - at - 2
        return 0

    def sizes(self, data: bytes) -> tuple[int, int]:
        """How many events, and bytes of them, if `data` is whole chunks with one event of this kind each; else (0, 0)."""
        first, middle, last = self.first, self.middle, self.last
        *chunks, rest = data.split(last)
        framing = 0
        for chunk in chunks:
            end = len(chunk)
            whole = end + len(last)
            if whole >= LONGEST:
                return 0, 0
            heading = _HEADINGS[whole]
            at = len(heading)
            framing += at + 2
            if not (chunk.startswith(heading) and chunk.startswith(first, at)):
                return 0, 0
            at += len(first)
            if middle:
                found = chunk.find(middle, at)
                if found < 0 or not _is_string(chunk, found + len(middle)):
                    return 0, 0
                end = found
            if not _is_string(chunk, at, end):
                return 0, 0
        return (0, 0) if rest else (len(chunks), len(data) - framing)


def likeness(event: bytes) -> Likeness | None:
    """What others may have in common with `event`, a whole one as it came. None: it has no text, or too many."""
    texts = [match.span(1) for match in _texts(event)]
    if not texts or len(texts) > MOST:
        return None
    middle = b"" if len(texts) == 1 else event[texts[0][1] : texts[1][0]]
    return Likeness(event[: texts[0][0]], middle, event[texts[-1][1] :] + b"\r\n")
