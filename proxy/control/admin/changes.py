"""Every write of configuration objects goes through `apply`: locked, checked against what is there, audited, swapped.

An edit that is wrong stops all of them: a batch is one transaction. The answer to a write is given once this worker
serves by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request
    from proxy.core.records import Record


class Create(Struct, frozen=True, eq=False):
    """A new object. `parent` is an id or a name, or an index `@0` of an earlier edit of the same call."""

    kind: str
    name: str
    body: Mapping[str, Any]
    parent: str = ""
    private: bytes | None = None
    """Of a virtual key that is restored: its digests, stored as they are; then no key is made. Never from a body."""


class Update(Struct, frozen=True, eq=False):
    """Other fields for an object. `merge`: only those given (PATCH; null takes one away); else all of them (PUT).

    Secrets that are not given stay, unless the host of a provider changes: then its credentials are cleared.
    """

    kind: str
    target: str
    """Id or name."""
    body: Mapping[str, Any]
    merge: bool = False
    if_match: int | None = None
    """The revision it must still have."""
    name: str | None = None
    """A new name."""
    private: bytes | None = None
    """Of a virtual key that is restored: its digests instead of those it has. Never from a body."""


class Delete(Struct, frozen=True, eq=False):
    """An object away. Without `cascade`, one that others refer to is not deleted, and the problem names them."""

    kind: str
    target: str
    if_match: int | None = None
    cascade: bool = False


Edit = Create | Update | Delete


class Written(Struct, frozen=True, eq=False):
    """What one edit did."""

    record: Record
    secret: str = ""
    """A virtual key that was made: shown once."""
    warnings: tuple[str, ...] = ()


async def apply(
    request: Request, services: Services, edits: Sequence[Edit], *, dry_run: bool = False
) -> list[Written]:
    """Do all edits or none; one answer each, in order.

    Raises Problem: 400 invalid (faults named `field`, or `[row].field` where there are several edits), 404, 409
    conflict (a name that is taken; in the file, which is read-only: names both), 412 precondition_failed,
    503 store_down, 409 no_master_key.
    """
    raise NotImplementedError
