"""What one process writes another reads whole, whenever the writer is killed."""

from __future__ import annotations

import fcntl
import os
import signal
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.control import sheets as module
from proxy.control.catalogue import Declared, Series
from proxy.control.sheets import Numbers, Sheets
from proxy.core.series import Kind, Rule

COUNTER = Declared("c_total", Kind.COUNTER, "help", Rule.SUM, ())


@pytest.fixture
def sheets() -> Iterator[Sheets]:
    one = Sheets.make()
    yield one
    one.close()


@pytest.fixture
def other(sheets: Sheets) -> Iterator[Sheets]:
    """What another process sees."""
    one = sheets.view()
    yield one
    one.close()


def numbers(count: int, total: float = 0.0, size: int = 3) -> Numbers:
    return Numbers(
        array("q", [count] * size), array("d", [total] * 2), array("d", [total]), at=count + 0.5
    )


def drained(sheets: Sheets) -> Sheets:
    while sheets.look():
        pass
    return sheets


def in_a_fork(work: Callable[[], object]) -> int:
    """The exit status of a process that does this."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1]


# --- names -------------------------------------------------------------------------------------------------


def test_what_one_adds_another_learns(sheets: Sheets, other: Sheets) -> None:
    assert sheets.add([COUNTER, Series("c_total", '{a="1"}')])
    assert sheets.add([Series("c_total", '{a="2"}')])

    assert other.look()
    assert other.look()
    assert not other.look()

    assert other.catalogue.series == sheets.catalogue.series
    assert list(other.catalogue.series["c_total"]) == ['{a="1"}', '{a="2"}']


def test_two_who_add_the_same_agree_on_its_place(sheets: Sheets, other: Sheets) -> None:
    sheets.add([COUNTER, Series("c_total", "one"), Series("c_total", "both")])
    other.add([COUNTER, Series("c_total", "both"), Series("c_total", "two")])

    assert drained(sheets).catalogue.series == drained(other).catalogue.series
    assert sheets.catalogue.totals == 3


def test_nothing_is_added_while_another_process_adds(sheets: Sheets) -> None:
    ours, theirs = os.pipe()

    def hold() -> None:
        fcntl.lockf(sheets._fd, fcntl.LOCK_EX, 1)
        os.write(theirs, b".")
        signal.pause()

    child = os.fork()
    if not child:
        hold()
    os.read(ours, 1)
    try:
        assert not sheets.add([COUNTER])
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ours)
        os.close(theirs)
    assert sheets.add([COUNTER])


@pytest.mark.parametrize("kept", [1, 8, 9, 20])
def test_a_record_whose_writer_was_killed_is_written_over(sheets: Sheets, kept: int) -> None:
    view = sheets.view()
    view.add([COUNTER, Series("c_total", "killed")])
    whole = os.pread(sheets._fd, 4096, 0)
    os.pwrite(sheets._fd, bytes(len(whole)), 0)
    os.pwrite(sheets._fd, whole[:kept], 0)

    assert not sheets.look()
    assert sheets.add([COUNTER, Series("c_total", "next")])

    assert list(sheets.catalogue.series["c_total"]) == ["next"]
    view.close()


def test_there_are_only_so_many_places(sheets: Sheets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    assert sheets.add([COUNTER, *(Series("c_total", str(n)) for n in range(2))])

    assert not sheets.add([Series("c_total", "one more")])

    assert sheets.catalogue.totals == 2


# --- numbers -----------------------------------------------------------------------------------------------


def test_the_newest_numbers_are_read(sheets: Sheets, other: Sheets) -> None:
    for count in range(1, 6):
        sheets.write(1, numbers(count, count / 2))

    found = other.read(1)

    assert found is not None
    assert found.counts.tolist() == [5, 5, 5]
    assert found.totals.tolist() == [2.5, 2.5]
    assert found.levels.tolist() == [2.5]
    assert (found.generation, found.at) == (5, 5.5)
    assert other.newest(1) == (5, 5.5)


def test_each_seat_has_its_own(sheets: Sheets) -> None:
    sheets.write(0, numbers(1))
    sheets.write(7, numbers(2, size=1000))

    assert [one.counts[0] for one in map(sheets.read, (0, 7)) if one is not None] == [1, 2]
    assert sheets.read(3) is None
    assert sheets.newest(3) == (0, 0.0)


def test_a_seat_that_is_cleared_has_none(sheets: Sheets, other: Sheets) -> None:
    sheets.write(0, numbers(1))
    sheets.write(0, numbers(2))

    other.clear(0)

    assert other.read(0) is None


def test_whoever_takes_a_seat_goes_on_behind_who_had_it(sheets: Sheets, other: Sheets) -> None:
    sheets.write(0, numbers(1))

    other.write(0, numbers(2))

    found = sheets.read(0)
    assert found is not None
    assert (found.generation, found.counts[0]) == (2, 2)


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_a_writer_that_is_killed_leaves_what_was_there(
    sheets: Sheets, other: Sheets, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    for count in (1, 2):
        sheets.write(0, numbers(count))
    left = calls

    def killed(fd: int, data: bytes, at: int) -> None:
        nonlocal left
        left -= 1
        if not left:
            os.pwrite(fd, data[: len(data) // 2], at)
            os.kill(os.getpid(), signal.SIGKILL)
        os.pwrite(fd, data, at)

    monkeypatch.setattr(module, "_write", killed)

    assert in_a_fork(lambda: sheets.write(0, numbers(3))) == signal.SIGKILL

    found = other.read(0)
    assert found is not None
    assert found.counts.tolist() == [2, 2, 2]


def test_a_reader_beside_a_quick_writer_reads_whole_copies(sheets: Sheets, other: Sheets) -> None:
    sheets.write(0, numbers(1, 1, 5000))
    child = os.fork()
    if not child:
        for count in range(2, 1_000_000):
            sheets.write(0, numbers(count, count, 5000))
        os._exit(0)
    try:
        seen: set[int] = set()
        read = torn = 0
        while len(seen) < 20:
            found = other.read(0)
            read += 1
            if found is not None:
                torn += len({*found.counts, *found.totals, *found.levels}) != 1
                seen.add(found.counts[0])
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert torn == 0


def test_where_there_is_no_memory_the_old_numbers_stay(
    sheets: Sheets, other: Sheets, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheets.write(0, numbers(1))

    def full(_fd: int, _data: bytes, _at: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module, "_write", full)
        with pytest.raises(OSError, match="No space"):
            sheets.write(0, numbers(2))

    found = other.read(0)
    assert found is not None
    assert found.counts[0] == 1


def test_without_memfd_it_is_a_file_that_has_no_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    one = Sheets.make()
    one.write(3, numbers(4))

    found = one.read(3)
    assert found is not None
    assert found.counts[0] == 4
    assert list(tmp_path.iterdir()) == []
    one.close()
