"""Statistics of this worker, in the shapes AiRouter and AI API Gateway have for them.

What is not known is null, never 0: cost, limits, and averages of what never happened. Several workers count each for
itself; `/metrics` adds them up.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from proxy.control import health
from proxy.control.admin import figures
from proxy.control.admin.access import Permission
from proxy.control.admin.compat.spelled import moment
from proxy.control.admin.turns import turns
from proxy.control.admin.web import Answer, Problem, Route
from proxy.core.clock import now

if TYPE_CHECKING:
    from proxy.control.admin.figures import Row
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request

SCOPE = "worker"


async def quotas(request: Request, services: Services) -> Answer:
    """Model to provider to what was used of it since the last reset; there are no limits yet."""
    used = figures.tokens(services.state.metrics, services.marks)
    since = moment(services.marks.since)
    content: dict[str, dict[str, dict[str, Any]]] = {}
    async for row in turns(figures.rows(services.state, services.marks)):
        providers = content.setdefault(row.model, {})
        before = providers.get(row.provider, {"requests": 0})["requests"]
        providers[row.provider] = {
            "requests": before + row.requests,
            "tokens": used.get((row.model, row.provider), 0),
            "last_reset": since,
            "limit_requests": None,
            "limit_tokens": None,
        }
    return Answer(content)


async def routing(request: Request, services: Services) -> Answer:
    """Requests, and how each model and each of its providers did."""
    used = figures.tokens(services.state.metrics, services.marks)
    by_model: dict[str, list[Row]] = {}
    async for row in turns(figures.rows(services.state, services.marks)):
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
    requests = figures.requests(services.state.metrics, services.marks)
    stats = {**requests, "cost": None, "models": models}
    return Answer(
        {**_heading(services), "use_database": services.sync.store is not None, "stats": stats}
    )


async def overview(request: Request, services: Services) -> Answer:
    """How many providers are well, and how each did."""
    states = figures.providers(services.state)
    by_provider: dict[str, list[Row]] = {}
    async for row in turns(figures.rows(services.state, services.marks)):
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
            **_heading(services),
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
    by_model: dict[str, list[Row]] = {}
    async for row in turns(figures.rows(services.state, services.marks)):
        if row.provider == name:
            by_model.setdefault(row.model, []).append(row)
    used = figures.tokens(services.state.metrics, services.marks)
    return Answer(
        {
            **_heading(services),
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
    models: dict[str, dict[str, Any]] = {}
    async for row in turns(figures.rows(services.state, services.marks)):
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
    return Answer({**_heading(services), "strategies": dict(strategies), "models": models})


def _heading(services: Services) -> dict[str, Any]:
    return {"timestamp": now(), "scope": SCOPE, "since": moment(services.marks.since)}


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
        "cost": None,
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
