"""What requests that are over add to counters and statistics: added up in memory first, and written in one order.

So two hosts that book at the same moment wait for each other, and never in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from proxy.store.ledger.buckets import TOTAL, TTFT, bucket
from proxy.store.ledger.statistics import (
    COUNTED,
    DIMENSIONS,
    HISTOGRAMS,
    HOUR,
    KEEP_MINUTES,
    MINUTE,
    SUMMED,
)

if TYPE_CHECKING:
    from proxy.ledger.records import Adjust, Charged, End
    from proxy.store.base import Row

OUTCOMES: Final = {
    "ok": "succeeded",
    "truncated": "failed",
    "upstream_error": "failed",
    "rejected": "failed",
    "failed": "failed",
    "unknown": "failed",
    "client_gone": "client_gone",
    "deadline": "client_gone",
}
"""What a request counts as, by its outcome. Those that are not here were refused: they count as requests alone."""

COUNTER: Final = ("subject", '"window"', "host", "ends", "requests", "tokens", "micro")
STATISTIC: Final = ("span", "bucket", *DIMENSIONS, *COUNTED, *SUMMED, *HISTOGRAMS)

_ADDED: Final = (*COUNTED, *SUMMED, *HISTOGRAMS)
_PLACE: Final = {name: number for number, name in enumerate(_ADDED)}
_TTFT: Final = _PLACE["ttft_0"]
_TOTAL: Final = _PLACE["total_0"]
_ESTIMATES: Final = frozenset({"estimated", "suspect"})
"""Sources of a record whose provider reported nothing, or nothing that can be true."""
_ZEROS: Final = [0] * len(_ADDED)


def counters(ends: Iterable[End], adjusts: Iterable[Adjust], host: str) -> list[Row]:
    """Rows to be added to `counters`, as COUNTER. A request counts once in each of its windows, an unknown cost as 0."""
    found: dict[tuple[str, int], list[int]] = {}
    for end in ends:
        for charge in end.charges:
            _count(found, charge, 1, end.tokens.total, max(end.cost, 0))
    for one in adjusts:
        _count(found, one.charge, one.requests, one.tokens, one.cost)
    return [
        (subject, window, host, *sums)
        for (subject, window), sums in sorted(found.items(), key=_first)
    ]


def _count(
    found: dict[tuple[str, int], list[int]], charge: Charged, requests: int, tokens: int, micro: int
) -> None:
    sums = found.setdefault((charge.subject, charge.window), [charge.ends, 0, 0, 0])
    sums[1] += requests
    sums[2] += tokens
    sums[3] += micro


def statistics(ends: Iterable[End], now: float) -> list[Row]:
    """Rows to be added to `statistics`, as STATISTIC. Minutes that would be deleted at once are left out."""
    found: dict[tuple[int, int, str, str, str, str, str, str], list[float]] = {}
    oldest = now - KEEP_MINUTES
    for end in ends:
        at = int(end.at)
        model = end.model[:256].replace("\0", "\ufffd")
        what = model, end.provider, end.deployment, end.key_id, end.key, end.team
        for span in (MINUTE, HOUR):
            if span == HOUR or end.at >= oldest:
                key = (span, at - at % span, *what)
                sums = found.get(key)
                if sums is None:
                    sums = found[key] = list(_ZEROS)
                _add(sums, end)
    return [(*key, *_row(sums)) for key, sums in sorted(found.items(), key=_first)]


def _first(item: tuple[tuple[str | int, ...], object]) -> tuple[str | int, ...]:
    return item[0]


def _add(sums: list[float], end: End) -> None:
    tokens = end.tokens
    sums[_PLACE["requests"]] += 1
    counts = OUTCOMES.get(end.outcome)
    if counts is not None:
        sums[_PLACE[counts]] += 1
    sums[_PLACE["input"]] += tokens.input
    sums[_PLACE["cache_read"]] += tokens.cache_read
    sums[_PLACE["cache_write"]] += tokens.cache_write
    sums[_PLACE["output"]] += tokens.output
    sums[_PLACE["reasoning"]] += tokens.reasoning
    if end.cost >= 0:
        sums[_PLACE["cost"]] += end.cost
    else:
        sums[_PLACE["unknown_cost"]] += 1
    sums[_PLACE["cost_upstream"]] += max(end.cost_upstream, 0)
    sums[_PLACE["estimated"]] += end.source in _ESTIMATES
    if end.ttft_ms >= 0:
        seconds = end.ttft_ms / 1000
        sums[_PLACE["ttft_sum"]] += seconds
        sums[_TTFT + bucket(TTFT, seconds)] += 1
    if end.total_ms >= 0:
        seconds = end.total_ms / 1000
        sums[_PLACE["total_sum"]] += seconds
        sums[_TOTAL + bucket(TOTAL, seconds)] += 1


def _row(sums: list[float]) -> Row:
    for name in SUMMED:
        sums[_PLACE[name]] = float(sums[_PLACE[name]])
    return tuple(sums)
