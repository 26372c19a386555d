"""`GET /admin/logs/live`: requests as they end, told every second: those that reached the database since the second before.

    event: ready     nothing that ends from now on is missed: a page of the log read now is what comes before. Again when something
                     may have been, as where the process that ships was started anew
    event: rows      the newest first, at most `tail.MOST`, with the `fields` that are asked for, and how many `more` there were
    event: trouble   the database does not answer

A worker asks once for all who watch at it, whatever their filters, and never while nobody watches: the process that ships,
or the database itself where there is none.
"""

from __future__ import annotations

from collections import Counter
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from proxy.control.admin import paging
from proxy.control.admin.access import Permission
from proxy.control.admin.feed import EVENTS, HEADERS, QUIET, TROUBLE, Feed, event
from proxy.control.admin.logs import FILTERS, PARAMETERS, elsewhere, filters
from proxy.control.admin.services import needs_store
from proxy.control.admin.web import Answer, Fault, Problem, Route
from proxy.control.showing import COLUMNS
from proxy.control.tailing import Beside, Here, Source, Wanted
from proxy.core import unix
from proxy.core.clock import monotonic

if TYPE_CHECKING:
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request, Stream

STALE: Final = 5.0
"""Seconds without a question, after which it is begun anew: nobody watched meanwhile, or the database was away."""


Rows = dict[Wanted, tuple[bytes, int, int]]
"""Of one second, for each that is wanted: what to show, as JSON, how many these are, and how many were found since anybody
watched it."""


async def watch(request: Request, services: Services) -> Answer:
    """Events until the client leaves, or this worker does."""
    wanted = _wanted(request)
    needs_store(services)
    if not services.state.snapshot.ledger.path:
        raise Problem(503, "no_log", elsewhere(services))
    feed = services.feeds.get("logs")
    if not isinstance(feed, _Ends):
        feed = services.feeds["logs"] = _Ends(services)
    feed.check()
    return Answer(_pieces(feed, wanted), headers=HEADERS, kind=EVENTS)


def _wanted(request: Request) -> Wanted:
    """Raises Problem 400 that names what is wrong."""
    query = dict(request.query)
    wrong = paging.unknown(query, (*FILTERS, "fields"))
    text = query.pop("fields", "")
    fields = tuple(dict.fromkeys(text.split(","))) if text else tuple(COLUMNS)
    if not COLUMNS.keys() >= set(fields):
        expected = f"some of these, with commas, are expected: {','.join(COLUMNS)}"
        wrong.append(Fault("fields", expected))
    if wrong:
        raise Problem(400, "invalid", "The query is not as it has to be.", tuple(wrong))
    return Wanted(filters(request, query), fields)


def _source(services: Services) -> Source:
    """Whoever ships, if somebody listens there: what is left of one who was killed says nothing. Raises OSError."""
    beside = Path(services.state.snapshot.ledger.path) / unix.TAIL
    try:
        unix.connect(beside).close()
    except (FileNotFoundError, ConnectionRefusedError):
        return Here(needs_store(services))
    return Beside(beside)


class _Ends(Feed[Rows]):
    """Of the log."""

    def __init__(self, services: Services) -> None:
        super().__init__("logs", services.state, self._next)
        self._services = services
        self._source: Source | None = None
        self._wanted: Counter[Wanted] = Counter()
        """How many watch it."""
        self.found: Counter[Wanted] = Counter()
        """How many there were since somebody watched it."""
        self._looked = -STALE
        self.begun = 0
        """How often: what was over before each time may not have been told."""

    def begin(self, wanted: Wanted) -> None:
        """Somebody watches it."""
        self._wanted[wanted] += 1

    def end(self, wanted: Wanted) -> None:
        """They do no more."""
        self._wanted[wanted] -= 1
        if not self._wanted[wanted]:
            del self._wanted[wanted], self.found[wanted]

    def _anew(self) -> None:
        if self._source is not None:
            self._source.close()
        self._source = None

    async def _next(self) -> Rows | None:
        wanted = tuple(self._wanted)
        moment = monotonic()
        if not wanted or moment - self._looked >= STALE:
            self._anew()
        if not wanted:
            return None
        if self._source is None:
            self._source = _source(self._services)
        told = await self._source.next(wanted)
        self._looked = moment
        self.begun += told is None
        rows: Rows = {}
        for one, said in zip(wanted, told or (), strict=told is not None):
            if one not in self._wanted:
                continue
            self.found[one] += said.shown + said.more
            if said.shown:
                rows[one] = bytes(said.items), said.shown, self.found[one]
        return rows


async def _pieces(feed: _Ends, wanted: Wanted) -> Stream:
    feed.begin(wanted)
    try:
        begun, told = 0, feed.found[wanted]
        async with aclosing(feed.watch()) as seconds:
            async for rows in seconds:
                if rows is None:
                    yield TROUBLE if feed.failed else QUIET
                    continue
                if begun != feed.begun:
                    begun = feed.begun
                    yield event("ready", {})
                if wanted in rows:
                    items, shown, total = rows[wanted]
                    # Also those of seconds that a slow reader has missed.
                    more = total - told - shown
                    yield b'event: rows\ndata: {"items":%b,"more":%d}\n\n' % (items, more)
                    told = total
    finally:
        feed.end(wanted)


_FIELDS: Final = {
    "type": "string",
    "description": "Of each request, with commas; all where nothing is said. What is not asked for costs nothing.",
}

ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/admin/logs/live",
        Permission.READ,
        watch,
        "Watch requests as they end: events each second.",
        aliases=("/api/logs/live",),
        answer={"$ref": "#/components/schemas/log_live"},
        query={**PARAMETERS, "fields": _FIELDS},
        gives=(EVENTS,),
        tag="usage",
    ),
)
