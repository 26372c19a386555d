"""What comes to the end of the log of requests, found by asking now and then: by the indexes there are, at a cost that
neither the length of the log nor what is asked for changes.

A request ends at another moment than it came, and rows are by their coming. So two things are looked at: which are there
of the last seconds, by `requests_at`, and which are not over, by `requests_open`. What is new of the former, and what was
among the latter before, is over now unless it is among the latter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from proxy.store.base import ADMIN_TIMEOUT
from proxy.store.ledger.requests import ENTRY, Entry, Filters, where

if TYPE_CHECKING:
    from proxy.store.base import Row, Session

MOST: Final = 200
"""Entries that are found at once."""
OVERLAP: Final = 2.0
"""Seconds that one may come later to the database than another that came later to us: two workers, two hosts. What is later
than that, and nobody has seen under way, is not found."""
ARRIVED: Final = 5_000
"""Rows of the last seconds that are looked at, and such as are over; the newest."""
OPEN: Final = 2_000
"""Rows of what is not over that are looked at, the newest."""


class Found(Struct, frozen=True):
    """Of one question."""

    entries: Sequence[Entry] = ()
    """The newest first."""
    more: int = 0
    """Others that are over since the last question, too."""


class Tail:
    """Of one log."""

    def __init__(self) -> None:
        self._floor = -1.0
        """Unix time: what came before is not looked at."""
        self._arrived: frozenset[str] = frozenset()
        self._open: frozenset[str] = frozenset()

    async def begin(self, session: Session) -> None:
        """All that is there now is known. Raises StoreDown."""
        newest = await session.fetch("SELECT max(at) FROM requests", timeout=ADMIN_TIMEOUT)
        ((at,),) = newest
        self._floor = -1.0 if at is None else at - OVERLAP
        await self._look(session)

    async def next(self, session: Session, asked: Iterable[Filters]) -> Mapping[Filters, Found]:
        """Which requests are over that were not when it was last looked, for each of `asked`. Raises StoreDown."""
        over = await self._look(session)
        return {one: await _among(session, over, one) for one in asked} if over else {}

    async def _look(self, session: Session) -> list[str]:
        """What may be over since the last time: what was under way first, then what is new, the newest first."""
        rows = await session.fetch(
            "SELECT rid, at FROM requests WHERE at >= $1 ORDER BY at DESC, rid DESC LIMIT $2",
            self._floor,
            ARRIVED,
            timeout=ADMIN_TIMEOUT,
        )
        under_way = await session.fetch(
            "SELECT rid FROM requests WHERE phase < 3 ORDER BY at DESC, rid DESC LIMIT $1",
            OPEN,
            timeout=ADMIN_TIMEOUT,
        )
        open_ = frozenset(rid for (rid,) in under_way)
        ended = self._open - open_
        known = self._arrived | open_ | ended
        new = [rid for rid, _ in rows if rid not in known]
        self._arrived, self._open = frozenset(rid for rid, _ in rows), open_
        if rows:
            cut = rows[-1][1] if len(rows) == ARRIVED else self._floor
            self._floor = max(cut, rows[0][1] - OVERLAP)
        return [*ended, *new][:ARRIVED]


async def _among(session: Session, rids: Sequence[str], filters: Filters) -> Found:
    """Those of these requests that are over and as is asked for."""
    clause, values = where(filters)
    begun = f"{clause} AND" if clause else "WHERE"
    places = ", ".join(f"${len(values) + number}" for number in range(1, MOST + 1))
    rest = " ".join(("FROM requests", begun, "phase = 3 AND rid IN (", places, ")"))
    entries: list[Entry] = []
    more = 0
    for begin in range(0, len(rids), MOST):
        some = rids[begin : begin + MOST]
        # Always as many: it is one statement for the database to know.
        among = (*values, *some, *[some[-1]] * (MOST - len(some)))
        if len(entries) < MOST:
            sql = " ".join(("SELECT", ENTRY, rest, "ORDER BY at DESC, rid DESC"))
            found = await _fetch(session, sql, among)
            room = MOST - len(entries)
            entries += [Entry(*row) for row in found[:room]]
            more += len(found[room:])
        else:
            ((count,),) = await _fetch(session, " ".join(("SELECT count(*)", rest)), among)
            more += count
    entries.sort(key=lambda one: (one.at, one.rid), reverse=True)
    return Found(entries, more)


async def _fetch(session: Session, sql: str, values: Sequence[Any]) -> list[Row]:
    return await session.fetch(sql, *values, timeout=ADMIN_TIMEOUT)
