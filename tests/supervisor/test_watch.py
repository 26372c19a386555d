"""Silence is counted in turns, so that a pause of everybody kills nobody."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator

import pytest

from proxy.supervisor.crew import Member
from proxy.supervisor.watch import DUMP, USUAL, Watch
from proxy.tether import Beats


class Two:
    """Two workers, and the turns of a supervisor."""

    def __init__(self, limit: float) -> None:
        self.beats = Beats(2)
        self.members = [Member(name, 1, socket.socket()) for name in "01"]
        self.watch = Watch(self.beats, limit)
        self.now = 0.0

    def turn(self, *alive: int, after: float = 1.0) -> list[tuple[str, signal.Signals]]:
        for name in alive:
            self.beats.beat(name, usable=True, connections=0)
        self.now += after
        found = self.watch.turn(self.members, self.now)
        for member, number in found:
            member.aborted |= number == signal.SIGABRT
        return [(member.name, number) for member, number in found]

    def close(self) -> None:
        self.beats.close()
        for member in self.members:
            member.end.close()


@pytest.fixture
def two(request: pytest.FixtureRequest) -> Iterator[Two]:
    one = Two(getattr(request, "param", 3.0))
    one.turn(0, 1)
    yield one
    one.close()


def test_one_that_falls_silent_is_aborted_once_and_killed_if_that_does_not_help(two: Two) -> None:
    assert [two.turn(1) for _ in range(3)] == [[]] * 3
    assert two.turn(1) == [("0", signal.SIGABRT)]
    assert [two.turn(1) for _ in range(int(DUMP) - 1)] == [[]] * (int(DUMP) - 1)
    assert two.turn(1) == [("0", signal.SIGKILL)]
    assert two.watch.live


def test_a_sign_of_life_begins_the_silence_anew(two: Two) -> None:
    for _ in range(3):
        two.turn(1)
    two.turn(0, 1)

    assert [two.turn(1) for _ in range(3)] == [[]] * 3


def test_after_a_pause_of_the_whole_machine_nobody_is_killed(two: Two) -> None:
    assert two.turn(after=3600.0) == []
    assert two.turn(0, 1) == []
    assert two.watch.live


@pytest.mark.parametrize("two", [0.0], indirect=True)
def test_without_a_limit_nobody_is_killed_but_it_is_said(two: Two) -> None:
    live = []
    for _ in range(int(USUAL) + 1):
        assert two.turn() == []
        live.append(two.watch.live)
    two.turn(1)

    assert [*live, two.watch.live] == [True] * int(USUAL) + [False, True]


def test_who_is_just_begun_has_given_no_sign_of_life_yet(two: Two) -> None:
    for _ in range(4):
        two.turn()
    for each, name in enumerate("01"):
        two.members[each].end.close()
        two.members[each] = Member(name, 2, socket.socket())

    live = []
    for alive in ((), (0,)):
        two.turn(*alive)
        live.append(two.watch.live)

    assert live == [False, True]
