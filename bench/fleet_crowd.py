"""Clients of a fleet: they ask through its balancer, and know afterwards what came of each request."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING

import aiohttp
import msgspec
from msgspec import Struct

from bench.hosts import HEADS
from bench.peers import PATH
from bench.store import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.balancers import Front
    from bench.hosts import Fleet

SHORT, STREAM = "sim-n16-d0-f0-s4", "sim-n40-d20-f0-s4"
LOOK = 0.01
SETTLE_S = 30.0


class Asked(Struct):
    """One request of a client through the balancer."""

    id: str
    began: float
    ended: float = 0.0
    status: int = 0
    """0: the connection ended before there was an answer."""
    whole: bool = False
    shed: bool = False
    """Refused in good time, by a worker that could not keep up: this machine has too much to do."""


class Crowd:
    """Clients that ask through the balancer, one request after the other each, and remember what came of it."""

    def __init__(self, front: Front, clients: int, streams: int) -> None:
        self.asked: list[Asked] = []
        self._front = front
        self._models = [SHORT] * clients + [STREAM] * streams
        self._numbers = itertools.count()
        self._over = asyncio.Event()

    async def run(self) -> None:
        """Until `end` is called, and what is under way then is over."""
        connector = aiohttp.TCPConnector(ssl=self._front.trust, limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            await asyncio.gather(*(self._client(session, model) for model in self._models))

    async def warm(self) -> None:
        """Until as many have a whole answer as there are clients, some of each kind."""
        number = len(self._models) + sum(one.whole for one in self.asked)
        while sum(one.whole for one in self.asked) < number:  # noqa: ASYNC110
            await asyncio.sleep(LOOK)

    def end(self) -> None:
        """Nobody asks anything new."""
        self._over.set()

    async def _client(self, session: aiohttp.ClientSession, model: str) -> None:
        while not self._over.is_set():
            one = Asked(f"fleet-{next(self._numbers)}", monotonic())
            self.asked.append(one)
            body = {"model": model, "stream": model == STREAM, "messages": []}
            try:
                async with session.post(
                    self._front.url + PATH,
                    data=msgspec.json.encode(body),
                    headers={**HEADS, "x-request-id": one.id},
                ) as answer:
                    one.status = answer.status
                    content = await answer.read()
                one.shed = one.status == 503 and b'"gateway_overloaded"' in content
                one.whole = one.status == 200 and (
                    model != STREAM or content.endswith(b"data: [DONE]\n\n")
                )
            except aiohttp.ClientError:
                pass
            one.ended = monotonic()
            await asyncio.sleep(0.05)


def by_death(asked: Sequence[Asked], killed: Sequence[tuple[float, float]]) -> tuple[int, int]:
    """(failed requests that were under way while a host was killed, others that failed)"""
    failed = [one for one in asked if not one.whole]
    hit = sum(any(one.began <= dead and one.ended >= at for at, dead in killed) for one in failed)
    return hit, len(failed) - hit


async def books(standing: Fleet, crowd: Crowd) -> list[Figure]:
    """What is missing in the database of what clients have, once what the dead left behind is shipped."""
    began = monotonic()
    while True:
        ((open_,),) = await standing.rows("SELECT count(*) FROM requests WHERE phase < 3")
        wrong = await _differences(standing, crowd)
        if (not open_ and not wrong) or monotonic() - began > SETTLE_S:
            break
        await asyncio.sleep(0.1)
    ((unknown,),) = await standing.rows("SELECT count(*) FROM requests WHERE outcome = 'unknown'")
    ((rows, counted, micro, booked),) = await standing.rows(
        "SELECT (SELECT count(*) FROM requests), (SELECT CAST(SUM(requests) AS BIGINT) FROM statistics WHERE span = 3600),"
        " (SELECT CAST(COALESCE(SUM(cost), 0) AS BIGINT) FROM requests),"
        " (SELECT CAST(SUM(cost) AS BIGINT) FROM statistics WHERE span = 3600)"
    )
    return [
        Figure("fleet_rows", "requests in the database", rows, ""),
        Figure("fleet_unknown", "of those, ended for a host that died", unknown, ""),
        Figure("fleet_open", "WRONG: of those, not ended", open_, ""),
        Figure("fleet_missing", "WRONG: whole at a client, not there once as such", wrong, ""),
        Figure("fleet_uncounted", "WRONG: rows and sums differ by requests", abs(rows - counted), ""),
        Figure("fleet_unbooked", "WRONG: rows and sums differ by micro-dollars", abs(micro - booked), ""),
        Figure("fleet_settled", "until the books were complete", monotonic() - began, "s"),
    ]  # fmt: skip


async def _differences(standing: Fleet, crowd: Crowd) -> int:
    rows = await standing.rows("SELECT rid, outcome FROM requests WHERE phase = 3")
    there = Counter((rid.rpartition(":")[2], outcome) for rid, outcome in rows)
    ids = Counter(rid.rpartition(":")[2] for rid, _ in rows)
    return sum(there[(one.id, "ok")] != 1 or ids[one.id] != 1 for one in crowd.asked if one.whole)
