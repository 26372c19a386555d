"""Virtual keys: how they look, and what is kept of them.

`sk-hr-<8 base62: id>-<43 base62: 256 random bits><6 base62: CRC-32 of all before>`: to be recognised by a scanner,
and a typing error by anyone. Kept is an HMAC-SHA256 under a pepper that is not in the database in the clear.
Service tokens of the admin API are made the same way with `sk-hra-`.
"""

from __future__ import annotations

from msgspec import Struct

from proxy.core.secret import Secret

PREFIX = "sk-hr-"
ADMIN_PREFIX = "sk-hra-"


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


def mint(prefix: str = PREFIX) -> Secret:
    """A new key. Shown once."""
    raise NotImplementedError


def is_wellformed(key: str, prefix: str = PREFIX) -> bool:
    """Whether it looks like one of ours and its check digits are right."""
    raise NotImplementedError


def digest(key: str, pepper: Pepper) -> bytes:
    """What is looked up: 32 bytes."""
    raise NotImplementedError


def kept(key: Secret, pepper: Pepper, until: float | None = None) -> Digest:
    """What is stored of a key."""
    raise NotImplementedError
