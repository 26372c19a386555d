from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.limits.breaker import FAILURES, PAUSE, TIMEOUTS, WITHIN, Breaker, Circuit


def circuit(breaker: Breaker) -> Circuit:
    return breaker.circuit


@pytest.mark.parametrize(("timeout", "enough"), [(False, FAILURES), (True, TIMEOUTS)])
def test_it_opens_after_enough_failures_within_a_second(timeout: bool, enough: int) -> None:
    breaker = Breaker()

    said = [breaker.failed(10 + n * 0.1, timeout=timeout) for n in range(enough)]

    assert said == [False] * (enough - 1) + [True]
    assert circuit(breaker) is Circuit.OPEN


@pytest.mark.parametrize(("timeout", "enough"), [(False, FAILURES), (True, TIMEOUTS)])
def test_failures_further_apart_do_not_open_it(timeout: bool, enough: int) -> None:
    breaker = Breaker()
    apart = WITHIN / (enough - 1) + 0.01

    assert not any(breaker.failed(10 + n * apart, timeout=timeout) for n in range(20))
    assert circuit(breaker) is Circuit.CLOSED


def test_an_answer_starts_the_count_anew() -> None:
    breaker = Breaker()
    for n in range(20):
        assert not breaker.failed(10 + n * 0.01, timeout=True)
        if n % 2:
            assert not breaker.succeeded()
    assert circuit(breaker) is Circuit.CLOSED


def test_one_alone_may_try_an_open_one_and_what_comes_of_it_decides() -> None:
    breaker = Breaker(Random(1))
    for _ in range(TIMEOUTS):
        breaker.failed(10.0, timeout=True)

    assert not breaker.allows(10.0 + PAUSE * 0.79)
    assert breaker.allows(10.0 + PAUSE * 1.21)
    assert circuit(breaker) is Circuit.HALF_OPEN
    assert not breaker.allows(10.0 + PAUSE * 1.21)

    assert not breaker.failed(12.0, timeout=True)
    assert circuit(breaker) is Circuit.OPEN
    assert not breaker.allows(12.0 + PAUSE * 0.79)
    assert breaker.allows(12.0 + PAUSE * 1.21)

    assert breaker.succeeded()
    assert circuit(breaker) is Circuit.CLOSED
    assert breaker.allows(14.0)
    assert not breaker.failed(14.0, timeout=True)


@given(st.lists(st.tuples(st.sampled_from(["ask", "good", "bad", "late"]), st.floats(0, 0.5))))
def test_opening_and_closing_alternate_in_what_it_says(steps: list[tuple[str, float]]) -> None:
    breaker, now, opened = Breaker(), 100.0, False
    for step, seconds in steps:
        now += seconds
        if step == "ask":
            breaker.allows(now)
        elif step == "good":
            assert breaker.succeeded() == opened
            opened = False
        elif breaker.failed(now, timeout=step == "late"):
            assert not opened
            opened = True
        assert (circuit(breaker) is Circuit.CLOSED) != opened
