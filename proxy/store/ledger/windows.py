"""What budgets and quotas have counted, by window and host: the table `counters`.

`subject` and `"window"` are those of `limits.accounts.Charge`. Each host adds to rows of its own, so no two shippers
ever write the same one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from proxy.limits.accounts import Charge, Used

if TYPE_CHECKING:
    from proxy.store.base import Session


class Spent(Struct, frozen=True):
    """One window of a subject, over all hosts."""

    window: int
    ends: int
    """0: never."""
    requests: int
    tokens: int
    micro: int


class Counted(Struct, frozen=True):
    """One window as a host has to learn it."""

    charge: Charge
    own: Used
    elsewhere: Used


async def spend(session: Session, subject: str) -> list[Spent]:
    """All windows of a subject (`key:7`) that are kept, the latest first. Raises StoreDown."""
    raise NotImplementedError


async def current(session: Session, host: str, *, now: float) -> list[Counted]:
    """Every window that has not ended. Raises StoreDown."""
    raise NotImplementedError
