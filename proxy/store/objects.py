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

from proxy.core.clock import now
from proxy.core.records import Record
from proxy.store.base import StoreDown

if TYPE_CHECKING:
    from proxy.store.base import Row, Session, Store

PAGE = 1_000
"""Rows read at once: some milliseconds of work for the loop, so that requests go on in between."""

TOMBSTONE = 7 * 86_400.0
"""Seconds a deleted row stays, for workers that have not been told."""


class Mark(Struct, frozen=True):
    """How far the store is."""

    revision: int
    """Of the last change."""
    floor: int
    """Rows deleted before this are gone: who has seen less reads everything."""


async def mark(session: Session) -> Mark:
    """Without a lock: what a poll asks. Raises StoreDown."""
    rows = await session.fetch("SELECT revision, floor FROM revision")
    if not rows:
        raise StoreDown("it is being restored: it has no revision")
    revision, floor = rows[0]
    return Mark(revision, floor)


# `$2` is where the reading began: rows deleted before it are left out (it is 0 to see them all), rows deleted
# during it are not, because an earlier page had them alive.
_PAGE = (
    "SELECT kind, id, revision, name, parent, spec, sealed, private, created, updated, deleted"
    " FROM objects WHERE revision > $1 AND (deleted = 0 OR revision > $2) ORDER BY revision LIMIT $3"
)


async def changes(session: Session, since: int) -> list[Record]:
    """Every row with a higher revision, deleted ones too, in order. From 0: everything that lives.

    It is read in pages, and needs no transaction: a row that is written meanwhile gets a higher revision, and is
    read again. So one object may come twice, or come and then come deleted; the last one counts. Raises StoreDown.
    """
    begun = 0 if since else (await mark(session)).revision
    found: list[Record] = []
    last = since
    while True:
        page = await session.fetch(_PAGE, last, begun, PAGE)
        found += map(record, page)
        if len(page) < PAGE:
            return found
        last = found[-1].revision


def record(row: Row) -> Record:
    """A row of `objects`, with its columns in the order of `_PAGE`."""
    kind, id, revision, name, parent, spec, sealed, private, created, updated, deleted = row
    return Record(
        kind,
        id,
        revision,
        name,
        parent,
        spec.encode(),
        sealed,
        private.encode(),
        created,
        updated,
        deleted == 1,
    )


async def lock(session: Session) -> int:
    """The last revision; nobody else writes until the transaction ends. Raises StoreDown."""
    # Both databases lock for a change; only one of them knows FOR UPDATE. `revision` itself is left alone: a
    # change of it is told to everyone.
    await session.execute("UPDATE revision SET floor = floor")
    return (await mark(session)).revision


_WRITE = """
INSERT INTO objects
  (kind, id, revision, name, parent, spec, sealed, private, created, updated, deleted)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (kind, id) DO UPDATE SET
  revision = excluded.revision, name = excluded.name, parent = excluded.parent, spec = excluded.spec,
  sealed = excluded.sealed, private = excluded.private, created = excluded.created,
  updated = excluded.updated, deleted = excluded.deleted
"""


async def write(session: Session, record: Record) -> None:
    """Insert or replace one row; a deleted one keeps its name and parent, and nothing that it said.

    Raises Duplicate for a name that is taken, StoreDown.
    """
    gone = record.deleted
    await session.execute(
        _WRITE,
        record.kind,
        record.id,
        record.revision,
        record.name,
        record.parent,
        "{}" if gone else record.spec.decode(),
        "" if gone else record.sealed,
        "" if gone else record.private.decode(),
        record.created,
        record.updated,
        int(gone),
    )


async def unlock(session: Session, revision: int) -> None:
    """Make `revision` the last one, and tell the others when the transaction commits. Raises StoreDown."""
    await session.execute("UPDATE revision SET revision = $1", revision)


async def sweep(store: Store) -> int:
    """Delete for good what was deleted a week ago, and raise the floor; how many rows. Raises StoreDown."""
    old = now() - TOMBSTONE
    found = "SELECT max(revision), count(*) FROM objects WHERE deleted = 1 AND updated < $1"
    if not (await store.fetch(found, old))[0][1]:
        return 0
    async with store.transaction() as session:
        await lock(session)
        highest, count = (await session.fetch(found, old))[0]
        if count:
            await session.execute("DELETE FROM objects WHERE deleted = 1 AND updated < $1", old)
            await session.execute("UPDATE revision SET floor = $1 WHERE floor < $1", highest)
        return int(count)
