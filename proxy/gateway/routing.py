"""From the name a client asked for to the plan that serves it.

A key's list of models is about the name in the request only: fallbacks are the operator's choice, not the client's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.core.errors import ProxyError
from proxy.core.model import Deployment, Model, Provider, Snapshot, VirtualKey
from proxy.gateway.plan import Plan
from proxy.gateway.selection import Fallback, Route, Slot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from proxy.state.live import Live

__all__ = ["Plan", "permitted", "plan", "plan_stored", "resolve", "speaks"]

Routes = dict[tuple[Model, str], Route]


def plan(
    snapshot: Snapshot, live: Live, name: str, key: VirtualKey | None, dialect: str, rng: Random
) -> Plan:
    """Raises ProxyError no_model (unknown and not permitted look alike) or bad_req (nobody speaks the dialect)."""
    if not permitted(key, name):
        raise ProxyError("no_model", param="model")
    model = snapshot.models.get(name)
    if model is not None:
        matched = model.name
    else:
        model, matched = resolve(snapshot, name)
    route = live.routes.get((model, dialect)) if live.snapshot is snapshot else None
    if route is None:
        route = _compiled(snapshot, live, model, dialect)
    if not route.slots:
        raise ProxyError(
            "bad_req",
            f"The model '{model.name}' is not served in the format of this endpoint ({dialect}).",
            code="dialect_not_supported",
            param="model",
        )
    return Plan(route, matched, rng)


def plan_stored(snapshot: Snapshot, live: Live, dialect: str, rng: Random) -> Plan:
    """For what a client names by an id only its provider knows: every provider that speaks `dialect`, one by one.

    One that says 404 has not stored it; the next is asked. Raises ProxyError bad_req when nobody speaks it.
    """
    key = (None, dialect)
    route = live.routes.get(key) if live.snapshot is snapshot else None
    if route is None:
        found = [p for p in snapshot.providers.values() if speaks(p, dialect)]
        tiers = tuple((Deployment(f"{p.name}/stored", p, "*"),) for p in found)
        route = _compiled(snapshot, live, Model("stored", tiers), dialect)
        if live.snapshot is snapshot:
            live.routes[key] = route
    if not route.slots:
        raise ProxyError(
            "bad_req",
            f"No provider here speaks the format of this endpoint ({dialect}).",
            code="dialect_not_supported",
        )
    return Plan(route, "stored", rng)


def permitted(key: VirtualKey | None, name: str) -> bool:
    """The key may use the model of this name. Without a key everything is."""
    if key is None or "*" in key.models or name in key.models:
        return True
    return any(pattern.endswith("*") and name.startswith(pattern[:-1]) for pattern in key.models)


def resolve(snapshot: Snapshot, name: str) -> tuple[Model, str]:
    """The model of a name, and what a wildcard matched of it ("" for an exact name). Raises ProxyError no_model."""
    model = snapshot.models.get(name)
    if model is not None:
        return model, ""
    for prefix, model in snapshot.wildcards:
        # `openai/` names nothing, while `sim*` covers `sim`.
        if name.startswith(prefix) and name and not (name == prefix and prefix.endswith("/")):
            return model, name[len(prefix) :]
    raise ProxyError("no_model", param="model")


def speaks(provider: Provider, dialect: str) -> bool:
    """The one place that decides who can be asked in a dialect; translation will widen it."""
    return dialect in provider.dialects


def _compiled(snapshot: Snapshot, live: Live, model: Model, dialect: str) -> Route:
    if live.snapshot is None:
        live.swap(snapshot)
    # A request that began before the last swap must not leave its old routes to those who come after.
    routes: Routes = live.routes if live.snapshot is snapshot else {}
    return _compile(snapshot, live, routes, model, dialect)


def _compile(snapshot: Snapshot, live: Live, routes: Routes, model: Model, dialect: str) -> Route:
    known = routes.get((model, dialect))
    if known is not None:
        return known
    tiers = []
    for tier in model.tiers:
        slots = []
        for deployment in tier:
            if speaks(deployment.provider, dialect):
                state = live.deployment(deployment)
                slots.append(Slot(deployment, state, live.pool(deployment, state)))
        tiers.append(tuple(slots))
    route = routes[model, dialect] = Route(model, tiers, live.budget(model))

    def others(names: tuple[str, ...]) -> Iterator[Fallback]:
        # The route is already known by now, so fallbacks that lead back to it end here.
        for name in names:
            try:
                other, matched = resolve(snapshot, name)
            except ProxyError:
                continue  # said when the configuration was read; here it is nobody's fault
            found = _compile(snapshot, live, routes, other, dialect)
            if found.slots and found is not route:
                yield found, matched or other.name

    route.fallbacks = tuple(others(model.fallbacks))
    route.fallbacks_context = tuple(others(model.fallbacks_context))
    route.fallbacks_content = tuple(others(model.fallbacks_content))
    return route
