"""Averages fade with time, and what a cache saves is learned."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.state.pace import HALF_LIFE, Mean, Pace, Slope

TIMES = st.lists(st.floats(0.0, 60.0), min_size=1, max_size=30)


def test_what_is_a_half_life_old_counts_half() -> None:
    mean = Mean()
    mean.add(0.0, 4.0)
    mean.add(HALF_LIFE, 1.0)

    assert mean.value(HALF_LIFE) == pytest.approx((0.5 * 4.0 + 1.0) / 1.5)
    mean.add(2 * HALF_LIFE, 0.0)
    assert mean.value(2 * HALF_LIFE) == pytest.approx((0.25 * 4.0 + 0.5 * 1.0) / 1.75)
    assert mean.samples(2 * HALF_LIFE) == pytest.approx(1.75)


def test_a_rare_sample_says_as_much_as_the_time_it_stands_for() -> None:
    mean = Mean()
    for at in range(1000):
        mean.add(at * 0.01, 3.0)
    mean.add(10.0 + 2 * HALF_LIFE, 0.1)

    found = mean.value(10.0 + 2 * HALF_LIFE)

    assert found == pytest.approx(0.1 + 2.9 / 4, rel=0.01)


def test_a_burst_does_not_wash_out_what_came_before() -> None:
    mean = Mean()
    for at in range(100):
        mean.add(at * 0.001, 1.0)
    for at in range(10):
        mean.add(0.1 + at * 0.001, 3.0)

    found = mean.value(0.2)

    assert found is not None
    assert 1.1 < found < 1.3


def test_time_alone_changes_no_average_and_makes_it_forgotten() -> None:
    mean = Mean()
    mean.add(0.0, 4.0)

    assert mean.value(5 * HALF_LIFE) == pytest.approx(4.0)
    assert mean.value(11 * HALF_LIFE) is None


@settings(max_examples=60, deadline=None)
@given(TIMES, st.data())
def test_an_average_lies_among_its_samples(gaps: list[float], data: st.DataObject) -> None:
    mean, now, values = Mean(), 0.0, []
    for gap in gaps:
        now += gap
        values.append(data.draw(st.floats(0.001, 100.0)))
        mean.add(now, values[-1])

    found = mean.value(now)

    assert found is not None
    assert min(values) * 0.999 <= found <= max(values) * 1.001


def test_a_clock_that_was_read_earlier_does_no_harm() -> None:
    mean = Mean()
    mean.add(10.0, 1.0)
    mean.add(9.0, 3.0)

    assert mean.value(10.0) == pytest.approx(2.0)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.0, 2.0), st.floats(-1e-3, 1e-3), TIMES)
def test_a_line_is_found_again(base: float, rate: float, gaps: list[float]) -> None:
    slope, now = Slope(), 0.0
    for at in range(8):
        now += gaps[at % len(gaps)] / 10
        slope.add(now, at * 1000.0, base + rate * at * 1000.0)

    found = slope.value(100.0)

    assert found is not None
    assert found == pytest.approx(rate, abs=1e-7)


def test_a_line_through_one_place_has_no_slope() -> None:
    slope = Slope()
    for at in range(20):
        slope.add(float(at), 1000.0, at % 3)

    assert slope.value(100.0) is None


def test_streams_and_whole_answers_are_averaged_apart_and_stand_in_for_each_other() -> None:
    pace = Pace()
    assert pace.latency(0.0, stream=True) is None
    pace.succeeded(0.0, 5.0, stream=False)
    assert pace.latency(0.0, stream=True) == 5.0
    pace.succeeded(0.0, 0.3, stream=True)

    assert pace.latency(0.0, stream=True) == 0.3
    assert pace.latency(0.0, stream=False) == 5.0


def test_one_failure_condemns_nobody_and_many_do() -> None:
    pace = Pace()
    assert pace.success(0.0) == 1.0
    pace.failed(0.0, 1.0)
    assert pace.success(0.0) == 0.5
    for _ in range(19):
        pace.failed(0.0, 1.0)

    assert pace.success(0.0) < 0.06
    assert pace.success(20 * HALF_LIFE) > 0.99


def test_an_answer_that_breaks_off_is_no_success() -> None:
    pace = Pace()
    for _ in range(10):
        pace.succeeded(0.0, 0.3, stream=True)
        pace.cut(0.0, 1.0)

    assert pace.success(0.0) < 0.4


def test_what_a_token_takes_is_learned_from_prompts_of_which_more_and_less_was_cached() -> None:
    pace = Pace()
    for at in range(10):
        fresh = 200 if at % 2 else 8200
        pace.used(0.0, fresh, 8400 - fresh, 50, 0.2 + fresh * 5e-5)

    assert pace.reading(10_000) == pytest.approx(0.5)
    assert pace.cached(0.0) == pytest.approx((200 / 8400 + 8200 / 8400) / 2)


def test_a_provider_without_a_cache_holds_nothing() -> None:
    pace = Pace()
    pace.used(0.0, 1000, 0, 50, 0.2)

    assert pace.cached(0.0) == 0.0


def test_a_cache_that_nobody_knows_holds_everything_and_is_worth_a_little() -> None:
    assert Pace().cached(0.0) == 1.0
    assert Pace().reading(10_000) == pytest.approx(1.0)


@pytest.mark.parametrize("seconds", [100.0, -100.0])
def test_absurd_times_teach_nothing_absurd(seconds: float) -> None:
    pace = Pace()
    for at in range(10):
        pace.used(0.0, at * 200, 1, 1, seconds * at)

    assert 0.0 <= pace.reading(1000) <= 1000 * 2e-3
