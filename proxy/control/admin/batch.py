"""Many objects in one transaction: all of them, or none and what is wrong with each."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from proxy.control.admin import body, changes, intake
from proxy.control.admin.edits import Edit
from proxy.control.admin.overlay import Overlay
from proxy.control.admin.resources import RESOURCES, Resource, shown
from proxy.control.admin.turns import turns
from proxy.control.admin.web import Answer, Fault, Problem, Request, Route
from proxy.core.records import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.control.admin.services import Services

MOST = 1000
"""Objects of one batch."""

_SWITCH = {"enum": ["true", "false"]}
_QUERIES = {"DELETE": {"dry_run": _SWITCH, "cascade": _SWITCH}}

Rows = list[tuple[Edit, str]]


async def create(resource: Resource, request: Request, services: Services) -> Answer:
    """New objects: a list of bodies as POST takes them."""
    intake.known(request, "dry_run")
    edits: Rows = []
    firsts: list[int] = []

    def add(row: int, item: Any) -> None:
        firsts.append(len(edits))
        made = intake.create(resource.kind, _object(item), f"[{row}]", len(edits))
        edits.extend(made)

    _each(_items(request), add)
    return await _apply(request, services, edits, firsts, 201)


async def replace(resource: Resource, request: Request, services: Services) -> Answer:
    """Other fields for objects: a list of bodies as PUT takes them, each with the `id` or the `name` it has.

    With a `revision` too, as a list of objects shows it, only that one is changed.
    """
    return await _update(resource, request, services, merge=False)


async def change(resource: Resource, request: Request, services: Services) -> Answer:
    """Some other fields for objects: the same, as PATCH takes them."""
    return await _update(resource, request, services, merge=True)


async def _update(
    resource: Resource, request: Request, services: Services, *, merge: bool
) -> Answer:
    intake.known(request, "dry_run")
    seen = Overlay(services.sync.mirror)
    edits: Rows = []

    def add(row: int, item: Any) -> None:
        fields = _object(item)
        target, revision = intake.target_of(fields), intake.revision_of(fields)
        edit = intake.update(resource.kind, target, fields, seen, merge=merge, if_match=revision)
        edits.append((edit, f"[{row}]"))

    _each(_items(request), add)
    return await _apply(request, services, edits, list(range(len(edits))))


async def delete(resource: Resource, request: Request, services: Services) -> Answer:
    """Objects away: a list of ids or names."""
    intake.known(request, "dry_run", "cascade")
    cascade = intake.switch(request, "cascade")
    edits: Rows = []

    def add(row: int, item: Any) -> None:
        edits.append((intake.delete(resource.kind, item, cascade=cascade), f"[{row}]"))

    _each(_items(request), add)
    rows, places = intake.split(edits)
    dry_run = intake.switch(request, "dry_run")
    written = await changes.apply(request, services, rows, dry_run=dry_run, places=places)
    return Answer({"data": [{"id": one.record.id, "name": one.record.name} for one in written]})


async def _apply(
    request: Request, services: Services, edits: Rows, firsts: list[int], status: int = 200
) -> Answer:
    rows, places = intake.split(edits)
    dry_run = intake.switch(request, "dry_run")
    written = await changes.apply(request, services, rows, dry_run=dry_run, places=places)
    data = [shown(written[index], services) async for index in turns(firsts)]
    return Answer({"data": data}, 200 if dry_run else status)


def _items(request: Request) -> list[Any]:
    """The rows of a body: a list, or an object with one in `items`."""
    content = body.value(request)
    if isinstance(content, dict) and content.keys() == {"items"}:
        content = content["items"]
    if not isinstance(content, list) or not 1 <= len(content) <= MOST:
        message = f"a list of 1 to {MOST} is expected"
        raise Problem(400, "invalid", f"In a batch {message}.", (Fault("", message),))
    return content


def _object(item: Any) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise Problem(
            400, "invalid", "An object is expected.", (Fault("", "an object is expected"),)
        )
    return item


def _each(items: list[Any], add: Callable[[int, Any], None]) -> None:
    """Every row, so that one problem tells of all that are wrong."""
    faults: list[Fault] = []
    for row, item in enumerate(items):
        try:
            add(row, item)
        except Problem as problem:
            faults += [
                Fault(f"[{row}].{fault.field}" if fault.field else f"[{row}]", fault.message)
                for fault in problem.faults
            ]
    if faults:
        raise Problem(400, "invalid", "Nothing was changed.", tuple(faults))


def _routes(resource: Resource) -> Iterator[Route]:
    kind, path = resource.kind.value, f"{resource.path}/batch"
    names = (resource.plural, *resource.also)
    aliases = [f"/admin/{name}/batch" for name in resource.also]
    if resource.kind is not Kind.SETTING:
        aliases += [f"/api/{name}/batch" for name in names]
    table = (
        ("POST", create, f"Make many {resource.plural}.", f"new_{kind}"),
        ("PUT", replace, f"Replace many {resource.plural}.", f"whole_{kind}"),
        ("PATCH", change, f"Change many {resource.plural}.", f"some_of_{kind}"),
        ("DELETE", delete, f"Delete many {resource.plural}.", "target"),
    )
    for method, act, summary, schema in table:
        yield Route(
            method=method,
            path=path,
            permission=resource.write,
            handler=partial(act, resource),
            summary=summary,
            aliases=tuple(aliases),
            body={"$ref": f"#/components/schemas/{schema}_batch"},
            answer={"$ref": f"#/components/schemas/{kind}_batch_done"},
            tag=resource.plural,
            query=_QUERIES.get(method, {"dry_run": _SWITCH}),
            statuses=(200, 201) if method == "POST" else (200,),
        )


ROUTES: tuple[Route, ...] = tuple(route for resource in RESOURCES for route in _routes(resource))
