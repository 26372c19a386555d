"""AiRouter's calls for reading the configuration anew, forgetting counters and clearing caches, with its `message`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.control.admin import figures, operations
from proxy.control.admin.access import Permission
from proxy.control.admin.web import Answer, Route

if TYPE_CHECKING:
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request


async def refresh(request: Request, services: Services) -> Answer:
    """As `POST /admin/reload`."""
    answer = await operations.reload(request, services)
    count = len(figures.models(services.state.snapshot))
    return Answer({"message": "Configuration refreshed", "models_count": count, **answer.content})


async def reset(request: Request, services: Services) -> Answer:
    """As `POST /admin/stats/reset`."""
    answer = await operations.reset(request, services)
    return Answer({"message": "Statistics reset", **answer.content})


async def clear(request: Request, services: Services) -> Answer:
    """As `POST /admin/cache/clear`."""
    answer = await operations.clear(request, services)
    return Answer({"message": "Caches cleared", **answer.content})


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/v1/stats/refresh",
        Permission.OPERATE,
        refresh,
        "Read the configuration file anew, in every worker.",
        aliases=("/admin/stats/refresh",),
        tag="operations",
    ),
    Route(
        "POST",
        "/v1/stats/reset",
        Permission.OPERATE,
        reset,
        "Let counters begin anew, in every worker.",
        tag="operations",
    ),
    Route(
        "POST",
        "/v1/models/clear-cache",
        Permission.OPERATE,
        clear,
        "Clear caches, in every worker.",
        aliases=("/admin/models/clear-cache",),
        tag="operations",
    ),
)
