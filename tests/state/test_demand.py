"""Who is given what part of what there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.state.demand import Demand

ASKS = st.dictionaries(
    st.tuples(st.integers(0, 2), st.sampled_from("abcdef")),
    st.tuples(*[st.integers(0, 50)] * 3),
    min_size=1,
)


def divided(asks: Mapping[tuple[int, str], Sequence[int]], quota: float) -> Demand:
    """After a second in which they asked for so many of each urgency."""
    demand = Demand()
    for (rank, name), counts in asks.items():
        for urgency, count in enumerate(counts):
            for _ in range(count):
                demand.asked(rank, name, urgency)
    demand.divide(quota, 1.0)
    return demand


def given_to(demand: Demand, who: tuple[int, str], counts: Sequence[int]) -> float:
    return sum(count * demand.asked(*who, urgency) for urgency, count in enumerate(counts) if count)


def test_nobody_is_known_at_first() -> None:
    assert Demand().asked(1, "a", 1) == 0.5


def test_who_comes_later_is_taken() -> None:
    assert divided({(1, "a"): (0, 9, 0)}, 1.0).asked(1, "b", 1) == 1.0


def test_what_one_does_not_use_is_shared_among_the_rest() -> None:
    asks = {(1, "a"): (0, 10, 0), (1, "b"): (0, 50, 0), (1, "c"): (0, 90, 0)}
    demand = divided(asks, 90.0)

    assert [given_to(demand, who, counts) for who, counts in asks.items()] == pytest.approx(
        [10, 40, 40]
    )


def test_the_most_urgent_of_ones_own_go_first() -> None:
    demand = divided({(1, "a"): (10, 10, 10)}, 15.0)

    assert [demand.asked(1, "a", urgency) for urgency in range(3)] == [1.0, 0.5, 0.0]


def test_calling_everything_urgent_gains_nothing() -> None:
    asks = {(1, "a"): (50, 0, 0), (1, "b"): (0, 0, 50)}
    demand = divided(asks, 50.0)

    assert given_to(demand, (1, "b"), asks[1, "b"]) == pytest.approx(25)


def test_a_class_goes_before_the_next() -> None:
    asks = {(0, "a"): (0, 40, 0), (2, "b"): (40, 0, 0)}
    demand = divided(asks, 50.0)

    assert given_to(demand, (0, "a"), asks[0, "a"]) == pytest.approx(40)
    assert given_to(demand, (2, "b"), asks[2, "b"]) == pytest.approx(10)


def test_who_is_gone_is_forgotten() -> None:
    demand = divided({(1, "a"): (0, 8, 0)}, 1.0)
    for _ in range(5):
        demand.divide(1.0, 1.0)

    assert demand.total == 0.0


@given(ASKS, st.floats(0.0, 500.0))
def test_all_is_given_and_no_more(
    asks: Mapping[tuple[int, str], Sequence[int]], quota: float
) -> None:
    demand = divided(asks, quota)
    wanted = sum(map(sum, asks.values()))
    total = sum(given_to(demand, who, counts) for who, counts in asks.items())

    assert demand.total == pytest.approx(wanted)
    assert total == pytest.approx(min(wanted, quota), abs=1e-6)
