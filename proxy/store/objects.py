"""Configuration objects in the store: reading what changed, and writing under the revision lock.

async with store.transaction() as session:
    revision = await lock(session)            # alone from here on, in the whole fleet
    changed = await changes(session, mirror.revision)
    …                                         # check the change against everything as it is now
    await write(session, record)              # each row with a revision of its own
    await unlock(session, last_revision)      # stores the counter; NOTIFY goes out with the commit
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from proxy.core.records import Record
    from proxy.store.base import Session


class Mark(Struct, frozen=True):
    """How far the store is."""

    revision: int
    """Of the last change."""
    floor: int
    """Rows deleted before this are gone: who has seen less reads everything."""


async def mark(session: Session) -> Mark:
    """Without a lock: what a poll asks."""
    raise NotImplementedError


async def changes(session: Session, since: int) -> list[Record]:
    """Every row with a higher revision, deleted ones too, in order. From 0: everything that lives."""
    raise NotImplementedError


async def lock(session: Session) -> int:
    """The last revision; nobody else writes until the transaction ends."""
    raise NotImplementedError


async def write(session: Session, record: Record) -> None:
    """Insert or replace one row; a deleted one keeps no spec. Raises Duplicate for a name that is taken."""
    raise NotImplementedError


async def unlock(session: Session, revision: int) -> None:
    """Make `revision` the last one, and tell the others when the transaction commits."""
    raise NotImplementedError
