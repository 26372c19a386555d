"""What is too old goes: in slices, each a short transaction of its own, so that nobody waits for it.

A slice begins where the one before it ended. PostgreSQL leaves what is deleted where it was until it vacuums, and would
pass over all of it again and again.

On PostgreSQL a slice also begins with a lock that belongs to its transaction: of several hosts one cleans at a time, and
none has to be elected. SQLite is one host's.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from proxy.core.clock import monotonic, now
from proxy.store.base import ADMIN_TIMEOUT
from proxy.store.ledger.statistics import HOUR, KEEP_MINUTES, MINUTE

if TYPE_CHECKING:
    from proxy.store.base import Store

SLICE: Final = 500
"""Rows of the table that one transaction deletes, but for those of one moment, which go together."""
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


class Job(Struct, frozen=True):
    """What is deleted of one table, by one column that has an index. $1: from, $2: before."""

    last: str
    """The last one of a slice, if there are so many. $3: how many are passed over."""
    delete: str
    also: str = ""
    """For each of what `delete` returned."""
    whole: bool = False
    """The column has whole numbers, else floats."""


REQUESTS: Final = Job(
    "SELECT at FROM requests WHERE at >= $1 AND at < $2 ORDER BY at LIMIT 1 OFFSET $3",
    # $3: those booked later stay.
    "DELETE FROM requests WHERE at >= $1 AND at < $2 AND booked < $3 RETURNING rid",
    # One by one: to plan a join the server would look for the smallest id there is, past all that was deleted.
    "DELETE FROM attempts WHERE rid = $1 RETURNING rid",
)
CONTENTS: Final = Job(
    "SELECT at FROM contents WHERE at >= $1 AND at < $2 ORDER BY at LIMIT 1 OFFSET $3",
    "DELETE FROM contents WHERE at >= $1 AND at < $2 RETURNING rid",
)
ADJUSTMENTS: Final = Job(
    "SELECT at FROM adjustments WHERE at >= $1 AND at < $2 ORDER BY at LIMIT 1 OFFSET $3",
    "DELETE FROM adjustments WHERE at >= $1 AND at < $2 RETURNING rid",
)
COUNTERS: Final = Job(
    # Windows that never end have 0.
    "SELECT ends FROM counters WHERE ends > 0 AND ends >= $1 AND ends < $2"
    " ORDER BY ends LIMIT 1 OFFSET $3",
    "DELETE FROM counters WHERE ends > 0 AND ends >= $1 AND ends < $2 RETURNING 1",
    whole=True,
)
STATISTICS: Final = {
    span: Job(
        f"SELECT bucket FROM statistics WHERE span = {span:d} AND bucket >= $1 AND bucket < $2"  # noqa: S608 - ours
        " ORDER BY bucket LIMIT 1 OFFSET $3",
        f"DELETE FROM statistics WHERE span = {span:d} AND bucket >= $1 AND bucket < $2 RETURNING 1",  # noqa: S608 - ours
        whole=True,
    )
    for span in (MINUTE, HOUR)
}


async def clean(store: Store, keep: Keep) -> int:
    """Delete what is older; how many rows. Ends early when another host is at it. Raises StoreDown."""
    moment = now()
    requests, again = moment - keep.requests, moment - AGAIN
    jobs: tuple[tuple[Job, float, tuple[float, ...]], ...] = (
        (CONTENTS, moment - min(keep.content, keep.requests), ()),
        (REQUESTS, requests, (again,)),
        (STATISTICS[MINUTE], moment - KEEP_MINUTES, ()),
        (STATISTICS[HOUR], moment - keep.statistics, ()),
        (COUNTERS, min(requests, again), ()),
        (ADJUSTMENTS, min(requests, again), ()),
    )
    deleted = 0
    for job, old, values in jobs:
        if math.isinf(old):
            continue
        low: float | None = 0
        while low is not None:
            began = monotonic()
            done = await _slice(store, job, low, old, values)
            if done is None:
                return deleted
            count, low = done
            deleted += count
            # At most half of the time is spent on this.
            await asyncio.sleep(monotonic() - began)
    return deleted


async def _slice(
    store: Store, job: Job, low: float, old: float, values: tuple[float, ...]
) -> tuple[int, float | None] | None:
    """How many rows, and where the next one begins (None: nowhere). None: another host cleans."""
    low, old = (int(low), int(old)) if job.whole else (float(low), float(old))
    async with store.transaction() as session:
        if not await session.fetch(_ALONE[store.backend]):
            return None
        last = await session.fetch(job.last, low, old, SLICE - 1, timeout=ADMIN_TIMEOUT)
        high: float = old
        if last:
            high = last[0][0] + 1 if job.whole else math.nextafter(last[0][0], math.inf)
        gone = await session.fetch(job.delete, low, high, *values, timeout=ADMIN_TIMEOUT)
        count = len(gone)
        if job.also and gone:
            count += len(await session.each(job.also, gone, timeout=ADMIN_TIMEOUT))
    return count, (high if last else None)
