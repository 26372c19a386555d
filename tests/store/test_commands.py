"""`headrace db`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import orjson
import pytest

from proxy.store.commands import status, upgrade
from proxy.store.console import DOWN, OK, UNUSABLE

pytestmark = pytest.mark.allow_blocking("each command has a loop of its own")


def test_upgrade_says_what_it_applied(store_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert upgrade(store_url) == OK
    assert capsys.readouterr() == (
        "",
        "applied 0001_first, schema 1.0\napplied 0002_ledger, schema 1.1\n",
    )

    assert upgrade(store_url) == OK
    assert capsys.readouterr() == ("", "nothing to do: schema 1.1\n")


def test_status_is_for_people_and_for_programs(
    store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(store_url, as_json=False) == DOWN
    shown = capsys.readouterr().out
    assert "pending  0001_first, 0002_ledger\n" in shown
    assert "a-river" not in shown

    upgrade(store_url)
    capsys.readouterr()

    assert status(store_url, as_json=True) == OK
    read = orjson.loads(capsys.readouterr().out)
    assert read.pop("url").startswith(read["backend"])
    assert read.pop("backend") in {"sqlite", "postgresql"}
    assert read == {"schema": "1.1", "newest": "1.1", "applied": 2, "pending": []}


def test_status_does_not_call_a_database_of_a_later_program_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/headrace.db"
    upgrade(url)
    with closing(sqlite3.connect(tmp_path / "headrace.db")) as database, database:
        database.execute("UPDATE headrace_meta SET value = '99.0' WHERE key = 'schema'")

    assert status(url, as_json=False) == UNUSABLE

    out, err = capsys.readouterr()
    assert "schema   99.0" in out
    assert "knows up to 1.1" in err


def test_status_makes_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(f"sqlite:///{tmp_path}/a/b.db", as_json=False) == DOWN
    assert "schema   0.0" in capsys.readouterr().out

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("postgresql://me:a-river@127.0.0.1:1/x", DOWN),
        ("postgresql://me:a-river@[127.0.0.1/x", UNUSABLE),
        ("mysql://me:a-river@127.0.0.1/x", UNUSABLE),
    ],
)
def test_a_database_that_cannot_be_used_is_one_line_and_a_code(
    url: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (upgrade, partial(status, as_json=True)):
        assert command(url) == code
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("headrace: ")
        assert err.count("\n") == 1
        assert "river" not in err


def test_a_damaged_file_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"no database, " * 1000)

    assert upgrade(f"sqlite:///{path}") == UNUSABLE

    assert "restore the file from a backup" in capsys.readouterr().err
