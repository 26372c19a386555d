"""How this installation is: its workers, its store, its providers, one model.

All but the workers, and what the providers of a model have done, is read from memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from proxy.control import health
from proxy.control.admin import figures, usage
from proxy.control.admin.access import Permission
from proxy.control.admin.conditions import circuit, condition, grade, last_check
from proxy.control.admin.counting import counted, of_worker
from proxy.control.admin.turns import turns
from proxy.control.admin.web import Answer, Problem, Route
from proxy.core.clock import monotonic, now
from proxy.core.records import Kind
from proxy.state.health import CLOSED
from proxy.store.base import StoreDown

if TYPE_CHECKING:
    from proxy.control.admin.figures import Row
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request
    from proxy.core.model import Deployment, Model, Snapshot
    from proxy.state.live import DeploymentState, Live


async def status(request: Request, services: Services) -> Answer:
    """Everything at once. 200 as long as it can be told."""
    state, sync = services.state, services.sync
    snapshot = state.snapshot
    _, content = health.health(
        snapshot, state.live, state.metrics, state.started, draining=state.draining, detail=True
    )
    try:
        workers = await sync.workers()
    except StoreDown:
        workers = None
    admin, server = snapshot.admin, snapshot.server
    return Answer(
        {
            **content,
            "workers": workers,
            "store": _store(services),
            "file": sync.path or None,
            "problems": list(sync.problems),
            "counts": {
                "providers": len(snapshot.providers),
                "models": len(figures.models(snapshot)),
                "deployments": len(state.live.deployments),
                "virtual_keys": len({key.id or key.name for key in snapshot.keys.values()}),
            },
            "listeners": [
                {
                    "for": "clients",
                    "host": server.host,
                    "port": server.port,
                    "url": services.api or None,
                },
                {"for": "operators", "host": admin.host, "port": admin.port},
            ],
        }
    )


def _store(services: Services) -> dict[str, Any] | None:
    """None: the configuration has no store."""
    sync = services.sync
    if sync.store is None:
        return None
    return {
        "backend": sync.store.backend,
        "url": sync.store.url,
        "up": sync.up,
        "source": sync.source,
        "age": round(sync.age, 3),
        "revision": sync.revision,
        "objects": {
            str(kind): len(sync.mirror.records.get(kind, {}))
            for kind in Kind
            if kind is not Kind.SIGNAL
        },
    }


async def providers(request: Request, services: Services) -> Answer:
    """Every provider in use, with what it serves."""
    served: dict[str, dict[str, None]] = {}
    async for row in turns(figures.rows(services.state, services.marks)):
        served.setdefault(row.provider, {})[row.model] = None
    known = services.state.snapshot.providers
    return Answer(
        {
            "timestamp": now(),
            "providers": {
                name: {
                    "status": each["status"],
                    "health_status": each["status"],
                    "models": list(served.get(name, ())),
                    "base_url": known[name].base_url if name in known else None,
                    "keys": each["keys"],
                    "last_check": last_check(_states(each["deployments"], services)),
                }
                for name, each in figures.providers(services.state).items()
            },
        }
    )


async def models(request: Request, services: Services) -> Answer:
    """Every model in use, in short."""
    found = {}
    for name, model in figures.models(services.state.snapshot).items():
        content = _health(model, services)
        found[name] = {
            field: content[field] for field in ("status", "healthy_providers", "total_providers")
        }
    return Answer({"timestamp": now(), "models": found})


async def model(request: Request, services: Services) -> Answer:
    """One model, under any of its names."""
    name = request.params["model"]
    found = named(services.state.snapshot, name)
    if found is None:
        raise Problem(404, "not_found", "There is no such model in use.")
    live = services.state.live
    return Answer(
        {
            "model_name": name,
            "timestamp": now(),
            **_health(found, services),
            "deployments": [condition(one, live) for one in _deployments(found)],
        }
    )


def _deployments(model: Model) -> Iterator[Deployment]:
    return (one for tier in model.tiers for one in tier)


def _states(ids: Mapping[str, str], services: Services) -> Iterator[DeploymentState]:
    known = services.state.live.deployments
    return (known[id] for id in ids if id in known)


def _health(model: Model, services: Services) -> dict[str, Any]:
    """Each provider of a model is as good as its best deployment, the model as its providers are together."""
    live = services.state.live
    best: dict[str, float] = {}
    for one in _deployments(model):
        state = live.deployments.get(one.id)
        seen = 1.0 if state is None else state.health
        best[one.provider.name] = max(seen, best.get(one.provider.name, 0.0))
    states = {name: grade(value) for name, value in best.items()}
    healthy = sum(state == health.HEALTHY for state in states.values())
    overall = health.DEGRADED
    if healthy == len(states):
        overall = health.HEALTHY if states else health.UNUSED
    elif max(best.values()) <= 0.0:
        overall = health.UNHEALTHY
    return {
        "status": overall,
        "providers": states,
        "healthy_providers": healthy,
        "total_providers": len(states),
    }


def named(snapshot: Snapshot, name: str) -> Model | None:
    """The model clients reach under this name; for a wildcard, under its pattern too."""
    found = snapshot.models.get(name)
    if found is not None:
        return found
    prefixes = (each for prefix, each in snapshot.wildcards if name.startswith(prefix))
    return next(prefixes, None)


async def providers_of(name: str, request: Request, services: Services) -> dict[str, Any] | None:
    """The providers of one model and how each is, for `GET /admin/providers/<model>`; None when it is no model."""
    found = named(services.state.snapshot, name)
    if found is None:
        return None
    try:
        seen = await counted(request, services)
    except StoreDown:
        seen = await of_worker(services)  # how they are is known all the same
    own = {one.id: one for one in found.own}
    return {
        "model": found.name,
        "scope": seen.scope,
        "strategy": str(found.strategy),
        "providers": [
            _provider(row, own[row.id], seen.tokens.get((row.model, row.provider), 0), services)
            for row in seen.rows
            if row.model == found.name and row.id in own
        ],
    }


def _provider(row: Row, deployment: Deployment, tokens: int, services: Services) -> dict[str, Any]:
    """Where it has a quota, what was used is of the window that runs, as its limits are."""
    live = services.state.live
    state = live.deployments.get(row.id)
    used = usage.of_quota(row.id, row.quota, services.state) or {
        "requests": row.requests,
        "tokens": tokens,
        "limit_requests": None,
        "limit_tokens": None,
    }
    return {
        "name": row.provider,
        "endpoint": row.base_url,
        "model": row.upstream,
        "priority": row.priority,
        "weight": row.weight,
        "enabled": True,
        "status": grade(row.health),
        "available": _is_available(deployment, state, live) and not _is_used_up(used),
        "circuit": circuit(state),
        "requests": used["requests"],
        "tokens": used["tokens"],
        "inflight": row.inflight,
        "limit_requests": used["limit_requests"],
        "limit_tokens": used["limit_tokens"],
    }


def _is_available(deployment: Deployment, state: DeploymentState | None, live: Live) -> bool:
    """Whether a request could go there: it is not out, or may be tried again, and a credential does not rest."""
    moment = monotonic()
    if state is None:
        return True
    return (state.phase == CLOSED or state.until <= moment) and live.pool(deployment, state).ready(
        moment
    )


def _is_used_up(used: Mapping[str, Any]) -> bool:
    """Whether a quota has nothing left in the window that runs."""
    pairs = (used["requests"], used["limit_requests"]), (used["tokens"], used["limit_tokens"])
    return any(limit is not None and count >= limit for count, limit in pairs)


_STATUS: Mapping[str, Any] = {"type": "object"}

ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/admin/status",
        Permission.READ,
        status,
        "Workers, store, providers and what is wrong.",
        answer=_STATUS,
        tag="status",
    ),
    Route(
        "GET",
        "/v1/health/providers",
        Permission.READ,
        providers,
        "How every provider is.",
        aliases=("/api/providers/health", "/admin/health/providers"),
        tag="status",
    ),
    Route(
        "GET",
        "/v1/health/models",
        Permission.READ,
        models,
        "How every model is.",
        aliases=("/admin/health/models",),
        tag="status",
    ),
    Route(
        "GET",
        "/v1/health/models/{model:path}",
        Permission.READ,
        model,
        "How one model is.",
        aliases=("/admin/health/models/{model:path}",),
        tag="status",
    ),
)
