"""The request before anything is chosen: hooks may change it, and what goes on is what they left.

After the key was accepted and the body read; before routing, limits, and answers that are kept. So limits see what will
be sent, a refusal costs nobody anything, and an answer that is kept is one to the request as it was changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from proxy.core.errors import ProxyError
from proxy.gateway import routing
from proxy.gateway.hooks.calling import FAILED, blunder, call
from proxy.gateway.hooks.hooked import Hooked
from proxy.wire.envelope import Envelope

if TYPE_CHECKING:
    from proxy.gateway.exchange import Exchange
    from proxy.gateway.meter import Meter
    from proxy.hooks.chain import Hooks
    from proxy.hooks.documents import Request


async def route(exchange: Exchange, hooks: Hooks, meter: Meter) -> None:
    """Find the hooks of the model that is asked for, and call those that come first.

    Raises ProxyError (hook_refused, hook_failed).
    """
    if not exchange.model or exchange.endpoint.upgrades:
        return  # nobody looks into such a request
    chain = hooks.of(_public(exchange, meter))
    if chain is None:
        return
    hooked = exchange.hooks = Hooked(exchange, chain, meter)
    for made in chain.route:
        request = hooked.request(made.hook)
        result = await call(made, meter.state, request)
        if result is FAILED:
            hooked.forget(made.hook)  # it may still be at work on it
            continue
        wrong = _adopt(exchange, request, hooked)
        if wrong:
            blunder(made, meter.state, wrong)
            hooked.forget(made.hook)


def _is_name(model: object) -> bool:
    return isinstance(model, str) and bool(model)


def _public(exchange: Exchange, meter: Meter) -> str:
    """What the model is called: an alias is as good as its name, and what a wildcard matches has a name of its own."""
    try:
        model, matched = routing.resolve(meter.snapshot, exchange.model)
    except ProxyError:
        return exchange.model
    return exchange.model if matched else model.name


def _adopt(exchange: Exchange, request: Request, hooked: Hooked) -> str:
    """Take over what was changed; or say what was wrong with it, and change nothing."""
    try:
        changes = request.changes()
    except Exception:
        return "put something into the body that is no JSON"
    endpoint, envelope, model = exchange.endpoint, exchange.envelope, request.model
    named = not endpoint.model_in_path
    if named and "model" in changes and model == exchange.model:
        model = request.field("model")
    if not _is_name(model):
        return "took the model away"
    if named and model != exchange.model:
        changes["model"] = orjson.dumps(model)
    if changes:
        if envelope is None:
            return "changed a form, which is not possible"
        edited = envelope.copy()
        for name, raw in changes.items():
            if raw is None:
                edited.drop(name)
            else:
                edited.set(name, raw)
        if endpoint.stream is None and edited.flag("stream") != exchange.stream:
            return "changed whether the answer is streamed"
        body = edited.encode()
        try:
            envelope = Envelope.parse(body)
        except ProxyError:
            return "made a body that is too deep"
        hooked.came(exchange.body)
        exchange.body, exchange.envelope = body, envelope
    exchange.model = model
    return ""
