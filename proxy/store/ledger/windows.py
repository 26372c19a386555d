"""What budgets and quotas have counted, by window and host: the table `counters`.

`subject` and `"window"` are those of `limits.accounts.Charge`. Each host adds to rows of its own, so no two shippers
ever write the same one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

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
PAGE: Final = 2_000


async def current(session: Session, host: str, now: float) -> list[Counted]:
    """Every window that has not ended, by subject. Raises StoreDown."""
    found: list[Counted] = []
    subject, window = "", -1
    while True:
        asked = host, int(now), subject, window, PAGE
        rows = await session.fetch(_CURRENT, *asked, timeout=ADMIN_TIMEOUT)
        for row in rows:
            subject, window, ends, *sums = row
            own, elsewhere = _used(*sums[:3]), _used(*sums[3:])
            found.append(Counted(Charge(subject, window, ends), own, elsewhere))
        if len(rows) < PAGE:
            return found


def _used(requests: int, tokens: int, micro: int) -> Used:
    return Used(tokens, micro, requests)
