from __future__ import annotations

import os
import shutil
import struct
import tempfile
import zlib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.ledger.cursor import CHUNK, PIECE, Cursor, bodies
from proxy.ledger.records import HEAD, Content, encode, frame
from proxy.ledger.segments import CLOSED, FIRST, Segment, seal
from tests.ledger.samples import end, no_descriptors

MARK = b"\x01mark\x02\x03\xff"
NAMES = tuple(f"000000000000{n}-{MARK.hex()}.wal" for n in (1, 2, 3))
BODIES = [
    encode(Content(f"r{n}", float(n), "q" * (n * 7 % 90), MARK.decode("latin-1")))
    for n in range(24)
]


def framed(bodies: list[bytes]) -> list[bytes]:
    return [MARK + HEAD.pack(len(body), zlib.crc32(body)) + body for body in bodies]


def segment(frames: list[bytes], *, closed: bool = True, tail: bytes = bytes(300)) -> bytes:
    head = tempfile.mkdtemp()
    made = Segment(Path(head), "0", 4096, mapped=False)
    header = os.pread(made.fd, FIRST, 0)
    made.discard()
    os.rmdir(head)
    return header + b"".join(frames) + (seal(MARK, CLOSED) if closed else b"") + tail


FRAMES = framed(BODIES)
WHOLE = segment(FRAMES)
PLACES = [FIRST + sum(map(len, FRAMES[:n])) for n in range(len(FRAMES) + 1)]


def put(folder: Path, *contents: bytes) -> Path:
    for name, content in zip(NAMES, contents, strict=False):
        (folder / name).write_bytes(content)
    return folder


def read(cursor: Cursor) -> list[bytes]:
    cursor.refresh()
    found = []
    while (body := cursor.next()) is not None:
        found.append(body)
    return found


def test_frames_come_in_order_over_all_segments(tmp_path: Path) -> None:
    cursor = Cursor(put(tmp_path, segment(FRAMES[:10]), segment(FRAMES[10:])), {})

    assert read(cursor) == BODIES
    assert cursor.finished == list(NAMES[:2])
    assert cursor.bad == 0
    assert read(cursor) == []


def test_what_is_at_hand_of_one_segment_comes_together(tmp_path: Path) -> None:
    words = bytearray(segment(FRAMES[:10]))
    words[PLACES[6] + 20] ^= 1
    cursor = Cursor(put(tmp_path, bytes(words), segment(FRAMES[10:])), {})
    cursor.refresh()
    runs = []
    while run := cursor.run(4):
        runs.append((cursor.name, run))
        assert cursor.at == run[-1][1]

    expected = [(NAMES[0], range(4)), (NAMES[0], range(4, 6)), (NAMES[0], range(7, 10))]
    expected += [(NAMES[1], range(n, min(n + 4, 24))) for n in range(10, 24, 4)]
    places = [*PLACES[:11], *(FIRST + place - PLACES[10] for place in PLACES[11:])]
    assert runs == [(name, [(BODIES[n], places[n + 1]) for n in those]) for name, those in expected]
    assert cursor.bad == 1


def test_it_begins_where_it_is_told(tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []
    folder = put(tmp_path, segment(FRAMES[:10]), segment(FRAMES[10:]))
    cursor = Cursor(folder, {NAMES[0]: PLACES[4]})
    cursor.opened = lambda name, at: told.append((name, at))

    assert read(cursor) == BODIES[4:]
    assert told == [(NAMES[0], PLACES[4]), (NAMES[1], FIRST)]
    cursor.close()


@pytest.mark.parametrize("closed", [True, False])
def test_it_waits_for_the_end_of_what_is_being_copied(tmp_path: Path, closed: bool) -> None:
    """Byte for byte, as a copy into memory may be seen from another process."""
    path = put(tmp_path, WHOLE[: PLACES[22]].ljust(len(WHOLE), b"\0")) / NAMES[0]
    cursor = Cursor(tmp_path, {})
    assert read(cursor) == BODIES[:22]
    last = FRAMES[22]
    for have in range(0, len(last), 5):
        path.write_bytes(WHOLE[: PLACES[22] + have].ljust(len(WHOLE), b"\0"))
        assert read(cursor) == []
    path.write_bytes(WHOLE if closed else WHOLE[: PLACES[24]])
    assert read(cursor) == BODIES[22:]
    assert cursor.finished == ([NAMES[0]] if closed else [])
    assert cursor.bad == 0
    cursor.close()


def test_a_seal_at_the_end_of_the_file_closes_it(tmp_path: Path) -> None:
    cursor = Cursor(put(tmp_path, segment(FRAMES, tail=b"")), {})
    assert read(cursor) == BODIES
    assert read(cursor) == []
    assert cursor.finished == [NAMES[0]]


def test_a_seal_is_enough_though_the_file_was_not_cut(tmp_path: Path) -> None:
    cursor = Cursor(put(tmp_path, WHOLE), {})
    assert read(cursor) == BODIES
    assert read(cursor) == []
    assert cursor.finished == [NAMES[0]]


def test_damage_to_the_segment_in_use_waits_until_it_is_closed(tmp_path: Path) -> None:
    """Until then it could be a record that is being copied."""
    words = bytearray(segment(FRAMES[:10], closed=False))
    words[PLACES[4] + 20] ^= 1
    cursor = Cursor(put(tmp_path, bytes(words), segment([], closed=False)), {})
    assert read(cursor) == BODIES[:4]
    assert read(cursor) == []
    assert cursor.bad == 0
    (tmp_path / NAMES[1]).write_bytes(segment(FRAMES[10:11], closed=False))
    assert read(cursor) == BODIES[5:11]
    assert cursor.bad == 1
    cursor.close()


@pytest.mark.parametrize("torn", [0, 3, 8, 12, 16, 40])
def test_a_torn_tail_of_a_dead_worker_is_no_damage(tmp_path: Path, torn: int) -> None:
    first = segment(FRAMES[:10], closed=False, tail=FRAMES[10][:torn].ljust(500, b"\0"))
    cursor = Cursor(put(tmp_path, first, segment(FRAMES[11:])), {})

    assert read(cursor) == BODIES[:10] + BODIES[11:]
    assert cursor.bad == 0
    assert cursor.damaged == set()
    cursor.close()


def test_a_frame_larger_than_what_is_read_at_once(tmp_path: Path) -> None:
    large = [b"x" * (CHUNK * 2), b"y", b"z" * (CHUNK - 40), b"w" * (CHUNK - 1)]
    cursor = Cursor(put(tmp_path, segment(framed(large))), {})
    assert read(cursor) == large
    assert [len(one) for one in bodies(tmp_path, NAMES[0])] == [len(one) for one in large]


def test_one_of_a_later_version_is_left_alone(tmp_path: Path) -> None:

    words = bytearray(WHOLE)
    words[8:10] = b"\x02\x00"
    size = struct.calcsize("<8sHdIQ36s32s")
    words[size : size + 4] = zlib.crc32(bytes(words[:size])).to_bytes(4, "little")
    cursor = Cursor(put(tmp_path, bytes(words), segment(FRAMES[:3])), {})

    assert read(cursor) == BODIES[:3]
    assert cursor.damaged == {NAMES[0]}
    cursor.close()


def test_one_that_is_gone_is_passed_over(tmp_path: Path) -> None:
    cursor = Cursor(put(tmp_path, segment(FRAMES[:3]), segment(FRAMES[3:6])), {})
    cursor.refresh()
    (tmp_path / NAMES[0]).unlink()
    assert cursor.next() == BODIES[3]
    cursor.close()


def test_one_that_cannot_be_opened_is_read_when_it_can_be(tmp_path: Path) -> None:
    cursor = Cursor(put(tmp_path, segment(FRAMES[:3]), segment(FRAMES[3:6])), {})
    cursor.refresh()
    with no_descriptors(), pytest.raises(OSError, match="Too many open files"):
        cursor.next()

    assert cursor.finished == []
    assert read(cursor) == BODIES[:6]


def test_one_that_is_beyond_reach_does_not_hold_up_what_is_behind_it(tmp_path: Path) -> None:
    cursor = Cursor(put(tmp_path, *(segment(FRAMES[n : n + 3]) for n in (0, 3, 6))), {})
    nobodys = tmp_path / NAMES[1]
    nobodys.unlink()
    nobodys.symlink_to(nobodys)  # which nobody can open

    assert read(cursor) == BODIES[:3] + BODIES[6:9]
    assert cursor.finished == list(NAMES[:3])
    assert (cursor.unread, cursor.bad) == ({NAMES[1]}, 1)


def test_the_last_one_is_read_when_it_can_be(tmp_path: Path) -> None:
    cursor = Cursor(put(tmp_path, segment(FRAMES[:3]), segment(FRAMES[3:6])), {})
    last = tmp_path / NAMES[1]
    aside = last.rename(tmp_path / "aside")
    last.symlink_to(last)

    assert read(cursor) == BODIES[:3]
    assert read(cursor) == []
    assert (cursor.unread, cursor.bad) == ({NAMES[1]}, 1)
    aside.replace(last)
    assert read(cursor) == BODIES[3:6]
    assert (cursor.unread, cursor.finished) == (set(), list(NAMES[:2]))


def test_what_waits_is_measured(tmp_path: Path) -> None:
    cursor = Cursor(
        put(tmp_path, segment(FRAMES, tail=b""), segment(FRAMES[:10], closed=False)), {}
    )
    cursor.refresh()
    whole = sum(map(len, FRAMES))
    assert cursor.waiting == whole + sum(map(len, FRAMES[:10]))
    for _ in range(24):
        cursor.next()
    assert cursor.waiting == sum(map(len, FRAMES[:10]))
    assert len(read(cursor)) == 10
    assert cursor.waiting == 0
    cursor.close()


@pytest.mark.parametrize("long", [1, 100, PIECE - 20, PIECE - 1, PIECE, PIECE * 3])
def test_what_waits_is_measured_over_many_pieces(tmp_path: Path, long: int) -> None:
    frames = framed([b"x" * (long + n) for n in range(40)])
    cursor = Cursor(put(tmp_path, segment(frames, closed=False)), {})
    cursor.refresh()

    assert cursor.waiting == sum(map(len, frames))
    assert len(read(cursor)) == 40
    assert cursor.waiting == 0
    cursor.close()


# --- damage ---

Damage = tuple[int, bytes]
damages = st.lists(
    st.tuples(
        st.integers(0, len(WHOLE) - 1),
        st.one_of(
            st.binary(min_size=1, max_size=4),
            st.integers(1, 600).map(bytes),
            st.integers(0, 23).map(lambda n: FRAMES[n]),
            st.just(MARK),
            st.just(FRAMES[0][16:]),
        ),
    ),
    min_size=1,
    max_size=4,
)


def spoiled(damage: list[Damage]) -> tuple[bytes, set[int]]:
    """The segment, and the frames of which a byte is another one."""
    words = bytearray(WHOLE)
    for at, put_there in damage:
        piece = put_there[: len(WHOLE) - at]
        words[at : at + len(piece)] = piece
    touched = {
        n
        for n in range(len(FRAMES))
        if words[PLACES[n] : PLACES[n + 1]] != WHOLE[PLACES[n] : PLACES[n + 1]]
    }
    return bytes(words), touched


@given(damages)
@example([(PLACES[-1], b"\0"), (PLACES[-2] + 4, b"\0")])
@example([(PLACES[-2] + 4, b"\0")])
def test_damage_costs_the_records_it_hits_and_no_other(damage: list[Damage]) -> None:
    words, touched = spoiled(damage)
    folder = Path(tempfile.mkdtemp())
    try:
        cursor = Cursor(put(folder, words, WHOLE), {})
        found = read(cursor)
        cursor.close()
        # A copy of a whole frame, put where it is aligned by chance, is a record that was written.
        first, rest = found[: len(found) - len(BODIES)], found[len(found) - len(BODIES) :]
        assert rest == BODIES
        assert set(first) <= set(BODIES)
        kept = [body for n, body in enumerate(BODIES) if n not in touched]
        if not any(len(piece) > 4 for _, piece in damage):
            assert first == kept
            # Behind the last whole frame, and without its seal, damage looks like a copy that was cut off.
            seal_at = PLACES[-1]
            sealed = words[seal_at : seal_at + 16] == WHOLE[seal_at : seal_at + 16]
            seen = touched if sealed else {n for n in touched if n < max(set(range(24)) - touched)}
            assert bool(cursor.bad) == bool(seen)
            assert bool(cursor.damaged) == bool(seen)
    finally:
        shutil.rmtree(folder)


@given(damages)
def test_damage_to_the_segment_in_use_never_raises_nor_invents(damage: list[Damage]) -> None:
    words, _ = spoiled(damage)
    folder = Path(tempfile.mkdtemp())
    try:
        cursor = Cursor(put(folder, words), {})
        assert set(read(cursor)) <= set(BODIES)
        cursor.close()
        assert set(bodies(folder, NAMES[0])) <= set(BODIES)
    finally:
        shutil.rmtree(folder)


@given(st.binary(max_size=3000))
def test_any_file_is_read(words: bytes) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        cursor = Cursor(put(folder, words, WHOLE), {})
        assert read(cursor) == BODIES
        cursor.close()
    finally:
        shutil.rmtree(folder)


def test_a_record_inside_a_record_is_not_taken_for_one(tmp_path: Path) -> None:
    """A client sends the bytes of a frame, and just that record is damaged: the mark of the segment is not known to it."""
    forged = frame(end("forged"))
    outer = framed([b"text of a client: " + b"\x00" * 8 + forged, b"next"])
    damaged = outer[0][:20] + b"?" + outer[0][21:]
    cursor = Cursor(put(tmp_path, segment([damaged, outer[1]]), WHOLE), {})

    assert read(cursor) == [b"next", *BODIES]
    assert cursor.bad == 1
    cursor.close()
