"""What comes to the end of the log of requests, found by asking now and then: by the indexes there are, at a cost that
neither the length of the log nor what is asked for changes.

A request ends at another moment than it came, and rows are by their coming. So two things are looked at: which are there
of the last seconds, by `requests_at`, and which are not over, by `requests_open`. What is new of the former, and what was
among the latter before, is over now unless it is among the latter.

Of the last seconds only the latest part is read each time. What is before it was read already and has hardly changed: it is
counted, and read only if there are more than there were.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from proxy.store.base import ADMIN_TIMEOUT
from proxy.store.ledger.requests import Entry, Filters, where

if TYPE_CHECKING:
    from proxy.store.base import Row, Session

MOST: Final = 80
"""Entries that are found at once: a page shows no more of what grows."""
SOME: Final = 200
"""Places of a statement about some of many requests."""
OVERLAP: Final = 2.0
"""Seconds that one may come later to the database than another that came later to us: two workers, two hosts. What is later
than that, and nobody has seen under way, is not found."""
NEAR: Final = 0.5
"""Seconds before the newest that are read each time."""
ARRIVED: Final = 5_000
"""Rows of the last seconds that are looked at, and such as are over; the newest."""
OPEN: Final = 2_000
"""Rows of what is not over that are looked at, the newest."""

Came = tuple[Any, ...]
"""When one came, in Unix time, and its id, as a database says it."""
_ALL: Final = Filters()


COLUMNS: Final = Entry.__struct_fields__


class Asked(Struct, frozen=True):
    """What somebody wants to know."""

    filters: Filters = _ALL
    columns: tuple[str, ...] = COLUMNS
    """Of an `Entry`; the fewer, the less it costs."""


class Found(Struct, frozen=True):
    """Of one question."""

    rows: Sequence[Row] = ()
    """The columns that were asked for, the newest first."""
    more: int = 0
    """Others that are over since the last question, too."""


class _Known(Struct, frozen=True):
    """What was there when it was last looked."""

    floor: float = -1.0
    """Unix time: what came before is not looked at."""
    arrived: Sequence[Came] = ()
    """What came since, the newest first."""
    open: Mapping[str, float] = {}
    """When that came which is not over."""


class Tail:
    """Of one log."""

    def __init__(self) -> None:
        self._known = _Known()

    async def begin(self, session: Session) -> None:
        """All that is there now is known. Raises StoreDown."""
        newest = await session.fetch("SELECT max(at) FROM requests", timeout=ADMIN_TIMEOUT)
        ((at,),) = newest
        self._known = _Known(-1.0 if at is None else at - OVERLAP)
        _, self._known = await self._look(session)

    async def next(self, session: Session, asked: Iterable[Asked]) -> Mapping[Asked, Found]:
        """Which requests are over that were not when it was last looked, for each of `asked`. Raises StoreDown; the next
        time finds what this one would have."""
        over, known = await self._look(session)
        rids = [rid for _, rid in over]
        sure = len(known.open) < OPEN
        found: dict[Asked, Found] = {}
        for one in asked if over else ():
            find = _newest if sure and one.filters == _ALL else _among
            found[one] = await find(session, rids, one)
        self._known = known
        return found

    async def _look(self, session: Session) -> tuple[list[Came], _Known]:
        """What may be over since the last time, the newest first, and what is known now. All of it is over, as long as not too
        many are under way."""
        begin, before = await self._reach(session)
        rows = await session.fetch(
            "SELECT at, rid FROM requests WHERE at >= $1 ORDER BY at DESC, rid DESC LIMIT $2",
            begin,
            ARRIVED,
            timeout=ADMIN_TIMEOUT,
        )
        # After these: one that is neither over in the one answer nor there in the other would be taken for over.
        under_way = await session.fetch(
            "SELECT rid, at FROM requests WHERE phase < 3 ORDER BY at DESC, rid DESC LIMIT $1",
            OPEN,
            timeout=ADMIN_TIMEOUT,
        )
        known = {rid for _, rid in self._known.arrived}
        was_open = self._known.open
        is_open: dict[str, float] = dict(under_way)
        over = [
            (at, rid)
            for at, rid in rows
            if rid not in known and rid not in is_open and rid not in was_open
        ]
        over += [(at, rid) for rid, at in was_open.items() if rid not in is_open]
        over.sort(reverse=True)
        floor = self._known.floor
        if rows:
            cut = rows[-1][0] if len(rows) == ARRIVED else floor
            floor = max(cut, rows[0][0] - OVERLAP)
        return over[:ARRIVED], _Known(floor, [*rows, *before], is_open)

    async def _reach(self, session: Session) -> tuple[float, Sequence[Came]]:
        """From which moment on rows have to be read, and what of those before it is known and still looked at."""
        arrived, floor = self._known.arrived, self._known.floor
        if not arrived or arrived[0][0] - NEAR <= floor:
            return floor, ()
        near = arrived[0][0] - NEAR
        begin, end = (
            bisect_right(arrived, -moment, key=lambda came: -came[0]) for moment in (near, floor)
        )
        before = arrived[begin:end]
        ((count,),) = await session.fetch(
            "SELECT count(*) FROM requests WHERE at >= $1 AND at < $2",
            floor,
            near,
            timeout=ADMIN_TIMEOUT,
        )
        return (near, before) if count == len(before) else (floor, ())


async def _newest(session: Session, rids: Sequence[str], asked: Asked) -> Found:
    """The same as `_among` without filters, for requests that are known to be over: nothing needs to be counted."""
    some = rids[:MOST]
    sql = " ".join((_select(asked), "WHERE rid IN (", _places(0, MOST), ")", _ORDER))
    rows = await _fetch(session, sql, _filled(some, MOST))
    return Found(rows, len(rids) - len(some))


async def _among(session: Session, rids: Sequence[str], asked: Asked) -> Found:
    """Those of these requests, the newest first, that are over and as is asked for."""
    clause, values = where(asked.filters)
    begun = f"{clause} AND" if clause else "WHERE"
    which = " ".join((begun, "phase = 3 AND rid IN (", _places(len(values), SOME), ")"))
    rows: list[Row] = []
    more = 0
    for begin in range(0, len(rids), SOME):
        among = (*values, *_filled(rids[begin : begin + SOME], SOME))
        room = MOST - len(rows)
        found: list[Row] = []
        if room:
            sql = " ".join((_select(asked), which, _ORDER, f"LIMIT ${len(among) + 1}"))
            found = await _fetch(session, sql, (*among, room))
            rows += found
        if len(found) == room:
            sql = " ".join(("SELECT count(*) FROM requests", which))
            ((count,),) = await _fetch(session, sql, among)
            more += count - len(found)
    return Found(rows, more)


_ORDER: Final = "ORDER BY at DESC, rid DESC"


def _select(asked: Asked) -> str:
    return " ".join(("SELECT", ", ".join(asked.columns), "FROM requests"))


def _places(before: int, count: int) -> str:
    """Of a statement in which as many values come before these."""
    return ", ".join(f"${before + number}" for number in range(1, count + 1))


def _filled(rids: Sequence[str], size: int) -> Sequence[str]:
    """Always as many, the last one repeated: it is one statement for the database to know."""
    return [*rids, *[rids[-1]] * (size - len(rids))]


async def _fetch(session: Session, sql: str, values: Sequence[Any]) -> list[Row]:
    return await session.fetch(sql, *values, timeout=ADMIN_TIMEOUT)
