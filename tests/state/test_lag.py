"""What share of requests has to go."""

from __future__ import annotations

import pytest

from proxy.state.lag import FALL, RISE, TICK, Lag


def second(lag: Lag, now: float, *late: float) -> float:
    """Ten ticks, each so late; the last as late as the rest."""
    for tick in range(10):
        now += TICK + (late[tick] if tick < len(late) else late[-1])
        lag.tick(now)
    return now


def test_a_loop_that_is_behind_all_the_time_sheds_more_and_more() -> None:
    lag, now = Lag(), 100.0
    lag.tick(now)
    for expected in (RISE, 2 * RISE, 3 * RISE):
        now = second(lag, now, 0.021)
        assert lag.share == pytest.approx(expected)
    now = second(lag, now, 0.0)
    assert lag.share == pytest.approx(3 * RISE - FALL)


def test_a_burst_is_no_reason() -> None:
    lag = Lag()
    lag.tick(0.0)
    second(lag, 0.0, 0.5, 0.5, 0.5, 0.001)

    assert lag.share == 0.0


def test_all_of_them_at_most() -> None:
    lag, now = Lag(), 0.0
    lag.tick(now)
    for _ in range(30):
        now = second(lag, now, 0.1)

    assert lag.share == 1.0


def test_it_says_how_late_it_was() -> None:
    lag = Lag()

    assert lag.tick(5.0) == 0.0
    assert lag.tick(5.0 + TICK + 0.03) == pytest.approx(0.03)
