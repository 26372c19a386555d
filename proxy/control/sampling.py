"""What is told of an instance while somebody watches it: a few families of its metrics, added up over all their labels.

    Sample      what was counted by then
    OfRegistry  from what this process counts
    OfPlaces    from the numbers of several processes

It is asked for every second, so what a series belongs to is worked out once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, ItemsView, Mapping, Sequence
from itertools import islice
from math import isnan
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from msgspec import Struct, field

from proxy.control.health import outcome
from proxy.core.series import Kind

if TYPE_CHECKING:
    from proxy.control.catalogue import Catalogue, Place
    from proxy.control.page import Kept
    from proxy.control.sheets import Numbers
    from proxy.core.series import Registry

T = TypeVar("T")


class Sample(Struct):
    """What an instance has counted since it began."""

    at: float
    """When, by the monotonic clock."""
    requests: dict[str, float] = field(default_factory=dict)
    """That are over, by what became of them: as `health.outcome`."""
    inflight: float = 0
    tokens: dict[str, float] = field(default_factory=dict)
    retries: float = 0
    failovers: float = 0
    fallbacks: float = 0
    cost: float = 0.0
    """US dollars charged."""
    ttft: list[int] = field(default_factory=list)
    overhead: list[int] = field(default_factory=list)
    """In each bucket, the last being beyond all bounds; empty: nothing was counted."""


class Part(Struct, frozen=True):
    """Where a field of a sample comes from."""

    family: str
    label: str = ""
    """Kept apart by what this one says."""
    of: Callable[[str], str] = str


PARTS: Final[Mapping[str, Part]] = {
    "requests": Part("headrace_requests_total", "status", outcome),
    "inflight": Part("headrace_inflight_requests"),
    "tokens": Part("headrace_tokens_total", "type"),
    "retries": Part("headrace_retries_total"),
    "failovers": Part("headrace_failovers_total"),
    "fallbacks": Part("headrace_fallbacks_total"),
    "cost": Part("headrace_cost_usd_total"),
    "ttft": Part("headrace_ttft_seconds"),
    "overhead": Part("headrace_overhead_seconds"),
}
BUCKETS: Final = frozenset({"ttft", "overhead"})
_SAID: Final = {one.label: re.compile(rf'[{{,]{one.label}="([^"]*)"') for one in PARTS.values()}


class _Sampler(Generic[T]):
    """Over series of the kind T: whoever makes one says how they are read."""

    def __init__(self) -> None:
        self._known: dict[str, list[T]] = {name: [] for name in PARTS}
        self._groups: dict[str, dict[str, list[T]]] = {name: {} for name in PARTS}

    def sample(self, at: float) -> Sample:
        """As it is now."""
        found: dict[str, Any] = {}
        for name, part in PARTS.items():
            self._learn(name, part)
            if name in BUCKETS:
                found[name] = self.buckets(part, self._known[name])
            elif part.label:
                groups = self._groups[name]
                found[name] = {group: self.total(part, some) for group, some in groups.items()}
            else:
                found[name] = self.total(part, self._known[name])
        return Sample(at, **found)

    def _learn(self, name: str, part: Part) -> None:
        known, groups = self._known[name], self._groups[name]
        for text, one in islice(self.series(part.family), len(known), None):
            known.append(one)
            if part.label:
                said = _SAID[part.label].search(text)
                groups.setdefault(part.of(said[1] if said else ""), []).append(one)

    def series(self, family: str) -> ItemsView[str, T]:
        """The text of labels to what holds the numbers, the oldest first."""
        raise NotImplementedError

    def total(self, part: Part, some: Sequence[T]) -> float:
        """Of these series."""
        raise NotImplementedError

    def buckets(self, part: Part, some: Sequence[T]) -> list[int]:
        """Of these histograms, added bucket by bucket; empty: there is none."""
        raise NotImplementedError


class OfRegistry(_Sampler[Any]):
    """What one process counts."""

    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self._families = registry.families

    def series(self, family: str) -> ItemsView[str, Any]:
        return self._families[family].texts()

    def total(self, part: Part, some: Sequence[Any]) -> float:
        return float(sum(one.value for one in some))

    def buckets(self, part: Part, some: Sequence[Any]) -> list[int]:
        return _added([one.counts for one in some])


class OfPlaces(_Sampler["Place"]):
    """What several processes count, by the places of one catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        super().__init__()
        self._catalogue = catalogue
        self._numbers: Sequence[Numbers] = ()
        self._kept: Kept | None = None

    def of(self, numbers: Sequence[Numbers], kept: Kept, at: float) -> Sample:
        """As these numbers are, and what was kept of processes that are no more. The catalogue knows all that they have."""
        self._numbers, self._kept = numbers, kept
        try:
            return self.sample(at)
        finally:
            self._numbers, self._kept = (), None

    def series(self, family: str) -> ItemsView[str, Place]:
        return self._catalogue.series.get(family, _NONE).items()

    def total(self, part: Part, some: Sequence[Place]) -> float:
        declared = self._catalogue.families.get(part.family)
        if declared is None:
            return 0
        if declared.kind is Kind.GAUGE:
            levels = (
                one.levels[place.number]
                for one in self._numbers
                for place in some
                if place.number < len(one.levels)
            )
            return sum(value for value in levels if not isnan(value))
        found = (
            lane[place.number]
            for lane in self._lanes("totals")
            for place in some
            if place.number < len(lane)
        )
        return float(sum(found))

    def buckets(self, part: Part, some: Sequence[Place]) -> list[int]:
        if not some:
            return []
        size = len(self._catalogue.families[part.family].bounds) + 1
        slices = (
            lane[place.counts : place.counts + size]
            for lane in self._lanes("counts")
            for place in some
        )
        return _added([one for one in slices if len(one) == size])

    def _lanes(self, name: str) -> list[Any]:
        return [getattr(one, name) for one in (*self._numbers, self._kept)]


_NONE: Final[dict[str, Any]] = {}


def _added(those: Sequence[Sequence[int]]) -> list[int]:
    return list(map(sum, zip(*those, strict=True)))
