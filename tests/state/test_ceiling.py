"""How many requests at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.state.ceiling import CUT, Ceiling
from proxy.state.waiting import Waiting


def test_a_windows_worth_of_successes_raises_it_by_one() -> None:
    one = Ceiling(32, 2, 1000)
    for _ in range(32):
        one.good(32)

    assert one.limit == pytest.approx(33, abs=0.03)


def test_it_does_not_rise_while_nobody_needs_it() -> None:
    one = Ceiling(32, 2, 1000)
    one.good(15)

    assert one.limit == 32


def test_it_is_cut_once_for_the_time_of_an_answer() -> None:
    one = Ceiling(100, 2, 1000)
    one.bad(10.0, 2.0)
    one.bad(11.9, 2.0)
    assert one.limit == 100 * CUT
    one.bad(12.0, 2.0)
    assert one.limit == 100 * CUT * CUT


def test_it_knows_when_it_is_reached() -> None:
    one = Ceiling(3, 2, 5)

    assert [one.full(n) for n in (2, 3, 4)] == [False, True, True]


async def test_whoever_waits_is_called_when_a_place_is_free() -> None:
    one, waiting = Ceiling(2, 2, 5), Waiting(1.0, 10)
    one.waiting.append(waiting)

    assert one.freed(2)
    assert not one.freed(1)


@given(
    st.integers(1, 50),
    st.integers(1, 20),
    st.lists(st.tuples(st.booleans(), st.integers(0, 60), st.floats(0, 1))),
)
def test_it_stays_within_its_bounds(
    start: int, least: int, steps: list[tuple[bool, int, float]]
) -> None:
    one, now = Ceiling(start, least, least + 20), 0.0
    for good, inflight, seconds in steps:
        now += seconds
        if good:
            one.good(inflight)
        else:
            one.bad(now, 0.2)

        assert least <= one.limit <= least + 20


def test_other_bounds_keep_what_was_learned() -> None:
    one = Ceiling(32, 2, 1000)
    one.bound(2, 20)
    assert one.limit == 20
    one.bound(2, 1000)
    assert one.limit == 20
