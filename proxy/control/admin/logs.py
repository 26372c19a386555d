"""`/admin/logs`: requests are written to the log, and not kept where they could be asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.control.admin.access import Permission
from proxy.control.admin.web import Answer, Route

if TYPE_CHECKING:
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request


async def listing(request: Request, services: Services) -> Answer:
    """An empty page, and where to look instead."""
    logging = services.state.snapshot.logging
    place = "standard error" if logging.file is None else f"the file {logging.file}"
    note = (
        f"Requests are written to {place}, one line each; they are not kept in the database."
        if logging.requests
        else "Requests are not logged: logging.requests is false."
    )
    return Answer({"items": [], "next": None, "note": note})


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/admin/logs",
        Permission.READ,
        listing,
        "Where requests are logged.",
        aliases=("/api/logs",),
        tag="status",
    ),
)
