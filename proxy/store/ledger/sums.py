"""What requests that are over add to counters and statistics: added up in memory first, and written in one order.

So two hosts that book at the same moment wait for each other, and never in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import add
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
_ESTIMATES: Final = frozenset({"estimated", "suspect"})
"""Sources of a record whose provider reported nothing, or nothing that can be true."""
_ZEROS: Final = [0] * len(_ADDED)
_OUTCOME: Final = {kind: _ADDED.index(name) for kind, name in OUTCOMES.items()}
_REQUESTS: Final = _ADDED.index("requests")
_INPUT: Final = _ADDED.index("input")
"""And behind it, in this order: cache_read, cache_write, output, reasoning."""
_COST: Final = _ADDED.index("cost")
_UPSTREAM: Final = _ADDED.index("cost_upstream")
_UNKNOWN: Final = _ADDED.index("unknown_cost")
_ESTIMATED: Final = _ADDED.index("estimated")
_TTFT_SUM, _TOTAL_SUM = (_ADDED.index(name) for name in SUMMED)
_TTFT: Final = _ADDED.index("ttft_0")
_TOTAL: Final = _ADDED.index("total_0")

_What = tuple[str, str, str, str, str, str]
"""Values of DIMENSIONS."""
_Sums = list[float]
"""As _ADDED."""


def counters(ends: Iterable[End], adjusts: Iterable[Adjust], host: str) -> list[Row]:
    """Rows to be added to `counters`, as COUNTER. A request counts once in each of its windows, an unknown cost as 0."""
    found: dict[tuple[str, int], list[int]] = {}
    for end in ends:
        if end.charges:
            total, micro = end.tokens.total, max(end.cost, 0)
            for charge in end.charges:
                _count(found, charge, 1, total, micro)
    for one in adjusts:
        _count(found, one.charge, one.requests, one.tokens, one.cost)
    return [
        (subject, window, host, *sums)
        for (subject, window), sums in sorted(found.items(), key=_first)
    ]


def _count(
    found: dict[tuple[str, int], list[int]], charge: Charged, requests: int, tokens: int, micro: int
) -> None:
    key = charge.subject, charge.window
    sums = found.get(key)
    if sums is None:
        found[key] = [charge.ends, requests, tokens, micro]
    else:
        sums[1] += requests
        sums[2] += tokens
        sums[3] += micro


def statistics(ends: Iterable[End], now: float) -> list[Row]:
    """Rows to be added to `statistics`, as STATISTIC. Minutes that would be deleted at once are left out."""
    minutes: dict[tuple[int, _What], _Sums] = {}
    for end in ends:
        at = int(end.at)
        model = end.model
        if len(model) > 256 or "\0" in model:
            model = model[:256].replace("\0", "\ufffd")
        key = (
            at - at % MINUTE,
            (model, end.provider, end.deployment, end.key_id, end.key, end.team),
        )
        sums = minutes.get(key)
        if sums is None:
            sums = minutes[key] = list(_ZEROS)
        _add(sums, end)
    hours: dict[tuple[int, _What], _Sums] = {}
    for (at, what), sums in minutes.items():
        key = (at - at % HOUR, what)
        before = hours.get(key)
        hours[key] = sums if before is None else list(map(add, before, sums))
    oldest = now - KEEP_MINUTES
    kept = {key: sums for key, sums in minutes.items() if key[0] + MINUTE > oldest}
    return [*_rows(MINUTE, kept), *_rows(HOUR, hours)]


def _first(item: tuple[tuple[str | int | _What, ...], object]) -> tuple[str | int | _What, ...]:
    return item[0]


def _rows(span: int, found: dict[tuple[int, _What], _Sums]) -> Iterator[Row]:
    for (at, what), sums in sorted(found.items(), key=_first):
        yield (span, at, *what, *sums)


def _add(sums: _Sums, end: End) -> None:
    sums[_REQUESTS] += 1
    counts = _OUTCOME.get(end.outcome)
    if counts is not None:
        sums[counts] += 1
    tokens = end.tokens
    sums[_INPUT] += tokens.input
    sums[_INPUT + 1] += tokens.cache_read
    sums[_INPUT + 2] += tokens.cache_write
    sums[_INPUT + 3] += tokens.output
    sums[_INPUT + 4] += tokens.reasoning
    if end.cost >= 0:
        sums[_COST] += end.cost
    else:
        sums[_UNKNOWN] += 1
    if end.cost_upstream > 0:
        sums[_UPSTREAM] += end.cost_upstream
    if end.source in _ESTIMATES:
        sums[_ESTIMATED] += 1
    if end.ttft_ms >= 0:
        seconds = end.ttft_ms / 1000
        sums[_TTFT_SUM] += seconds
        sums[_TTFT + bucket(TTFT, seconds)] += 1
    if end.total_ms >= 0:
        seconds = end.total_ms / 1000
        sums[_TOTAL_SUM] += seconds
        sums[_TOTAL + bucket(TOTAL, seconds)] += 1
