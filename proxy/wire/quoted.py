"""Looking for a word in a JSON text without reading all of it twice over.

A search for several bytes looks at each byte of a text, about half a millisecond a megabyte. One for a single byte is the
C library's `memchr`, and fifty times as fast. Large bodies are mostly a few long strings (pictures, documents), so going
from one quotation mark to the next is the quicker way through them; where marks stand close, it is given up.
"""

from __future__ import annotations

from typing import Final

SMALL: Final = 16 * 1024
"""Bytes: below, the plain search takes some microseconds at most."""
SPARSE: Final = 1024
"""Bytes a mark, on average, from which on the marks are followed."""


def has(text: bytes, word: bytes) -> bool:
    """Whether `word`, which begins with a quotation mark, is in `text`."""
    size = len(text)
    if size < SMALL:
        return word in text
    find, at = text.find, -1
    for _ in range(size // SPARSE):
        at = find(b'"', at + 1)
        if at < 0:
            return False
        if text.startswith(word, at):
            return True
    return find(word, at + 1) >= 0


def few(text: bytes, letters: bytes, most: int) -> bool:
    """Whether there are at most so many of these letters in `text`, all together."""
    left, find = most, text.find
    for letter in letters:
        at = find(letter)
        while at >= 0:
            left -= 1
            if left < 0:
                return False
            at = find(letter, at + 1)
    return True
