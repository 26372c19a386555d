"""What can be done to the objects of the store, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from proxy.core.records import Record


class Called(str):
    """A name. Without this a text of digits is an id wherever there is an object with it."""

    __slots__ = ()


class Create(Struct, frozen=True, eq=False):
    """A new object. `parent` is an id, a name (`Called`: rather a name), or an index `@0` of an earlier edit of the same call."""

    kind: str
    name: str
    body: Mapping[str, Any]
    """A virtual key's may have `key`: one that exists already, of at least 16 characters."""
    parent: str = ""
    private: bytes | None = None
    """Of a virtual key that is restored: its digests, stored as they are; then no key is made. Never from a body."""


class Update(Struct, frozen=True, eq=False):
    """Other fields for an object. `merge`: only those given (PATCH; null takes one away); else all of them (PUT).

    Secrets that are not given, or are given as `***`, stay, unless the host of a provider changes: then they and its
    credentials are cleared.
    """

    kind: str
    target: str
    """Id or name; a name alone, where it is `Called`."""
    body: Mapping[str, Any]
    merge: bool = False
    if_match: int | None = None
    """The revision it must still have."""
    name: str | None = None
    """A new name."""
    private: bytes | None = None
    """Of a virtual key that is restored: its digests instead of those it has. Never from a body."""


class Delete(Struct, frozen=True, eq=False):
    """An object away, and what belongs to it: a provider's credentials, a model's deployments.

    Without `cascade`, one that others refer to is not deleted, and the problem names them. With it deployments of the
    provider go too, and the model is taken out of the fallbacks of others.
    """

    kind: str
    target: str
    if_match: int | None = None
    cascade: bool = False
    children: frozenset[int] | None = None
    """Ids of all that may belong to it: with another one it stays."""


class Rotate(Struct, frozen=True, eq=False):
    """A new key in the place of a virtual key's old one, which is good for `overlap` more seconds."""

    target: str
    overlap: float = 0.0
    if_match: int | None = None
    kind: str = "key"


Edit = Create | Update | Delete | Rotate


class Written(Struct, frozen=True, eq=False):
    """What one edit did."""

    record: Record
    secret: str = ""
    """A virtual key that was made: shown once."""
    warnings: tuple[str, ...] = ()
