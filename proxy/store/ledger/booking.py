"""Records of a spool into the database: delivered as often as need be, they count once.

One transaction books a batch. The row of a request says how far it is (`phase`), and a record changes it only if it says
more; what is counted anywhere is counted for those requests alone whose end this very transaction has written. So a
batch that was committed and never acknowledged, records in another order, and two shippers at once change nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec import Struct

from proxy.core.clock import now
from proxy.store.base import Duplicate
from proxy.store.bulk import Insert
from proxy.store.ledger import rows, sums

if TYPE_CHECKING:
    from proxy.ledger.records import Record
    from proxy.store.base import Row, Store

T = TypeVar("T")


class Booked(Struct, frozen=True):
    """What was new in a batch."""

    ended: int
    """Requests whose end was written."""
    repeated: int
    """Ends that were there already."""


def _replace(columns: Iterable[str]) -> str:
    return ", ".join(f"{name} = excluded.{name}" for name in columns)


def _add(table: str, columns: Iterable[str]) -> str:
    return ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in columns)


# The beginning of a later attempt takes the place of an earlier one's. Progress may have come before either.
_START: Final = Insert(
    "requests",
    rows.kinds(rows.START),
    f"ON CONFLICT (rid) DO UPDATE SET {_replace(rows.START[1:])}"
    " WHERE requests.phase < 3 AND requests.attempt < excluded.attempt",
    [("phase", "1")],
)
_PROGRESS: Final = Insert(
    "requests",
    rows.kinds(rows.PROGRESS),
    "ON CONFLICT (rid) DO UPDATE SET phase = 2, source = excluded.source,"
    f" {_replace(rows.PROGRESS[2:])}"
    " WHERE requests.phase < 3 AND requests.progressed < excluded.progressed",
    [("phase", "2"), ("source", "'estimated'")],
)
_END: Final = Insert(
    "requests",
    rows.kinds(rows.END),
    f"ON CONFLICT (rid) DO UPDATE SET phase = 3, {_replace(rows.END[1:])}"
    " WHERE requests.phase < 3 RETURNING rid",
    [("phase", "3")],
)
_ATTEMPT: Final = Insert(
    "attempts", rows.kinds(rows.ATTEMPT), "ON CONFLICT (rid, number) DO NOTHING"
)
_CONTENT: Final = Insert("contents", rows.kinds(rows.CONTENT), "ON CONFLICT (rid) DO NOTHING")
_ADJUST: Final = Insert(
    "adjustments", rows.kinds(rows.ADJUST), "ON CONFLICT (rid) DO NOTHING RETURNING rid"
)
_COUNTER: Final = Insert(
    "counters",
    rows.kinds(sums.COUNTER),
    'ON CONFLICT (subject, "window", host) DO UPDATE SET ends = excluded.ends,'
    f" {_add('counters', sums.COUNTER[4:])}",
)
_STATISTIC: Final = Insert(
    "statistics",
    rows.kinds(sums.STATISTIC),
    "ON CONFLICT (span, bucket, model, provider, deployment, key_id, key, team) DO UPDATE SET "
    + _add("statistics", sums.STATISTIC[8:]),
)


async def book(
    store: Store, host: str, records: Iterable[Record], over: Container[str] = ()
) -> Booked:
    """All of them or none. `over`: requests whose end is written down too, wherever: nothing else is booked of them.

    Raises StoreDown: again later, with the same records; it may have been done. Anything else: see `is_unfit`.
    """
    moment = now()
    made = await asyncio.to_thread(_Rows, records, over, host, moment)
    async with store.transaction() as session:
        await session.insert(_START, made.starts)
        await session.insert(_PROGRESS, made.progress)
        new = await session.insert(_END, made.ends)
        adjusted = await session.insert(_ADJUST, made.adjusts)
        await session.insert(_CONTENT, made.contents)
        if len(new) < len(made.ends) or len(adjusted) < len(made.adjusts):
            made.count({rid for (rid,) in new}, {rid for (rid,) in adjusted})
        await session.insert(_ATTEMPT, made.tries)
        await session.insert(_COUNTER, made.counters)
        await session.insert(_STATISTIC, made.statistics)
    return Booked(len(new), len(made.ends) - len(new))


class _Rows:
    """What is written of a batch, each table in one order: whoever else writes the same waits, and never in a circle."""

    def __init__(
        self, records: Iterable[Record], over: Container[str], host: str, moment: float
    ) -> None:
        found = self._found = rows.sort(records, over)
        self._host = host
        self._moment = moment
        self.starts = _made(found.starts, lambda one: rows.of_start(one, moment))
        self.progress = _made(found.progress, lambda one: rows.of_progress(one, moment))
        self.ends = _made(found.ends, lambda one: rows.of_end(one, moment))
        self.adjusts = _made(found.adjusts, rows.of_adjust)
        self.contents = _made(found.contents, rows.of_content)
        # As nearly always, all of it is new.
        self.count(found.ends, found.adjusts)

    def count(self, ended: Iterable[str], adjusted: Iterable[str]) -> None:
        """What is counted if these are new."""
        ends = [self._found.ends[rid] for rid in sorted(ended)]
        adjusts = [self._found.adjusts[rid] for rid in adjusted]
        self.tries = [rows.of_try(end.rid, one) for end in ends for one in end.tries]
        self.counters = sums.counters(ends, adjusts, self._host)
        self.statistics = sums.statistics(ends, self._moment)


def _made(those: dict[str, T], row: Callable[[T], Row]) -> list[Row]:
    return [row(those[rid]) for rid in sorted(those)]


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
