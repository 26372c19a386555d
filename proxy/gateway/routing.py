"""From the name a client asked for to the plan that serves it.

A key's list of models is about the name in the request only: fallbacks are the operator's choice, not the client's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from proxy.core.errors import ProxyError
from proxy.core.model import Deployment, Model, Provider, Retry, Snapshot, VirtualKey
from proxy.core.surfaces import MCP, OTHER
from proxy.dialects import spoken_by
from proxy.gateway.endpoints import TRANSLATED
from proxy.gateway.plan import Plan
from proxy.gateway.selection import Fallback, Route, Slot
from proxy.state.ceiling import Ceiling
from proxy.state.credentials import Pool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from proxy.core.model import Overload
    from proxy.state.live import DeploymentState, Live
    from proxy.state.waiting import Waiting

__all__ = [
    "Plan",
    "permitted",
    "plan",
    "plan_mcp",
    "plan_other",
    "plan_stored",
    "resolve",
    "spoken",
]

PROVIDER = "x-headrace-provider"
"""Header by which a client says who is to take a path that is no endpoint of ours."""

Routes = dict[tuple[Model, str, bool], Route]


def plan(
    snapshot: Snapshot,
    live: Live,
    name: str,
    key: VirtualKey | None,
    dialect: str,
    rng: Random,
    operation: str = "",
) -> Plan:
    """Raises ProxyError no_model (unknown and not permitted look alike) or bad_req (nobody can be asked in any way).

    Only an `operation` of TRANSLATED reaches those who speak another dialect.
    """
    if not permitted(key, name):
        raise ProxyError("no_model", param="model")
    model = snapshot.models.get(name)
    if model is not None:
        matched = model.name
    else:
        model, matched = resolve(snapshot, name)
    translates = operation in TRANSLATED
    found = live.routes.get((model, dialect, translates)) if live.snapshot is snapshot else None
    if found is None or not found.slots:
        found = route(snapshot, live, model, dialect, operation=operation)
    return Plan(found, matched, rng)


def route(
    snapshot: Snapshot, live: Live, model: Model, dialect: str, *, operation: str = ""
) -> Route:
    """Raises ProxyError bad_req when nobody can be asked in any way."""
    found = _compiled(snapshot, live, model, dialect, translates=operation in TRANSLATED)
    if not found.slots:
        raise ProxyError(
            "bad_req",
            f"The model '{model.name}' is not served in the format of this endpoint ({dialect}).",
            code="dialect_not_supported",
            param="model",
        )
    return found


def plan_stored(snapshot: Snapshot, live: Live, dialect: str, rng: Random) -> Plan:
    """For what a client names by an id only its provider knows: every provider that speaks `dialect`, one by one.

    One that says 404 has not stored it; the next is asked. Raises ProxyError bad_req when nobody speaks it.
    """
    key = (None, dialect, False)
    route = live.routes.get(key) if live.snapshot is snapshot else None
    if route is None:
        found = [p for p in snapshot.providers.values() if dialect in p.dialects]
        tiers = tuple((Deployment(f"{p.name}/stored", p, "*"),) for p in found)
        route = _apart(_compiled(snapshot, live, Model("stored", tiers), dialect, translates=False))
        if live.snapshot is snapshot:
            live.routes[key] = route
    if not route.slots:
        raise ProxyError(
            "bad_req",
            f"No provider here speaks the format of this endpoint ({dialect}).",
            code="dialect_not_supported",
        )
    return Plan(route, "stored", rng)


def plan_other(snapshot: Snapshot, live: Live, rng: Random, named: str, method: str) -> Plan:
    """For a path that is passed as it is: the provider `named`, else whoever says that it takes such.

    What is read is looked for at all of them, one by one, as `plan_stored` does. What changes something is sent to the first, once.
    Raises ProxyError bad_req where nobody is found.
    """
    safe = method == "GET"
    key = (None, f"{OTHER} {named}", safe)
    route = live.routes.get(key) if live.snapshot is snapshot else None
    if route is None:
        found = [p for p in snapshot.providers.values() if OTHER in p.dialects]
        found = [p for p in found if p.name == named or not named]
        retry = Retry() if safe else Retry(count=0, max_attempts=1)
        # Where the thing is that it is about may be found out (`homes`), else it goes to the first.
        tiers = tuple((Deployment(f"{p.name}/other", p, "*", retry=retry),) for p in found)
        route = _apart(
            _compiled(snapshot, live, Model("other", tiers), OTHER, translates=False), once=not safe
        )
        if live.snapshot is snapshot and route.slots:
            live.routes[key] = route
    if not route.slots:
        raise ProxyError(
            "bad_req",
            "No provider of this name takes this path.",
            code="provider_not_found",
            param=PROVIDER,
        )
    return Plan(route, "other", rng)


def _homes(route: Route, dialect: str) -> dict[Any, Any] | None:
    """Responses are kept, and later ones go on from them, where they were made."""
    return {} if dialect == "openai.responses" and route.sole is None else None


def _apart(whole: Route, *, once: bool = False) -> Route:
    """Each credential is an account of its own, and what one keeps no other has: so each is asked by itself, the first first."""
    tiers = [
        (Slot(slot.deployment, slot.state, Pool((key,)), slot.dialect, apart=True),)
        for slot in whole.slots
        for key in slot.pool.keys
    ]
    retry = Retry(count=0, max_attempts=1)
    if not once:
        retry = Retry(max_attempts=max(len(tiers), Retry().max_attempts))
    route = Route(replace(whole.model, retry=retry), tiers, whole.budget)
    route.homes = {} if len(tiers) > 1 else None
    return route


def plan_mcp(snapshot: Snapshot, live: Live, rng: Random, named: str) -> Plan:
    """For a server of tools: there is one, and it is asked once. Raises ProxyError no_route where there is none."""
    provider = snapshot.mcp.get(named)
    if provider is None:
        raise ProxyError("no_route", "There is no MCP server of this name here.")
    key = (None, f"{MCP} {named}", False)
    route = live.routes.get(key) if live.snapshot is snapshot else None
    if route is None:
        once = Retry(count=0, max_attempts=1)
        only = Deployment(provider.name, provider, "*", timeouts=provider.timeouts, retry=once)
        route = _compiled(snapshot, live, Model(provider.name, ((only,),)), MCP, translates=False)
        if live.snapshot is snapshot:
            live.routes[key] = route
    return Plan(route, provider.name, rng)


def takes_other(snapshot: Snapshot) -> bool:
    """Whether anybody does."""
    return any(OTHER in provider.dialects for provider in snapshot.providers.values())


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


def spoken(deployment: Deployment, dialect: str, *, translates: bool) -> str:
    """What to ask a deployment in for a client of `dialect`; "" when there is no way.

    Its own dialect before any other, unless the deployment prefers one; else the first it speaks that can be
    translated.
    """
    provider = deployment.provider
    if not translates:
        return dialect if dialect in provider.dialects else ""
    for name in (*deployment.prefer, dialect):
        if name in provider.dialects and (name == dialect or _is_target(provider, name)):
            return name
    return next((name for name in provider.dialects if _is_target(provider, name)), "")


def _is_target(provider: Provider, name: str) -> bool:
    found = spoken_by(provider, name)
    return found is not None and found.codec is not None and found.codec.render_request is not None


def _compiled(
    snapshot: Snapshot, live: Live, model: Model, dialect: str, *, translates: bool
) -> Route:
    if live.snapshot is None:
        live.swap(snapshot)
    # A request that began before the last swap must not leave its old routes to those who come after.
    routes: Routes = live.routes if live.snapshot is snapshot else {}
    return _compile(snapshot, live, routes, model, dialect, translates)


def _compile(
    snapshot: Snapshot, live: Live, routes: Routes, model: Model, dialect: str, translates: bool
) -> Route:
    known = routes.get((model, dialect, translates))
    if known is not None:
        return known
    tiers = []
    for tier in model.tiers:
        slots = []
        for deployment in tier:
            language = spoken(deployment, dialect, translates=translates)
            if language:
                state = live.deployment(deployment)
                slots.append(Slot(deployment, state, live.pool(deployment, state), language))
        tiers.append(tuple(slots))
    route = routes[model, dialect, translates] = Route(model, tiers, live.budget(model))

    route.homes = _homes(route, dialect)
    route.waiting = live.queue(model)
    if model.overload is not None:
        for slot in route.slots:
            _limit(slot.state, model.overload, route.waiting)
    if model.hedge is not None:
        route.hedges = live.hedge(model.name, model.hedge)

    def others(names: tuple[str, ...]) -> Iterator[Fallback]:
        # The route is already known by now, so fallbacks that lead back to it end here.
        for name in names:
            try:
                other, matched = resolve(snapshot, name)
            except ProxyError:
                continue  # said when the configuration was read; here it is nobody's fault
            found = _behind(snapshot, live, routes, model, other, dialect, translates)
            if found.slots and found is not route:
                yield found, matched or other.name

    route.fallbacks = tuple(others(model.fallbacks))
    route.choice = route.choice or bool(route.fallbacks)
    route.fallbacks_context = tuple(others(model.fallbacks_context))
    route.fallbacks_content = tuple(others(model.fallbacks_content))
    behind = (*route.fallbacks, *route.fallbacks_context, *route.fallbacks_content)
    route.curious = route.looks or any(other.curious for other, _ in behind)
    return route


def _behind(
    snapshot: Snapshot,
    live: Live,
    routes: Routes,
    model: Model,
    other: Model,
    dialect: str,
    translates: bool,
) -> Route:
    """The route of `other` as a fallback of `model`. For a request that nobody is to keep: without those who would, and
    without fallbacks of its own."""
    if not model.private:
        return _compile(snapshot, live, routes, other, dialect, translates)
    tiers = (tuple(one for one in tier if not one.provider.collects) for tier in other.tiers)
    kept = replace(
        other,
        tiers=tuple(tier for tier in tiers if tier),
        fallbacks=(),
        fallbacks_context=(),
        fallbacks_content=(),
        private=True,
    )
    # Known to the route of `model` alone, and forgotten with it.
    return _compile(snapshot, live, {}, kept, dialect, translates)


def _limit(state: DeploymentState, overload: Overload, waiting: Waiting | None) -> None:
    """Learn how many requests a deployment takes at once; who waits for one is told when it has a place."""
    ceiling = state.ceiling
    if ceiling is None:
        ceiling = state.ceiling = Ceiling(overload.start, overload.least, overload.most)
    ceiling.bound(overload.least, overload.most)
    if waiting is not None and waiting not in ceiling.waiting:
        ceiling.waiting.append(waiting)
    state.full = ceiling.full(state.inflight)
