"""What is counted, for a collector: every family, those that the semantic conventions know under their names.

Read on the loop, as a scrape is, into plain values; nothing is counted for it that is not counted anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from proxy.core.series import Counter, Gauge, Histogram, Kind, Number

if TYPE_CHECKING:
    from proxy.core.series import Family, Registry

NAMES: Mapping[str, str] = {
    "headrace_request_duration_seconds": "gen_ai.server.request.duration",
    "headrace_ttft_seconds": "gen_ai.server.time_to_first_token",
    "headrace_inter_token_seconds": "gen_ai.server.time_per_output_token",
    "headrace_upstream_ttft_seconds": "gen_ai.client.operation.time_to_first_chunk",
}
"""Our name to that of the conventions, where both are the same thing; the others keep ours."""
LABELS: Mapping[str, str] = {
    "model": "gen_ai.request.model",
    "provider": "gen_ai.provider.name",
    "route": "http.route",
    "stream": "gen_ai.request.stream",
    "target": "headrace.deployment",
}
"""The same for labels, in every family."""
_UNITS = (("_seconds", "s"), ("_seconds_total", "s"), ("_bytes", "By"), ("_bytes_total", "By"))


class Point(Struct, frozen=True, gc=False):
    """One series."""

    attributes: dict[str, str]
    value: Number
    """Of a histogram the sum."""
    counts: tuple[int, ...] = ()
    """Of a histogram: observations in each bucket, not added up."""


class Measure(Struct, frozen=True, gc=False):
    """One family."""

    name: str
    help: str
    unit: str
    kind: Kind
    bounds: tuple[float, ...]
    points: tuple[Point, ...]


def read(registry: Registry) -> list[Measure]:
    """Everything that has a number by now."""
    found = (_measure(family) for family in registry.families.values())
    return [one for one in found if one.points]


def _measure(family: Family[Counter] | Family[Gauge] | Family[Histogram]) -> Measure:
    labels = tuple(LABELS.get(name, name) for name in family.labels)
    unit = next((unit for end, unit in _UNITS if family.name.endswith(end)), "1")
    return Measure(
        NAMES.get(family.name, family.name),
        family.help,
        unit,
        family.kind,
        family.bounds,
        tuple(_points(family, labels)),
    )


def _points(
    family: Family[Counter] | Family[Gauge] | Family[Histogram], labels: tuple[str, ...]
) -> Iterator[Point]:
    if family.source is not None:
        for values, number in family.readings():
            yield Point(dict(zip(labels, values, strict=True)), number)
        return
    for values, child in family.children().items():
        attributes = dict(zip(labels, values, strict=True))
        if not isinstance(child, Histogram):
            yield Point(attributes, child.value)
        elif any(child.counts):  # a request binds histograms that it may never feed
            yield Point(attributes, child.sum, tuple(child.counts))
