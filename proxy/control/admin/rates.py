"""From what was counted by several moments to what goes on: rates, and the times of the last seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from proxy.core.metrics import OVERHEAD, TTFT
from proxy.store.ledger.buckets import percentile

if TYPE_CHECKING:
    from proxy.control.sampling import Sample

OUTCOMES: Final = ("succeeded", "failed", "refused", "client_gone")
INPUT: Final = ("input", "cached_input", "cache_write")
"""Kinds of tokens that a provider reads. They do not overlap."""
ONWARD: Final = ("retries", "failovers", "fallbacks")
SHARES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class Now(Struct, frozen=True):
    """What goes on. Each a second, unless it says something else."""

    at: float
    """Unix time."""
    requests: dict[str, float]
    """That ended, by what became of them; `total` is all of them."""
    error_rate: float | None
    """The share that failed of those that succeeded or failed; None: there were none."""
    inflight: int
    tokens: dict[str, float]
    """`input`, `output`."""
    retries: float
    failovers: float
    fallbacks: float
    cost: float
    """US dollars a minute."""
    ttft: dict[str, float] | None
    """`count`, `p50`, `p95`, `p99`, in seconds, of the last seconds; None: there was none."""
    overhead: dict[str, float] | None


def now(at: float, samples: Sequence[Sample]) -> Now | None:
    """Rates between the last two samples, times between the first and the last; None: nothing can be said, as there is only
    one, or somebody began to count anew."""
    if len(samples) < 2:
        return None
    first, before, last = samples[0], samples[-2], samples[-1]
    seconds = last.at - before.at
    if seconds <= 0 or _fell(before.requests, last.requests):
        return None

    def rate(new: float, old: float) -> float:
        return round(max(new - old, 0.0) / seconds, 4)

    def of(kinds: Sequence[str], new: Mapping[str, float], old: Mapping[str, float]) -> float:
        return rate(
            sum(new.get(kind, 0) for kind in kinds), sum(old.get(kind, 0) for kind in kinds)
        )

    requests = {kind: of((kind,), last.requests, before.requests) for kind in OUTCOMES}
    over = requests["succeeded"] + requests["failed"]
    return Now(
        at=at,
        requests=requests | {"total": round(sum(requests.values()), 4)},
        error_rate=round(requests["failed"] / over, 6) if over else None,
        inflight=int(last.inflight),
        tokens={
            "input": of(INPUT, last.tokens, before.tokens),
            "output": of(("output",), last.tokens, before.tokens),
        },
        **{name: rate(getattr(last, name), getattr(before, name)) for name in ONWARD},
        cost=round(rate(last.cost, before.cost) * 60, 6),
        ttft=_times(TTFT, last.ttft, first.ttft),
        overhead=_times(OVERHEAD, last.overhead, first.overhead),
    )


def _fell(before: Mapping[str, float], after: Mapping[str, float]) -> bool:
    return any(after.get(name, 0) < number for name, number in before.items())


def _times(
    bounds: Sequence[float], new: Sequence[int], old: Sequence[int]
) -> dict[str, float] | None:
    """Of what came between."""
    old = old or [0] * len(new)
    counts = [max(after - before, 0) for after, before in zip(new, old, strict=False)]
    count = sum(counts)
    if not count:
        return None
    found = {name: percentile(bounds, counts, share) or 0.0 for name, share in SHARES.items()}
    return {"count": count, **{name: round(seconds, 6) for name, seconds in found.items()}}
