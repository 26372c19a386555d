"""Undo gzip or deflate as it comes, within bounds: a megabyte of it can be a gigabyte of zeros (RFC 1950 to 1952)."""

from __future__ import annotations

import zlib

_BITS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
FREE = 1024 * 1024
"""Bytes that any body may grow to."""
RATIO = 32
"""How much larger than it came a body may be beyond that. Text is three to ten times as large, a bomb a thousand."""
_PIECE = 256 * 1024


class Inflating:
    """One body. Raises ValueError when it is no such coding, or grows too much."""

    __slots__ = ("_inflate", "_received", "_size")

    def __init__(self, bits: int) -> None:
        self._inflate = zlib.decompressobj(bits)
        self._received = self._size = 0

    def feed(self, data: bytes) -> bytes:
        """What the next bytes of it mean."""
        inflate = self._inflate
        self._received += len(data)
        most = max(FREE, RATIO * self._received)
        parts: list[bytes] = []
        try:
            # In pieces: one growing buffer is copied again and again.
            while data:
                parts.append(inflate.decompress(data, _PIECE))
                self._size += len(parts[-1])
                if self._size > most:
                    raise ValueError("it grows too much")
                data = inflate.unconsumed_tail
        except zlib.error as error:
            raise ValueError(str(error)) from error
        if inflate.unused_data:
            raise ValueError("something follows its end")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    @property
    def whole(self) -> bool:
        """It has come to its end, or nothing of it has come."""
        return self._inflate.eof or not self._received


def inflating(coding: bytes) -> Inflating | None:
    """For a `content-encoding`; None when it is none of those."""
    bits = _BITS.get(coding.strip().lower())
    return None if bits is None else Inflating(bits)
