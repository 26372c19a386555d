from __future__ import annotations

import logging
import random
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.ledger.cursor import bodies, frames
from proxy.ledger.reading import Reader
from proxy.ledger.records import Content, End, Record, Start, frame
from proxy.ledger.recovery import recover
from proxy.ledger.segments import FIRST, FRAME, position, sequence_of
from proxy.ledger.spool import Full, Spool
from tests.ledger.samples import (
    SEGMENT,
    SIZE,
    disk,
    drained,
    end,
    files_of_at_most,
    fill,
    layered,
    progress,
    segments,
    start,
    until,
)
from tests.ledger.writer import Writers


@pytest.fixture
def writers() -> Iterator[Writers]:
    with Writers() as writers:
        yield writers


def open_spool(folder: Path, *, size: int = SIZE, emergency: int = 0, sync: float = 0.01) -> Spool:
    return Spool(folder, "0", size=size, segment=SEGMENT, emergency=emergency, sync=sync)


def is_full(spool: Spool) -> bool:
    return spool.full


def fill_up(spool: Spool, name: str = "r", *, vital: bool = False) -> int:
    """Append until it is full; how many went in."""
    for n in range(100_000):
        try:
            spool.append(frame(end(f"{name}{n}")), vital=vital)
        except Full:
            return n
    raise AssertionError("it never was full")


def test_what_was_appended_is_read_in_order(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    written: list[Record] = [
        start("a"),
        progress("a", 5),
        end("a"),
        Content("a", 1.0, "question", "answer"),
    ]
    for record in written:
        spool.append(frame(record))

    assert drained(tmp_path) == written
    assert spool.written == 4
    assert spool.bytes == sum(8 + len(frame(record)) for record in written)
    spool.close()


def test_it_goes_on_in_further_segments(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for n in range(1000):
        spool.append(frame(end(f"r{n}")))
    total = spool.bytes
    spool.close()

    paths = segments(tmp_path)
    assert len(paths) > 3
    assert [one.rid for one in drained(tmp_path)] == [f"r{n}" for n in range(1000)]
    assert total == spool.bytes == sum(8 + len(frame(end(f"r{n}"))) for n in range(1000))


def test_it_says_where_each_record_is(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    said = []
    for number in range(300):
        spool.append(frame(end(f"r{number}")), vital=True)
        said.append(spool.position)
    spool.close()

    found = [
        position(sequence_of(path.name), at)
        for path in segments(tmp_path)
        for _, at in frames(path.parent, path.name)
    ]
    assert len(segments(tmp_path)) > 1
    assert said == found == sorted(set(found))
    assert spool.position == 0


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "ledger")
    spool.append(frame(end("a")))
    until(lambda: len(segments(tmp_path / "ledger")) == 2, "the next one is ready")

    below = sorted((tmp_path / "ledger").rglob("*"))
    assert {stat.S_IMODE(one.stat().st_mode) for one in below if one.is_dir()} == {0o700}
    assert {stat.S_IMODE(one.stat().st_mode) for one in below if one.is_file()} == {0o600}
    spool.close()


def test_closed_it_takes_no_more_room_than_it_needs_and_nothing_more(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.append(frame(end("a")))
    until(lambda: len(segments(tmp_path)) == 2, "the next one is ready")
    spool.close()
    spool.close()

    (path,) = segments(tmp_path)
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_size == FIRST + spool.bytes + FRAME.size
    with pytest.raises(Full):
        spool.append(frame(end("b")), vital=True)


def test_a_record_that_never_fits_is_dropped(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    with pytest.raises(Full):
        spool.append(frame(Content("a", 1.0, "x" * SEGMENT, "")), vital=True)
    for text in ("y" * (SEGMENT - 300), "z" * (SEGMENT // 2)):
        spool.append(frame(Content("a", 1.0, text, "")))

    assert (spool.dropped, spool.written) == (1, 2)
    assert len(drained(tmp_path)) == 2
    assert not spool.tight
    spool.close()


def test_another_life_goes_on_behind_the_earlier_one(tmp_path: Path) -> None:
    for life in range(3):
        spool = open_spool(tmp_path)
        spool.append(frame(end(f"r{life}")))
        spool.close()

    assert [one.rid for one in drained(tmp_path)] == ["r0", "r1", "r2"]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        open_spool(tmp_path / "file" / "ledger")


# --- no room ---


def test_the_share_is_not_exceeded_and_ends_come_last(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = open_spool(tmp_path, size=4 * SEGMENT, emergency=2 * SEGMENT)
    with caplog.at_level(logging.WARNING, "headrace"):
        accepted = fill_up(spool)
        assert is_full(spool)
        assert spool.tight
        refused = frame(end("refused"))  # a shorter record may still find a place
        for _ in range(50):
            with pytest.raises(Full):
                spool.append(refused)
        assert spool.dropped == 51

        # The reserve of the last segment, and then the emergency room, are for ends.
        vital = fill_up(spool, "v", vital=True)
    assert vital > 2 * SEGMENT // 600
    assert sum(path.stat().st_size for path in (tmp_path / "spool").rglob("*.*")) <= 6 * SEGMENT
    assert [line.getMessage() for line in caplog.records] == [
        "the ledger has no room for more: ledger.size is reached"
    ]

    caplog.clear()
    with caplog.at_level(logging.WARNING, "headrace"):
        found = drained(tmp_path)
        assert is_full(spool)
        spool.wake()
        until(lambda: not is_full(spool), "there is room again")
    assert [one.rid for one in found] == [
        *(f"r{n}" for n in range(accepted)),
        *(f"v{n}" for n in range(vital)),
    ]
    assert [line.getMessage() for line in caplog.records] == [
        f"the ledger has room again; not recorded: {spool.dropped}"
    ]
    spool.append(frame(start("yes")))
    assert [one.rid for one in drained(tmp_path)] == ["yes"]
    spool.close()


def test_a_full_disk_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """F13 with a file system of 2 MiB."""
    with disk(tmp_path / "disk", 2 << 20) as small, caplog.at_level(logging.WARNING, "headrace"):
        spool = open_spool(small, emergency=4 * SEGMENT)
        other = fill(small)
        accepted = fill_up(spool)
        assert is_full(spool)
        vital = fill_up(spool, "v", vital=True)
        assert vital > 3 * SEGMENT // 600
        assert (small / "emergency").stat().st_size == 0
        assert [line.getMessage() for line in caplog.records] == [
            "the ledger has no room for more: No space left on device"
        ]

        # Reading makes room, though the reader can write nothing down at first.
        found = drained(small)
        assert [one.rid for one in found] == [
            *(f"r{n}" for n in range(accepted)),
            *(f"v{n}" for n in range(vital)),
        ]
        other.unlink()
        spool.wake()
        until(lambda: not is_full(spool), "there is room again")
        assert (small / "emergency").stat().st_size == 4 * SEGMENT
        spool.append(frame(start("yes")))
        spool.close()
        assert [one.rid for one in drained(small)] == ["yes"]


def test_it_opens_on_a_full_disk(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", 1 << 20) as small:
        other = fill(small)
        spool = open_spool(small, emergency=4 * SEGMENT)
        assert is_full(spool)
        with pytest.raises(Full):
            spool.append(frame(end("a")), vital=True)
        other.unlink()
        spool.wake()
        until(lambda: not is_full(spool), "there is room")
        spool.append(frame(end("b")))
        spool.close()
        assert [one.rid for one in drained(small)] == ["b"]


def test_what_may_lose_goes_first_when_the_disk_is_full(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", 2 << 20) as small:
        contents = Spool(small / "contents", "0", size=8 * SEGMENT, segment=SEGMENT, emergency=0)
        for n in range(6 * SEGMENT // 1100):
            contents.append(frame(Content(f"c{n}", 1.0, "x" * 1000, "")))
        before = len(segments(small / "contents"))
        spool = Spool(small, "0", size=SIZE, segment=SEGMENT, emergency=0, spare=small / "contents")
        fill(small)
        accepted = fill_up(spool)

        assert len(segments(small / "contents")) == 2
        assert accepted > (before - 2) * SEGMENT // 700
        contents.append(frame(Content("c", 1.0, "it still works", "")))
        assert [one.rid for one in drained(small / "contents")][-1] == "c"
        contents.close()
        spool.close()


def test_a_disk_that_takes_nothing_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not for want of room, so the emergency room does not help; only ends still fit, into what is left of the segment."""
    spool = open_spool(tmp_path, emergency=2 * SEGMENT)
    until(lambda: len(segments(tmp_path)) == 2, "the next one is ready")
    count = 0
    with files_of_at_most(SEGMENT // 2), caplog.at_level(logging.WARNING, "headrace"):
        while spool.bytes < SEGMENT:
            spool.append(frame(end(f"r{count}")))
            count += 1
        until(lambda: spool.tight, "it is known that there is no other one")
        assert not is_full(spool)
        count += fill_up(spool, "more")
        assert is_full(spool)
        vital = fill_up(spool, "v", vital=True)
        assert vital > SEGMENT // 8 // 700
        assert (tmp_path / "emergency").stat().st_size == 2 * SEGMENT
        assert [line.getMessage() for line in caplog.records] == [
            "the ledger has no room for more: File too large"
        ]
    spool.wake()
    until(lambda: not is_full(spool), "it takes more")
    spool.append(frame(end("last")))
    found = [one.rid for one in drained(tmp_path)]
    assert len(found) == count + vital + 1
    assert found[-1] == "last"
    spool.close()


def test_where_memory_is_not_safe_records_are_written(tmp_path: Path) -> None:
    """On a file system that may find itself full although it gave the blocks: what does not fit is in the next segment."""
    below = tmp_path / "below"
    with disk(below, 4 << 20), layered(tmp_path / "disk", below) as folder:
        spool = open_spool(folder)
        until(lambda: len(segments(folder)) == 2, "the next one is ready")
        count = 0
        with files_of_at_most(SEGMENT // 2):
            count += fill_up(spool)
            assert SEGMENT // 3 < spool.bytes < SEGMENT // 2
            assert is_full(spool)
            # The one that was ready takes as much again.
            vital = fill_up(spool, "v", vital=True)
            assert vital > 0
        spool.wake()
        until(lambda: not is_full(spool), "it takes more")
        spool.append(frame(end("last")))
        spool.close()
        assert [one.rid for one in drained(folder)] == [
            *(f"r{n}" for n in range(count)),
            *(f"v{n}" for n in range(vital)),
            "last",
        ]
        assert not (folder / "damaged").exists()


@pytest.mark.parametrize("vital", [False, True])
def test_while_nothing_is_written_it_sleeps_and_a_record_wakes_it(
    tmp_path: Path, vital: bool
) -> None:
    spool = open_spool(tmp_path, sync=0.005)
    written: list[Record] = []
    for turn in range(4):
        until(lambda: spool._dozing, "it sleeps")
        for n in range(turn * 60):  # also into segments behind
            written.append(end(f"{turn}.{n}"))
            spool.append(frame(written[-1]), vital=vital)
            assert not spool.full
    until(lambda: spool._dozing, "it sleeps")
    spool.close()

    assert not spool.tight
    assert spool.dropped == 0
    assert drained(tmp_path) == written


# --- processes ---


def test_killed_at_any_moment_it_loses_nothing_that_was_acknowledged(
    tmp_path: Path, writers: Writers
) -> None:
    chance = random.Random(1)
    folder, noted = tmp_path / "ledger", tmp_path / "noted"
    expected: list[tuple[type, str]] = []
    reader = Reader(folder, whole=True)
    found: list[tuple[type, str]] = []
    outcomes: dict[str, list[str]] = {}
    for life in range(30):
        noted.write_bytes(b"")
        pid = writers.write(folder, "0", life, 10**9, noted)
        enough = chance.randrange(1, 8000)
        until(lambda n=enough: noted.stat().st_size > n, "it writes")  # type: ignore[misc]
        writers.kill(pid)
        for line in noted.read_text("ascii").splitlines():
            kind, rid = line.split()
            expected.append((Start if kind == "S" else End, rid))
        assert recover(folder, "0") <= 1
        assert recover(folder, "0") == 0
        while (batch := reader.take()) is not None:
            for one in batch.records:
                found.append((type(one), one.rid))
                if isinstance(one, End):
                    outcomes.setdefault(one.rid, []).append(one.outcome)
            reader.done(batch)
    reader.close()

    assert len(found) == len(set(found)), "given twice"
    assert set(expected) <= set(found)
    # Besides, there is what was written and not yet acknowledged, at most one a life, and what recovery added.
    added = [said for said in outcomes.values() if said == ["unknown"]]
    assert len(added) <= 30
    assert len(found) - len(expected) <= 30 + len(added)
    starts = {rid for kind, rid in found if kind is Start}
    assert starts == set(outcomes), "each that began has its end"
    assert reader.damaged == 0


def test_it_is_read_while_others_write(tmp_path: Path, writers: Writers) -> None:
    folder = tmp_path / "ledger"
    for worker in "01":
        writers.write(folder, worker, 0, 12_500, tmp_path / f"noted{worker}")
    reader = Reader(folder, whole=True)
    found: dict[str, list[str]] = {"0": [], "1": []}

    def read() -> bool:
        while (batch := reader.take()) is not None:
            for one in batch.records:
                kind = "S" if isinstance(one, Start) else "E"
                found[one.rid[0]].append(f"{kind} {one.rid}")
            reader.done(batch)
        return all(len(one) >= 25_000 for one in found.values())

    until(read, "everything is read", 25.0)
    for worker, own in found.items():
        assert own == [f"{k} {worker}.0.{n}" for n in range(12_500) for k in "SE"]
    until(lambda: reader.take() is None and not segments(folder), "all of it is deleted")
    assert reader.damaged == 0
    assert reader.lag == 0
    reader.close()


def test_the_segment_in_use_holds_what_was_written_before_anybody_synced(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, sync=0)
    spool.append(frame(end("a")))

    path = segments(tmp_path)[0]
    assert len(list(bodies(path.parent, path.name))) == 1
    spool.close()
