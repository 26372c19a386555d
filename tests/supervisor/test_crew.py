"""Places and names: a successor never has the name of one that still lives."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.supervisor.crew import Crew, Member, Place, Stage

NOBODY = socket.socket()
NOBODY.close()


def member(name: str, pid: int = 1, stage: Stage = Stage.READY) -> Member:
    return Member(name, pid, NOBODY, stage)


@pytest.fixture
def place() -> Place:
    return Crew(2).places[1]


def test_a_successor_has_the_other_name_and_takes_the_place(place: Place) -> None:
    old, new = member("1"), member("3", stage=Stage.STARTING)
    free = [place.free]
    for one in (old, new):
        place.add(one)
        free.append(place.free)
    assert free == ["1", "3", None]

    assert place.take() is old

    assert (place.current, place.successor, place.leaving) == (new, None, [old])
    free = [place.free]
    assert not place.remove(old)
    assert [*free, place.free] == [None, "1"]


def test_a_place_is_vacant_when_the_only_one_dies(place: Place) -> None:
    old, new = member("1"), member("3")
    place.add(old)
    place.add(new)

    assert not place.remove(old)
    assert place.current is new
    assert place.remove(new)


def test_whoever_ran_before_is_seated_by_name_and_replaced_unless_it_leaves() -> None:
    crew = Crew(2)
    for one in (member("2", 7), member("1", 8), member("0", 9, Stage.LEAVING)):
        crew.seat(one)

    first, second = crew.places
    assert first.current is not None
    assert (first.current.pid, [one.pid for one in first.leaving]) == (7, [9])
    assert first.again
    assert second.again
    assert crew.count(Stage.READY) == 2
    assert crew.find(6) is None


@given(st.lists(st.sampled_from(["start", "ready", "die", "gone"]), max_size=40))
def test_no_two_have_one_name(acts: list[str]) -> None:
    place, pid = Crew(3).places[2], 0
    for act in acts:
        if act == "start" and place.free is not None and place.successor is None:
            pid += 1
            place.add(member(place.free, pid))
        elif act == "ready" and place.successor is not None:
            place.take()
        elif act == "die" and place.current is not None:
            place.remove(place.current)
        elif act == "gone" and place.leaving:
            place.remove(place.leaving[0])
        names = [one.name for one in place.members]
        assert len(names) == len(set(names))
        assert set(names) <= {"2", "5"}
        # Whoever dies can be replaced at once.
        assert place.current is not None or place.free is not None
