"""Three windows in a slot."""

from __future__ import annotations

from mmap import mmap

import pytest

from proxy.limits import windows
from proxy.limits.table import COUNTS, SHARES, UNDO, WINDOW
from proxy.limits.terms import Used

NOW = 1_000.0


def slot() -> memoryview[int]:
    return memoryview(bytearray(8 * SHARES)).cast("q")


def test_a_window_is_made_once() -> None:
    words = slot()
    assert windows.find(words, 0, 500, 2_000) == -1

    at = windows.make(words, 0, 500, 2_000, -1, NOW)

    assert windows.find(words, 0, 500, 2_000) == at
    assert windows.make(words, 0, 500, 2_000, -1, NOW) == at


def test_the_window_of_all_time_is_there_from_the_start_and_stays() -> None:
    words = slot()
    total = windows.make(words, 0, 0, 0, -1, NOW)
    windows.add(words, total, 1, 2, 3)

    for start in range(5):
        windows.make(words, 0, start, 2_000 + start, total, NOW)

    assert windows.make(words, 0, 0, 0, -1, NOW) == total
    assert windows.total(words, total, windows.MICRO) == 3


def test_what_belongs_to_all_hosts_is_one_sum() -> None:
    words = slot()
    at = windows.make(words, 0, 500, 2_000, -1, NOW)
    windows.add(words, at, 1, 2, 3)
    words[at + windows.BEFORE + windows.TOKENS] = 10
    words[at + windows.ELSEWHERE + windows.TOKENS] = 100

    assert windows.total(words, at, windows.TOKENS) == 112


def test_the_one_missed_least_makes_room() -> None:
    words = slot()
    over, running, longest = (
        windows.make(words, 0, 10, ends, -1, NOW) for ends in (900, 2_000, 3_000)
    )
    assert {over, running, longest} == set(range(COUNTS, SHARES, WINDOW))
    for at in (over, running, longest):
        windows.add(words, at, 1, 1, 1)

    assert windows.make(words, 0, 20, 4_000, -1, NOW) == over
    assert windows.total(words, over, windows.MICRO) == 0
    assert windows.make(words, 0, 20, 5_000, over, NOW) == running, "the next to end"
    assert windows.make(words, 0, 20, 6_000, running, NOW) == over, "it has counted nothing"
    assert windows.total(words, longest, windows.MICRO) == 1


def test_what_is_learned_takes_the_place_of_what_is_over_or_of_nothing() -> None:
    words = slot()
    over, running, empty = (
        windows.make(words, 0, 10, ends, -1, NOW) for ends in (900, 2_000, 3_000)
    )
    windows.add(words, over, 1, 1, 1)
    windows.add(words, running, 1, 1, 1)

    assert windows.learn(words, 0, 10, 2_000, NOW, known=True) == running
    assert windows.learn(words, 0, 20, 4_000, NOW, known=True) == over
    assert windows.learn(words, 0, 20, 5_000, NOW, known=True) == -1
    assert [words[at + 1] for at in (over, running, empty)] == [4_000, 2_000, 3_000]


def test_what_was_only_learned_makes_room_while_more_is() -> None:
    words = slot()
    counted, first, second = (
        windows.learn(words, 0, 10, ends, NOW, known=False) for ends in (2_000, 3_000, 4_000)
    )
    windows.add(words, counted, 1, 1, 1)
    for at in (first, second):
        words[at + windows.BEFORE + windows.MICRO] = 7

    assert windows.learn(words, 0, 20, 5_000, NOW, known=True) == -1
    assert windows.learn(words, 0, 20, 5_000, NOW, known=False) == first
    assert windows.total(words, counted, windows.MICRO) == 1


@pytest.mark.parametrize("position", [0, 8])
def test_what_is_settled_is_added_and_said_to_be(position: int) -> None:
    memory = mmap(-1, 8 * (SHARES + UNDO + 1))
    words = memoryview(memory).cast("q")
    at = windows.make(words, UNDO, 500, 2_000, -1, NOW)
    windows.add(words, at, 10, 20, 30)

    windows.settle(memory, words, UNDO, at, (3, SHARES), position, Used(-2, 3, 1))

    assert words[at + windows.REQUESTS : at + windows.MICRO + 1].tolist() == [11, 18, 33]
    assert words[UNDO + SHARES] == position
    assert words[UNDO - 1] == 0
