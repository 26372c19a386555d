from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields

from proxy.core import clock
from proxy.ledger.records import End, Tokens, frame
from proxy.ledger.segments import (
    CLOSED,
    FIRST,
    FRAME,
    SETTLED,
    VERSION,
    Found,
    Segment,
    allocate,
    dependable,
    following,
    listed,
    look,
    make_folder,
    mark_of,
    position,
    seal,
    sequence_of,
    version,
)
from tests.ledger.samples import disk, end

MARK = b"12345678"
WHOLE = MARK + frame(end("a"))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (WHOLE, (Found.WHOLE, len(WHOLE))),
        (WHOLE + b"more", (Found.WHOLE, len(WHOLE))),
        (WHOLE[:-1], (Found.SHORT, len(WHOLE))),
        (WHOLE[:15], (Found.SHORT, 16)),
        (b"", (Found.SHORT, 16)),
        (bytes(100), (Found.NOTHING, 0)),
        (b"x" + WHOLE[1:], (Found.BAD, 0)),
        (WHOLE[:-1] + b"\xff", (Found.BAD, len(WHOLE))),
        (WHOLE[:16] + bytes(len(WHOLE)), (Found.BAD, len(WHOLE))),
        (MARK + bytes(100), (Found.BAD, 16)),
        (seal(MARK, CLOSED), (Found.SEAL, 16)),
        (seal(MARK, SETTLED) + b"torn", (Found.SEAL, 16)),
        (seal(MARK, CLOSED)[:-1] + b"\xff", (Found.BAD, 0)),
        (seal(b"87654321", CLOSED), (Found.BAD, 0)),
    ],
)
def test_what_stands_at_a_place(data: bytes, expected: tuple[Found, int]) -> None:
    assert look(data, 0, MARK) == expected
    found, behind = look(b"before" + data, 6, MARK)
    assert (found, behind - 6) == expected


@given(st.binary(max_size=200), st.integers(0, 200))
def test_whatever_stands_there_is_looked_at(data: bytes, at: int) -> None:
    found, _ = look(MARK + data, min(at, len(data)), MARK)
    assert found is not Found.WHOLE


def test_a_torn_copy_is_never_whole() -> None:
    for cut in range(len(WHOLE)):
        found, _ = look(WHOLE[:cut].ljust(2 * len(WHOLE), b"\0"), 0, MARK)
        assert found is (Found.BAD if cut else Found.NOTHING)


def test_names_say_mark_and_order(tmp_path: Path) -> None:
    names = ["0000000000007-00000000000000aa.wal", "1800000000000-00000000000000ab.wal"]
    for name in [
        *reversed(names),
        "x.wal",
        "7-12.wal",
        "7-zzzzzzzzzzzzzzzz.wal",
        "00000000000000aa.new",
    ]:
        (tmp_path / name).touch()

    assert listed(tmp_path) == names
    assert [sequence_of(name) for name in names] == [7, 1_800_000_000_000]
    assert mark_of(names[0]) == bytes(7) + b"\xaa"
    assert listed(tmp_path / "missing") == []


def test_sequences_rise_though_the_clock_does_not(hands: clock.Hands) -> None:
    first = following(0)
    hands.set_wall(1.0)
    assert following(first) == first + 1


@pytest.mark.parametrize("mapped", [True, False])
def test_one_that_is_written(tmp_path: Path, mapped: bool) -> None:
    folder = tmp_path / "a" / "b"
    segment = Segment(folder, "worker", 4096, mapped=mapped)
    (path,) = folder.iterdir()
    assert listed(folder) == []
    assert path.stat().st_blocks * 512 >= 4096
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert version(path.read_bytes()) == VERSION

    data = segment.mark + b"something"
    segment.data[FIRST : FIRST + len(data)] = data
    segment.publish(7)
    (name,) = listed(folder)
    assert mark_of(name) == segment.mark
    assert (folder / name).read_bytes()[FIRST:].rstrip(b"\0") == data
    segment.cut(FIRST + len(data))
    assert (folder / name).stat().st_size == FIRST + len(data)


def test_one_that_is_not_needed_leaves_nothing(tmp_path: Path) -> None:
    Segment(tmp_path, "worker", 4096, mapped=True).discard()
    assert list(tmp_path.iterdir()) == []


def test_one_there_is_no_room_for_leaves_nothing(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", 1 << 20) as small:
        before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        with pytest.raises(OSError, match="No space left"):
            Segment(small, "worker", 2 << 20, mapped=True)
        assert list(small.iterdir()) == []
        if before:
            assert len(os.listdir("/proc/self/fd")) == before


def test_without_a_map_a_full_disk_is_an_error_of_the_write(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", 1 << 20) as small:
        segment = Segment(small, "worker", 4096, mapped=False)
        with pytest.raises(OSError, match="No space left"):
            segment.data[0 : 2 << 20] = bytes(2 << 20)
        segment.discard()


@pytest.mark.parametrize("data", [b"", b"HEADRACE", bytes(FIRST), b"x" * FIRST])
def test_a_damaged_header_has_no_version(data: bytes) -> None:
    assert version(data) is None


def test_which_file_systems_keep_what_they_promised(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", 1 << 20) as small:
        assert dependable(small)
    assert not dependable(Path("/proc"))
    assert not dependable(tmp_path / "missing")


def test_folders_are_nobody_elses(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert {stat.S_IMODE(one.stat().st_mode) for one in tmp_path.rglob("*")} == {0o700}


def test_blocks_are_given(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        allocate(file.fileno(), 100_000)
        found = os.fstat(file.fileno())
    assert found.st_size == 100_000
    assert found.st_blocks * 512 >= 100_000
    assert FRAME.size == 16


@given(
    st.lists(
        st.tuples(st.integers(0, (1 << 42) - 1), st.integers(0, (64 << 20) - 1)),
        min_size=2,
        max_size=2,
        unique_by=lambda one: (one[0], one[1] >> 6),
    )
)
def test_positions_rise_as_records_follow_one_another(places: list[tuple[int, int]]) -> None:
    first, second = sorted(places)
    assert 0 <= position(*first) < position(*second) - 1 < 1 << 63


def test_no_end_is_shorter_than_positions_are_apart() -> None:
    least = {one.name: one.type() for one in fields(End) if one.type in (str, int, float, bool)}
    one = End(**{**least, "tokens": Tokens(), "tries": (), "charges": ()})
    assert len(MARK + frame(one)) >= 64
