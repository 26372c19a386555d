"""Records of a spool into the database: delivered as often as need be, they count once.

One transaction books a batch. The row of a request says how far it is (`phase`), and a record changes it only if it says
more; what is counted anywhere is counted for those requests alone whose end this very transaction has written. So a
batch that was committed and never acknowledged, records in another order, and two shippers at once change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec import Struct

from proxy.core.clock import now
from proxy.store.base import Duplicate
from proxy.store.ledger import rows, sums

if TYPE_CHECKING:
    from proxy.ledger.records import Record
    from proxy.store.base import Row, Session, Store

T = TypeVar("T")


class Booked(Struct, frozen=True):
    """What was new in a batch."""

    ended: int
    """Requests whose end was written."""
    repeated: int
    """Ends that were there already."""


def _insert(table: str, columns: Sequence[str], more: Iterable[tuple[str, str]] = ()) -> str:
    """`more`: columns that are the same in all rows, with their SQL."""
    names = [*columns, *(name for name, _ in more)]
    values = [*(f"${number}" for number in range(1, len(columns) + 1)), *(sql for _, sql in more)]
    return " ".join(
        ("INSERT INTO", table, "(", ", ".join(names), ") VALUES (", ", ".join(values), ")")
    )


def _replace(columns: Iterable[str]) -> str:
    return ", ".join(f"{name} = excluded.{name}" for name in columns)


def _add(table: str, columns: Iterable[str]) -> str:
    return ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in columns)


# The beginning of a later attempt takes the place of an earlier one's. Progress may have come before either.
_START: Final = " ".join(
    (
        _insert("requests", rows.START, [("phase", "1")]),
        "ON CONFLICT (rid) DO UPDATE SET",
        _replace(rows.START[1:]),
        "WHERE requests.phase < 3 AND requests.attempt < excluded.attempt",
    )
)
_PROGRESS: Final = " ".join(
    (
        _insert("requests", rows.PROGRESS, [("phase", "2"), ("source", "'estimated'")]),
        "ON CONFLICT (rid) DO UPDATE SET phase = 2, source = excluded.source,",
        _replace(rows.PROGRESS[2:]),
        "WHERE requests.phase < 3 AND requests.progressed < excluded.progressed",
    )
)
_END: Final = " ".join(
    (
        _insert("requests", rows.END, [("phase", "3")]),
        "ON CONFLICT (rid) DO UPDATE SET phase = 3,",
        _replace(rows.END[1:]),
        "WHERE requests.phase < 3 RETURNING rid",
    )
)
_ATTEMPT: Final = _insert("attempts", rows.ATTEMPT) + " ON CONFLICT (rid, number) DO NOTHING"
_CONTENT: Final = _insert("contents", rows.CONTENT) + " ON CONFLICT (rid) DO NOTHING"
_ADJUST: Final = _insert("adjustments", rows.ADJUST) + " ON CONFLICT (rid) DO NOTHING RETURNING rid"
_COUNTER: Final = " ".join(
    (
        _insert("counters", sums.COUNTER),
        'ON CONFLICT (subject, "window", host) DO UPDATE SET ends = excluded.ends,',
        _add("counters", sums.COUNTER[4:]),
    )
)
_STATISTIC: Final = " ".join(
    (
        _insert("statistics", sums.STATISTIC),
        "ON CONFLICT (span, bucket, model, provider, deployment, key_id, key, team) DO UPDATE SET",
        _add("statistics", sums.STATISTIC[8:]),
    )
)


async def book(store: Store, host: str, records: Iterable[Record]) -> Booked:
    """All of them or none.

    Raises StoreDown: again later, with the same records; it may have been done. Anything else: see `is_unfit`.
    """
    found = rows.sort(records)
    moment = now()
    async with store.transaction() as session:
        await _write(session, _START, found.starts, lambda one: rows.of_start(one, moment))
        await _write(session, _PROGRESS, found.progress, lambda one: rows.of_progress(one, moment))
        new = await _write(session, _END, found.ends, lambda one: rows.of_end(one, moment))
        adjusted = await _write(session, _ADJUST, found.adjusts, rows.of_adjust)
        await _write(session, _CONTENT, found.contents, rows.of_content)
        ends = [found.ends[rid] for rid in new]
        adjusts = [found.adjusts[rid] for rid in adjusted]
        tries = [rows.of_try(end.rid, one) for end in ends for one in end.tries]
        for sql, some in (
            (_ATTEMPT, tries),
            (_COUNTER, sums.counters(ends, adjusts, host)),
            (_STATISTIC, sums.statistics(ends, moment)),
        ):
            if some:
                await session.each(sql, some)
    return Booked(len(new), len(found.ends) - len(new))


async def _write(
    session: Session, sql: str, those: dict[str, T], row: Callable[[T], Row]
) -> list[str]:
    """In the order of their ids; those of which the statement returned the id."""
    if not those:
        return []
    some = [row(those[rid]) for rid in sorted(those)]
    return [rid for (rid,) in await session.each(sql, some)]


_UNFIT_STATES: Final = ("22", "23", "54")
"""SQLSTATE of data that a type, a constraint, an index does not take."""
_UNFIT_CODES: Final = (18, 19, 20)
"""SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH."""


def is_unfit(error: Exception) -> bool:
    """Whether it is for what a record says that a batch was not booked: it would never be.

    Anything else, a mistake of ours or a table that is not as it should be, is no reason to put records aside.
    """
    if isinstance(error, Duplicate | ValueError | OverflowError):
        return True
    state = getattr(error, "sqlstate", None) or ""
    return (
        state[:2] in _UNFIT_STATES or getattr(error, "sqlite_errorcode", 0) & 0xFF in _UNFIT_CODES
    )
