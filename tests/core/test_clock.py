"""The clocks run, and stand still for a test."""

from __future__ import annotations

import time

import pytest

from proxy.core import clock
from proxy.core.clock import Hands, monotonic, now


def test_now_is_the_wall_clock() -> None:
    before = time.time()

    shown = now()

    assert before <= shown <= time.time()


def test_monotonic_is_the_systems() -> None:
    before = time.monotonic()

    shown = monotonic()

    assert before <= shown <= time.monotonic()


def test_held_clocks_stand_still_for_those_who_imported_them_by_name() -> None:
    with clock.held(now=100.0, monotonic=5.0):
        assert (now(), monotonic()) == (100.0, 5.0)
        assert (now(), monotonic()) == (100.0, 5.0)


def test_advance_moves_both() -> None:
    with clock.held(now=100.0, monotonic=5.0) as hands:
        hands.advance(2.5)

        assert (now(), monotonic()) == (102.5, 7.5)


def test_a_step_of_the_wall_clock_does_not_move_the_other() -> None:
    with clock.held(now=100.0, monotonic=5.0) as hands:
        hands.set_wall(40.0)

        assert (now(), monotonic()) == (40.0, 5.0)


def test_time_does_not_run_backwards() -> None:
    hands = Hands(0.0, 0.0)

    with pytest.raises(ValueError, match="backwards"):
        hands.advance(-1.0)


def test_the_clocks_run_again_after_a_failure() -> None:
    with pytest.raises(RuntimeError), clock.held(now=0.0):
        raise RuntimeError

    assert now() > 1_700_000_000


def test_holding_nests() -> None:
    with clock.held(now=1.0):
        with clock.held(now=2.0):
            assert now() == 2.0
        assert now() == 1.0
