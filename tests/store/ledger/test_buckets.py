"""Percentiles from histograms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import metrics
from proxy.store.ledger.buckets import TOTAL, TTFT, bucket, percentile
from proxy.store.migrations import SQL

BOUNDS = (1.0, 2.0, 4.0)


def test_they_are_the_bounds_of_the_metrics_and_the_columns_of_the_tables() -> None:
    assert tuple(map(float, metrics.TTFT)) == TTFT
    assert tuple(map(float, metrics.DURATION)) == TOTAL
    for backend in ("sqlite", "postgresql"):
        text = (SQL / backend / "0002_ledger.sql").read_text()
        for name, bounds in (("ttft", TTFT), ("total", TOTAL)):
            assert f"  {name}_{len(bounds)} " in text
            assert f"  {name}_{len(bounds) + 1} " not in text


@pytest.mark.parametrize(
    ("seconds", "column"), [(0.0, 0), (1.0, 0), (1.1, 1), (2.0, 1), (4.0, 2), (4.1, 3)]
)
def test_a_bound_belongs_to_what_is_below_it(seconds: float, column: int) -> None:
    assert bucket(BOUNDS, seconds) == column


@pytest.mark.parametrize(
    ("counts", "share", "seconds"),
    [
        ([0, 0, 0, 0], 0.5, None),
        ([4, 0, 0, 0], 0.5, 0.5),
        ([0, 10, 0, 0], 0.9, 1.9),
        ([1, 0, 1, 0], 0.5, 1.0),
        ([1, 0, 1, 0], 1.0, 4.0),
        ([0, 0, 0, 3], 0.5, 4.0),  # more than that is not known
        ([2, 2, 2, 0], 0.0, 0.0),
    ],
)
def test_within_a_bucket_it_is_interpolated(
    counts: list[int], share: float, seconds: float | None
) -> None:
    assert percentile(BOUNDS, counts, share) == seconds


@given(st.lists(st.floats(0, 59), min_size=1), st.floats(0, 1))
def test_it_is_in_the_bucket_of_the_true_one(times: list[float], share: float) -> None:
    counts = [0] * (len(TTFT) + 1)
    for one in times:
        counts[bucket(TTFT, one)] += 1
    # Rounded up: the smallest time that at least this share did not exceed.
    true = sorted(times)[max(0, -int(-share * len(times) // 1) - 1)]

    found = percentile(TTFT, counts, share)

    assert found is not None
    edges = (0.0, *TTFT)
    place = bucket(TTFT, true)
    assert edges[place] <= found <= edges[place + 1]
