"""What budgets and quotas have counted, by window and host: the table `counters`.

`subject` and `"window"` are those of `limits.accounts.Charge`. Each host adds to rows of its own, so no two shippers
ever write the same one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from proxy.limits.accounts import Charge, Used
from proxy.store.base import ADMIN_TIMEOUT

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
    rows = await session.fetch(_SPEND, subject, timeout=ADMIN_TIMEOUT)
    return [Spent(*row) for row in rows]


# PostgreSQL adds whole numbers up to decimals.
_SPEND: Final = """
SELECT "window", max(ends), CAST(sum(requests) AS bigint), CAST(sum(tokens) AS bigint), CAST(sum(micro) AS bigint)
FROM counters WHERE subject = $1 GROUP BY "window" ORDER BY "window" DESC
"""
_CURRENT: Final = """
SELECT subject, "window", max(ends),
  CAST(sum(CASE WHEN host = $1 THEN requests ELSE 0 END) AS bigint),
  CAST(sum(CASE WHEN host = $1 THEN tokens ELSE 0 END) AS bigint),
  CAST(sum(CASE WHEN host = $1 THEN micro ELSE 0 END) AS bigint),
  CAST(sum(CASE WHEN host = $1 THEN 0 ELSE requests END) AS bigint),
  CAST(sum(CASE WHEN host = $1 THEN 0 ELSE tokens END) AS bigint),
  CAST(sum(CASE WHEN host = $1 THEN 0 ELSE micro END) AS bigint)
FROM counters
WHERE (ends = 0 OR ends > $2) AND (subject, "window") > ($3, $4)
GROUP BY subject, "window" ORDER BY subject, "window" LIMIT $5
"""
_ELSEWHERE: Final = """
SELECT subject, "window", max(ends), CAST(sum(requests) AS bigint), CAST(sum(tokens) AS bigint), CAST(sum(micro) AS bigint)
FROM counters
WHERE host <> $1 AND (ends = 0 OR ends > $2) AND (subject, "window") > ($3, $4)
GROUP BY subject, "window" ORDER BY subject, "window" LIMIT $5
"""
PAGE: Final = 2_000


async def current(session: Session, host: str, now: float) -> list[Counted]:
    """Every window that has not ended. Raises StoreDown."""
    return [
        Counted(charge, _used(*sums[:3]), _used(*sums[3:]))
        async for charge, *sums in _open(session, _CURRENT, host, now)
    ]


async def elsewhere(session: Session, host: str, now: float) -> list[tuple[Charge, Used]]:
    """What all other hosts used of every window that has not ended. Raises StoreDown."""
    return [(charge, _used(*sums)) async for charge, *sums in _open(session, _ELSEWHERE, host, now)]


async def _open(session: Session, sql: str, host: str, now: float) -> AsyncIterator[list[Any]]:
    """In pages: reading them is some milliseconds of work for the loop, and others have a turn in between."""
    subject, window = "", -1
    while True:
        asked = host, int(now), subject, window, PAGE
        rows = await session.fetch(sql, *asked, timeout=ADMIN_TIMEOUT)
        for subject, window, ends, *sums in rows:
            yield [Charge(subject, window, ends), *sums]
        if len(rows) < PAGE:
            return


def _used(requests: int, tokens: int, micro: int) -> Used:
    return Used(tokens, micro, requests)
