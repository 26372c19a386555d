"""Many rows in one statement, in the way each of the two databases is quickest with.

SQLite takes one row at a time, as fast as it can be told. PostgreSQL spends most of its time on what belongs to a
statement, not to a row: there one statement takes all of them, as an array for each column that is not the same in all.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
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

    __slots__ = ("_head", "_same", "_then", "kinds", "returns", "silent", "sqlite")

    def __init__(
        self,
        table: str,
        columns: Mapping[str, str],
        then: str,
        always: Iterable[tuple[str, str]] = (),
    ) -> None:
        """`columns`: their kinds, in the order of a row; the first differs from row to row. `always`: columns that are
        the same in all rows, with their SQL. `then`: ON CONFLICT and what else follows; it may end in RETURNING the first
        of `columns`."""
        always = tuple(always)
        names = ", ".join((*columns, *(name for name, _ in always)))
        self.kinds = tuple(columns.values())
        quiet, returning, returned = then.partition(" RETURNING ")
        self.returns = bool(returning)
        if self.returns and returned != next(iter(columns)):
            raise ValueError(f"an insert returns its first column, not {returned}")
        self._head = f"INSERT INTO {table} ({names})"
        self._same = tuple(sql for _, sql in always)
        self._then = then
        values = ", ".join((*"?" * len(columns), *self._same))
        self.sqlite = f"{self._head} VALUES ({values}) {then}"
        """For one row."""
        self.silent = f"{self._head} VALUES ({values}) {quiet}"
        """The same, and nothing is returned."""

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


def check(kinds: Sequence[str], rows: Sequence[Row]) -> None:
    """As `opening.check`, ten times as fast: raises ValueError for what only one of the databases would take."""
    if not rows:
        return
    for kind, column in zip(kinds, zip(*rows, strict=True), strict=True):
        first = column[0]
        # Most columns of a log say the same in every row.
        _CHECKS[kind](column[:1] if column.count(first) == len(column) else column)


def _check_text(column: Sequence[str]) -> None:
    # As one text: its length is looked through at the speed of memory.
    whole = "\n".join(column)
    if "\0" in whole:
        raise ValueError("a text with a NUL character cannot be stored")
    if not whole.isascii():
        whole.encode()  # a lone surrogate is no UTF-8


def _check_whole(column: Sequence[int | None]) -> None:
    try:
        try:
            array("q", column)  # type: ignore[type-var]
        except TypeError:
            array("q", _known(column))
    except OverflowError:
        raise ValueError("a number of more than 64 bits cannot be stored") from None


def _check_real(column: Sequence[float | None]) -> None:
    try:
        total = sum(column)  # type: ignore[arg-type]
    except TypeError:
        column = _known(column)
        total = sum(column)
    # One that is not finite makes a sum that is not, and so may very many that are.
    if not isfinite(total) and not all(map(isfinite, column)):  # type: ignore[arg-type]
        raise ValueError("a number that is none, or has no end, cannot be stored")


def _known(column: Sequence[Any]) -> list[Any]:
    return [value for value in column if value is not None]


_CHECKS: Final[Mapping[str, Callable[[Sequence[Any]], None]]] = {
    TEXT: _check_text,
    WHOLE: _check_whole,
    REAL: _check_real,
}
