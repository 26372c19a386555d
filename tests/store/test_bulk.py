"""One statement for many rows says the same in both databases, and takes what single statements take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.store import opening
from proxy.store.base import StoreDown
from proxy.store.bulk import REAL, TEXT, WHOLE, Insert, check
from proxy.store.opening import Database

PEPPERS = Insert(
    "peppers",
    {"id": TEXT, "created": REAL},
    "ON CONFLICT (id) DO UPDATE SET created = excluded.created"
    " WHERE peppers.created < excluded.created RETURNING id",
    [("sealed", "'x'")],
)
QUIET = Insert("peppers", {"id": TEXT, "created": REAL}, "ON CONFLICT (id) DO NOTHING", [("sealed", "'y'")])  # fmt: skip


async def rows(store: Database) -> list[tuple[Any, ...]]:
    return await store.fetch("SELECT id, sealed, created FROM peppers ORDER BY id")


async def test_many_rows_are_written_and_those_that_were_are_returned(store: Database) -> None:
    first = await store.insert(PEPPERS, [("b", 2.0), ("a", 1.0), ("größer", 3.0)])
    async with store.transaction() as session:
        again = await session.insert(PEPPERS, [("a", 0.5), ("b", 3.0), ("c", 1)])
        nothing = await session.insert(PEPPERS, [])

    assert sorted(first) == [("a",), ("b",), ("größer",)]
    assert sorted(again) == [("b",), ("c",)]
    assert nothing == []
    assert await rows(store) == [
        ("a", "x", 1.0), ("b", "x", 3.0), ("c", "x", 1.0), ("größer", "x", 3.0)
    ]  # fmt: skip


async def test_nothing_is_returned_where_nothing_was_asked_for(store: Database) -> None:
    assert await store.insert(QUIET, [("a", 1.0), ("b", 1.0)]) == []
    assert await store.insert(QUIET, [("a", 2.0), ("c", 1.0)]) == []
    assert await rows(store) == [("a", "y", 1.0), ("b", "y", 1.0), ("c", "y", 1.0)]


async def test_one_that_does_not_fit_keeps_all_of_them_out(store: Database) -> None:
    with pytest.raises(ValueError, match="NUL"):
        await store.insert(PEPPERS, [("a", 1.0), ("b\0", 1.0)])
    assert await rows(store) == []


async def test_a_table_that_is_gone_is_a_database_that_is_away(store: Database) -> None:
    await store.execute("DROP TABLE peppers")
    with pytest.raises(StoreDown):
        await store.insert(QUIET, [("a", 1.0)])


def test_what_is_returned_is_the_first_column() -> None:
    with pytest.raises(ValueError, match="first column, not created"):
        Insert("peppers", {"id": TEXT, "created": REAL}, "ON CONFLICT DO NOTHING RETURNING created")


def test_what_is_the_same_in_all_rows_is_told_once() -> None:
    sql, values = PEPPERS.postgresql([("a", 1.0), ("b", 1.0)])
    assert values == [("a", "b"), 1.0]
    assert "SELECT c1, $2::double precision, 'x' FROM unnest($1::text[]) AS given (c1) ON" in sql

    # A row has to come from somewhere.
    assert PEPPERS.postgresql([("a", None)])[1] == [("a",), None]


_values = {
    TEXT: st.text(st.characters(), max_size=5),
    WHOLE: st.none() | st.integers(-(2**65), 2**65) | st.sampled_from([2**63 - 1, -(2**63)]),
    REAL: st.none() | st.floats() | st.integers(-9, 9),
}
_columns = st.lists(st.sampled_from([TEXT, WHOLE, REAL]), min_size=1, max_size=4)


@given(
    _columns.flatmap(
        lambda kinds: st.tuples(
            st.just(kinds), st.lists(st.tuples(*(_values[kind] for kind in kinds)), max_size=4)
        )
    )
)
def test_columns_are_checked_as_single_values_are(
    made: tuple[list[str], list[tuple[Any, ...]]],
) -> None:
    kinds, those = made

    def one_by_one() -> None:
        for row in those:
            opening.check(row)

    def refused(look: Callable[[], None]) -> bool:
        try:
            look()
        except ValueError:
            return True
        return False

    assert refused(lambda: check(kinds, those)) == refused(one_by_one)
