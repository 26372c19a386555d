"""Sums and percentiles over time, from the table `statistics`.

It has a row for each minute (kept two days) and for each hour, and for each combination of model, provider, deployment
and key. So a question costs what it covers, however many requests there were.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from proxy.core.clock import now
from proxy.store.base import ADMIN_TIMEOUT
from proxy.store.ledger.buckets import TOTAL, TTFT, percentile

if TYPE_CHECKING:
    from proxy.store.base import Row, Session

MINUTE: Final = 60
HOUR: Final = 3600
KEEP_MINUTES: Final = 2 * 86400.0
"""Seconds rows of a minute are kept."""
MOST: Final = 2_000
"""Rows of one answer."""
_TURN: Final = 50
"""Rows made between two turns of the loop."""

DIMENSIONS: Final = ("model", "provider", "deployment", "key_id", "key", "team")
COUNTED: Final = (
    "requests", "succeeded", "failed", "client_gone", "input", "cache_read", "cache_write", "output",
    "reasoning", "cost", "cost_upstream", "unknown_cost", "estimated",
)  # fmt: skip
RANKED: Final[Mapping[str, str]] = {
    "requests": "sum(requests)",
    "tokens": "sum(input + cache_read + cache_write + output)",
    "cost": "sum(cost)",
    "failed": "sum(failed)",
}
"""What groups can be ranked by."""
SUMMED: Final = ("ttft_sum", "total_sum")
HISTOGRAMS: Final = (
    *(f"ttft_{number}" for number in range(len(TTFT) + 1)),
    *(f"total_{number}" for number in range(len(TOTAL) + 1)),
)


class Times(Struct, frozen=True, gc=False):
    """Seconds."""

    count: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float


class Figures(Struct, frozen=True, gc=False):
    """Sums of one group in one span."""

    bucket: int
    """Unix time at which the span begins; 0: the whole time asked for."""
    group: Mapping[str, str]
    """Dimension to value, as was asked for."""
    requests: int
    succeeded: int
    failed: int
    """Neither this nor that: refused."""
    client_gone: int
    input: int
    cache_read: int
    cache_write: int
    output: int
    reasoning: int
    cost: int | None
    """Micro-dollars billed, of those requests whose cost is known; None: it is of none."""
    cost_upstream: int
    """Micro-dollars of all attempts whose cost is known, those that nobody was billed for too."""
    unknown_cost: int
    """Requests whose cost is not known."""
    estimated: int
    """Requests whose usage no provider reported."""
    ttft: Times | None
    """Until the first content, of answers that had one."""
    total: Times | None


async def figures(
    session: Session,
    since: float,
    until: float,
    *,
    span: int = HOUR,
    group_by: Sequence[str] = (),
    filters: Mapping[str, str] | None = None,
    limit: int = MOST,
    top: int = 0,
    by: str = "requests",
) -> list[Figures]:
    """Of requests that came from `since` and before `until`, in spans of so many seconds: 0 is one span for all, others
    are multiples of 60, or of 3600 for what is older than two days.

    Times are rounded to what is counted: hours where the span is a multiple of one, or is 0 and more than six hours or
    what is older than two days is asked for; else minutes. Groups and filters are of DIMENSIONS. Ordered by time, then
    by group; the first `limit`. `top`: only so many groups, those with most of what is asked for `by` (of RANKED) in all of
    the time; with a span of 0 they come first who have most.
    Raises StoreDown, ValueError.
    """
    filters = filters or {}
    strange = {*group_by, *filters} - set(DIMENSIONS)
    if strange:
        raise ValueError(f"there is no dimension {min(strange)}; there are {', '.join(DIMENSIONS)}")
    if span < 0 or span % MINUTE:
        raise ValueError("a span is a multiple of 60 seconds, or 0")
    values: list[Any] = [*bounds(span, since, until)]
    where = ["span = $1", "bucket >= $2", "bucket < $3"]
    for name, value in filters.items():
        values.append(value)
        where.append(f"{name} = ${len(values)}")
    if by not in RANKED:
        raise ValueError(f"there is no order by {by}; there are {', '.join(RANKED)}")
    start = f"bucket - bucket % {span:d}" if span else "0"
    keys = order = ", ".join(str(number) for number in range(1, len(group_by) + 2))
    ranked = top > 0 and len(group_by) > 0
    if ranked and span:
        names = ", ".join(group_by)
        most = ("SELECT", names, "FROM statistics WHERE", " AND ".join(where), "GROUP BY", names)
        values.append(top)
        best = f"ORDER BY {RANKED[by]} DESC, {names} LIMIT ${len(values)}"
        where.append(" ".join((f"({names}) IN (", *most, best, ")")))
    elif ranked:
        order = f"{RANKED[by]} DESC, {keys}"
        limit = min(limit, top)
    values.append(limit)
    sql = " ".join(
        (
            "SELECT",
            ", ".join((start, *group_by, _SUMS)),
            "FROM statistics WHERE",
            " AND ".join(where),
            f"GROUP BY {keys} ORDER BY {order} LIMIT ${len(values)}",
        )
    )
    found = []
    for number, row in enumerate(await session.fetch(sql, *values, timeout=ADMIN_TIMEOUT), 1):
        found.append(_figures(row, group_by))
        if number % _TURN == 0:
            await asyncio.sleep(0)
    return found


# PostgreSQL adds whole numbers up to decimals.
_SUMS: Final = ", ".join(
    (
        *(f"CAST(sum({name}) AS bigint)" for name in COUNTED),
        *(f"sum({name})" for name in SUMMED),
        *(f"CAST(sum({name}) AS bigint)" for name in HISTOGRAMS),
    )
)


def bounds(span: int, since: float, until: float) -> tuple[int, int, int]:
    """What is counted of it: 60 or 3600, and the times rounded to that."""
    if span:
        counted = MINUTE if span % HOUR else HOUR
    else:
        short = until - since <= 6 * HOUR and since >= now() - KEEP_MINUTES
        counted = MINUTE if short else HOUR
    return counted, int(since // counted * counted), int(-(-until // counted) * counted)


def _figures(row: Row, group_by: Sequence[str]) -> Figures:
    bucket, *rest = row
    group, rest = rest[: len(group_by)], rest[len(group_by) :]
    named = dict(zip(COUNTED, rest, strict=False))
    first, last = rest[len(COUNTED) : len(COUNTED) + 2]
    histograms = rest[len(COUNTED) + len(SUMMED) :]
    if named["unknown_cost"] == named["requests"]:
        named["cost"] = None
    return Figures(
        bucket=bucket,
        group=dict(zip(group_by, group, strict=True)),
        ttft=_times(TTFT, histograms[: len(TTFT) + 1], first),
        total=_times(TOTAL, histograms[len(TTFT) + 1 :], last),
        **named,
    )


def _times(bounds: Sequence[float], counts: Sequence[int], total: float) -> Times | None:
    count = sum(counts)
    if not count:
        return None
    shares = [percentile(bounds, counts, share) or 0.0 for share in (0.5, 0.9, 0.95, 0.99)]
    return Times(count, total / count, *shares)
