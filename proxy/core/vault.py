"""Secrets at rest: sealed with AES-256-GCM under one of several master keys.

A sealed value is `v1.<kid>.<nonce>.<ciphertext and tag>` (base64url), bound to the place it was made for: moved to
another row or field it does not open. The first key seals, every key opens; so a key is replaced by putting the new
one in front and sealing everything again (`headrace secrets rotate`).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Never

from proxy.core.secret import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SHORTEST = 32
"""Bytes of a master key."""
VARIETY = 8
"""Different characters in a master key: of 32 digits that chance chose, hexadecimal or decimal, hardly any has fewer."""

_VERSION = "v1"
_NONCE = 12
_KID = 6
"""Bytes; they only tell the few keys of one installation apart."""
_BLOCK = 32
"""Bytes of one hash."""
_SEAL, _NAME = b"headrace v1 seal", b"headrace v1 kid"

_PLACEHOLDERS = re.compile(
    "change[-_]?me|change[-_]this|replace|your[-_]|placeholder|example|insecure|default|password"
    "|(?:secret|master)[-_]?key|0123456789|abcdefghij",
    re.IGNORECASE,
)
"""Words of sample configurations. Chance writes one of them into a random key about once in a million keys."""

MAKE_ONE = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"


class Unopened(Exception):
    """A sealed value that does not open: its key is not here, it was changed, or it was made for another place."""


class WeakKey(ValueError):
    """A master key that may not be used; the text says why and never shows it."""


class Vault:
    """The master keys of this process. Keys are texts of at least 32 bytes, stretched by HKDF-SHA256."""

    __slots__ = ("_ciphers", "_keys", "kids")

    kids: tuple[str, ...]
    """The names of the keys, the sealing one first. Derived from the keys, and safe to show."""

    def __init__(self, keys: Sequence[Secret], *, not_these: Sequence[Secret] = ()) -> None:
        """Raises WeakKey for one that is short, repeated characters, a placeholder, or one of `not_these`."""
        if not keys:
            raise WeakKey(f"there is no master key: {MAKE_ONE}")
        used = {secret.reveal().strip() for secret in not_these}
        self._keys: dict[str, bytes] = {}
        self._ciphers: dict[str, AESGCM] = {}
        """Those that were needed: the library takes 5 MiB, and most workers never open anything."""
        for number, key in enumerate(keys, 1):
            text = key.reveal().strip()
            if fault := _fault(text, used):
                raise WeakKey(f"master key {number} {fault}: {MAKE_ONE}")
            self._keys.setdefault(_kid(text), _derived(text, _SEAL, 32))
        self.kids = tuple(self._keys)

    def seal(self, value: bytes, place: str) -> str:
        """Sealed under the first key."""
        kid = self.kids[0]
        nonce = os.urandom(_NONCE)
        closed = self._cipher(kid).encrypt(nonce, value, _bound(kid, place))
        return f"{_VERSION}.{kid}.{_text(nonce)}.{_text(closed)}"

    def open(self, sealed: str, place: str) -> bytes:
        """What was sealed for this place. Raises Unopened."""
        parts = _parts(sealed)
        if parts is None:
            raise Unopened("this is no sealed value")
        kid, nonce, closed = parts
        if kid not in self._keys:
            raise Unopened(f"sealed under master key {kid}, which is not among those given")
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher(kid).decrypt(nonce, closed, _bound(kid, place))
        except InvalidTag:
            raise Unopened("the sealed value was changed, or was made for another place") from None

    def _cipher(self, kid: str) -> AESGCM:
        cipher = self._ciphers.get(kid)
        if cipher is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            cipher = self._ciphers[kid] = AESGCM(self._keys[kid])
        return cipher

    def __repr__(self) -> str:
        return f"Vault({', '.join(self.kids)})"

    def __reduce__(self) -> Never:
        raise TypeError("a Vault is not pickled")


def kid_of(sealed: str) -> str:
    """Which key sealed it; empty when it is no sealed value."""
    parts = _parts(sealed)
    return "" if parts is None else parts[0]


def _parts(sealed: str) -> tuple[str, bytes, bytes] | None:
    """Key, nonce and ciphertext; None for anything that `seal` has not written."""
    version, *rest = sealed.split(".")
    if version != _VERSION or len(rest) != 3:
        return None
    kid, nonce, closed = (_bytes(part) for part in rest)
    if kid is None or nonce is None or closed is None:
        return None
    if len(kid) != _KID or len(nonce) != _NONCE or len(closed) < 16:
        return None
    return rest[0], nonce, closed


def _bound(kid: str, place: str) -> bytes:
    """What the tag covers besides the value. A kid has a fixed length: no two pairs give the same bytes."""
    return f"{_VERSION}.{kid}.{place}".encode()


def _fault(text: str, used: set[str]) -> str:
    if len(text.encode()) < SHORTEST:
        return f"is shorter than {SHORTEST} bytes"
    if len(set(text)) < VARIETY:
        return "repeats a few characters"
    if _PLACEHOLDERS.search(text):
        return "looks like a placeholder"
    if text in used:
        return "is used for something else as well"
    return ""


def _derived(text: str, purpose: bytes, length: int) -> bytes:
    """HKDF-SHA256 (RFC 5869) without a salt, of at most 32 bytes: one block of it."""
    assert length <= _BLOCK
    key = hmac.digest(bytes(_BLOCK), text.encode(), "sha256")
    return hmac.digest(key, purpose + b"\x01", "sha256")[:length]


def _kid(text: str) -> str:
    return _text(_derived(text, _NAME, _KID))


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _bytes(text: str) -> bytes | None:
    """Strictly: only one text stands for these bytes, so that a changed character is always noticed."""
    try:
        value = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return value if _text(value) == text else None
