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
    whole: bool = False
    """The records are all there are: what is not among them is gone."""


async def read(session: Session, since: int) -> Delta:
    """Everything after `since`, or everything: at first, when rows that were deleted since are gone, and when the
    store is behind `since`, because somebody has restored an older one.

    Raises StoreDown.
    """
    mark = await objects.mark(session)
    if mark.revision == since:
        return Delta([], since)
    while True:
        whole = not max(mark.floor, 1) <= since <= mark.revision
        records = await objects.changes(session, 0 if whole else since)
        revision = max(mark.revision, records[-1].revision if records else 0)
        if whole:
            return Delta(records, revision, whole=True)
        # Deleted rows may have been cleared away between the two statements.
        mark = await objects.mark(session)
        if mark.floor <= since:
            return Delta(records, revision)
