"""Histograms of times as columns that can be added up: how many were at most so long.

The bounds are part of the schema: `ttft_3` counts what was above `TTFT[2]` and not above `TTFT[3]`, the last column of
each what was above all. They are those of the metrics `headrace_ttft_seconds` and `headrace_request_duration_seconds`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

TTFT: Final = (
    0.01,
    0.025,
    0.05,
    0.1,
    0.2,
    0.3,
    0.5,
    0.75,
    1.0,
    1.5,
    2.0,
    3.0,
    5.0,
    10.0,
    20.0,
    60.0,
)
TOTAL: Final = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 300.0,
)  # fmt: skip
"""Seconds."""


def bucket(bounds: Sequence[float], seconds: float) -> int:
    """Which column counts it."""
    return bisect_left(bounds, seconds)


def percentile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """Seconds that this share (0 to 1) of what was counted did not exceed; None when nothing was.

    Within a bucket it is interpolated; beyond the last bound it is that bound, as nothing more is known.
    """
    total = sum(counts)
    if not total:
        return None
    wanted = share * total
    below = 0
    for number, count in enumerate(counts):
        if count and below + count >= wanted:
            if number == len(bounds):
                break
            low = bounds[number - 1] if number else 0.0
            return low + (bounds[number] - low) * max(0.0, wanted - below) / count
        below += count
    return bounds[-1]
