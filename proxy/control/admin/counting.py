"""What pages of statistics count: of all workers and hosts where it is booked in a database, else of this worker.

Either way there is a row for each deployment. What nobody books stays this worker's own: how many requests are under
way, health, and how often a deployment was taken out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import replace

from proxy.control.admin import figures
from proxy.control.admin.turns import turns
from proxy.control.showing import dollars
from proxy.core.clock import now
from proxy.core.records import Kind
from proxy.store.ledger.since import Sums, since, start

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxy.control.admin.figures import Row
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request
    from proxy.store.ledger.since import Place

WORKER: Final = "worker"
FLEET: Final = "fleet"
LONGEST: Final = 30 * 86_400.0
"""Seconds that are counted where nobody has reset anything for longer."""
RESET: Final = "stats.reset"


class Counted(Struct, frozen=True):
    """One page's numbers."""

    scope: str
    since: float
    """Unix time."""
    rows: list[Row]
    tokens: Mapping[tuple[str, str], int]
    """By model and provider."""
    requests: Mapping[str, Any]
    """What became of clients' requests."""
    cost: float | None
    """US dollars of all of them, as far as known; None: it is of none."""


async def counted(request: Request, services: Services) -> Counted:
    """Since the last reset. Who has a team is told of its requests, where that is known. Raises StoreDown."""
    state, marks, store = services.state, services.marks, services.sync.store
    if store is None or not state.snapshot.ledger.path:
        return await of_worker(services)
    rows = [row async for row in turns(figures.rows(state, marks))]
    mark = _mark(services)
    found = await since(store, mark, request.who.team)
    inflight = figures.requests(state.metrics, marks)["inflight"]
    return _of_fleet(start(mark), rows, found, inflight)


async def of_worker(services: Services) -> Counted:
    """Of this worker alone, which is known whatever the database does."""
    state, marks = services.state, services.marks
    rows = [row async for row in turns(figures.rows(state, marks))]
    tokens = figures.tokens(state.metrics, marks)
    requests = figures.requests(state.metrics, marks)
    return Counted(WORKER, marks.since, rows, tokens, requests, None)


def _mark(services: Services) -> float:
    """When somebody last had counting begin anew, for all workers the same."""
    signal = services.sync.mirror.get(Kind.SIGNAL, RESET)
    oldest = now() - LONGEST
    return oldest if signal is None else max(signal.updated, oldest)


def _of_fleet(mark: float, rows: list[Row], found: Mapping[Place, Sums], inflight: int) -> Counted:
    everything = Sums()
    for sums in found.values():
        everything.add(sums)
    by_row = _by_row(rows, found)
    tokens: dict[tuple[str, str], int] = {}
    for (model, provider, _), sums in found.items():
        tokens[model, provider] = tokens.get((model, provider), 0) + sums.tokens
    ended = everything.succeeded + everything.failed + everything.client_gone
    requests = {
        "requests": everything.requests,
        "succeeded": everything.succeeded,
        "failed": everything.failed,
        "refused": everything.requests - ended,
        "client_gone": everything.client_gone,
        "inflight": inflight,
        "tokens": {
            "input": everything.input,
            "cached_input": everything.cache_read,
            "cache_write": everything.cache_write,
            "output": everything.output,
            "reasoning": everything.reasoning,
        },
    }
    shown = [_row(row, by_row.get(row.id, Sums())) for row in rows]
    return Counted(FLEET, mark, shown, tokens, requests, dollars(_cost(everything)))


def _by_row(rows: Iterable[Row], found: Mapping[Place, Sums]) -> dict[str, Sums]:
    """By deployment. What those did that are no more is with the first of the same model and provider."""
    first: dict[tuple[str, str], str] = {}
    there = set()
    for row in rows:
        first.setdefault((row.model, row.provider), row.id)
        there.add((row.model, row.id))
    sums: dict[str, Sums] = {}
    for (model, provider, deployment), one in found.items():
        id = deployment if (model, deployment) in there else first.get((model, provider))
        if id is not None:
            sums.setdefault(id, Sums()).add(one)
    return sums


def _row(row: Row, sums: Sums) -> Row:
    return replace(
        row,
        requests=sums.succeeded + sums.failed,
        succeeded=sums.succeeded,
        selections=sums.requests,
        wait=sums.wait,
        waits=sums.waits,
        cost=_cost(sums),
    )


def _cost(sums: Sums) -> int | None:
    return None if sums.requests and sums.unknown_cost == sums.requests else sums.cost
