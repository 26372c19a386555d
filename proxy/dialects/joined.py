"""Base64 that comes in pieces: each by itself, or one that was cut."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable


def joined(pieces: Iterable[str]) -> str:
    """All of it in one. What ends in the middle was encoded by itself; what is not all base64 is put together as it came."""
    pieces = [piece for piece in pieces if piece]
    if any(piece.endswith("=") for piece in pieces[:-1]):
        try:
            whole = b"".join(b64decode(piece, validate=True) for piece in pieces)
        except ValueError:
            pass
        else:
            return b64encode(whole).decode("ascii")
    return "".join(pieces)
