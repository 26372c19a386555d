"""Statistics in the shapes AiRouter and AI API Gateway have for them.

They are of all workers and hosts where requests are booked in a database, of this worker where they are not: `scope`
says which. What is not known is null, never 0: costs, limits, and averages of what never happened.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from proxy.control import health
from proxy.control.admin import figures, usage
from proxy.control.admin.access import Permission
from proxy.control.admin.compat.spelled import moment
from proxy.control.admin.counting import Counted, counted
from proxy.control.admin.turns import turns
from proxy.control.admin.web import Answer, Problem, Route
from proxy.control.showing import dollars
from proxy.core.clock import now

if TYPE_CHECKING:
    from proxy.control.admin.figures import Row
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request


async def quotas(request: Request, services: Services) -> Answer:
    """Model to provider to what was used of it.

    Where each of its deployments has a quota: in the window that runs, of that quota. Else since the last reset.
    """
    found = await counted(request, services)
    pairs: dict[str, dict[str, list[Row]]] = {}
    for row in found.rows:
        pairs.setdefault(row.model, {}).setdefault(row.provider, []).append(row)
    content: dict[str, dict[str, dict[str, Any]]] = {}
    for model, providers in pairs.items():
        content[model] = {}
        async for provider, rows in turns(providers.items()):
            content[model][provider] = _in_quota(rows, services) or {
                "requests": sum(row.requests for row in rows),
                "tokens": found.tokens.get((model, provider), 0),
                "last_reset": moment(found.since),
                "limit_requests": None,
                "limit_tokens": None,
            }
    return Answer(content)


def _in_quota(rows: Sequence[Row], services: Services) -> dict[str, Any] | None:
    """Of these deployments together; None where one has no quota."""
    used = [usage.of_quota(row.id, row.quota, services.state) for row in rows]
    known = [one for one in used if one is not None]
    if len(known) < len(used):
        return None
    return {
        "requests": sum(one["requests"] for one in known),
        "tokens": sum(one["tokens"] for one in known),
        "last_reset": moment(min(one["start"] or 0 for one in known)),
        **{
            name: None if None in (limits := [one[name] for one in known]) else sum(limits)
            for name in ("limit_requests", "limit_tokens")
        },
    }


async def routing(request: Request, services: Services) -> Answer:
    """Requests, and how each model and each of its providers did."""
    found = await counted(request, services)
    used = found.tokens
    by_model: dict[str, list[Row]] = {}
    async for row in turns(found.rows):
        by_model.setdefault(row.model, []).append(row)
    models = {
        name: {
            **_figures(some),
            "tokens": sum(used.get((name, each), 0) for each in {row.provider for row in some}),
            "strategy": some[0].strategy,
            "providers": {
                provider: {
                    **_figures(row for row in some if row.provider == provider),
                    "tokens": used.get((name, provider), 0),
                }
                for provider in dict.fromkeys(row.provider for row in some)
            },
        }
        for name, some in by_model.items()
    }
    stats = {**found.requests, "cost": found.cost, "models": models}
    return Answer(
        {**_heading(found), "use_database": services.sync.store is not None, "stats": stats}
    )


async def overview(request: Request, services: Services) -> Answer:
    """How many providers are well, and how each did."""
    found = await counted(request, services)
    states = figures.providers(services.state)
    by_provider: dict[str, list[Row]] = {}
    async for row in turns(found.rows):
        by_provider.setdefault(row.provider, []).append(row)
    tally = Tally(each["status"] for each in states.values())
    healths = [row.health for rows in by_provider.values() for row in rows]
    names = (health.HEALTHY, health.DEGRADED, health.UNHEALTHY, health.UNUSED)
    providers = {
        name: {"status": each["status"], **_figures(by_provider.get(name, ()))}
        for name, each in states.items()
    }
    return Answer(
        {
            **_heading(found),
            "total_providers": len(states),
            **{f"{name}_providers": tally[name] for name in names},
            "average_score": round(sum(healths) / len(healths), 4) if healths else None,
            "health_distribution": {
                f"{name}_percentage": round(100 * tally[name] / len(states), 2) if states else None
                for name in names
            },
            "providers": providers,
        }
    )


async def performance(request: Request, services: Services) -> Answer:
    """One provider: all its deployments together, and each model's."""
    name = request.params["name"]
    states = figures.providers(services.state)
    if name not in states:
        raise Problem(404, "not_found", "There is no such provider in use.")
    found = await counted(request, services)
    by_model: dict[str, list[Row]] = {}
    async for row in turns(found.rows):
        if row.provider == name:
            by_model.setdefault(row.model, []).append(row)
    used = found.tokens
    return Answer(
        {
            **_heading(found),
            "provider_name": name,
            "status": states[name]["status"],
            "keys": states[name]["keys"],
            **_figures(row for some in by_model.values() for row in some),
            "tokens": sum(count for (_, provider), count in used.items() if provider == name),
            "models": [
                {
                    "model": model,
                    **_figures(some),
                    "tokens": used.get((model, name), 0),
                }
                for model, some in by_model.items()
            ],
        }
    )


async def balancing(request: Request, services: Services) -> Answer:
    """Who was chosen, model by model; `?model_name=` for one of them."""
    wanted = request.query.get("model_name")
    found = await counted(request, services)
    models: dict[str, dict[str, Any]] = {}
    async for row in turns(found.rows):
        if wanted is None or row.model == wanted:
            one = models.setdefault(
                row.model, {"strategy": row.strategy, "selections": 0, "deployments": []}
            )
            one["selections"] += row.selections
            one["deployments"].append(_choice(row))
    if wanted is not None and not models:
        raise Problem(404, "not_found", "There is no such model in use.")
    for each in models.values():
        for choice in each["deployments"]:
            chosen = each["selections"]
            choice["share"] = round(choice["selections"] / chosen, 4) if chosen else None
    strategies = Tally(each["strategy"] for each in models.values())
    return Answer({**_heading(found), "strategies": dict(strategies), "models": models})


def _heading(found: Counted) -> dict[str, Any]:
    return {"timestamp": now(), "scope": found.scope, "since": moment(found.since)}


def _figures(rows: Iterable[Row]) -> dict[str, Any]:
    total = figures.total(rows)
    rate = total.success_rate
    return {
        "requests": total.requests,
        "succeeded": total.succeeded,
        "failed": total.requests - total.succeeded,
        "success_rate": None if rate is None else round(rate, 4),
        "average_ttft_seconds": None if total.mean is None else round(total.mean, 6),
        "inflight": total.inflight,
        "selections": total.selections,
        "cost": dollars(total.cost),
    }


def _choice(row: Row) -> dict[str, Any]:
    return {
        "provider": row.provider,
        "model": row.upstream,
        "priority": row.priority,
        "weight": row.weight,
        "selections": row.selections,
        "inflight": row.inflight,
        "ewma_ttft_seconds": None if row.latency is None else round(row.latency, 6),
        "health": row.health,
        "opened": row.opened,
    }


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/admin/stats",
        Permission.READ,
        quotas,
        "Requests and tokens by model and provider.",
        tag="statistics",
    ),
    Route(
        "GET",
        "/v1/stats",
        Permission.READ,
        routing,
        "Requests, latency and choices by model.",
        aliases=("/v1/stats/", "/admin/stats/routing"),
        tag="statistics",
    ),
    Route(
        "GET",
        "/v1/providers/stats/overview",
        Permission.READ,
        overview,
        "How all providers do.",
        aliases=("/admin/providers/stats/overview",),
        tag="statistics",
    ),
    Route(
        "GET",
        "/v1/providers/{name}/performance",
        Permission.READ,
        performance,
        "How one provider does.",
        aliases=("/admin/providers/{name}/performance",),
        tag="statistics",
    ),
    Route(
        "GET",
        "/v1/load-balancing/statistics",
        Permission.READ,
        balancing,
        "Who was chosen.",
        aliases=("/admin/load-balancing/statistics",),
        query={"model_name": {"type": "string"}},
        tag="statistics",
    ),
)
