"""Memory that processes share: found by all, guarded from each, left whole by the dead."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.core import clock
from proxy.core.model import Budget
from proxy.limits import table as module
from proxy.limits import windows
from proxy.limits.accounts import Accounts, Ask, Charge, Refused, Used
from proxy.limits.subjects import Subject, digest_of
from proxy.limits.table import BOOKED, COLUMNS, COUNTS, REQUESTS, UNDO, WAYS, Table
from tests.limits.crowd import limited, run

ONE = limited("a", rpm=60, burst=1, concurrency=10, budget=Budget(100.0, "total"))
BOOT = 128


def digest(first: int, second: int, name: int) -> bytes:
    """Of a subject that belongs into these two sets."""
    return first.to_bytes(4, "little") + second.to_bytes(4, "little") + name.to_bytes(8, "big")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "limits.shm"


@pytest.fixture
def table() -> Iterator[Table]:
    table = Table(None, 1)
    yield table
    table.close()


# --- places --------------------------------------------------------------------------------------------------------


def test_a_subject_is_found_where_it_was_put(table: Table) -> None:
    names = [digest_of(str(number)) for number in range(1000)]

    places = [table.claim(name) for name in names]

    assert len(set(places)) == 1000
    assert [table.find(name) for name in names] == places
    assert [table.claim(name) for name in names] == places
    assert table.find(digest_of("another")) == -1


def test_sets_fill_evenly_and_both_of_a_subject_are_used(table: Table) -> None:
    names = [digest(5, 6, number) for number in range(2 * WAYS)]
    for name in names:
        table.words[table.claim(name) + COLUMNS] = 1

    assert all(table.find(name) >= 0 for name in names)
    assert table.claim(digest(5, 6, 99)) == -1
    assert table.claim(digest(5, 7, 99)) >= 0


def test_a_subject_whose_sets_are_one(table: Table) -> None:
    for number in range(WAYS):
        table.words[table.claim(digest(5, 5, number)) + COLUMNS] = 1

    assert table.claim(digest(5, 5, 99)) == -1


@pytest.mark.parametrize(
    ("word", "value"),
    [
        (REQUESTS, 1_001_000_000_000),
        (REQUESTS + 1, 1_001_000_000_000),
        (COLUMNS, 1),
        (COLUMNS + 1, 1),
        (COUNTS + 2, 1),
    ],
)
def test_only_an_idle_place_is_taken_over(
    table: Table, hands: clock.Hands, word: int, value: int
) -> None:
    names = [digest(5, 6, number) for number in range(2 * WAYS)]
    for name in names:
        table.words[table.claim(name) + word] = value
    new = digest(5, 6, 99)
    assert table.claim(new) == -1

    place = table.find(names[7])
    table.words[place + word] = 0

    assert table.claim(new) == place
    assert table.find(names[7]) == -1
    assert not any(table.words[place + 2 : place + table.slot])


def test_what_was_counted_holds_a_place_until_the_window_ends(
    table: Table, hands: clock.Hands
) -> None:
    at = table.claim(digest(5, 6, 1))
    table.words[at + COUNTS + 1] = int(clock.now()) + 10
    table.words[at + COUNTS + 2] = 1
    assert not table.idle(at)

    hands.advance(10.0)

    assert table.idle(at)


# --- the file ------------------------------------------------------------------------------------------------------


def open_known(path: Path, columns: int = 2) -> Accounts:
    accounts = Accounts.open(path, 0, columns)
    accounts.learned()
    return accounts


def spend(accounts: Accounts, micro: int) -> None:
    accounts.settle(accounts.admit((ONE,), Ask(likely=micro)), Used(micro=micro))


def test_what_was_counted_survives_a_restart(path: Path) -> None:
    first = open_known(path)
    created = first.created
    spend(first, 500)
    first.close()

    second = Accounts.open(path, 1, 2)

    assert second.known
    assert second.created == created
    assert second.view(ONE).spent == 500
    with pytest.raises(Refused, match="rpm"):
        second.admit((ONE,), Ask())
    second.close()


def test_a_new_file_knows_nothing(path: Path) -> None:
    accounts = Accounts.open(path, 0, 2)
    before = accounts.known

    accounts.learned()

    assert (before, accounts.known) == (False, True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_blocks * 512 < 1 << 20, "it is sparse"
    accounts.close()


@pytest.mark.parametrize("damage", ["shape", "magic", "version", "crc", "cut", "garbage"])
def test_a_file_of_another_shape_is_made_anew(path: Path, damage: str) -> None:
    first = open_known(path)
    spend(first, 500)
    inode, size = path.stat().st_ino, path.stat().st_size
    columns = 2
    with path.open("r+b") as file:
        if damage == "shape":
            columns = 3
        elif damage == "cut":
            file.truncate(size - 4096)
        elif damage == "garbage":
            path.unlink()
            path.write_bytes(b"?" * 10_000)
        else:
            file.seek({"magic": 0, "version": 8, "crc": 64}[damage])
            file.write(b"\xee")

    second = Accounts.open(path, 0, columns)

    assert not second.known
    assert second.view(ONE).spent == 0
    if damage != "garbage":
        assert path.stat().st_ino != inode, "whoever has the old one is left alone"
    second.close()


def test_a_guest_takes_the_file_as_the_workers_made_it(path: Path) -> None:
    worker = open_known(path, columns=3)
    spend(worker, 500)
    worker.admit((limited("b", concurrency=1),), Ask())

    guest = Accounts.open(path, None, 8)

    assert guest.known
    assert guest.view(ONE).spent == 500
    assert [guest.clear(column) for column in range(8)] == [1, 0, 0, 0, 0, 0, 0, 0]
    assert guest.view(ONE).spent == 500
    guest.close()


@pytest.mark.parametrize("columns", [0, 3, 0xFFFFFFFF])
def test_a_guest_makes_a_file_that_is_broken_anew(path: Path, columns: int) -> None:
    path.write_bytes(b"HEADLIMS" + bytes(4) + columns.to_bytes(4, "little") + bytes(10_000))

    guest = Accounts.open(path, None, 2)
    worker = Accounts.open(path, 1, 2)

    guest.learned()
    assert worker.known
    guest.close()
    worker.close()


def test_after_a_start_of_the_machine_only_counts_are_left(path: Path) -> None:
    with clock.held() as hands:
        first = open_known(path)
        spend(first, 500)
        hands.advance(5.0)
        first.admit((ONE,), Ask(likely=70))
        before = first.created
        with path.open("r+b") as file:
            file.seek(BOOT)
            file.write(b"another start")
        hands.advance(1.0)

        second = Accounts.open(path, 0, 2)

        assert second.view(ONE).inflight == second.view(ONE).reserved == 0
        assert second.view(ONE).spent == 500
        assert not second.known, "a loss of power may have kept some of it from the disk"
        assert second.created == before + 6.0
        second.admit((ONE,), Ask(likely=30))
        charge = Charge(ONE.id, 0, 0)
        second.learn(charge, Used(micro=600), Used(micro=9))
        second.learn(charge, Used(micro=600), Used(micro=9))
        assert second.view(ONE).spent == 609
        second.close()


def test_a_path_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Accounts.open(tmp_path / "missing" / "limits.shm", 0, 1)


def test_without_room_on_the_disk_there_is_no_place(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = open_known(path)
    allocate = "posix_fallocate" if hasattr(os, "posix_fallocate") else "pwrite"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, allocate, full)

    assert accounts.admit((limited("b", rpm=1),), Ask()).parts == []
    with pytest.raises(Refused, match="blind") as refused:
        accounts.admit((ONE,), Ask())
    assert refused.value.wait > 0
    assert accounts.crowded == 2
    accounts.close()


# --- crowds --------------------------------------------------------------------------------------------------------


def test_a_rate_is_one_over_all_processes(path: Path) -> None:
    """100 a minute and 10 at once, asked by eight processes.

    1,000 asks at one instant: exactly 10, the burst. 80 more asks at each of the 100 following moments at which the
    rate allows one more: exactly one each. So any minute has 100 + 10 at most, and a busy one exactly that.
    """
    found = run("rate", path)

    assert found["at_once"] == 10
    assert found["then"] == [1] * 100


def test_slots_of_a_killed_process_are_free_once_its_column_is_cleared(path: Path) -> None:
    assert run("slots", path) == {"inflight": 10, "before": 0, "cleared": 10, "after": 10}


def test_a_budget_never_overshoots_over_all_processes(path: Path) -> None:
    """$0.45, eight processes each asking five times at once for $0.15: three, a hundred times."""
    found = run("bursts", path)

    assert found["admitted"] == [3] * 100
    assert found["spent"] == [450_000] * 100
    assert found["reserved"] == [0] * 100


def test_killed_in_the_middle_nothing_is_stuck_and_sums_are_right(path: Path) -> None:
    found = run("killed", path)

    assert found["left"] == [0, 0, 0]
    assert found["ended"] < found["begun"], "some were killed between their settling and saying so"
    for spent in found["spent"]:
        assert found["ended"] <= spent <= found["begun"]


@given(cut=st.integers(0, 10), column=st.integers(0, 2), data=st.data())
def test_what_a_dead_worker_had_begun_to_add_is_there_whole_or_not_at_all(
    cut: int, column: int, data: st.DataObject
) -> None:
    """Killed within `windows.settle` behind any of its words, or of those of an earlier one that was done."""
    table = Table(None, 3)
    at = table.claim(ONE.digest)
    window = windows.make(table.words, at, 500, 2_000, -1, 1_000.0)
    booked = at + COLUMNS + BOOKED * 3 + column
    was = data.draw(st.lists(st.integers(0, 1 << 40), min_size=3, max_size=3))
    table.words[booked] = 6
    written = [
        (at - UNDO, window << 16 | column),
        *((at - UNDO + 1 + n, was[n]) for n in range(3)),
        (at - 1, 8),
        *((window + 2 + n, was[n] + n + 1) for n in range(3)),
        (booked, 8),
        (at - 1, 0),
    ]
    table.words[window + 2 : window + 5] = memoryview(struct.pack("3q", *was)).cast("q")
    for word, value in written[:cut]:
        table.words[word] = value

    assert table.mend(at) == (cut in range(5, 10))
    assert not table.mend(at)
    done = table.words[booked] == 8
    assert done == (cut >= 9)
    counts = table.words[window + 2 : window + 5].tolist()
    assert counts == [was[n] + (n + 1) * done for n in range(3)]
    table.close()


def test_a_torn_slot_is_not_idle(table: Table) -> None:
    at = table.claim(ONE.digest)
    assert table.idle(at)
    table.words[at - 1] = 8
    assert not table.idle(at)


def test_a_lock_whose_owner_dies_is_free(path: Path) -> None:
    assert run("locked", path) == {"served": 100}


def test_more_subjects_than_places_never_share_one(path: Path) -> None:
    found = run("crowded", path)

    assert found["served"] > 1000
    assert found["doubled"] == 0
    assert found["left"] == 0


def test_one_worker_keeps_its_lock_but_lets_guests_in(path: Path) -> None:
    found = run("guests", path)

    assert found["spent"] == found["expected"]


def test_an_idle_worker_lets_guests_in_when_it_ticks(path: Path) -> None:
    assert run("idle", path) == {"spent": 8}


def test_a_subject_that_lost_its_idle_place_gets_another() -> None:
    accounts = Accounts.memory()
    with clock.held() as hands:
        subjects = [neighbour(number) for number in range(2 * WAYS + 5)]
        for one in subjects:
            accounts.settle(accounts.admit((one,), Ask()), Used())
            hands.advance(1.0)

        for one in subjects:
            hold = accounts.admit((one,), Ask())
            assert accounts.view(one).inflight == 1
            accounts.settle(hold, Used())
            hands.advance(1.0)
    assert accounts.crowded == 0


def neighbour(number: int) -> Subject:
    return replace(limited(str(number), rpm=60, burst=1), digest=digest(5, 6, number))


def test_what_all_workers_see_is_the_same(path: Path) -> None:
    workers = [Accounts.open(path, column, 3) for column in range(3)]
    workers[0].learned()

    holds: list[Any] = [worker.admit((limited("b", concurrency=9),), Ask()) for worker in workers]

    assert {worker.view(limited("b", concurrency=9)).inflight for worker in workers} == {3}
    assert workers[2].clear(1) == 1
    assert {worker.view(limited("b", concurrency=9)).inflight for worker in workers} == {2}
    workers[1].settle(holds[1], Used())
    assert workers[0].view(limited("b", concurrency=9)).inflight == 2, "it was cleared already"
    for worker in workers:
        worker.close()


# --- one worker, and its successor ---------------------------------------------------------------------------------


def beside(path: Path, alone: bool) -> tuple[int, int]:
    """Another process that has column 0, ticks, and holds one slot of ONE: (process, pipe that ends it)."""
    reading, writing = os.pipe()
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(writing)
            accounts = Accounts.open(path, 0, 2)
            accounts.alone(True)
            accounts.alone(alone)
            accounts.admit((ONE,), Ask())
            os.write(tell, b"%d" % accounts._table.kept)
            os.set_blocking(reading, False)
            while True:
                accounts.tick()
                try:
                    if not os.read(reading, 1):
                        break
                except BlockingIOError:
                    time.sleep(0.001)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(reading)
    assert os.read(told, 1) == (b"1" if alone else b"0")
    os.close(told)
    os.close(tell)
    return child, writing


@pytest.mark.parametrize("alone", [True, False], ids=["not told of it", "told of it"])
def test_a_successor_counts_beside_the_one_that_leaves(path: Path, alone: bool) -> None:
    open_known(path).close()
    child, pipe = beside(path, alone)

    successor = Accounts.open(path, 1, 2)
    hold = successor.admit((limited("a", concurrency=10),), Ask())
    assert not successor._table.kept
    assert successor.view(ONE).inflight == 2
    successor.settle(hold, Used())

    os.close(pipe)
    assert os.waitpid(child, 0)[1] == 0
    successor.clear(0)
    assert successor.view(ONE).inflight == 0
    successor.close()


def test_one_that_is_alone_keeps_the_lock_and_several_workers_never_do(path: Path) -> None:
    one = open_known(path)
    kept = [one._table.kept]
    for alone in (True, False, True):
        one.alone(alone)
        kept.append(one._table.kept)
    assert kept == [False, True, False, True]
    spend(one, 10)
    assert one._table.kept
    one.close()

    several = open_known(path, columns=4)
    several.alone(True)
    assert not several._table.kept
    several.close()


def test_a_guest_gives_up_where_the_worker_that_keeps_the_lock_hangs(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    open_known(path).close()
    child, pipe = beside(path, alone=True)
    os.kill(child, signal.SIGSTOP)
    os.waitpid(child, os.WUNTRACED)
    guest = Accounts.open(path, None, 2)

    with pytest.raises(TimeoutError):
        guest.clear(1)

    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(pipe)
    assert guest.clear(0) == 1
    guest.close()
