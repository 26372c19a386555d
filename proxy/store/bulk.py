"""Many rows in one statement, in the way each of the two databases is quickest with.

SQLite takes one row at a time, as fast as it can be told. PostgreSQL spends most of its time on what belongs to a
statement, not to a row: there one statement takes all of them, as an array for each column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import filterfalse
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from proxy.store.base import Row

TEXT: Final = "text"
WHOLE: Final = "bigint"
REAL: Final = "double precision"
"""What is in a column, in PostgreSQL's words."""


class Insert:
    """An INSERT for any number of rows. No two of those given at once may meet the same row of the table."""

    __slots__ = ("kinds", "postgresql", "returns", "sqlite")

    def __init__(
        self,
        table: str,
        columns: Mapping[str, str],
        then: str,
        always: Iterable[tuple[str, str]] = (),
    ) -> None:
        """`columns`: their kinds, in the order of a row. `always`: columns that are the same in all rows, with their SQL.
        `then`: ON CONFLICT and what else follows."""
        always = tuple(always)
        names = ", ".join((*columns, *(name for name, _ in always)))
        same = [sql for _, sql in always]
        values = ", ".join((*"?" * len(columns), *same))
        arrays = ", ".join(
            f"${number}::{kind}[]" for number, kind in enumerate(columns.values(), 1)
        )
        head = f"INSERT INTO {table} ({names})"
        self.kinds = tuple(columns.values())
        self.returns = " RETURNING " in then
        self.sqlite = f"{head} VALUES ({values}) {then}"
        given = ", ".join(("given.*", *same))
        self.postgresql = f"{head} SELECT {given} FROM unnest({arrays}) AS given {then}"  # noqa: S608 - ours


_LEAST, _MOST = -(2**63), 2**63 - 1


def check(kinds: Sequence[str], rows: Sequence[Row]) -> None:
    """As `opening.check`, ten times as fast: raises ValueError for what only one of the databases would take."""
    if not rows:
        return
    for kind, column in zip(kinds, zip(*rows, strict=True), strict=True):
        _CHECKS[kind](column)


def _check_text(column: Sequence[str]) -> None:
    # As one text: its length is looked through at the speed of memory.
    whole = "\n".join(column)
    if "\0" in whole:
        raise ValueError("a text with a NUL character cannot be stored")
    if not whole.isascii():
        whole.encode()  # a lone surrogate is no UTF-8


def _check_whole(column: Sequence[int | None]) -> None:
    known = list(filterfalse(_is_none, column)) if None in column else column
    if known and not _LEAST <= min(known) <= max(known) <= _MOST:  # type: ignore[type-var, operator]
        raise ValueError("a number of more than 64 bits cannot be stored")


def _check_real(column: Sequence[float | None]) -> None:
    known = list(filterfalse(_is_none, column)) if None in column else column
    if not all(map(isfinite, known)):  # type: ignore[arg-type]
        raise ValueError("a number that is none, or has no end, cannot be stored")


def _is_none(value: object) -> bool:
    return value is None


_CHECKS: Final[Mapping[str, Callable[[Sequence[Any]], None]]] = {
    TEXT: _check_text,
    WHOLE: _check_whole,
    REAL: _check_real,
}
