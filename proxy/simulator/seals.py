"""Sealed state that a provider wants back unchanged: made here, and known again.

A seal says what it was made for (a digest of thoughts, the name of a function, the number of an answer), so that a
client that gives it back with something else is found out.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from binascii import Error


def seal(what: str) -> str:
    """A seal for `what`, as standard base64."""
    return b64encode(f"sim1:{_digest(what)}:{what}".encode()).decode()


def opened(text: object) -> str | None:
    """What it was made for; None: not ours, or altered."""
    if not isinstance(text, str):
        return None
    try:
        mark, digest, what = b64decode(text, validate=True).decode().split(":", 2)
    except (Error, ValueError):
        return None
    return what if mark == "sim1" and digest == _digest(what) else None


def thought(text: str) -> str:
    """A seal for the text of thoughts."""
    return seal(_digest(text))


def fits(signature: object, text: str) -> bool:
    """Whether this is the seal of exactly these thoughts."""
    return opened(signature) == _digest(text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]
