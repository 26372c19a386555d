"""What of each record is written."""

from __future__ import annotations

import re

import pytest

from proxy.ledger.records import Tokens
from proxy.store.ledger import rows, sums
from proxy.store.ledger.requests import Attempt, Entry
from proxy.store.migrations import SQL
from tests.store.ledger.made import AT, attempt, end, progress, start


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        (rows.START, rows.of_start(start("a"), 7.0)),
        (rows.PROGRESS, rows.of_progress(progress("a"), 7.0)),
        (rows.END, rows.of_end(end("a"), 7.0)),
        (rows.ATTEMPT, rows.of_try("a", attempt(1))),
    ],
)
def test_a_row_is_as_long_as_its_columns(columns: tuple[str, ...], row: tuple[object, ...]) -> None:
    assert len(columns) == len(set(columns)) == len(row)
    named = dict(zip(columns, row, strict=True))
    assert named["rid"] == "a"
    assert named.get("booked", 7.0) == 7.0


def test_every_field_of_an_end_has_the_column_of_its_name() -> None:
    tokens = Tokens(1, 2, 3, 4, 5, 6, 7, 8, 9.5)
    one = end("a", at=AT, tokens=tokens, queue_ms=0.25, estimate=-1, overhead_ms=-1.0)
    named = dict(zip(rows.END, rows.of_end(one, 7.0), strict=True))

    for name in one.__struct_fields__:
        if name in ("tokens", "tries", "charges"):
            continue
        value = getattr(one, name)
        assert named[name] == (None if value == -1 else value), name
    for name in tokens.__struct_fields__:
        assert named[name] == getattr(tokens, name), name
    assert named["attempt"] == 2


def test_the_log_shows_every_column_but_those_of_the_booking_itself() -> None:
    assert {*rows.END, "phase"} == {*Entry.__struct_fields__, "progressed", "booked"}
    assert {*rows.ATTEMPT} == {*Attempt.__struct_fields__, "rid"}
    assert {*rows.START, *rows.PROGRESS} <= {*rows.END}


def test_an_end_needs_nothing_else_and_of_the_others_the_last_one_counts() -> None:
    first, second = start("b"), start("b", attempt=2)
    early, late = progress("b"), progress("b", AT + 10)

    found = rows.sort([second, end("a"), late, start("a"), first, early, progress("a")])

    assert list(found.ends) == ["a"]
    assert found.starts == {"b": second}
    assert found.progress == {"b": late}


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("requests", rows.START),
        ("requests", rows.PROGRESS),
        ("requests", rows.END),
        ("attempts", rows.ATTEMPT),
        ("contents", rows.CONTENT),
        ("adjustments", rows.ADJUST),
        ("counters", sums.COUNTER),
        ("statistics", sums.STATISTIC),
    ],
)
def test_columns_are_of_the_kind_their_tables_say(table: str, columns: tuple[str, ...]) -> None:
    text = (SQL / "postgresql" / "0002_ledger.sql").read_text()
    _, _, body = text.partition(f"CREATE TABLE {table} (")
    found = re.findall(
        r'^  ([a-z_0-9"]+) (text|bigint|double precision)\b', body.partition("PRIMARY")[0], re.M
    )
    declared = dict(found)

    assert rows.kinds(columns) == {name: declared[name] for name in columns}
