"""The copy on disk comes back as it was, to whoever has the key, or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.records import Kind, Record
from proxy.core.secret import Secret
from proxy.core.vault import Vault
from proxy.store import disk
from proxy.store.disk import Copy, PepperRow, Unreadable

URL = "postgresql://headrace@db.test/headrace"
VAULT = Vault([Secret("Jq7vT2mXc9Lr4KfWz8Pb1NsYd6HgEa3U")])
OTHER = Vault([Secret("aZ3xC6vB9nM2qW5eR8tY1uI4oP7sD0fG")])
PEPPERS = (PepperRow("ab12", "v1.sealed", 1_800_000_000.5),)


def records(number: int) -> list[Record]:
    return [
        Record(
            kind=Kind.KEY,
            id=index,
            revision=index,
            name=f"key {index}",
            spec=b'{"models":["gpt-4o"]}',
            private=b'[{"digest":"00"}]',
            created=1.5,
            updated=2.5,
        )
        for index in range(1, number + 1)
    ]


def copy(number: int = 3, revision: int = 7) -> Copy:
    return Copy(URL, revision, records(number), PEPPERS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "headrace.snapshot"


def fields(record: Record) -> tuple[object, ...]:
    return tuple(getattr(record, name) for name in Record.__struct_fields__)


@pytest.mark.parametrize(
    "number", [0, 1, disk.PIECE, disk.PIECE + 1, 3 * disk.PIECE], ids=lambda n: f"{n} records"
)
def test_what_is_written_is_read(path: Path, number: int) -> None:
    written = copy(number)

    disk.write(path, written, VAULT)
    found = disk.read(path, URL, VAULT)

    assert found is not None
    assert [*map(fields, found.records)] == [*map(fields, written.records)]
    assert (found.revision, tuple(found.peppers)) == (7, PEPPERS)
    assert found.confirmed == path.stat().st_mtime


@given(
    name=st.text(max_size=20),
    spec=st.binary(max_size=50),
    sealed=st.text(max_size=20),
    id=st.integers(0, 2**53),
)
def test_any_record_survives(
    tmp_path_factory: pytest.TempPathFactory, name: str, spec: bytes, sealed: str, id: int
) -> None:
    record = Record("model", id, id, name=name, spec=spec, sealed=sealed, parent=id)
    path = tmp_path_factory.getbasetemp() / "any.snapshot"

    disk.write(path, Copy(URL, id, [record]), VAULT)

    found = disk.read(path, URL, VAULT)
    assert found is not None
    assert [*map(fields, found.records)] == [fields(record)]


def test_only_its_owner_can_read_it(path: Path) -> None:
    disk.write(path, copy(), VAULT)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_in_it_can_be_read(path: Path) -> None:
    disk.write(path, copy(), VAULT)

    content = path.read_bytes()
    for word in (b"gpt-4o", b"key 1", b"v1.sealed", b"db.test"):
        assert word not in content


def test_the_next_takes_the_place_of_the_last_and_leaves_nothing_else(path: Path) -> None:
    disk.write(path, copy(3, revision=7), VAULT)
    disk.write(path, copy(2, revision=9), VAULT)

    found = disk.read(path, URL, VAULT)

    assert found is not None
    assert (found.revision, len(found.records)) == (9, 2)
    assert os.listdir(path.parent) == [path.name]


def test_one_that_cannot_be_written_leaves_the_last(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.write(path, copy(), VAULT)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        disk.write(path, copy(1, revision=8), VAULT)

    found = disk.read(path, URL, VAULT)
    assert found is not None
    assert found.revision == 7
    assert os.listdir(path.parent) == [path.name]


def test_where_there_is_none_there_is_none(path: Path) -> None:
    assert disk.read(path, URL, VAULT) is None
    disk.confirm(path)
    assert not path.exists()


def test_one_that_is_confirmed_is_as_good_as_new(path: Path) -> None:
    disk.write(path, copy(), VAULT)
    os.utime(path, (1_000.0, 1_000.0))

    disk.confirm(path)

    found = disk.read(path, URL, VAULT)
    assert found is not None
    assert found.confirmed > 1_000_000_000


def damaged(content: bytes) -> dict[str, bytes]:
    """What may have become of it."""
    magic, header, *pieces, end = content.split(b"\n")
    assert (len(pieces), end) == (2, b"")
    flipped = bytearray(content)
    flipped[-30] ^= 1
    return {
        "empty": b"",
        "cut": content[: len(content) // 2],
        "cut after a piece": b"\n".join((magic, header, pieces[0], b"")),
        "cut at its last byte": content[:-1],
        "one bit": bytes(flipped),
        "pieces swapped": b"\n".join((magic, header, pieces[1], pieces[0], b"")),
        "a piece twice": b"\n".join((magic, header, pieces[0], pieces[0], b"")),
        "another format": content.replace(b"headrace-copy 1", b"headrace-copy 2"),
        "no text": b"headrace-copy 1\n\xff\xfe\n",
        "nothing sealed": magic + b"\n\n",
        "something else": b"SQLite format 3\x00" + bytes(4000),
    }


@pytest.mark.parametrize(
    "what",
    [
        "empty",
        "cut",
        "cut after a piece",
        "cut at its last byte",
        "one bit",
        "pieces swapped",
        "a piece twice",
        "another format",
        "no text",
        "nothing sealed",
        "something else",
    ],
)
def test_one_that_was_damaged_is_not_used(path: Path, what: str) -> None:
    disk.write(path, copy(disk.PIECE + 1), VAULT)
    path.write_bytes(damaged(path.read_bytes())[what])

    with pytest.raises(Unreadable):
        disk.read(path, URL, VAULT)


def test_a_piece_of_an_older_copy_does_not_fit(path: Path, tmp_path: Path) -> None:
    disk.write(path, copy(revision=8), VAULT)
    older = tmp_path / "older"
    disk.write(older, copy(revision=7), VAULT)
    magic, header, *_ = path.read_bytes().split(b"\n")
    _, _, *pieces = older.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join((magic, header, *pieces)))

    with pytest.raises(Unreadable):
        disk.read(path, URL, VAULT)


def test_another_key_does_not_open_it(path: Path) -> None:
    disk.write(path, copy(), OTHER)

    with pytest.raises(Unreadable, match="master key"):
        disk.read(path, URL, VAULT)


def test_one_of_another_database_is_not_used(path: Path) -> None:
    disk.write(path, Copy("postgresql://headrace@other.test/headrace", 7, records(1)), VAULT)

    with pytest.raises(Unreadable):
        disk.read(path, URL, VAULT)


def test_a_place_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="directory"):
        disk.read(tmp_path, URL, VAULT)
