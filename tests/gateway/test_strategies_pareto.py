"""What is chosen by several figures is beaten by nobody."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.model import Price, Strategy
from tests.gateway.choices import NAMES, Choices, Settled, deployment

POINT = st.tuples(
    st.floats(0.05, 5.0), st.sampled_from([0.1, 0.5, 1.0, 2.0, 30.0]), st.integers(0, 9)
)


def placed(*points: tuple[float, float, int]) -> Choices:
    """Deployments with (seconds, price, failures of twenty attempts)."""
    names = NAMES[: len(points)]
    one = Choices.of(Strategy.PARETO, names, prices=tuple(price for _, price, _ in points))
    for name, (seconds, _, failures) in zip(names, points, strict=True):
        one.seen({name: seconds}, times=20 - failures)
        one.failed(name, failures)
    return one


@settings(max_examples=60, deadline=None)
@given(st.lists(POINT, min_size=2, max_size=6))
def test_nobody_who_is_clearly_beaten_is_chosen(points: list[tuple[float, float, int]]) -> None:
    one = placed(*points)
    chosen = points[NAMES.index(one.choose())]

    for other in points:
        nowhere_worse = all(theirs <= own for theirs, own in zip(other, chosen, strict=True))
        clearly_better = other[0] * 1.1 < chosen[0] or other[1] < chosen[1] or other[2] < chosen[2]
        # A failure of twenty is more than the noise that is forgiven.
        assert not (nowhere_worse and clearly_better)


def test_the_one_that_is_best_in_all_takes_all() -> None:
    one = placed((0.9, 3.0, 0), (0.3, 1.0, 0), (0.5, 1.0, 1))

    assert {one.choose() for _ in range(30)} == {"b"}


def test_a_good_compromise_beats_two_extremes() -> None:
    one = placed((0.2, 30.0, 0), (4.0, 0.5, 0), (0.6, 3.0, 0))

    assert {one.choose() for _ in range(30)} == {"c"}


def test_a_hair_s_breadth_decides_nothing() -> None:
    one = placed((0.300, 10.0, 0), (0.301, 1.0, 0))

    assert {one.choose() for _ in range(30)} == {"b"}


def test_equals_share_by_weight_though_their_figures_tremble() -> None:
    price = Price(input=1, output=1)
    one = Choices(
        Strategy.PARETO,
        deployment("a", weight=30, price=price),
        deployment("b", weight=10, price=price),
    )
    one.seen({"a": 0.32, "b": 0.30})

    served = Counter(one.choose() for _ in range(2000))

    assert 1350 < served["a"] < 1600


def test_a_price_that_nobody_knows_is_as_bad_as_the_worst() -> None:
    names = "abc"
    one = Choices.of(Strategy.PARETO, names, prices=(None, 1.0, 2.0), rng=Settled(1))
    one.seen({"a": 0.3, "b": 0.3, "c": 0.3})

    assert {one.choose() for _ in range(30)} == {"b"}


@pytest.mark.parametrize("unreliable", ["a", "b"])
def test_failures_count_though_it_is_quick_and_cheap(unreliable: str) -> None:
    one = placed((0.3, 1.0, 0), (0.33, 1.1, 0))
    one.failed(unreliable, 40)

    assert {one.choose() for _ in range(30)} == {"ab".replace(unreliable, "")}
