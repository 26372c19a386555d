"""Workers read what others wrote, and hold leases that end with them."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.limits import board as module
from proxy.limits.board import Board

A, B = b"a" * 16, b"b" * 16


@pytest.fixture(params=["memory", "file"])
def board(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    """As it is made on Linux, and elsewhere."""
    if request.param == "file":
        monkeypatch.delattr(os, "memfd_create", raising=False)
    one = Board.make()
    yield one
    one.close()


def row(*numbers: float) -> list[float]:
    return [*numbers, *[0.0] * (module.NUMBERS - len(numbers))]


def test_what_one_writes_another_reads(board: Board) -> None:
    one, other = board.sit(0), board.sit(1)

    with one.locked():
        one.write(A, [0.0, 5.0, float("-inf")])

    with other.locked():
        assert other.read(A) == row(0.0, 5.0, float("-inf"))
        assert other.read(B) is None


def test_changes_are_told_once_to_each(board: Board) -> None:
    one, other = board.sit(0), board.sit(1)
    assert other.changes() == {}

    for number in (1.0, 2.0):
        with one.locked():
            one.write(A, [0.0, number])
    with one.locked():
        one.write(B, [0.0, 3.0])

    assert other.changes() == {A: row(0.0, 2.0), B: row(0.0, 3.0)}
    assert other.changes() == {}
    assert board.sit(2).changes() == {A: row(0.0, 2.0), B: row(0.0, 3.0)}


def test_who_missed_too_many_changes_is_told_of_everything(board: Board) -> None:
    one, other = board.sit(0), board.sit(1)
    with one.locked():
        one.write(A, [0.0, 1.0])
        for number in range(module._JOURNAL + 1):
            one.write(B, [0.0, number])

    assert other.changes() == {A: row(0.0, 1.0), B: row(0.0, float(module._JOURNAL))}


def test_a_lease_ends_with_its_holder(board: Board) -> None:
    one, other = board.sit(0), board.sit(1)
    with one.locked():
        one.write(A, [1.0, float("inf"), 7.0])
        one.write(B, [2.0, float("inf"), 7.0])
    other.changes()

    board.clear(0)

    assert other.changes() == {A: row(0.0, 0.0, 7.0)}


def test_a_seat_that_is_taken_anew_holds_nothing(board: Board) -> None:
    one = board.sit(0)
    with one.locked():
        one.write(A, [1.0, float("inf")])

    again = board.sit(0)

    with again.locked():
        assert again.read(A) == row(0.0, 0.0)


def test_without_room_there_is_no_row(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS", 1)
    with board.locked():
        board.write(A, [0.0, 1.0])
        board.write(B, [0.0, 2.0])

        assert board.read(A) == row(0.0, 1.0)
        assert board.read(B) is None


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.floats(allow_nan=False))))
def test_it_holds_what_a_dict_would(steps: list[tuple[int, int, float]]) -> None:
    board, expected = Board.make(), {}
    views = [board.sit(seat) for seat in range(3)]
    known: list[dict[bytes, list[float]]] = [{}, {}, {}]
    for seat, name, number in steps:
        digest = name.to_bytes(16, "big")
        with views[seat].locked():
            views[seat].write(digest, [0.0, number])
        expected[digest] = row(0.0, number)
        known[seat].update(views[seat].changes())

    for view, seen in zip(views, known, strict=True):
        seen.update(view.changes())
        assert seen == expected
    board.close()


def test_processes_take_turns(board: Board) -> None:
    """Each adds to what it read; what is lost was not read and written as one."""
    numbers = count(1)
    children = []
    for seat in range(3):
        child = os.fork()
        if child == 0:
            view = board.sit(seat)
            for _ in range(300):
                with view.locked():
                    before = view.read(A)
                    view.write(A, [0.0, 1.0 if before is None else before[1] + 1.0])
            os._exit(0)
        children.append(child)
        next(numbers)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0

    with board.locked():
        assert board.read(A) == row(0.0, 900.0)


def test_one_process_leads_and_its_death_lets_another_lead(board: Board) -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, b"1" if board.sit(1).lead() else b"0")
        signal.pause()
    assert os.read(read, 1) == b"1"

    assert not board.lead()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert board.lead()

    board.resign()
    for end in (read, write):
        os.close(end)


# --- bells ---


def rings(board: Board) -> bool:
    """Whether it has been rung. It is silent now."""
    readable, _, _ = select.select([board.bell], [], [], 0)
    board.answer()
    return bool(readable)


def test_who_writes_rings_for_the_others() -> None:
    board = Board.make(3)
    one, other, third = (board.sit(seat) for seat in range(3))
    assert not any(map(rings, (one, other, third)))

    with one.locked():
        one.write(A, [1.0, float("inf")])
    after_one = [rings(each) for each in (one, other, third)]
    board.clear(0)  # it has died: whoever clears has no seat
    after_death = [rings(each) for each in (one, other, third)]
    silent = [rings(each) for each in (one, other, third)]
    with third.locked():
        third.read(A)
    board.close()

    assert after_one == [False, True, True]
    assert after_death == [True, True, True]
    assert silent == [False, False, False]


def test_a_bell_that_nobody_answers_holds_up_nobody() -> None:
    board = Board.make(2)
    one, other = board.sit(0), board.sit(1)
    os.eventfd_write(other.bell, 2**64 - 2)  # as much as there is room for

    with one.locked():
        one.write(A, [0.0, 1.0])

    assert rings(other)
    board.close()


def test_whoever_has_no_seat_or_comes_from_elsewhere_has_no_bell(board: Board) -> None:
    assert (board.bell, board.sit(0).bell) == (-1, -1)


def test_the_next_program_goes_on_with_them() -> None:
    board = Board.make(2)
    taken = Board.take(os.dup(board.fd), board.key, list(map(os.dup, board.bells)))

    with taken.locked():
        taken.write(A, [0.0, 1.0])

    assert rings(board.sit(1))
    assert taken.key == board.key
    for one in (board, taken):
        one.close()
