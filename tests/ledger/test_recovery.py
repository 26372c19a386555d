from __future__ import annotations

import logging
import random
from collections import Counter
from pathlib import Path
from threading import Event, Thread

import pytest

from proxy.ledger.cursor import bodies
from proxy.ledger.reading import Reader
from proxy.ledger.records import Adjust, End, Record, Start, Tokens, frame, parse
from proxy.ledger.recovery import recover
from proxy.ledger.spool import Spool
from tests.ledger.samples import (
    CHARGES,
    SEGMENT,
    SIZE,
    disk,
    drained,
    end,
    fill,
    progress,
    segments,
    start,
    until,
)
from tests.ledger.writer import Writers


def leave(folder: Path, *records: Record, worker: str = "0", ready: bool = False) -> None:
    """As a worker that was killed: the segment in use stays as it is; perhaps the next one was ready."""
    writer = Spool(folder, worker, size=SIZE, segment=SEGMENT, emergency=0)
    for record in records:
        writer.append(frame(record))
    until(lambda: is_ready(folder, worker), "the next one is ready")
    found = segments(folder, worker)
    in_use, empty = ((path, path.read_bytes()) for path in found[-2:])
    writer.close()
    in_use[0].write_bytes(in_use[1])
    if ready:
        empty[0].write_bytes(empty[1])


def is_ready(folder: Path, worker: str) -> bool:
    """The last segment is empty, and what was written last is in the one before."""
    found = segments(folder, worker)
    return len(found) > 1 and not any(found[-1].read_bytes()[128:200])


def filler(count: int = 150) -> list[Record]:
    return [end(f"f{n}") for n in range(count)]


def ends(folder: Path) -> dict[str, End]:
    found = [one for one in drained(folder) if isinstance(one, End)]
    assert len({one.rid for one in found}) == len(found), "one is ended twice"
    return {one.rid: one for one in found}


def test_what_had_only_begun_is_charged_its_prompt(tmp_path: Path) -> None:
    leave(tmp_path, start("a"), end("a"), start("b"))
    told: dict[int, End | Adjust] = {}

    assert recover(tmp_path, "0", lambda one, at: told.update({at: one})) == 1

    found = ends(tmp_path)
    assert found["a"] == end("a")
    one = found["b"]
    assert list(told.values()) == [end("a"), one]
    assert sorted(told) == list(told)
    begun = start("b")
    for name in set(Start.__struct_fields__) & set(End.__struct_fields__) - {"cost"}:
        assert getattr(one, name) == getattr(begun, name), name
    assert (one.outcome, one.source, one.status) == ("unknown", "estimated", 0)
    assert (one.cost, one.estimate, one.cost_upstream) == (70, 70, 70)
    assert one.tokens == Tokens(input=12)
    assert one.charges == CHARGES
    assert [(t.number, t.outcome, t.cost) for t in one.tries] == [(1, "unknown", 70)]


def test_what_went_on_is_charged_as_far_as_it_was(tmp_path: Path) -> None:
    leave(tmp_path, start("a"), progress("a", 5, 80), start("a", 2), progress("a", 50, 95))
    assert recover(tmp_path, "0") == 1

    one = ends(tmp_path)["a"]
    assert one.tokens == Tokens(input=12, output=50)
    assert (one.cost, one.estimate) == (95, 95)
    assert one.deployment == "d2"
    assert [(t.number, t.deployment, t.cost) for t in one.tries] == [(1, "d1", -1), (2, "d2", 95)]


def test_without_a_price_the_cost_is_unknown(tmp_path: Path) -> None:
    leave(tmp_path, start("a", likely=-1))
    recover(tmp_path, "0")
    one = ends(tmp_path)["a"]
    assert (one.cost, one.estimate, one.cost_upstream) == (-1, -1, -1)


def test_again_it_finds_nothing(tmp_path: Path) -> None:
    leave(tmp_path, start("a"), start("b"))
    told: list[str] = []

    def tell(one: End | Adjust, _: int) -> None:
        told.append(one.rid)

    assert [recover(tmp_path, "0", tell) for _ in range(3)] == [2, 0, 0]
    assert set(ends(tmp_path)) == {"a", "b"}
    assert sorted(told) == ["a", "b"]
    assert recover(tmp_path, "0", tell) == 0


def test_what_is_to_be_counted_is_told_out_of_the_last_segment(tmp_path: Path) -> None:
    """And the last few before; not what an operator took back, which was counted before it was written."""
    tried = [Adjust(f"a{n}", 1000.0, CHARGES[0], 1, 0, 0) for n in range(2)]
    back = Adjust("back", 1000.0, CHARGES[0], -1, -2, -3)
    leave(tmp_path, *filler(250), start("open"), *tried, back, end("last"), ready=True)
    told: list[str] = []
    *_, before, last, _ready = segments(tmp_path)

    recover(tmp_path, "0", lambda one, _: told.append(one.rid))

    rids = [
        [
            one.rid
            for one in map(parse, bodies(each.parent, each.name))
            if one not in (back, start("open"))
        ]
        for each in (before, last)
    ]
    assert told == [*rids[0][-8:], *rids[1], "open"]
    assert told[-4:] == ["a0", "a1", "last", "open"]


@pytest.mark.parametrize("ready", [False, True])
def test_the_next_segment_may_have_been_ready(tmp_path: Path, ready: bool) -> None:
    leave(tmp_path, start("a"), start("b"), end("b"), ready=ready)
    assert [recover(tmp_path, "0") for _ in range(2)] == [1, 0]
    leave(tmp_path, start("c"), end("c"), ready=ready)
    assert [recover(tmp_path, "0") for _ in range(2)] == [0, 0]
    assert set(ends(tmp_path)) == {"a", "b", "c"}
    assert segments(tmp_path) == []


def test_there_is_nothing_to_recover(tmp_path: Path) -> None:
    assert recover(tmp_path / "missing", "0") == 0
    leave(tmp_path, start("a"), end("a"))
    assert recover(tmp_path, "0") == 0
    (path,) = segments(tmp_path)
    assert path.stat().st_size < SEGMENT // 2
    assert set(ends(tmp_path)) == {"a"}
    assert segments(tmp_path) == []


def test_one_worker_is_recovered_not_the_others(tmp_path: Path) -> None:
    leave(tmp_path, start("a"), worker="0")
    leave(tmp_path, start("b"), worker="1")
    assert recover(tmp_path, "1") == 1
    assert set(ends(tmp_path)) == {"b"}


def test_each_life_is_recovered_by_itself(tmp_path: Path) -> None:
    for life in range(4):
        leave(tmp_path, start(f"r{life}"), *filler(2))
        assert recover(tmp_path, "0") == 1
    assert recover(tmp_path, "0") == 0
    assert {rid for rid in ends_of_all(tmp_path) if rid[0] == "r"} == {"r0", "r1", "r2", "r3"}


def ends_of_all(folder: Path) -> list[str]:
    return [one.rid for one in drained(folder) if isinstance(one, End)]


def test_lives_that_nobody_recovered_are(tmp_path: Path) -> None:
    """The host lost its power several times, say."""
    for life in range(3):
        leave(tmp_path, start(f"r{life}"))
    assert recover(tmp_path, "0") == 3
    assert set(ends(tmp_path)) == {"r0", "r1", "r2"}


@pytest.mark.parametrize("restarted", [False, True])
def test_what_began_in_a_segment_that_is_gone_is_ended(tmp_path: Path, restarted: bool) -> None:
    """The reader had booked and deleted it; so it had the last progress."""
    leave(
        tmp_path, start("a"), *filler(), start("b"), progress("a", 40, 88), *filler(), start("c"),
        end("b"),
    )  # fmt: skip
    before = segments(tmp_path)
    reader = Reader(tmp_path, whole=True)
    for _ in range(3):
        batch = reader.take(100)
        assert batch is not None
        reader.done(batch)
        if restarted:
            reader.close()
            reader = Reader(tmp_path, whole=True)
    reader.close()
    assert len(segments(tmp_path)) < len(before)

    assert recover(tmp_path, "0") == 2
    assert recover(tmp_path, "0") == 0
    found = [one for one in drained(tmp_path) if isinstance(one, End)]
    unknown = {one.rid: one for one in found if one.outcome == "unknown"}
    assert set(unknown) == {"a", "c"}
    assert unknown["a"].tokens.output == 40
    assert unknown["a"].cost == 88


def test_what_was_ended_behind_a_segment_that_is_gone_is_not_ended_again(tmp_path: Path) -> None:
    leave(tmp_path, start("a"), *filler(300), end("a"), *filler(300), start("b"))
    drained(tmp_path)
    assert len(segments(tmp_path)) == 1
    assert recover(tmp_path, "0") == 1
    assert set(ends(tmp_path)) == {"b"}
    leave(tmp_path, start("c"))
    assert recover(tmp_path, "0") == 1
    assert set(ends(tmp_path)) == {"c"}


def test_a_torn_tail_is_no_end(tmp_path: Path) -> None:
    leave(tmp_path, start("a"))
    (path,) = segments(tmp_path)
    words = bytearray(path.read_bytes())
    at = len(words.rstrip(b"\0"))
    torn = words[128:136] + frame(end("a"))
    words[at : at + 150] = torn[:150]
    path.write_bytes(words)

    assert recover(tmp_path, "0") == 1
    reader = Reader(tmp_path, whole=True)
    batch = reader.take()
    assert batch is not None
    assert [type(one) for one in batch.records] == [Start, End]
    assert reader.damaged == 0
    reader.close()


def test_damage_loses_no_other_request(tmp_path: Path) -> None:
    leave(tmp_path, start("a"), start("b"), start("c"))
    (path,) = segments(tmp_path)
    words = bytearray(path.read_bytes())
    words[words.find(b"\xa1b")] ^= 1
    path.write_bytes(words)
    assert recover(tmp_path, "0") == 2
    assert set(ends(tmp_path)) == {"a", "c"}


def test_killed_in_the_middle_it_is_done_again(tmp_path: Path) -> None:
    chance = random.Random(2)
    records: list[Record] = [start(f"r{n}") for n in range(2000)]
    told: Counter[str] = Counter()
    with Writers() as writers:
        for life in range(10):
            folder = tmp_path / str(life)
            leave(folder, *records)
            pid = writers.recover(folder, "0")
            Event().wait(chance.uniform(0.0, 0.06))
            writers.kill(pid)
            recover(folder, "0", lambda one, _: told.update([one.rid]))
            assert recover(folder, "0") == 0
            assert set(ends(folder)) == {record.rid for record in records}
    assert max(told.values(), default=0) <= 10


def test_a_reader_may_delete_meanwhile(tmp_path: Path) -> None:
    for life in range(10):
        folder = tmp_path / str(life)
        records: list[Record] = []
        for n in range(600):
            records += [start(f"r{n}"), end(f"r{n}")]
        leave(folder, start("open"), *records)
        found: list[Record] = []
        stop = Event()

        def read(folder: Path = folder, found: list[Record] = found, stop: Event = stop) -> None:
            reader = Reader(folder, whole=True)
            while True:
                last = stop.is_set()
                while (batch := reader.take(200)) is not None:
                    found.extend(batch.records)
                    reader.done(batch)
                if last:
                    reader.close()
                    return

        thread = Thread(target=read)
        thread.start()
        try:
            assert recover(folder, "0") == 1
        finally:
            stop.set()
            thread.join()
        assert [one.rid for one in found if isinstance(one, End)][-1] == "open"
        assert len(found) == 1202


def test_without_room_the_next_one_finds_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with disk(tmp_path / "disk", 1 << 20) as small:
        leave(small, start("a"))
        other = fill(small)
        with caplog.at_level(logging.WARNING, "headrace"):
            assert recover(small, "0") == 0
        assert "no room for the ends of 1 requests" in caplog.text
        other.unlink()
        assert recover(small, "0") == 1
        assert set(ends(small)) == {"a"}


def test_it_may_take_emergency_room(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", 1 << 20) as small:
        writer = Spool(small, "1", size=SIZE, segment=SEGMENT, emergency=SEGMENT)
        leave(small, start("a"))
        fill(small)
        assert recover(small, "0") == 1
        assert (small / "emergency").stat().st_size < SEGMENT
        writer.close()
        assert set(ends(small)) == {"a"}
