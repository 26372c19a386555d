"""What is too old goes: in slices, each a short transaction of its own, so that nobody waits for it.

On PostgreSQL a slice begins with a lock that belongs to its transaction: of several hosts one cleans at a time, and none
has to be elected. SQLite is one host's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from proxy.core.clock import monotonic, now
from proxy.store.base import ADMIN_TIMEOUT
from proxy.store.ledger.statistics import HOUR, KEEP_MINUTES, MINUTE

if TYPE_CHECKING:
    from proxy.store.base import Session, Store

SLICE: Final = 500
"""Rows of the largest table that one transaction deletes."""
AGAIN: Final = 86400.0
"""Seconds a row stays after it was booked, however old its request: as long as it is there, a second delivery of the
same record is known as one."""


class Keep(Struct, frozen=True):
    """Seconds; infinity is for ever."""

    requests: float
    content: float
    statistics: float


_ALONE: Final = {
    "sqlite": "SELECT 1",
    "postgresql": "SELECT 1 WHERE pg_try_advisory_xact_lock(7243392108412)",
}

_OLD_REQUESTS: Final = (
    "(SELECT rid FROM requests WHERE at < $1 AND booked < $2 ORDER BY at, rid LIMIT $3)"
)
_ATTEMPTS: Final = " ".join(("DELETE FROM attempts WHERE rid IN", _OLD_REQUESTS))
_REQUESTS: Final = " ".join(("DELETE FROM requests WHERE rid IN", _OLD_REQUESTS))
_CONTENTS: Final = "DELETE FROM contents WHERE rid IN (SELECT rid FROM contents WHERE at < $1 ORDER BY at LIMIT $2)"
_ADJUSTMENTS: Final = (
    "DELETE FROM adjustments WHERE rid IN"
    " (SELECT rid FROM adjustments WHERE at < $1 ORDER BY at LIMIT $2)"
)
_COUNTERS: Final = """
DELETE FROM counters WHERE ends > 0 AND ends < $1 AND (subject, "window", host) IN
  (SELECT subject, "window", host FROM counters WHERE ends > 0 AND ends < $1 ORDER BY ends LIMIT $2)
"""
_STATISTICS: Final = """
DELETE FROM statistics WHERE span = $1 AND bucket < $2 AND bucket =
  (SELECT min(bucket) FROM statistics WHERE span = $1)
"""


async def clean(store: Store, keep: Keep) -> int:
    """Delete what is older; how many rows. Ends early when another host is at it. Raises StoreDown."""
    moment = now()
    requests, content = moment - keep.requests, moment - min(keep.content, keep.requests)
    again = moment - AGAIN
    old = min(requests, again)
    jobs: tuple[tuple[tuple[str, ...], tuple[Any, ...]], ...] = (
        ((_CONTENTS,), (content, SLICE)),
        ((_ATTEMPTS, _REQUESTS), (requests, again, SLICE)),
        ((_STATISTICS,), (MINUTE, moment - KEEP_MINUTES)),
        ((_STATISTICS,), (HOUR, moment - keep.statistics)),
        ((_COUNTERS,), (old, SLICE)),
        ((_ADJUSTMENTS,), (old, SLICE)),
    )
    deleted = 0
    for statements, values in jobs:
        # Of what is kept for ever nothing is older than -infinity, which no database is asked about.
        while float("-inf") not in values:
            began = monotonic()
            count = await _slice(store, statements, values)
            if count is None:
                return deleted
            if not count:
                break
            deleted += count
            # At most half of the time is spent on this.
            await asyncio.sleep(monotonic() - began)
    return deleted


async def _slice(store: Store, statements: tuple[str, ...], values: tuple[Any, ...]) -> int | None:
    """None: another host cleans."""
    async with store.transaction() as session:
        if not await session.fetch(_ALONE[store.backend]):
            return None
        return sum([await _delete(session, sql, values) for sql in statements])


async def _delete(session: Session, sql: str, values: tuple[Any, ...]) -> int:
    return await session.execute(sql, *values, timeout=ADMIN_TIMEOUT)
