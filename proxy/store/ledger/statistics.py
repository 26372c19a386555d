"""Sums and percentiles over time, from the table `statistics`.

It has a row for each minute (kept two days) and for each hour, and for each combination of model, provider, deployment
and key. So a question costs what it covers, however many requests there were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from proxy.store.ledger.buckets import TOTAL, TTFT

if TYPE_CHECKING:
    from proxy.store.base import Session

MINUTE: Final = 60
HOUR: Final = 3600
KEEP_MINUTES: Final = 2 * 86400.0
"""Seconds rows of a minute are kept."""

DIMENSIONS: Final = ("model", "provider", "deployment", "key_id", "key", "team")
COUNTED: Final = (
    "requests", "succeeded", "failed", "client_gone", "input", "cache_read", "cache_write", "output",
    "reasoning", "cost", "cost_upstream", "unknown_cost", "estimated",
)  # fmt: skip
SUMMED: Final = ("ttft_sum", "total_sum")
HISTOGRAMS: Final = (
    *(f"ttft_{number}" for number in range(len(TTFT) + 1)),
    *(f"total_{number}" for number in range(len(TOTAL) + 1)),
)


class Times(Struct, frozen=True):
    """Seconds."""

    count: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float


class Figures(Struct, frozen=True):
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
    cost_upstream: int | None
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
) -> list[Figures]:
    """Of requests that came from `since` and before `until`, in spans of so many seconds: 0 is one span for all, others
    are multiples of 60, or of 3600 for what is older than two days.

    Times are rounded to what is counted: hours where the span is a multiple of one, or is 0 and more than six hours are
    asked for; else minutes. Groups and filters are of DIMENSIONS. Ordered by time, then by group.
    Raises StoreDown, ValueError.
    """
    raise NotImplementedError
