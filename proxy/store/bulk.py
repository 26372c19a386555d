"""Many rows in one statement, in the way each of the two databases is quickest with.

SQLite takes one row at a time, as fast as it can be told. PostgreSQL spends most of its time on what belongs to a
statement, not to a row: there one statement takes all of them, as an array for each column that is not the same in all.
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

    __slots__ = ("_head", "_same", "_then", "kinds", "returns", "sqlite")

    def __init__(
        self,
        table: str,
        columns: Mapping[str, str],
        then: str,
        always: Iterable[tuple[str, str]] = (),
    ) -> None:
        """`columns`: their kinds, in the order of a row; the first differs from row to row. `always`: columns that are
        the same in all rows, with their SQL. `then`: ON CONFLICT and what else follows."""
        always = tuple(always)
        names = ", ".join((*columns, *(name for name, _ in always)))
        self.kinds = tuple(columns.values())
        self.returns = " RETURNING " in then
        self._head = f"INSERT INTO {table} ({names})"
        self._same = tuple(sql for _, sql in always)
        self._then = then
        values = ", ".join((*"?" * len(columns), *self._same))
        self.sqlite = f"{self._head} VALUES ({values}) {then}"
        """For one row."""

    def postgresql(self, rows: Sequence[Row]) -> tuple[str, list[Any]]:
        """The statement and its values, for all of them.

        Half of the columns of a log are the same in thousands of rows, and an array costs much more than a value.
        """
        selected: list[str] = []
        arrays: list[str] = []
        names: list[str] = []
        values: list[Any] = []
        for number, (kind, column) in enumerate(
            zip(self.kinds, zip(*rows, strict=True), strict=True), 1
        ):
            if number > 1 and column.count(column[0]) == len(column):
                values.append(column[0])
                selected.append(f"${number}::{kind}")
            else:
                values.append(column)
                arrays.append(f"${number}::{kind}[]")
                names.append(f"c{number}")
                selected.append(names[-1])
        parts = (
            self._head,
            "SELECT",
            ", ".join((*selected, *self._same)),
            f"FROM unnest({', '.join(arrays)}) AS given ({', '.join(names)})",
            self._then,
        )
        return " ".join(parts), values


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
