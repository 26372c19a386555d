"""The metrics page: snapshots of one or many workers, added up and written as Prometheus text 0.0.4.

A worker gives `registry.snapshot()`; whoever answers the scrape calls `render` with all of them. Of a worker that is
gone `retire` keeps what may never fall, counters and histograms, so its last snapshot can be merged for ever.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate

from proxy.core.series import Kind, Number, Rule, Samples, Snapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(snapshots: Sequence[Snapshot]) -> bytes:
    """The page for these workers."""
    merged = snapshots[0] if len(snapshots) == 1 else merge(snapshots)
    parts: list[str] = []
    for name, samples in merged.items():
        parts.append(f"# HELP {name} {_help(samples.help)}\n# TYPE {name} {samples.kind}\n")
        if samples.kind is Kind.HISTOGRAM:
            _histograms(parts, name, samples)
        else:
            parts += [
                f"{name}{labels} {value}\n"
                if value.__class__ is int
                else f"{name}{labels} {number(value)}\n"
                for labels, value in samples.values.items()
            ]
    return "".join(parts).encode()


def merge(snapshots: Iterable[Snapshot]) -> Snapshot:
    """One snapshot for all: counters and histograms are added, gauges by their own rule."""
    families: dict[str, list[Samples]] = {}
    for snapshot in snapshots:
        for name, samples in snapshot.items():
            families.setdefault(name, []).append(samples)
    return {name: _merge_family(group) for name, group in families.items()}


def retire(snapshot: Snapshot) -> Snapshot:
    """What remains of a worker that ended."""
    return {name: samples for name, samples in snapshot.items() if samples.kind is not Kind.GAUGE}


def number(value: Number) -> str:
    """A number as the text format has it."""
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def _merge_family(group: Sequence[Samples]) -> Samples:
    newest = group[-1]
    # Two versions of the program may bucket differently while one replaces the other; only like is added to like.
    alike = [s for s in group if s.kind is newest.kind and s.bounds == newest.bounds]
    merged = Samples(newest.kind, newest.help, newest.rule, newest.bounds)
    rule = newest.rule if newest.kind is Kind.GAUGE else Rule.SUM
    merged.values = _merge_values(rule, [samples.values for samples in alike])
    for samples in alike:
        for labels, counts in samples.buckets.items():
            before = merged.buckets.get(labels)
            merged.buckets[labels] = (
                counts if before is None else [a + b for a, b in zip(before, counts, strict=True)]
            )
    return merged


def _merge_values(rule: Rule, group: Sequence[Mapping[str, Number]]) -> dict[str, Number]:
    merged: dict[str, Number] = {}
    for values in group:
        for labels, value in values.items():
            before = merged.get(labels)
            if before is None:
                merged[labels] = value
            elif rule is Rule.MAX:
                merged[labels] = max(before, value)
            elif rule is Rule.MIN:
                merged[labels] = min(before, value)
            else:
                merged[labels] = before + value
    if rule is Rule.MEAN:
        for labels, total in merged.items():
            merged[labels] = total / sum(labels in values for values in group)
    return merged


def _histograms(parts: list[str], name: str, samples: Samples) -> None:
    for labels, counts in samples.buckets.items():
        running = tuple(accumulate(counts))
        template = _template(name, labels, samples.bounds)
        parts.append(template % (*running, number(samples.values[labels]), running[-1]))


@lru_cache(maxsize=16_384)
def _template(name: str, labels: str, bounds: tuple[float, ...]) -> str:
    """All lines of one histogram, with a hole for each number."""
    fixed = labels[1:-1].replace("%", "%%")
    first = f"{name}_bucket{{{fixed}," if fixed else f"{name}_bucket{{"
    lines = [f'{first}le="{edge}"}} %d\n' for edge in (*map(repr, bounds), "+Inf")]
    rest = f"{{{fixed}}}" if fixed else ""
    return "".join(lines) + f"{name}_sum{rest} %s\n{name}_count{rest} %d\n"


def _help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")
