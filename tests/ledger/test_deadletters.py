from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest

from proxy.core import clock
from proxy.ledger.deadletters import NAME, DeadLetter, bury, dead_letters
from proxy.ledger.records import Adjust, Charged, Content, Record
from tests.ledger.samples import end, files_of_at_most, progress, start


def test_what_was_set_aside_is_read_back(tmp_path: Path, hands: clock.Hands) -> None:
    """G7."""
    folder = tmp_path / "ledger"
    records: list[Record] = [
        start("a"), progress("a", 5), end("a", agent="nul \0"), Content("b", 1.0, "q", "\0"),
        Adjust("c", 1.0, Charged("key:1", 0, 0), 1, 2, 3),
    ]  # fmt: skip
    for record in records:
        bury(folder, record, "a string has a NUL")

    assert list(dead_letters(folder)) == [
        DeadLetter(hands.now(), "a string has a NUL", record) for record in records
    ]
    assert stat.S_IMODE((folder / NAME).stat().st_mode) == 0o600


def test_a_person_can_read_it(tmp_path: Path) -> None:
    bury(tmp_path, end("a"), "numeric field overflow")

    line = msgspec.json.decode((tmp_path / NAME).read_bytes())
    assert line["reason"] == "numeric field overflow"
    assert line["kind"] == "End"
    assert line["says"]["key"] == "one"
    assert line["says"]["tokens"]["output"] == 30
    assert line["says"]["charges"][0]["subject"] == "key:1"


def test_there_are_none(tmp_path: Path) -> None:
    assert list(dead_letters(tmp_path)) == []
    assert list(dead_letters(tmp_path / "missing")) == []


def test_a_line_that_was_cut_off_harms_no_other(tmp_path: Path) -> None:
    bury(tmp_path, end("a"), "why")
    path = tmp_path / NAME
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:50])
    bury(tmp_path, end("b"), "why")

    assert [one.record.rid for one in dead_letters(tmp_path)] == ["a", "b"]


def test_without_room_nothing_changes_and_it_says_so(tmp_path: Path) -> None:
    bury(tmp_path, end("a"), "why")
    before = (tmp_path / NAME).read_bytes()
    with files_of_at_most(len(before) + 20), pytest.raises(OSError, match=r"No space|too large"):
        bury(tmp_path, end("b"), "why")
    assert (tmp_path / NAME).read_bytes() == before
