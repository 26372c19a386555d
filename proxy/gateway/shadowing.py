"""A share of a model's requests is sent to another model too, once they have been answered, to see how that compares.

The client has its answer before anything of this begins, and learns nothing of it. What the other model says is read to
its end and compared with what the client was given: the time to the first content, what it cost, and how far the texts
are apart. The ledger has the second answer as a request of a key named `shadow`, so that its cost is known; limits of keys,
counters of requests and the log of requests do not know of it.
"""

from __future__ import annotations

import asyncio
from difflib import SequenceMatcher
from functools import partial
from typing import TYPE_CHECKING, cast

from proxy.core import tasks
from proxy.core.clock import monotonic
from proxy.core.errors import ProxyError, UpstreamError
from proxy.core.log import logger
from proxy.core.model import VirtualKey
from proxy.gateway import routing
from proxy.gateway.capture import Capture
from proxy.gateway.exchange import Exchange, Hooked
from proxy.gateway.meter import Meter
from proxy.gateway.relay import OUTCOMES
from proxy.gateway.reuse.identity import shareable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from proxy.core.model import Shadow
    from proxy.gateway.connection import ClientConnection, Flow
    from proxy.state.state import State
    from proxy.upstream.pool import UpstreamPool

    Carry = Callable[
        [Exchange, ClientConnection, routing.Plan, Meter, UpstreamPool], Awaitable[None]
    ]
    """Finds somebody who answers, and gives the answer to the client."""

MOST = 32
"""Requests that are sent a second time at once, in each worker; others are not."""
LONGEST = 50_000
"""Characters of a text that are compared."""
NOBODY = VirtualKey("shadow", b"")
"""Whose such requests are, in the ledger."""


def watch(
    exchange: Exchange, meter: Meter, shadow: Shadow, pool: UpstreamPool, carry: Carry
) -> None:
    """Decide whether this request is one of them: then what it is answered is looked at, and once it is over it is sent
    again, by `carry`. A shadow has none."""
    state = meter.state
    if exchange.key is NOBODY:
        return
    if state.shadows < MOST and state.rng.random() < shadow.share and shareable(exchange):
        kept = meter.snapshot.logging.max_content if exchange.witness is not None else 0
        said = exchange.witness = Capture(exchange, LONGEST, kept)
        meter.after = partial(_begin, said, shadow, pool, carry)


def _begin(said: Capture, shadow: Shadow, pool: UpstreamPool, carry: Carry, meter: Meter) -> None:
    state = meter.state
    if state.shadows >= MOST:
        return  # they have become so many since it was decided
    if meter.outcome == "ok" and meter.attempt is not None and not state.draining:
        state.shadows += 1
        hooks = meter.exchange.hooks  # in a moment it has none any more
        tasks.spawn(_follow(said, meter, hooks, shadow, pool, carry), name="shadow")


async def _follow(
    said: Capture,
    meter: Meter,
    hooks: Hooked | None,
    shadow: Shadow,
    pool: UpstreamPool,
    carry: Carry,
) -> None:
    exchange, state = meter.exchange, meter.state
    try:
        other, heard = await _ask(exchange, hooks, shadow, state, pool, carry)
        distance = -1.0
        if other.outcome == "ok":
            distance = await asyncio.to_thread(apart, said.text(), heard.text())
            state.metrics.shadow_distance.child(meter.model, shadow.model).observe(distance)
        state.metrics.shadows.child(meter.model, shadow.model, other.outcome).inc()
        logger.info(
            "shadow of request %s: %s instead of %s: %s, first content %.0f ms against %.0f, %s against %s USD, distance %.3f",
            exchange.id,
            shadow.model,
            meter.model,
            other.outcome,
            _ttft(other),
            _ttft(meter),
            _cost(other),
            _cost(meter),
            distance,
        )
    finally:
        state.shadows -= 1


async def _ask(
    exchange: Exchange,
    hooks: Hooked | None,
    shadow: Shadow,
    state: State,
    pool: UpstreamPool,
    carry: Carry,
) -> tuple[Meter, Capture]:
    """The same request of the other model: what it came to, and what was said."""
    copy = _copy(exchange)
    meter = Meter(copy, state)
    if hooks is not None:
        copy.hooks = hooks.shadow(copy, meter)
    meter.ready_at = copy.started
    meter.model = shadow.model
    sink = cast("ClientConnection", Sink())
    copy.transport = cast("asyncio.Transport", sink)
    heard = copy.witness = Capture(copy, LONGEST, 0)
    try:
        plan = routing.plan(
            state.snapshot,
            state.live,
            shadow.model,
            None,
            copy.endpoint.dialect,
            state.rng,
            copy.endpoint.operation,
        )
        await carry(copy, sink, plan, meter, pool)
        if meter.relay is not None:
            meter.outcome = OUTCOMES[meter.relay.reason]
    except (ProxyError, UpstreamError):
        meter.outcome = "failed"
    finally:
        meter.over(meter.outcome)
        copy.hooks = None
    return meter, heard


def _copy(exchange: Exchange) -> Exchange:
    """The same request, of nobody's."""
    copy = Exchange(
        exchange.request,
        exchange.transport,
        exchange.endpoint,
        exchange.params,
        exchange.query,
        monotonic(),
    )
    copy.key = NOBODY
    copy.id, copy.named = f"{exchange.id}:shadow", False
    copy.body, copy.form = exchange.body, exchange.form
    copy.envelope = None if exchange.envelope is None else exchange.envelope.copy()
    copy.must_reemit = exchange.must_reemit
    copy.model, copy.stream = exchange.model, exchange.stream
    return copy


def apart(one: str, other: str) -> float:
    """How far two texts are apart: 0 the same words in the same order, 1 none in common (Ratcliff and Obershelp's
    measure, of words). Takes its time."""
    if one == other:
        return 0.0
    return 1.0 - SequenceMatcher(None, one.split(), other.split(), autojunk=False).ratio()


def _ttft(meter: Meter) -> float:
    """Milliseconds from the beginning of the attempt that answered to its first content; -1: there was none."""
    attempt = meter.attempt
    return -1.0 if attempt is None else (attempt.answered_at - attempt.started) * 1000


def _cost(meter: Meter) -> str:
    bill = meter.bill
    return "unknown" if bill is None or bill.cost < 0 else f"{bill.cost / 1e6:.6f}"


class Sink:
    """A client that takes everything and keeps nothing: its connection and its transport."""

    __slots__ = ("flow",)

    def __init__(self) -> None:
        self.flow: Flow | None = None

    @property
    def writing_paused(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        """Gone."""

    def close(self) -> None:
        """Nobody notices."""

    abort = close

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0
