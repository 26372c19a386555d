"""The line: one client request to an upstream, and its answer back."""

from __future__ import annotations

import asyncio
from functools import partial
from types import coroutine
from typing import TYPE_CHECKING, cast

import orjson

from proxy.core.clock import monotonic
from proxy.core.errors import ProxyError, UpstreamError
from proxy.core.log import logger
from proxy.gateway import (
    admission,
    attempts,
    body,
    counting,
    deadline,
    homes,
    models,
    overload,
    response,
    routing,
    shadowing,
    sockets,
)
from proxy.gateway.auth import authenticate, check
from proxy.gateway.choosing.chosen import chosen
from proxy.gateway.continuation.hop import go_on
from proxy.gateway.continuation.relays import may_leave_open
from proxy.gateway.endpoints import Body
from proxy.gateway.hooks import before
from proxy.gateway.looking import Asked
from proxy.gateway.meter import Meter
from proxy.gateway.reuse import serve as reuse
from proxy.gateway.reuse.wish import wish
from proxy.wire import multipart
from proxy.wire.envelope import Envelope

if TYPE_CHECKING:
    from collections.abc import Generator

    from proxy.gateway.connection import ClientConnection
    from proxy.gateway.exchange import Exchange, Headers
    from proxy.gateway.reuse.flight import Flight
    from proxy.gateway.throttle import Throttle
    from proxy.hooks.chain import Hooks
    from proxy.state.state import State
    from proxy.upstream.pool import UpstreamPool

JSON: Headers = [(b"content-type", b"application/json; charset=utf-8")]
_LISTS = frozenset({"models", "model"})
_LISTED = {"anthropic-version": "anthropic", "x-goog-api-key": "gemini"}


async def serve(
    exchange: Exchange,
    client: ClientConnection,
    state: State,
    pool: UpstreamPool,
    throttle: Throttle,
) -> None:
    """Carry one request to an upstream and its answer back."""
    meter = Meter(exchange, state)
    snapshot = state.snapshot
    try:
        if not exchange.exempt:
            key = authenticate(exchange.request.headers, exchange.query, snapshot)
            exchange.key = key
            if key is not None and (key.routes or key.cidrs):
                check(key, exchange.endpoint, exchange.request.remote)
        if exchange.endpoint.operation in _LISTS:
            exchange.respond(200, JSON, _models(exchange, state))
            return
        await _read(exchange, client, state)
        meter.ready(client.received_at)
        hooks = snapshot.hooks
        plan = (
            _plan(exchange, state) if hooks is None else await _plan_hooked(exchange, hooks, meter)
        )
        meter.model = plan.model.name
        key = exchange.key
        # Looked at here: for most requests there is nothing to call for.
        if (
            state.accounts is not None
            and (
                plan.model.limits is not None
                or snapshot.limits is not None
                or snapshot.ledger.on_full == "refuse"
                or (
                    key is not None
                    and (
                        key.rpm or key.tpm or key.concurrency or key.budget is not None or key.team
                    )
                )
            )
            and (waits := admission.admit(exchange, plan, state)) is not None
        ):
            await waits
        if exchange.endpoint.operation == "count_tokens" and all(
            map(counting.cannot, plan.dialects)
        ):
            counting.estimate(exchange)
            return
        shares = plan.model.cache or plan.model.coalesce or snapshot.cache.header
        wished = wish(exchange, plan.model, snapshot) if shares else None
        if wished is not None:
            line = partial(_fly, exchange, plan, meter, state, pool, throttle)
            await reuse.serve(wished, plan.model, exchange, client, state, meter, line)
            return
        await _carry(exchange, client, plan, meter, pool)
    except (ProxyError, UpstreamError) as error:
        _refuse(exchange, meter, throttle, error)
    except asyncio.CancelledError:
        if not meter.aloft:
            _left(exchange, client, meter, state)
        raise
    except Exception:
        _broken(exchange, meter)
    finally:
        if not meter.aloft:
            _over(exchange, meter, state)


async def _fly(
    exchange: Exchange,
    plan: routing.Plan,
    meter: Meter,
    state: State,
    pool: UpstreamPool,
    throttle: Throttle,
    flight: Flight,
) -> None:
    """The same from where somebody is asked, for all who wait for the answer."""
    client = cast("ClientConnection", flight)  # as far as it is used as one
    try:
        await _carry(exchange, client, plan, meter, pool)
    except (ProxyError, UpstreamError) as error:
        _refuse(exchange, meter, throttle, error)
    except asyncio.CancelledError:
        _left(exchange, client, meter, state)
        raise
    except Exception:
        _broken(exchange, meter)
    finally:
        _over(exchange, meter, state)


async def _carry(
    exchange: Exchange,
    client: ClientConnection,
    plan: routing.Plan,
    meter: Meter,
    pool: UpstreamPool,
) -> None:
    """Find somebody who answers, and give the answer to the client."""
    kept = plan.route.homes is not None
    if kept:
        plan = await homes.lead(exchange, plan, meter.state, pool)
    if plan.model.shadow is not None:
        shadowing.watch(exchange, meter, plan.model.shadow, pool, _carry)
    if plan.route.waiting is not None:
        await overload.place(exchange, plan, plan.route.waiting, meter)
    attempt = await attempts.first_answer(exchange, plan, pool, meter)
    try:
        extra = meter.timing_headers() if exchange.timing else []
        # Both parts of an answer that goes on elsewhere are charged, and a strict budget has reserved one.
        ladder = bool(plan.model.continuation) and not admission.strict(exchange, plan, meter.state)
        choose: response.Choose | None = may_leave_open if ladder else None
        if kept:
            homes.learn(meter.state, attempt)
            if choose is None:
                choose = partial(homes.listening, meter.state)
        meter.relay = await response.respond(
            exchange,
            attempt,
            client,
            meter.snapshot.server.write_timeout,
            extra,
            left_open=choose,
        )
        if ladder:
            await go_on(exchange, plan, pool, meter, client, attempt)
    finally:
        attempt = meter.attempt or attempt
        meter.relay = attempt.relay
        attempt.close()
        attempts.ended(plan, attempt)
        meter.state.lag.done += 1


def _left(exchange: Exchange, client: ClientConnection, meter: Meter, state: State) -> None:
    """The client is gone, or has to go."""
    if state.draining and not exchange.head_sent and client.transport is not None:
        draining = ProxyError("drain", retry_after=1.0)
        meter.rejected(draining)
        response.reject(exchange, draining)
    else:
        meter.client_gone()


def _broken(exchange: Exchange, meter: Meter) -> None:
    """A mistake of ours. In an `except` clause."""
    logger.exception("request %s failed", exchange.id)
    oops = ProxyError("oops")
    meter.rejected(oops)
    if exchange.head_sent:
        exchange.abandon()
    else:
        response.reject(exchange, oops)


def _over(exchange: Exchange, meter: Meter, state: State) -> None:
    """Book it, and see that nothing is held any more."""
    try:
        meter.settle()
        if meter.after is not None:
            meter.after(meter)
    finally:
        if exchange.hold is not None and meter.bill is None and not meter.left_at:
            admission.ended(exchange, state, dispatched=meter.attempts > 0)
        if exchange.trace is not None:
            exchange.trace.over(meter)
        if exchange.hooks is not None:
            exchange.hooks.over(meter)


def _refuse(
    exchange: Exchange, meter: Meter, throttle: Throttle, error: ProxyError | UpstreamError
) -> None:
    """Answer without an answer."""
    if exchange.endpoint.operation == "count_tokens" and counting.is_missing(error):
        try:
            counting.estimate(exchange)
            return
        except ProxyError as wrong:
            error = wrong
    if isinstance(error, ProxyError):
        if error.ref == "no_auth":
            wait = throttle.failed(exchange.request.remote or "", monotonic())
            error = ProxyError("auth_flood", retry_after=wait) if wait else error
        meter.rejected(error)
        response.reject(exchange, error, _family(exchange))
    else:
        meter.passed_on(error)
        response.pass_on(exchange, error)


async def _read(exchange: Exchange, client: ClientConnection, state: State) -> None:
    """How long the client waits; the body, and from it what routing must know: the model's name, whether to stream."""
    lag = state.lag
    if (
        lag.share or exchange.started > lag.late or state.memory.level
    ) and client.let_in <= client.answered:
        overload.check(exchange, state)
    endpoint = exchange.endpoint
    request = exchange.request
    if not request.headers.keys().isdisjoint(deadline.HEADERS):
        exchange.deadline = deadline.read(request.headers, exchange.started)
    if endpoint.body is Body.NONE:
        return
    exchange.body = await body.read(
        request, exchange.transport, state.snapshot.server, state.memory
    )
    if client.may_have_left():
        await _confirm(client)
    if endpoint.body is Body.ANY:
        return
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if endpoint.body is Body.FORM or (endpoint.body is not Body.JSON and "form-data" in kind):
        exchange.form = multipart.Form.parse(exchange.body, request.headers.get("Content-Type", ""))
        exchange.model = exchange.model or exchange.form.text("model") or ""
        exchange.stream = exchange.form.text("stream") == "true"
    else:
        if kind in _SIMPLE:
            raise ProxyError("bad_enc", "Send 'content-type: application/json'.")
        envelope = exchange.envelope = Envelope.parse(exchange.body)
        if endpoint.stream is None:
            exchange.stream = envelope.flag("stream")
        if not endpoint.model_in_path:
            exchange.model = envelope.text("model") or ""
    if not exchange.model:
        raise _nameless(exchange.envelope)
    if exchange.envelope is not None:
        # Two readers of a key given twice could see two requests; a rule and the provider must see one.
        restricted = exchange.key is not None and exchange.key.models != ("*",)
        exchange.must_reemit = restricted or exchange.envelope.duplicates


def _nameless(envelope: Envelope | None) -> ProxyError:
    """Why a request names no model."""
    raw = None if envelope is None else envelope.raw("model")
    if raw in (None, b"null", b'""'):
        return ProxyError(
            "bad_req", "The field 'model' is missing.", code="missing_field", param="model"
        )
    return ProxyError("bad_req", "'model' must be a string.", code="invalid_type", param="model")


async def _confirm(client: ClientConnection) -> None:
    """One turn of the loop reads what follows the request: nothing, or the end of a client that left at once."""
    await _turn()
    if client.half_closed:
        await client.confirm_client()


@coroutine
def _turn() -> Generator[None, None, None]:
    """What `asyncio.sleep(0)` does, in half the calls."""
    yield


_SIMPLE = frozenset({"text/plain", "multipart/form-data", "application/x-www-form-urlencoded"})
"""What a page may send to another site without asking: never a request for us."""


def _plan(exchange: Exchange, state: State) -> routing.Plan:
    if exchange.endpoint.operation == "stored":
        return routing.plan_stored(state.snapshot, state.live, exchange.endpoint.dialect, state.rng)
    if exchange.endpoint.operation == "other":
        return _plan_other(exchange, state)
    if exchange.endpoint.operation == "mcp":
        return routing.plan_mcp(state.snapshot, state.live, state.rng, exchange.params["name"])
    if exchange.endpoint.upgrades:
        sockets.read(exchange)
    plan = routing.plan(
        state.snapshot,
        state.live,
        exchange.model,
        exchange.key,
        exchange.endpoint.dialect,
        state.rng,
        exchange.endpoint.operation,
    )
    model = plan.model
    echo = model.echo_alias
    if model.rules or model.preferences:
        plan = chosen(plan, exchange, state)
        echo = echo or plan.model.echo_alias
    if echo:
        exchange.alias = orjson.dumps(exchange.model)
    if plan.route.curious:
        plan.look(Asked(exchange, state.snapshot))
    return plan


async def _plan_hooked(exchange: Exchange, hooks: Hooks, meter: Meter) -> routing.Plan:
    """The same for a request as its hooks leave it."""
    await before.route(exchange, hooks, meter)
    return _plan(exchange, meter.state)


def _plan_other(exchange: Exchange, state: State) -> routing.Plan:
    """Nobody looks into such requests, so they are not for keys that are for some models only, unless a key names this route."""
    key = exchange.key
    if key is not None and key.models != ("*",) and not key.routes:
        raise ProxyError("forbid", "This API key may not use this route.", code="route_not_allowed")
    named = exchange.request.headers.get(routing.PROVIDER, "").strip()
    method = exchange.endpoint.method
    return routing.plan_other(state.snapshot, state.live, state.rng, named, method)


def _family(exchange: Exchange) -> str:
    """Whose client asks: the route says it, but for lists of models."""
    family = exchange.endpoint.family
    if family == "openai" and exchange.endpoint.operation in _LISTS:
        # Three vendors have their list at one path: whose client asks shows in a header that the others' do not send.
        headers = exchange.request.headers
        family = next((whose for name, whose in _LISTED.items() if name in headers), family)
    return family


def _models(exchange: Exchange, state: State) -> bytes:
    family = _family(exchange)
    if exchange.endpoint.operation == "models":
        return models.listing(state.snapshot, exchange.key, family)
    return models.one(state.snapshot, exchange.key, family, exchange.model)
