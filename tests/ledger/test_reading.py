from __future__ import annotations

import errno
import logging
import os
import zlib
from pathlib import Path

import msgspec
import pytest

from proxy.ledger.reading import KEPT, Reader
from proxy.ledger.records import End, Record, frame
from proxy.ledger.segments import FIRST
from proxy.ledger.spool import Spool
from tests.ledger.samples import (
    SEGMENT,
    SIZE,
    disk,
    drained,
    end,
    files_of_at_most,
    fill,
    progress,
    segments,
    start,
    until,
)


def spool(folder: Path, worker: str = "0") -> Spool:
    return Spool(folder, worker, size=SIZE, segment=SEGMENT, emergency=0)


def put(folder: Path, records: list[Record], worker: str = "0", *, close: bool = True) -> Spool:
    made = spool(folder, worker)
    for record in records:
        made.append(frame(record))
    if close:
        made.close()
    return made


def rids(records: object) -> list[str]:
    return [one.rid for one in records]  # type: ignore[attr-defined]


def test_there_is_nothing_to_read(tmp_path: Path) -> None:
    reader = Reader(tmp_path / "missing")
    assert reader.take() is None
    assert reader.lag == 0
    reader.close()


def test_the_oldest_come_first_over_all_workers(tmp_path: Path) -> None:
    put(tmp_path, [end(f"a{n}", at=n * 2.0) for n in range(5)], "0")
    put(tmp_path, [end(f"b{n}", at=n * 2.0 + 1) for n in range(5)], "1")

    assert rids(drained(tmp_path)) == ["a0", "b0", "a1", "b1", "a2", "b2", "a3", "b3", "a4", "b4"]


def test_records_of_one_worker_keep_their_order(tmp_path: Path) -> None:
    """A clock that goes back changes nothing."""
    put(tmp_path, [end(f"r{n}", at=-float(n)) for n in range(5)])
    assert rids(drained(tmp_path)) == ["r0", "r1", "r2", "r3", "r4"]


def test_a_batch_comes_again_until_it_is_done(tmp_path: Path) -> None:
    """G13: whoever books them fails, and asks again."""
    put(tmp_path, [end(f"r{n}") for n in range(7)])
    reader = Reader(tmp_path)
    batch = reader.take(3)
    assert batch is not None
    assert rids(batch.records) == ["r0", "r1", "r2"]
    assert reader.take(5) is batch
    reader.close()

    reader = Reader(tmp_path)
    again = reader.take(3)
    assert again is not None
    assert again.records == batch.records
    reader.done(batch)
    assert reader.take() is again, "that was another reader's"
    reader.done(again)
    reader.done(again)
    reader.close()
    assert rids(drained(tmp_path)) == ["r3", "r4", "r5", "r6"]
    assert drained(tmp_path) == []


def test_what_was_taken_before_reading_failed_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where many workers wrote, more of one is read in the middle of a batch."""
    for some in ("a", "b"), ("c",), ("d",):
        put(tmp_path, [end(rid) for rid in some])
    for worker in range(1, 8):
        put(tmp_path, [], str(worker))
    segment, opened = segments(tmp_path)[-1], os.open

    def too_many(path: Path, *how: int) -> int:
        if path == segment:
            raise OSError(errno.EMFILE, "Too many open files")
        return opened(path, *how)

    reader = Reader(tmp_path)
    with monkeypatch.context() as crowded:
        crowded.setattr(os, "open", too_many)
        with pytest.raises(OSError, match="Too many open files"):
            reader.take(4)

    batch = reader.take(4)

    assert batch is not None
    assert rids(batch.records) == ["a", "b", "c", "d"]
    reader.done(batch)
    reader.close()
    assert drained(tmp_path) == []


def test_requests_whose_end_lies_ahead_are_known(tmp_path: Path) -> None:
    put(tmp_path, [start("a"), start("b"), progress("b", 5), end("a"), start("c"), end("b")])
    put(tmp_path, [start("d"), progress("d", 6)])
    reader = Reader(tmp_path)
    seen = []
    while (batch := reader.take(3)) is not None:
        seen.append((rids(batch.records), sorted(batch.over), batch.more))
        reader.done(batch)
    reader.close()

    assert seen == [(["a", "c", "b"], ["a", "b"], True), (["d", "d"], [], False)]


def test_of_a_request_that_is_over_nothing_else_is_given_and_nothing_is_kept(
    tmp_path: Path,
) -> None:
    writer = put(tmp_path, [start("a"), start("b"), end("a"), progress("b", 5)], close=False)
    reader = Reader(tmp_path)
    seen = []

    def ship() -> None:
        batch = reader.take()
        assert batch is not None
        seen.append(rids(batch.records))
        reader.done(batch)

    ship()
    left = [reader.open]
    for record in (progress("b", 6), end("b")):
        writer.append(frame(record))
    ship()
    left.append(reader.open)
    reader.close()
    writer.close()

    assert seen == [["b", "a", "b"], ["b"]]
    assert left == [1, 0]


@pytest.mark.parametrize("kind", [start("x"), progress("x", 5)])
def test_a_start_that_makes_no_sense_is_stepped_over(tmp_path: Path, kind: Record) -> None:
    """Which is seen when it is to be booked: what of it is needed before that is well."""
    words = msgspec.msgpack.decode(frame(kind)[8:])
    body = msgspec.msgpack.encode([*words[:3], {}, *words[4:]])
    writer = put(tmp_path, [end("a")], close=False)
    writer.append(len(body).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little") + body)
    writer.append(frame(end("b")))
    writer.close()

    assert rids(drained(tmp_path)) == ["a", "b"]
    assert len(list((tmp_path / "damaged").iterdir())) == 1


def test_what_was_read_ahead_of_a_batch_stays_on_the_disk(tmp_path: Path) -> None:
    """Also of segments of which everything is read, and not booked."""
    put(tmp_path, [end(f"r{n}") for n in range(500)])
    before = len(segments(tmp_path))
    reader = Reader(tmp_path)
    batch = reader.take(250)
    assert batch is not None
    reader.done(batch)
    reader.close()

    assert 0 < len(segments(tmp_path)) < before
    assert rids(drained(tmp_path)) == [f"r{n}" for n in range(250, 500)]


def test_reading_on_while_a_batch_is_booked_loses_and_doubles_nothing(tmp_path: Path) -> None:
    put(tmp_path, [end(f"a{n}", at=n * 2.0) for n in range(200)], "0")
    put(tmp_path, [end(f"b{n}", at=n * 2.0 + 1) for n in range(200)], "1")
    reader = Reader(tmp_path)
    found = []
    while (batch := reader.take(30)) is not None:
        reader.read(1000)
        assert reader.take(7) is batch
        found += rids(batch.records)
        reader.done(batch)
    reader.close()

    assert found == [f"{worker}{n}" for n in range(200) for worker in "ab"]
    assert segments(tmp_path) == segments(tmp_path, "1") == []


def test_a_batch_has_no_more_bytes_than_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.ledger.reading.AHEAD", 2000)
    put(tmp_path, [end(f"r{n}", agent="x" * 900) for n in range(5)])
    reader = Reader(tmp_path)
    sizes = []
    while (batch := reader.take()) is not None:
        sizes.append((len(batch.records), batch.more))
        reader.done(batch)
    reader.close()

    assert sizes == [(2, True), (2, True), (1, False)]


def test_what_is_booked_is_deleted_once_nothing_follows(tmp_path: Path) -> None:
    writer = put(tmp_path, [end(f"r{n}") for n in range(500)], close=False)
    until(lambda: len(segments(tmp_path)) == 4, "the next one is ready")
    reader = Reader(tmp_path)
    left = []
    while (batch := reader.take(100)) is not None:
        reader.done(batch)
        left.append(len(segments(tmp_path)))
    assert left == sorted(left, reverse=True)
    assert left[-1] == 2
    writer.append(frame(end("last")))
    writer.close()
    batch = reader.take()
    assert batch is not None
    assert rids(batch.records) == ["last"]
    assert len(segments(tmp_path)) == 1
    reader.done(batch)
    assert segments(tmp_path) == []
    reader.close()


def test_an_empty_one_is_deleted_too(tmp_path: Path) -> None:
    put(tmp_path, [])
    assert drained(tmp_path) == []
    assert segments(tmp_path) == []


def test_what_lags_is_known(tmp_path: Path) -> None:
    records: list[Record] = [end(f"r{n}") for n in range(300)]
    writer = put(tmp_path, records, close=False)
    reader = Reader(tmp_path)
    assert 0 <= reader.lag - writer.bytes < 100
    batch = reader.take(100)
    assert batch is not None
    assert writer.bytes * 0.9 < reader.lag < writer.bytes * 1.02
    reader.done(batch)
    assert writer.bytes * 0.6 < reader.lag < writer.bytes * 0.7
    while (batch := reader.take()) is not None:
        reader.done(batch)
    assert reader.lag == 0
    reader.close()
    writer.close()


def test_a_damaged_segment_is_read_around_and_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, [end(f"r{n}") for n in range(20)])
    (path,) = segments(tmp_path)
    words = bytearray(path.read_bytes())
    words[FIRST + 40] ^= 1
    path.write_bytes(words)
    reader = Reader(tmp_path)
    with caplog.at_level(logging.WARNING, "headrace"):
        batch = reader.take()
        assert batch is not None
        assert rids(batch.records) == [f"r{n}" for n in range(1, 20)]
        assert reader.damaged == 1
        reader.done(batch)

    assert segments(tmp_path) == []
    (kept,) = (tmp_path / "damaged").iterdir()
    assert kept.read_bytes() == words
    assert "damaged" in caplog.text
    reader.close()


def test_a_segment_that_cannot_be_opened_is_put_aside_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for rid in "abc":
        put(tmp_path, [end(rid)])
    put(tmp_path, [end("d")], "1")
    path = segments(tmp_path)[1]
    path.unlink()
    path.symlink_to(path)  # which nobody can open
    reader = Reader(tmp_path)
    with caplog.at_level(logging.WARNING, "headrace"):
        batch = reader.take()
        assert batch is not None
        assert sorted(rids(batch.records)) == ["a", "c", "d"]
        reader.done(batch)
        assert reader.take() is None

    assert reader.damaged == 1
    assert segments(tmp_path) == []
    assert [one.name for one in (tmp_path / "unread").iterdir()] == [f"0_{path.name}"]
    assert caplog.text.count("cannot be read: Too many levels of symbolic links") == 1
    assert caplog.text.count("was put into") == 1
    reader.close()


def test_a_segment_that_cannot_be_read_again_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, [start("a"), start("b"), end("b")], close=False)
    first = Reader(tmp_path)
    batch = first.take(1)
    assert batch is not None
    first.done(batch)
    first.close()
    path = segments(tmp_path)[0]

    def broken(self: Path) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    reader = Reader(tmp_path)
    with monkeypatch.context() as disk, caplog.at_level(logging.WARNING, "headrace"):
        disk.setattr(Path, "read_bytes", broken)
        assert reader.take() is not None
    reader.close()

    assert f"what was booked of {path} cannot be read again" in caplog.text


def test_no_more_damaged_ones_are_kept_than_anybody_looks_at(tmp_path: Path) -> None:
    for life in range(KEPT + 3):
        put(tmp_path, [end(f"r{life}")])
    for path in segments(tmp_path):
        words = bytearray(path.read_bytes())
        words[FIRST + 40] ^= 1
        path.write_bytes(words)
    last = segments(tmp_path)[-1].name
    assert drained(tmp_path) == []
    kept = sorted(one.name for one in (tmp_path / "damaged").iterdir())
    assert len(kept) == KEPT
    assert kept[-1] == f"0_{last}"


def test_a_record_no_version_wrote_is_stepped_over(tmp_path: Path) -> None:
    writer = put(tmp_path, [end("a")], close=False)
    body = b"\x92\xa1Z\xa1a"
    writer.append(len(body).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little") + body)
    writer.append(frame(end("b")))
    writer.close()

    assert rids(drained(tmp_path)) == ["a", "b"]
    assert len(list((tmp_path / "damaged").iterdir())) == 1


@pytest.mark.parametrize("name", ["offsets", "open"])
@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"\x93"])
def test_what_it_remembered_is_lost(tmp_path: Path, name: str, data: bytes) -> None:
    """Everything is given again, which changes nothing in the database."""
    put(tmp_path, [end(f"r{n}") for n in range(3)])
    (tmp_path / name).write_bytes(data)
    assert rids(drained(tmp_path)) == ["r0", "r1", "r2"]


def test_requests_that_are_open_are_known_to_the_next_reader(tmp_path: Path) -> None:
    """Also those whose segment is deleted."""
    records: list[Record] = [start("a"), start("b"), progress("b", 5)]
    records += [end(f"r{n}") for n in range(300)]
    writer = put(tmp_path, [*records, start("c")], close=False)
    before = segments(tmp_path)[0]
    drained(tmp_path)
    assert not before.exists()

    reader = Reader(tmp_path)
    assert reader.take() is None
    assert reader.open == 3
    for rid in ("a", "b"):
        writer.append(frame(end(rid)))
    batch = reader.take()
    assert batch is not None
    reader.done(batch)
    assert reader.open == 1
    reader.close()
    writer.close()


def test_where_nothing_can_be_written_down_it_is_read_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, [end(f"r{n}") for n in range(20)])
    put(tmp_path, [end(f"s{n}") for n in range(20)])
    with files_of_at_most(0), caplog.at_level(logging.WARNING, "headrace"):
        reader = Reader(tmp_path)
        found = []
        while (batch := reader.take(6)) is not None:
            found += rids(batch.records)
            reader.done(batch)
        reader.close()
    assert found == [f"{kind}{n}" for kind in "rs" for n in range(20)]
    assert len(segments(tmp_path)) == 2
    assert len(caplog.records) == 1
    assert rids(drained(tmp_path)) == found
    assert segments(tmp_path) == []


def test_a_full_disk_is_made_empty_by_reading(tmp_path: Path) -> None:
    """Nothing can be written down, not even in emergency room, and yet what is booked makes room."""
    with disk(tmp_path / "disk", 1 << 20) as small:
        writer = put(small, [start("open"), *(end(f"r{n}") for n in range(400))], close=False)
        writer.append(frame(end("open")))
        writer.close()
        before = len(segments(small))
        fill(small)
        reader = Reader(small)
        found: list[Record] = []
        while (batch := reader.take(100)) is not None:
            found.extend(batch.records)
            reader.done(batch)
        reader.close()
        assert before >= 2
        assert segments(small) == []
        assert len(found) == 402
        assert isinstance(found[-1], End)
