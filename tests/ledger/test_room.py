from __future__ import annotations

import errno
from itertools import count
from pathlib import Path

import pytest

from proxy.ledger.room import Room, release, used, workers
from tests.ledger.samples import SEGMENT, disk, fill

SEQUENCE = count(1)


def room(folder: Path, *, size: int = 100 * SEGMENT, emergency: int = 2 * SEGMENT) -> Room:
    return Room(folder, size=size, segment=SEGMENT, emergency=emergency, spare=None)


def test_segments_of_all_workers_share_what_is_allowed(tmp_path: Path) -> None:
    one, other = room(tmp_path, size=3 * SEGMENT), room(tmp_path, size=3 * SEGMENT)
    made = [
        one.make("0", next(SEQUENCE)),
        other.make("1", next(SEQUENCE)),
        one.make("0", next(SEQUENCE)),
    ]

    assert used(tmp_path) == 3 * SEGMENT
    assert [folder.name for folder in workers(tmp_path)] == ["0", "1"]
    with pytest.raises(OSError, match=r"ledger\.size is reached") as refused:
        other.make("1", next(SEQUENCE))
    assert refused.value.errno == errno.EDQUOT
    # For ends there is as much again as the emergency room has.
    made += [other.make("1", next(SEQUENCE), vital=True), one.make("0", next(SEQUENCE), vital=True)]
    with pytest.raises(OSError, match=r"ledger\.size is reached"):
        one.make("0", next(SEQUENCE), vital=True)
    with pytest.raises(OSError, match=r"ledger\.size is reached"):
        one.check()
    for segment in made:
        segment.discard()
    one.check()
    assert used(tmp_path) == 0


def test_the_emergency_room_has_its_blocks(tmp_path: Path) -> None:
    room(tmp_path).make("0", next(SEQUENCE)).discard()
    room(tmp_path).make("1", next(SEQUENCE)).discard()

    found = (tmp_path / "emergency").stat()
    assert found.st_size == 2 * SEGMENT
    assert found.st_blocks * 512 >= 2 * SEGMENT


def test_without_emergency_room_there_is_no_file(tmp_path: Path) -> None:
    room(tmp_path, emergency=0).make("0", next(SEQUENCE)).discard()
    assert not (tmp_path / "emergency").exists()
    assert not release(tmp_path, SEGMENT)


def test_it_is_given_away_in_pieces(tmp_path: Path) -> None:
    room(tmp_path).make("0", next(SEQUENCE)).discard()
    sizes = []
    while release(tmp_path, SEGMENT + 1):
        sizes.append((tmp_path / "emergency").stat().st_size)
    assert sizes == [SEGMENT - 1, 0]


def test_on_a_full_disk_only_ends_get_room_and_it_is_made_again_first(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", 1 << 20) as small:
        source = room(small)
        source.make("0", next(SEQUENCE)).discard()
        other = fill(small)
        with pytest.raises(OSError, match="No space left"):
            source.make("0", next(SEQUENCE))
        made = [source.make("0", next(SEQUENCE), vital=True)]
        assert (small / "emergency").stat().st_size == SEGMENT
        with pytest.raises(OSError, match="No space left"):
            source.make("0", next(SEQUENCE))
        with pytest.raises(OSError, match="No space left"):
            source.check()
        assert (small / "emergency").stat().st_size == SEGMENT

        other.unlink()
        source.check()
        assert (small / "emergency").stat().st_size == 2 * SEGMENT
        made.append(source.make("0", next(SEQUENCE)))
        for segment in made:
            segment.discard()
