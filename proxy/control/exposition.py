"""The metrics page of one process, as Prometheus text 0.0.4, and the parts any such page is made of.

That of a whole instance is `page`.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import accumulate

from proxy.core.series import Kind, Number, Samples, Snapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(snapshot: Snapshot) -> bytes:
    """The page for what one registry counts."""
    parts: list[str] = []
    for name, samples in snapshot.items():
        parts.append(header(name, samples.kind, samples.help))
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


def number(value: Number) -> str:
    """A number as the text format has it."""
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def _histograms(parts: list[str], name: str, samples: Samples) -> None:
    for labels, counts in samples.buckets.items():
        running = tuple(accumulate(counts))
        text = template(name, labels, samples.bounds)
        parts.append(text % (*running, number(samples.values[labels]), running[-1]))


@lru_cache(maxsize=16_384)
def template(name: str, labels: str, bounds: tuple[float, ...]) -> str:
    """All lines of one histogram, with a hole for each number."""
    fixed = labels[1:-1].replace("%", "%%")
    first = f"{name}_bucket{{{fixed}," if fixed else f"{name}_bucket{{"
    lines = [f'{first}le="{edge}"}} %d\n' for edge in (*map(repr, bounds), "+Inf")]
    rest = f"{{{fixed}}}" if fixed else ""
    return "".join(lines) + f"{name}_sum{rest} %s\n{name}_count{rest} %d\n"


def header(name: str, kind: Kind, help: str) -> str:
    """The two lines before the samples of a family."""
    escaped = help.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {name} {escaped}\n# TYPE {name} {kind}\n"
