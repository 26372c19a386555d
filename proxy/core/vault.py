"""Secrets at rest: sealed with AES-256-GCM under one of several master keys.

A sealed value is `v1.<kid>.<nonce>.<ciphertext and tag>` (base64url), bound to the place it was made for: moved to
another row or field it does not open. The first key seals, every key opens; so a key is replaced by putting the new
one in front and sealing everything again (`headrace secrets rotate`).
"""

from __future__ import annotations

from collections.abc import Sequence

from proxy.core.secret import Secret


class Unopened(Exception):
    """A sealed value that does not open: its key is not here, it was changed, or it was made for another place."""


class WeakKey(ValueError):
    """A master key that may not be used; the text says why and never shows it."""


class Vault:
    """The master keys of this process. Keys are texts of at least 32 bytes, stretched by HKDF-SHA256."""

    __slots__ = ("_keys", "kids")

    def __init__(self, keys: Sequence[Secret], *, not_these: Sequence[Secret] = ()) -> None:
        """Raises WeakKey for one that is short, repeated characters, a placeholder, or one of `not_these`."""
        raise NotImplementedError

    def seal(self, value: bytes, place: str) -> str:
        """Sealed under the first key."""
        raise NotImplementedError

    def open(self, sealed: str, place: str) -> bytes:
        """What was sealed for this place. Raises Unopened."""
        raise NotImplementedError


def kid_of(sealed: str) -> str:
    """Which key sealed it; empty when it is no sealed value."""
    raise NotImplementedError
