"""Virtual keys: how they look, and what is kept of them.

`sk-hr-<8 base62: id>-<43 base62: 256 random bits><6 base62: CRC-32 of all before>`: to be recognised by a scanner,
and a typing error by anyone. Kept is an HMAC-SHA256 under a pepper that is not in the database in the clear.
Service tokens of the admin API are made the same way with `sk-hra-`.
"""

from __future__ import annotations

import secrets
import zlib
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from proxy.core.secret import Secret

if TYPE_CHECKING:
    from hashlib import _Hash

PREFIX = "sk-hr-"
ADMIN_PREFIX = "sk-hra-"

ID, SECRET, CHECK = 8, 43, 6
"""Characters of the three parts. 62**43 is the first power of 62 above 2**256, and 62**6 the first above 2**32."""

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE62 = frozenset(_DIGITS)
_BLOCK = 64
"""Bytes that SHA-256 takes at once."""


class Pepper(Struct, frozen=True):
    """What digests are made with. `id` is stored beside each digest."""

    id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Pepper({self.id})"


class Digest(Struct, frozen=True, omit_defaults=True):
    """What is kept of one key; a key that is being rotated has two."""

    id: str
    """The 8 characters after the prefix; safe to show."""
    last4: str
    digest: str
    """HMAC-SHA256, hexadecimal."""
    pepper: str
    until: float | None = None
    """Unix time after which it is refused; None: as long as the key itself."""

    def __repr__(self) -> str:
        return f"Digest({self.id}…{self.last4})"


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[Digest])


def mint(prefix: str = PREFIX) -> Secret:
    """A new key. Shown once."""
    id = "".join(secrets.choice(_DIGITS) for _ in range(ID))
    body = f"{prefix}{id}-{_base62(secrets.randbits(256), SECRET)}"
    return Secret(body + _check(body))


def is_wellformed(key: str, prefix: str = PREFIX) -> bool:
    """Whether it looks like one of ours and its check digits are right."""
    dash = len(prefix) + ID
    if len(key) != dash + 1 + SECRET + CHECK or not key.startswith(prefix) or key[dash] != "-":
        return False
    if not (_BASE62.issuperset(key[len(prefix) : dash]) and _BASE62.issuperset(key[dash + 1 :])):
        return False
    return _check(key[:-CHECK]) == key[-CHECK:]


def digest(key: str, pepper: Pepper) -> bytes:
    """What is looked up: 32 bytes, the HMAC-SHA256 of the key."""
    keyed_inner, keyed_outer = _keyed(pepper.secret)
    inner, outer = keyed_inner.copy(), keyed_outer.copy()
    inner.update(key.encode("utf-8", "surrogateescape"))
    outer.update(inner.digest())
    return outer.digest()


@lru_cache(maxsize=64)
def _keyed(secret: bytes) -> tuple[_Hash, _Hash]:
    """The two halves of an HMAC once they have read their key, as RFC 2104 section 4 advises: every request makes a
    digest, and in `hmac.digest` most of the time goes into reading the same key again."""
    block = (secret if len(secret) <= _BLOCK else sha256(secret).digest()).ljust(_BLOCK, b"\0")
    return sha256(bytes(byte ^ 0x36 for byte in block)), sha256(
        bytes(byte ^ 0x5C for byte in block)
    )


def kept(key: Secret, pepper: Pepper, until: float | None = None) -> Digest:
    """What is stored of a key."""
    text = key.reveal()
    ours = is_wellformed(text) or is_wellformed(text, ADMIN_PREFIX)
    return Digest(
        id=text.split("-")[2] if ours else "",
        last4=text[-4:],
        digest=digest(text, pepper).hex(),
        pepper=pepper.id,
        until=until,
    )


def digests(private: bytes) -> list[Digest]:
    """What `Record.private` says of a virtual key. Raises ValueError when it says something else."""
    return _decoder.decode(private) if private else []


def private(kept: list[Digest]) -> bytes:
    """The same for `Record.private`."""
    return _encoder.encode(kept)


def rotated(
    before: bytes, pepper: Pepper, overlap: float, now: float, prefix: str = PREFIX
) -> tuple[Secret, bytes]:
    """A new key in the place of the old ones, and what is stored then: the new digest first.

    `before` is `Record.private`. Old keys are good for `overlap` more seconds, or as long as they were anyway; those
    whose time is over are dropped, all of them when there is no overlap.
    """
    key = mint(prefix)
    ends = now + overlap
    old = [
        replace(one, until=ends if one.until is None else min(one.until, ends))
        for one in digests(before)
    ]
    still = [one for one in old if one.until is not None and one.until > now]
    return key, private([kept(key, pepper), *still])


def _base62(number: int, width: int) -> str:
    """In exactly `width` digits, zeros in front."""
    found = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        found.append(_DIGITS[digit])
    return "".join(reversed(found))


def _check(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), CHECK)
