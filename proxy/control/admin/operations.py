"""What is done once, by every worker: read the file anew, forget counters, clear caches. And switches for objects."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from proxy.control.admin import changes, intake
from proxy.control.admin.access import Permission
from proxy.control.admin.body import fields
from proxy.control.admin.edits import Rotate, Update
from proxy.control.admin.refusal import store_down, wrong
from proxy.control.admin.resources import RESOURCES, Resource, answered
from proxy.control.admin.services import needs_store
from proxy.control.admin.trail import note
from proxy.control.admin.web import Answer, Fault, Problem, Request, Route
from proxy.core.records import Kind
from proxy.store.base import StoreDown

if TYPE_CHECKING:
    from proxy.control.admin.services import Services

RELOAD, RESET, CLEAR = "reload", "stats.reset", "cache.clear"
_FLEET = {"$ref": "#/components/schemas/fleet"}


async def reload(request: Request, services: Services) -> Answer:
    """Every worker reads the file anew; 422 with all problems when it cannot be used, and nothing changes."""
    intake.known(request)
    try:
        await services.sync.reload()
    except ValueError as error:
        raise _unusable(str(error)) from None
    try:
        return await _signalled(RELOAD, request, services)
    except StoreDown:
        raise store_down(
            "This worker has read the file anew. The others could not be told, as the database is away: "
            "send them SIGHUP."
        ) from None


def _unusable(text: str) -> Problem:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return Problem(
        422,
        "unusable_configuration",
        "The configuration file cannot be used; what was read before is served on.",
        tuple(Fault("", line) for line in lines[:100]),
    )


async def reset(request: Request, services: Services) -> Answer:
    """Counters begin anew; what was booked stays."""
    intake.known(request)
    return await _signalled(RESET, request, services)


async def clear(request: Request, services: Services) -> Answer:
    """Forget what is only remembered to save time."""
    intake.known(request)
    return await _signalled(CLEAR, request, services)


async def _signalled(name: str, request: Request, services: Services) -> Answer:
    content = await services.sync.signal(name)
    if services.sync.store is not None:
        async with services.sync.store.transaction() as session:
            await note(session, request, name, "signal", revision=content.get("revision"))
    return Answer(content)


async def workers(request: Request, services: Services) -> Answer:
    """Every worker of the fleet, and what it serves."""
    intake.known(request)
    needs_store(services)
    return Answer({"data": await services.sync.workers()})


async def rotate(request: Request, services: Services) -> Answer:
    """A new virtual key in the place of the old one."""
    intake.known(request)
    body = fields(request) if request.body else {}
    for name in body:
        if name != "overlap":
            raise wrong(name, "there is no such field here; there is overlap")
    overlap = body.get("overlap", 0)
    if isinstance(overlap, bool) or not isinstance(overlap, (int, float)):
        raise wrong("overlap", "a number of seconds is expected")
    edit = Rotate(request.params["id"], float(overlap), intake.if_match(request))
    written = await changes.apply(request, services, [edit])
    return answered(_RESOURCES[Kind.KEY], written[0], services)


async def switch(resource: Resource, enabled: bool, request: Request, services: Services) -> Answer:
    """On or off, and nothing else."""
    intake.known(request)
    edit = Update(
        str(resource.kind),
        request.params["id"],
        {"enabled": enabled},
        merge=True,
        if_match=intake.if_match(request),
    )
    written = await changes.apply(request, services, [edit])
    return answered(resource, written[0], services)


_RESOURCES = {resource.kind: resource for resource in RESOURCES}
_SWITCHED: dict[Kind, Permission] = {
    Kind.PROVIDER: Permission.OPERATE,
    Kind.DEPLOYMENT: Permission.OPERATE,
    Kind.KEY: Permission.KEYS,
}


def _switches() -> Iterator[Route]:
    for kind, permission in _SWITCHED.items():
        resource = _RESOURCES[kind]
        for word, enabled in (("enable", True), ("disable", False)):
            rest = f"/{{id:path}}/{word}"
            yield Route(
                method="POST",
                path=resource.path + rest,
                permission=permission,
                handler=partial(switch, resource, enabled),
                summary=f"{word.capitalize()} a {kind}.",
                aliases=tuple(f"/admin/{name}{rest}" for name in resource.also),
                answer={"$ref": f"#/components/schemas/{kind}"},
                tag=resource.plural,
                headers=("If-Match",),
            )


def _operation(path: str, handler: Any, summary: str) -> Route:
    return Route(
        method="POST",
        path=path,
        permission=Permission.OPERATE,
        handler=handler,
        summary=summary,
        answer=_FLEET,
        tag="operations",
    )


ROUTES = (
    _operation("/admin/reload", reload, "Read the configuration file anew, in every worker."),
    _operation("/admin/stats/reset", reset, "Let counters begin anew, in every worker."),
    _operation("/admin/cache/clear", clear, "Clear caches, in every worker."),
    Route(
        method="GET",
        path="/admin/workers",
        permission=Permission.READ,
        handler=workers,
        summary="List the workers and what each serves.",
        answer={"$ref": "#/components/schemas/workers"},
        tag="operations",
    ),
    Route(
        method="POST",
        path="/admin/keys/{id:path}/rotate",
        permission=Permission.KEYS,
        handler=rotate,
        summary="Replace a virtual key; the old one stays good for `overlap` seconds.",
        body={"$ref": "#/components/schemas/rotation"},
        needs_body=False,
        answer={"$ref": "#/components/schemas/key"},
        tag="keys",
        headers=("If-Match",),
    ),
    *_switches(),
)
