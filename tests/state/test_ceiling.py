"""How many requests at once."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.state.ceiling import CUT, Ceiling
from proxy.state.waiting import Waiting

Seconds = Callable[[int, float], float]
"""What an answer takes, of so many in flight at a moment."""


class Asked:
    """A deployment that is always given as many as its ceiling lets it, answer by answer."""

    def __init__(self, one: Ceiling, seconds: Seconds, seed: int = 1, spread: float = 0.1) -> None:
        self.one = one
        self.seconds = seconds
        self.spread = spread
        self.rng = Random(seed)
        self.now = 1000.0
        self.due: list[tuple[float, float]] = []
        """When each that is in flight ends, and when it began."""

    def until(self, end: float) -> list[float]:
        """The ceiling after each answer."""
        limits = []
        while self.now < end:
            while not self.one.full(len(self.due)):
                took = self.seconds(len(self.due) + 1, self.now)
                took *= self.rng.lognormvariate(0.0, self.spread)
                self.due.append((self.now + took, self.now))
            self.due.sort()
            self.now, began = self.due.pop(0)
            inflight = len(self.due) + 1
            self.one.good(inflight)
            self.one.took(self.now, began, self.now - began, inflight, 1)
            limits.append(self.one.limit)
        return limits


def collapsing(knee: int) -> Seconds:
    return lambda inflight, now: max(inflight / knee, 1.0) ** 4


def test_a_windows_worth_of_successes_raises_it_by_a_quarter_until_something_is_known() -> None:
    one = Ceiling(32, 2, 1000)
    for _ in range(32):
        one.good(32)

    assert one.limit == pytest.approx(40)


def test_after_a_refusal_it_is_raised_by_one() -> None:
    one = Ceiling(32, 2, 1000)
    one.bad(10.0, 1.0)
    before = one.limit
    for _ in range(round(before)):
        one.good(32)

    assert one.limit == pytest.approx(before + 1, abs=0.05)


@pytest.mark.parametrize("spread", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("knee", [30, 50, 200])
def test_what_gets_slower_with_more_is_given_as_many_as_it_takes(knee: int, spread: float) -> None:
    limits = Asked(Ceiling(32, 2, 1000), collapsing(knee), spread=spread).until(1150.0)
    late = limits[len(limits) // 2 :]

    assert 0.75 * knee < sum(late) / len(late) < 1.2 * knee


def test_it_is_found_when_more_only_wait_longer() -> None:
    """Nothing is gained beyond 50, and nothing lost."""
    limits = Asked(Ceiling(32, 2, 1000), lambda inflight, _: max(inflight / 50, 1.0)).until(1200.0)
    late = limits[len(limits) // 2 :]

    assert min(late) > 45
    assert max(late) < 80


def test_what_is_slow_whatever_it_is_given_is_not_cut() -> None:
    one = Ceiling(32, 2, 60)
    limits = Asked(one, lambda _, now: 1.0 if now < 1050.0 else 4.0).until(1300.0)

    assert min(limits) >= 60 * 0.5  # while it is tried
    assert sum(one >= 59 for one in limits) > 0.9 * len(limits)


def test_a_batch_that_fills_makes_each_slower_and_all_quicker() -> None:
    limits = Asked(Ceiling(32, 2, 100), lambda inflight, _: 1.0 + inflight / 100).until(1300.0)

    assert sum(one >= 90 for one in limits) > 0.85 * len(limits)


def test_large_prompts_are_no_sign() -> None:
    one, rng, now = Ceiling(40, 2, 40), Random(1), 0.0
    for number in range(20_000):
        now += 0.05
        kind = 20 if (number // 500) % 2 and rng.random() < 0.5 else 10
        took = (8.0 if kind == 20 else 1.0) * rng.lognormvariate(0.0, 0.3)
        one.good(40)
        one.took(now, now - took, took, 40, kind)

        assert not one.slow


def test_it_recovers_with_the_deployment() -> None:
    one = Ceiling(32, 2, 1000)
    asked = Asked(one, lambda n, now: max(n / (30 if 1060 < now < 1120 else 50), 1.0) ** 4)

    assert 38 < asked.until(1060.0)[-1] < 70
    assert asked.until(1120.0)[-1] < 38
    assert asked.until(1220.0)[-1] > 38


def test_a_trial_ends_with_a_refusal() -> None:
    one = Ceiling(50, 2, 1000)
    asked = Asked(one, collapsing(50))
    limits = [50.0]
    while limits[-1] >= max(limits[:-1], default=0.0):
        limits += asked.until(asked.now + 0.01)
    tried = one.trying
    one.bad(asked.now, 1.0)

    assert (tried, one.trying) == (True, False)
    assert one.limit == limits[-1] * CUT


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
    st.lists(st.tuples(st.sampled_from("gtb"), st.integers(0, 60), st.floats(0, 1)), max_size=200),
)
@settings(deadline=None)
def test_it_stays_within_its_bounds(
    start: int, least: int, steps: list[tuple[str, int, float]]
) -> None:
    one, now = Ceiling(start, least, least + 20), 0.0
    for what, inflight, seconds in steps:
        now += seconds
        if what == "g":
            one.good(inflight)
        elif what == "t":
            for _ in range(20):
                one.took(now, now - seconds, seconds, inflight, inflight % 3)
        else:
            one.bad(now, 0.2)

        assert least <= one.limit <= least + 20


def test_never_more_goes_before_never_fewer() -> None:
    one = Ceiling(32, 2, 1)
    assert one.limit == 1.0
    one.bad(10.0, 1.0)
    assert one.limit == 1.0

    one.bound(10, 4)
    one.bad(20.0, 1.0)
    assert one.limit == 4.0


def test_other_bounds_keep_what_was_learned() -> None:
    one = Ceiling(32, 2, 1000)
    one.bound(2, 20)
    assert one.limit == 20
    one.bound(2, 1000)
    assert one.limit == 20


def test_whoever_waits_is_called_when_it_is_lifted() -> None:
    one, waiting, called = Ceiling(2, 2, 2), Waiting(5.0, 10), list[int]()
    one.waiting.append(waiting)
    for number in range(3):
        waiting.join(1, lambda number=number: called.append(number))  # type: ignore[misc]
    one.lift()

    assert called == [0, 1, 2]
