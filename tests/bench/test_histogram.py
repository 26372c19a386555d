"""The histogram: buckets that tile the numbers, quantiles within one percent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.histogram import Histogram, bounds, bucket

values = st.integers(min_value=0, max_value=10**15)
many = st.lists(values, min_size=1, max_size=200)


@given(values)
def test_a_bucket_holds_its_value(value: int) -> None:
    low, beyond = bounds(bucket(value))

    assert low <= value < beyond


@given(values)
def test_a_bucket_is_narrower_than_two_percent(value: int) -> None:
    low, beyond = bounds(bucket(value))

    assert beyond - low == 1 or (beyond - low) / low <= 1 / 64


@given(st.integers(min_value=0, max_value=5000))
def test_buckets_follow_each_other_without_a_gap(number: int) -> None:
    assert bounds(number)[1] == bounds(number + 1)[0]


@given(many, st.floats(min_value=0, max_value=1))
def test_a_quantile_is_the_sorted_value_within_one_percent(
    samples: list[int], fraction: float
) -> None:
    exact = sorted(samples)[min(int(fraction * len(samples)), len(samples) - 1)]

    found = Histogram(samples).quantile(fraction)

    assert abs(found - exact) <= exact * 0.01 + 0.5


@given(many, many)
def test_merging_is_the_same_as_adding_everything_to_one(first: list[int], then: list[int]) -> None:
    merged = Histogram(first)

    merged.merge(Histogram(then))

    whole = Histogram(first + then)
    assert merged.counts == whole.counts
    assert (merged.number, merged.total, merged.maximum) == (
        whole.number,
        whole.total,
        whole.maximum,
    )


@given(many)
def test_quantiles_never_fall(samples: list[int]) -> None:
    histogram = Histogram(samples)
    found = [histogram.quantile(step / 20) for step in range(21)]

    assert found == sorted(found)
    assert found[-1] <= histogram.maximum == max(samples)


def test_an_empty_histogram_says_zero() -> None:
    assert Histogram().quantile(0.5) == 0
