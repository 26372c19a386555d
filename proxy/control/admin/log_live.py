"""`GET /admin/logs/live`: requests as they end, told every second: those that reached the database since the second before.

    event: ready     nothing that ends from now on is missed: a page of the log read now is what comes before
    event: rows      the newest first, at most `tail.MOST`, and how many `more` there were
    event: trouble   the database does not answer

A worker asks the database once for all who watch at it, whatever their filters, and never while nobody watches.
"""

from __future__ import annotations

from collections import Counter
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from proxy.control.admin import paging
from proxy.control.admin.access import Permission
from proxy.control.admin.feed import EVENTS, HEADERS, QUIET, TROUBLE, Feed, event
from proxy.control.admin.logs import FILTERS, PARAMETERS, elsewhere, filters, shown
from proxy.control.admin.services import needs_store
from proxy.control.admin.turns import turns
from proxy.control.admin.web import Answer, Problem, Route
from proxy.core.clock import monotonic
from proxy.store.ledger.requests import Filters
from proxy.store.ledger.tail import Tail

if TYPE_CHECKING:
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request, Stream

STALE: Final = 5.0
"""Seconds without a question, after which it is begun anew: nobody watched meanwhile, or the database was away."""

Rows = dict[Filters, tuple[list[dict[str, Any]], int]]
"""Of one second, for each of the filters: what to show, and how many were found since anybody watched with them."""


async def watch(request: Request, services: Services) -> Answer:
    """Events until the client leaves, or this worker does."""
    unknown = paging.unknown(request.query, FILTERS)
    if unknown:
        raise Problem(400, "invalid", "The query is not as it has to be.", tuple(unknown))
    wanted = filters(request, request.query)
    needs_store(services)
    if not services.state.snapshot.ledger.path:
        raise Problem(503, "no_log", elsewhere(services))
    feed = services.feeds.get("logs")
    if not isinstance(feed, _Ends):
        feed = services.feeds["logs"] = _Ends(services)
    feed.check()
    return Answer(_pieces(feed, wanted), headers=HEADERS, kind=EVENTS)


class _Ends(Feed[Rows]):
    """Of the log."""

    def __init__(self, services: Services) -> None:
        super().__init__("logs", services.state, self._next)
        self._services = services
        self.asked: Counter[Filters] = Counter()
        """How many watch with these."""
        self.found: Counter[Filters] = Counter()
        """How many there were since somebody watched with these."""
        self._tail = Tail()
        self._looked = -STALE

    async def _next(self) -> Rows:
        store = needs_store(self._services)
        moment, before = monotonic(), self._looked
        if moment - before >= STALE:
            self._tail = Tail()
            await self._tail.begin(store)
            self._looked = moment
            return {}
        found = await self._tail.next(store, list(self.asked))
        self._looked = moment
        rows: Rows = {}
        for one, said in found.items():
            self.found[one] += len(said.entries) + said.more
            if said.entries:
                items = [shown(entry) async for entry in turns(said.entries)]
                rows[one] = items, self.found[one]
        for one in self.found.keys() - self.asked.keys():
            del self.found[one]
        return rows


async def _pieces(feed: _Ends, wanted: Filters) -> Stream:
    feed.asked[wanted] += 1
    try:
        ready, told = False, feed.found[wanted]
        async with aclosing(feed.watch()) as seconds:
            async for rows in seconds:
                if rows is None:
                    yield TROUBLE if feed.failed else QUIET
                    continue
                if not ready:
                    ready = True
                    yield event("ready", {})
                if wanted in rows:
                    items, total = rows[wanted]
                    # Also those of seconds that a slow reader has missed.
                    yield event("rows", {"items": items, "more": total - told - len(items)})
                    told = total
    finally:
        feed.asked[wanted] -= 1
        if not feed.asked[wanted]:
            del feed.asked[wanted]


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/admin/logs/live",
        Permission.READ,
        watch,
        "Watch requests as they end: events each second.",
        aliases=("/api/logs/live",),
        answer={"$ref": "#/components/schemas/log_live"},
        query=PARAMETERS,
        gives=(EVENTS,),
        tag="usage",
    ),
)
