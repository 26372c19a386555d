"""Pauses grow for whoever dies again and again, and a loop of deaths is known as one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.supervisor.deaths import MANY, MINUTE, RESPAWN_MAX, RESPAWN_MIN, STABLE, Deaths


def test_pauses_double_up_to_the_longest() -> None:
    deaths = Deaths()

    pauses = [deaths.pause("0", 0.1, now * 100.0) for now in range(9)]

    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_one_that_had_lived_is_replaced_almost_at_once() -> None:
    deaths = Deaths()
    for now in range(5):
        deaths.pause("0", 0.1, float(now))

    assert deaths.pause("0", STABLE + 1, 9.0) == RESPAWN_MIN
    assert deaths.pause("1", 0.1, 9.0) == RESPAWN_MIN


def test_many_deaths_within_a_minute_are_a_loop_until_one_has_lived() -> None:
    deaths, looping = Deaths(), []
    for number in range(MANY):
        looping.append(deaths.looping)
        deaths.pause(str(number), 0.1, number * MINUTE / MANY)
    looping.append(deaths.looping)
    assert looping == [False] * MANY + [True]

    lived = []
    for seconds in (STABLE, STABLE + 0.1):
        deaths.lived(seconds)
        lived.append(deaths.looping)
    deaths.pause("0", 0.1, MINUTE)
    assert [*lived, deaths.looping] == [True, False, False]


def test_as_many_in_a_longer_time_are_none_nor_where_somebody_else_serves() -> None:
    slow, covered = Deaths(), Deaths()
    for number in range(3 * MANY):
        slow.pause("0", 0.1, number * MINUTE / (MANY - 2))
        covered.pause("0", 0.1, float(number), vacant=False)

    assert not slow.looping
    assert not covered.looping


@given(st.lists(st.tuples(st.sampled_from("01"), st.floats(0, 100), st.floats(0, 30))))
def test_a_pause_is_never_shorter_or_longer_than_said(
    ends: list[tuple[str, float, float]],
) -> None:
    deaths, now = Deaths(), 0.0
    for who, lived, after in ends:
        now += after
        assert RESPAWN_MIN <= deaths.pause(who, lived, now) <= RESPAWN_MAX
