"""Rules and preferences, applied to the plan that the name of a model gave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.core.errors import ProxyError
from proxy.core.log import logger
from proxy.gateway import routing
from proxy.gateway.choosing import preferences, rules
from proxy.gateway.plan import Plan

if TYPE_CHECKING:
    from proxy.core.model import Model, Snapshot
    from proxy.gateway.exchange import Exchange
    from proxy.gateway.selection import Route
    from proxy.state.state import State

_HOPS = 8
"""Rules that lead to a model with rules."""
_MOST = 256
"""Different preferences that are remembered for one configuration."""


def chosen(plan: Plan, exchange: Exchange, state: State) -> Plan:
    """Raises ProxyError bad_req, no_model."""
    snapshot = state.snapshot
    model, matched = plan.model, plan.matched
    for _ in range(_HOPS):
        rule = rules.first(model.rules, exchange, snapshot, state.rng) if model.rules else None
        if rule is None:
            break
        try:
            other, found = routing.resolve(snapshot, rule.use)
        except ProxyError:  # the store may name what is not there any more
            if state.alert(f"rule of {model.name}: {rule.use}"):
                logger.warning(
                    "model %s: a rule leads to %s, which is no model", model.name, rule.use
                )
            break
        model, matched = other, found or other.name
    wanted = preferences.NONE
    if model.preferences or plan.model.preferences:
        wanted = preferences.read(exchange)
        wanted = preferences.priced(wanted, model, matched, snapshot.prices)
        if wanted.strict:
            wanted = preferences.required(wanted, model, exchange)
    if wanted is preferences.NONE and model is plan.model:
        return plan
    for name in wanted.fallbacks or ():
        if not routing.permitted(exchange.key, name):
            raise ProxyError("no_model", param="models")
        routing.resolve(snapshot, name)
    return Plan(_route(model, wanted, exchange, state), matched, state.rng)


def _route(
    model: Model, wanted: preferences.Preferences, exchange: Exchange, state: State
) -> Route:
    endpoint = exchange.endpoint
    if wanted is not preferences.NONE:
        model = _narrowed(state.snapshot, state, model, wanted, endpoint.dialect)
    return routing.route(
        state.snapshot, state.live, model, endpoint.dialect, operation=endpoint.operation
    )


def _narrowed(
    snapshot: Snapshot, state: State, model: Model, wanted: preferences.Preferences, dialect: str
) -> Model:
    """The same object for the same preferences, so that what is worked out for it is worked out once."""
    if state.live.snapshot is not snapshot:
        return preferences.narrowed(model, wanted, dialect)
    known = state.live.narrowed
    # What is left out depends on the dialect, and is in `wanted` only where it is.
    place = (model, wanted, dialect if wanted.dropped else "")
    found = known.get(place)
    if found is None:
        found = preferences.narrowed(model, wanted, dialect)
        if len(known) >= _MOST:
            _forget(state)
        known[place] = found
    return found


def _forget(state: State) -> None:
    """All of them, with their routes: whoever sends ever new ones does not fill the memory."""
    live = state.live
    gone = set(live.narrowed.values())
    live.routes = {key: route for key, route in live.routes.items() if key[0] not in gone}
    live.narrowed.clear()
