"""What becomes of requests when there are too many: some wait a moment, and some are told to come again.

    place   a request whose model's deployments are all as busy as they may be waits for one of them, by its urgency
    check   a worker that cannot keep up takes no more than it can, shared among keys, the most urgent first
    memory  one that is short of memory refuses large bodies, then everything

The header `x-priority` says how urgent a request is: `interactive`, `normal` (where it is missing), `batch`.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from proxy.core.clock import monotonic
from proxy.core.errors import ProxyError
from proxy.state.memory import FULL

if TYPE_CHECKING:
    from proxy.gateway.exchange import Exchange
    from proxy.gateway.meter import Meter
    from proxy.gateway.plan import Plan
    from proxy.gateway.selection import Route
    from proxy.state.state import State
    from proxy.state.waiting import Waiting

HEADER = "x-priority"
URGENCY = {"interactive": 0, "normal": 1, "batch": 2}
LARGE = 1024 * 1024
"""Bytes of a body that is not taken while memory is short."""
RANK = 1
"""The class of all keys."""
_LEAST = 0.001
AGAIN = 1.0
"""Seconds after which somebody who was refused may come again."""


def urgency(exchange: Exchange) -> int:
    """0 is the most urgent. What is no word of ours is normal."""
    text = exchange.request.headers.get(HEADER)
    return 1 if text is None else URGENCY.get(text.strip().lower(), 1)


def check(exchange: Exchange, state: State) -> None:
    """Raises ProxyError shed."""
    if state.memory.level and (state.memory.level == FULL or _is_large(exchange)):
        raise state.memory.refusal()
    lag, key = state.lag, exchange.key
    if (lag.share or exchange.started > lag.late) and not lag.takes(
        exchange.started, RANK, "" if key is None else key.id, urgency(exchange), state.rng
    ):
        state.metrics.shed.child("loop_lag").inc()
        raise ProxyError("shed", retry_after=AGAIN)


def _is_large(exchange: Exchange) -> bool:
    """Its body is above LARGE, or nobody says before it is here."""
    headers = exchange.request.headers
    if "Content-Encoding" in headers or "Transfer-Encoding" in headers:
        return True
    return int(headers.get("Content-Length", 0)) > LARGE


async def place(exchange: Exchange, plan: Plan, waiting: Waiting, meter: Meter) -> None:
    """Wait for a deployment that takes another request, as long as the model says. Then the plan finds out: it may have
    another model."""
    rank = urgency(exchange)
    came = monotonic()
    end, called = came + waiting.patience, False
    if exchange.deadline is not None:
        end = min(end, exchange.deadline.at)
    while _is_full(plan.route) or (not called and waiting.ahead(rank)):
        left = end - monotonic()
        called = left >= _LEAST and await turn(waiting, rank, left)
        if not called:
            meter.state.metrics.shed.child("queue").inc()
            break
    waited = monotonic() - came
    if waited > _LEAST:
        meter.paused(waited)


async def turn(waiting: Waiting, rank: int, timeout: float) -> bool:
    """Wait to be called. False: it took too long, or too many wait already."""
    called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    ticket = waiting.join(rank, partial(_wake, called))
    if ticket is None:
        return False
    unused = True
    try:
        async with asyncio.timeout(timeout):
            await called
        unused = False
    except TimeoutError:
        unused = not ticket.called  # called at the last moment
    finally:
        waiting.leave(ticket, unused=unused)
    return ticket.called


def _wake(called: asyncio.Future[None]) -> None:
    if not called.done():
        called.set_result(None)


def _is_full(route: Route) -> bool:
    """Nobody takes another, though somebody would if it were less busy."""
    now = monotonic()
    return not route.usable(now) and any(slot.state.full for slot in route.slots)
