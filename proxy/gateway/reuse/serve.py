"""The way of a request that may share: an answer that is kept, one that is on its way, or one of its own for all.

A kept answer is one write. Whoever finds one on its way boards it. Everybody else begins a flight, in a task of its own,
so that it does not end with the client that began it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from typing import TYPE_CHECKING

from msgspec.structs import replace

from proxy.core.clock import monotonic
from proxy.core.tasks import spawn
from proxy.gateway import charging
from proxy.gateway.reuse.flight import Flight, Passenger
from proxy.gateway.reuse.identity import identity

if TYPE_CHECKING:
    from proxy.core.model import Model
    from proxy.gateway.connection import ClientConnection
    from proxy.gateway.exchange import Exchange
    from proxy.gateway.meter import Meter
    from proxy.gateway.reuse.wish import Wish
    from proxy.state.replies import Reply
    from proxy.state.state import State

Line = Callable[[Flight], Awaitable[None]]
"""Carries the exchange to a provider and its answer to the flight, and settles it, whatever happens."""

CACHE, COALESCED = "cache", "coalesced"
"""What stands in the log and in the ledger as the cause of an answer that nobody was asked for."""


async def serve(
    wish: Wish,
    model: Model,
    exchange: Exchange,
    client: ClientConnection,
    state: State,
    meter: Meter,
    line: Line,
) -> None:
    """Answer it, by `model`. `meter.aloft` afterwards: the line has settled it, or will."""
    kept = identity(exchange, wish.scope, model) if wish.ttl or wish.take else b""
    if wish.take:
        found = state.replies.get(kept, monotonic(), wish.max_age)
        state.metrics.cache_requests.child("hit" if found else "miss").inc()
        if found is not None:
            _give(exchange, meter, *found)
            return
    alike = b""
    if wish.join and not _hurried(exchange):
        same = kept and wish.scope == wish.join_scope
        alike = kept if same else identity(exchange, wish.join_scope, model)
        flight = state.flights.get(alike)
        if flight is not None and flight.open:
            await _join(flight, wish, exchange, client, meter)
            state.metrics.coalesced.child().inc()
            return
    flight = Flight(exchange, meter)
    passenger = Passenger(flight, exchange, client, leads=True)
    if wish.take:
        passenger.extra = b"x-headrace-cache: miss\r\n"
    exchange.transport = flight  # type: ignore[assignment] # as far as the line uses one
    if alike:
        state.flights[alike] = flight
    meter.aloft = True
    flight.task = spawn(_fly(flight, line, wish, kept, alike, meter, state), name="flight")
    await _wait(flight, passenger, client)


async def _fly(
    flight: Flight, line: Line, wish: Wish, kept: bytes, alike: bytes, meter: Meter, state: State
) -> None:
    try:
        await line(flight)
    finally:
        if state.flights.get(alike) is flight:
            del state.flights[alike]
        room = state.snapshot.cache
        if wish.ttl and meter.outcome == "ok":
            reply = flight.reply(meter.bill, meter.model)
            if reply is not None and reply.size <= room.entry:
                state.replies.put(kept, reply, monotonic(), wish.ttl, room.size)
        flight.land()


async def _join(
    flight: Flight, wish: Wish, exchange: Exchange, client: ClientConnection, meter: Meter
) -> None:
    """Wait with the others. What it comes to is what it came to for who began it, if all pay."""
    passenger = Passenger(flight, exchange, client, leads=False)
    passenger.extra = b"x-headrace-coalesced: yes\r\n"
    await _wait(flight, passenger, client)
    leader = flight.meter
    meter.outcome, meter.cause = leader.outcome, leader.cause or COALESCED
    bill = charging.NOTHING
    if wish.all_pay and leader.bill is not None:
        bill = replace(leader.bill, spent=0)
    meter.gift = bill


async def _wait(flight: Flight, passenger: Passenger, client: ClientConnection) -> None:
    client.flow = passenger
    try:
        flight.board(passenger)
        # Not the future itself: whoever leaves would cancel it for all.
        await asyncio.shield(flight.landed)
    finally:
        if client.flow is passenger:
            client.flow = None
        flight.leave(passenger)


def _hurried(exchange: Exchange) -> bool:
    """It ends at a time of its own, which is nobody else's."""
    return exchange.deadline is not None and exchange.deadline.end < inf


def _give(exchange: Exchange, meter: Meter, reply: Reply, age: float) -> None:
    extra = b"x-headrace-cache: hit\r\nage: %d\r\n" % age
    if exchange.timing:
        extra += b"".join(b"%b: %b\r\n" % header for header in meter.timing_headers())
    head = exchange.repeat(reply.status, extra + reply.lines)
    exchange.bytes_out += len(reply.body)
    meter.cause, meter.gift = CACHE, charging.NOTHING
    if exchange.witness is not None:
        exchange.witness.whole(reply.body)
    meter.over("ok")
    exchange.transport.write(head + reply.body)
