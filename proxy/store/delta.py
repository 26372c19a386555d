"""What changed since a revision, read so that nothing between two statements is missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from proxy.store import objects

if TYPE_CHECKING:
    from proxy.core.records import Record
    from proxy.store.base import Session

NEVER = -1
"""Instead of a revision: nothing has been read yet."""


class Delta(Struct, frozen=True, eq=False):
    """The way from one revision to a later one."""

    records: list[Record]
    """Deleted ones too, unless it is `whole`."""
    revision: int
    """Where it leads."""
    last: Record | None = None
    """The last record there was, up to `revision`: for the next reading."""
    whole: bool = False
    """The records are all there are: what is not among them is gone."""


_SEEN = "SELECT revision, created, updated FROM objects WHERE kind = $1 AND id = $2"


async def read(session: Session, since: int, last: Record | None = None) -> Delta:
    """Everything after `since`, or everything: at first, when rows that were deleted since are gone, and when
    somebody has restored an older store.

    That is seen by a store that is behind `since`. One that has been written to in the meantime need not be: there
    the `last` record of the reading before is missing, or another.

    Raises StoreDown.
    """
    mark = await objects.mark(session)
    behind = mark.revision < since or (last is not None and await _differs(session, last, since))
    if mark.revision == since and not behind:
        return Delta([], since, last)
    while True:
        whole = behind or not max(mark.floor, 1) <= since
        records = await objects.changes(session, 0 if whole else since)
        newest = records[-1] if records else None
        revision = max(mark.revision, newest.revision if newest else 0)
        if whole:
            return Delta(records, revision, newest, whole=True)
        # Deleted rows may have been cleared away between the two statements.
        mark = await objects.mark(session)
        if mark.floor <= since:
            return Delta(records, revision, newest or last)


async def _differs(session: Session, last: Record, since: int) -> bool:
    """Whether this is another history than the one `last` was read in."""
    rows = await session.fetch(_SEEN, last.kind, last.id)
    if not rows:
        return True
    revision, created, updated = rows[0]
    if created != last.created:
        return True
    # A later revision is a change that is about to be read.
    return revision <= since and (revision, updated) != (last.revision, last.updated)
