"""What this worker has counted and seen, as one row a deployment: what every page of statistics is made of.

Counters are Prometheus's and never fall; what a reset forgets is a mark that is subtracted here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from proxy.control import health
from proxy.core.clock import now

if TYPE_CHECKING:
    from proxy.core.metrics import Metrics
    from proxy.core.model import Model, Quota, Snapshot
    from proxy.core.series import Counter, Family
    from proxy.state.live import Live
    from proxy.state.state import State

Counts = dict[tuple[str, ...], float]
PARTS = ("input", "cached_input", "cache_write", "output")
"""Kinds of tokens that do not overlap: reasoning is a part of output."""


class Marks(Struct, eq=False):
    """Where counting begins: at the start of the worker, or at the last reset."""

    since: float
    """Unix time."""
    attempts: Counts = field(default_factory=dict)
    tokens: Counts = field(default_factory=dict)
    waits: dict[tuple[str, ...], tuple[float, int]] = field(default_factory=dict)
    """Seconds until the first content, added up, and of how many."""
    selections: dict[str, int] = field(default_factory=dict)
    requests: dict[str, Any] = field(default_factory=dict)
    """As `control.health.stats` has them."""

    def reset(self, state: State) -> None:
        """Count from here on."""
        self.since = now()
        self.attempts = _read(state.metrics.upstream_attempts)
        self.tokens = _read(state.metrics.tokens)
        self.waits = _waits(state.metrics)
        self.selections = {id: each.used for id, each in state.live.deployments.items()}
        self.requests = health.stats(state.metrics)


class Row(Struct, frozen=True, eq=False):
    """One deployment, as this worker knows it."""

    id: str
    model: str
    """The public name."""
    provider: str
    upstream: str
    """The model's name there."""
    base_url: str
    strategy: str
    priority: int
    weight: int
    requests: int
    """Tries whose outcome is known and not of the client's making."""
    succeeded: int
    selections: int
    inflight: int
    latency: float | None
    """Moving average of the seconds until the first content; None while there was none."""
    wait: float
    """The same, added up, of `waits`."""
    waits: int
    health: float
    """1 healthy, 0.5 degraded, 0 out."""
    opened: int
    """How often it was taken out."""
    quota: Quota | None
    cost: int | None = None
    """Micro-dollars, where that is known."""

    @property
    def failed(self) -> int:
        return self.requests - self.succeeded


class Total(Struct, frozen=True):
    """Several rows together."""

    requests: int
    succeeded: int
    inflight: int
    selections: int
    mean: float | None
    """Seconds until the first content; None while there was none."""
    cost: int | None
    """Micro-dollars, as far as known; None: it is of none."""

    @property
    def success_rate(self) -> float | None:
        """None while nothing was asked."""
        return self.succeeded / self.requests if self.requests else None


def rows(state: State, marks: Marks) -> Iterator[Row]:
    """Every deployment of the snapshot in use, model by model, the smallest priority first."""
    live, snapshot = state.live, state.snapshot
    tries: dict[str, list[int]] = {}
    for (_, target, outcome, _), count in _since(
        _read(state.metrics.upstream_attempts), marks.attempts
    ):
        if outcome != "cancelled":
            one = tries.setdefault(target, [0, 0])
            one[0] += int(count)
            one[1] += int(count) if outcome == "ok" else 0
    waits: dict[str, tuple[float, int]] = {}
    for labels, (seconds, count) in _waits(state.metrics).items():
        before, times = marks.waits.get(labels, (0.0, 0))
        waits[labels[1]] = (seconds - before, count - times)
    return _rows(snapshot, live, marks, tries, waits)


def _rows(
    snapshot: Snapshot,
    live: Live,
    marks: Marks,
    tries: Mapping[str, list[int]],
    waits: Mapping[str, tuple[float, int]],
) -> Iterator[Row]:
    for model in models(snapshot).values():
        for one in model.own:
            seen = live.deployments.get(one.id)
            requests, succeeded = tries.get(one.id, (0, 0))
            seconds, times = waits.get(one.id, (0.0, 0))
            used = 0 if seen is None else seen.used
            # A deployment that was changed begins anew, below what was marked.
            marked = marks.selections.get(one.id, 0)
            yield Row(
                id=one.id,
                model=model.name,
                provider=one.provider.name,
                upstream=one.model,
                base_url=one.provider.base_url,
                strategy=str(model.strategy),
                priority=one.priority,
                weight=one.weight,
                requests=requests,
                succeeded=succeeded,
                selections=used - marked if used >= marked else used,
                inflight=0 if seen is None else seen.inflight,
                latency=seen.latency.mean if seen is not None and times else None,
                wait=seconds,
                waits=times,
                health=1.0 if seen is None else seen.health,
                opened=0 if seen is None else seen.opened,
                quota=one.quota,
            )


def tokens(metrics: Metrics, marks: Marks) -> dict[tuple[str, str], int]:
    """Model and provider to the tokens they used together."""
    found: dict[tuple[str, str], int] = {}
    for (model, provider, kind, _), count in _since(_read(metrics.tokens), marks.tokens):
        if kind in PARTS:
            found[model, provider] = found.get((model, provider), 0) + int(count)
    return found


def requests(metrics: Metrics, marks: Marks) -> dict[str, Any]:
    """What became of clients' requests: counts by outcome, those being served, tokens by kind."""
    counts = health.stats(metrics)
    inflight, used = counts.pop("inflight"), counts.pop("tokens")
    marked = marks.requests.get("tokens", {})
    return {
        **{name: count - marks.requests.get(name, 0) for name, count in counts.items()},
        "inflight": inflight,
        "tokens": {kind: count - marked.get(kind, 0) for kind, count in used.items()},
    }


def models(snapshot: Snapshot) -> dict[str, Model]:
    """Every model once, under its own name."""
    found = {model.name: model for model in snapshot.models.values()}
    found.update((model.name, model) for _, model in snapshot.wildcards)
    return found


def providers(state: State) -> Mapping[str, Any]:
    """Every provider in use: `status`, `keys` by state, `deployments` by id."""
    _, content = health.health(
        state.snapshot, state.live, state.metrics, state.started, detail=True
    )
    found: Mapping[str, Any] = content["providers"]
    return found


def total(some: Iterable[Row]) -> Total:
    """These rows together."""
    some = list(some)
    times = sum(row.waits for row in some)
    return Total(
        requests=sum(row.requests for row in some),
        succeeded=sum(row.succeeded for row in some),
        inflight=sum(row.inflight for row in some),
        selections=sum(row.selections for row in some),
        mean=sum(row.wait for row in some) / times if times else None,
        cost=_cost(some),
    )


def _cost(some: Iterable[Row]) -> int | None:
    """Of those that were asked for anything; 0 where none was."""
    costs = [row.cost for row in some if row.selections or row.cost is None]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known or not costs else None


def _read(family: Family[Counter]) -> Counts:
    return {labels: counter.value for labels, counter in family.children().items()}


def _waits(metrics: Metrics) -> dict[tuple[str, ...], tuple[float, int]]:
    return {
        labels: (histogram.sum, histogram.count)
        for labels, histogram in metrics.upstream_ttft.children().items()
    }


def _since(counts: Counts, marks: Counts) -> Iterator[tuple[tuple[str, ...], float]]:
    return ((labels, count - marks.get(labels, 0)) for labels, count in counts.items())
