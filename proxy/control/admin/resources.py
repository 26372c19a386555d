"""Providers, credentials, models, deployments, virtual keys and settings: list, show, make, replace, change, delete.

All six are one table and the same six functions. Objects of the configuration file are listed among the others, and
are read-only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson
from msgspec import Struct

from proxy.control.admin import changes, infile, intake, outlook, paging, usage
from proxy.control.admin.access import Permission, may_touch
from proxy.control.admin.body import fields
from proxy.control.admin.draft import NEEDS
from proxy.control.admin.edits import Delete, Written
from proxy.control.admin.infile import FileObject
from proxy.control.admin.overlay import Overlay
from proxy.control.admin.refusal import SETTING_STAYS, missing, wrong
from proxy.control.admin.shapes import of_file, shape
from proxy.control.admin.status import providers_of
from proxy.control.admin.turns import turns
from proxy.control.admin.web import Answer, Problem, Request, Route
from proxy.core.config.plain import is_false
from proxy.core.records import PARENTS, Kind, Record

if TYPE_CHECKING:
    from proxy.control.admin.paging import Key
    from proxy.control.admin.services import Services

_P = Permission


class Resource(Struct, frozen=True):
    """One kind of objects and where it is."""

    plural: str
    kind: Kind
    read: Permission
    filters: tuple[str, ...]
    also: tuple[str, ...] = ()
    """Other names of the path."""

    @property
    def asked(self) -> tuple[str, ...]:
        """What the query of a list takes."""
        return (*self.filters, "live") if self.kind in outlook.KINDS else self.filters

    @property
    def write(self) -> Permission:
        return NEEDS[self.kind]

    @property
    def path(self) -> str:
        return f"/admin/{self.plural}"


RESOURCES = (
    Resource("providers", Kind.PROVIDER, _P.READ, ("name", "q", "enabled", "source")),
    Resource("credentials", Kind.CREDENTIAL, _P.READ, ("provider", "source")),
    Resource("models", Kind.MODEL, _P.READ, ("name", "q", "source")),
    Resource(
        "deployments",
        Kind.DEPLOYMENT,
        _P.READ,
        ("provider", "model", "enabled", "source"),
        ("targets",),
    ),
    Resource("keys", Kind.KEY, _P.KEYS, ("name", "q", "enabled", "team", "source")),
    Resource("settings", Kind.SETTING, _P.READ, ("name", "q", "source")),
)

Thing = Record | FileObject


# --- reading ---


async def list_all(resource: Resource, request: Request, services: Services) -> Answer:
    """A page of objects: those of the file first."""
    page = paging.asked(request, resource.asked)
    seen = Overlay(services.sync.mirror)
    filters = {name: value for name, value in page.filters.items() if name != "live"}
    keep = partial(_wanted, resource, filters, seen, request)
    found, following = await paging.take(_everything(resource, services, seen), page, keep)
    shown = [show(one, services, seen) async for one in turns(found)]
    if page.filters.get("live") == "true":
        how = outlook.Outlook(services.state)
        async for one in turns(shown):
            one["live"] = how.of(resource.kind, one)
    return Answer({"data": shown, "next": following})


def _everything(
    resource: Resource, services: Services, seen: Overlay
) -> Iterator[tuple[Key, Thing]]:
    listed = infile.objects(services.sync.config, resource.kind)
    for one in sorted(listed, key=lambda each: each.id):
        yield (0, one.id), one
    for record in seen.all(resource.kind):
        yield (1, record.id), record


def _wanted(
    resource: Resource, filters: Mapping[str, str], seen: Overlay, request: Request, thing: Thing
) -> bool:
    if not all(_FILTERS[name](thing, value, seen) for name, value in filters.items()):
        return False
    return resource.kind is not Kind.KEY or is_visible(request, thing)


def spec_of(thing: Thing) -> Any:
    """Its fields. Nothing is kept: of a hundred thousand keys most are read once, for their team."""
    return thing.spec if isinstance(thing, FileObject) else orjson.loads(thing.spec)


def _above(thing: Thing, seen: Overlay) -> str:
    """The name of what it belongs to."""
    if isinstance(thing, FileObject):
        return thing.parent
    record = seen.by_id(PARENTS[thing.kind], thing.parent)
    return record.name if record is not None else ""


def _provider_of(thing: Thing, seen: Overlay) -> str:
    if thing.kind == Kind.CREDENTIAL:
        return _above(thing, seen)
    return str(spec_of(thing).get("provider"))


_FILTERS: dict[str, Callable[[Thing, str, Overlay], bool]] = {
    "name": lambda thing, value, _: thing.name == value,
    "q": lambda thing, value, _: value.casefold() in thing.name.casefold(),
    "provider": lambda thing, value, seen: _provider_of(thing, seen) == value,
    "model": lambda thing, value, seen: _above(thing, seen) == value,
    "team": lambda thing, value, _: (spec_of(thing).get("team") or "") == value,
    "enabled": lambda thing, value, _: (
        is_false(spec_of(thing).get("enabled")) == (value == "false")
    ),
    "source": lambda thing, value, _: isinstance(thing, FileObject) == (value == "file"),
}


def is_visible(request: Request, thing: Thing) -> bool:
    """Whether a virtual key is one of theirs who ask."""
    team = spec_of(thing).get("team") or ""
    return may_touch(request.who, team)


def show(thing: Thing, services: Services, seen: Overlay) -> dict[str, Any]:
    """An object for a page."""
    if isinstance(thing, FileObject):
        return of_file(thing)
    return shape(thing, seen, services.sync.vault)


async def show_one(resource: Resource, request: Request, services: Services) -> Answer:
    """One object, by its id or its name. Where a provider is asked for by the name of a model: the model's providers."""
    lively = resource.kind in outlook.KINDS
    intake.known(request, *(("live",) if lively else ()))
    live = lively and intake.switch(request, "live")
    target = request.params["id"]
    seen = Overlay(services.sync.mirror)
    found: Thing | None = seen.get(resource.kind, target)
    found = found or infile.find(services.sync.config, resource.kind, target)
    if found is None and resource.kind is Kind.PROVIDER:
        # AI API Gateway asks for the providers of a model here.
        of_model = await providers_of(target, request, services)
        if of_model is not None:
            return Answer(of_model)
    if found is None or (resource.kind is Kind.KEY and not is_visible(request, found)):
        raise missing(resource.kind, target)
    more: dict[str, Any] = {}
    if resource.kind is Kind.KEY:
        more["usage"] = await usage.of_key_called(_account(found), found.name, services.state)
    if live:
        how = outlook.Outlook(services.state)
        more["live"] = how.of(resource.kind, show(found, services, seen))
    if isinstance(found, FileObject):
        return Answer(of_file(found) | more)
    headers = {"etag": etag(found, seen)}
    given = [text.strip().removeprefix("W/") for text in _none_match(request).split(",")]
    # What a key has used, and how a provider is, is no part of its revision.
    if (headers["etag"] in given or "*" in given) and not any(more.values()):
        return Answer(None, 304, headers)
    return Answer(shape(found, seen, services.sync.vault) | more, headers=headers)


def etag(record: Record, seen: Overlay) -> str:
    """Its revision; of what shows the name of the object above it, with the revision of that."""
    kind = PARENTS.get(record.kind)
    above = None if kind is None else seen.by_id(kind, record.parent)
    return f'"{record.revision}"' if above is None else f'"{record.revision}.{above.revision}"'


def _account(key: Thing) -> str:
    """The id under which a virtual key is counted: of one in the file, its name."""
    return key.name if isinstance(key, FileObject) else str(key.id)


def _none_match(request: Request) -> str:
    return request.headers.get("if-none-match", "")


# --- writing ---


async def create(resource: Resource, request: Request, services: Services) -> Answer:
    """A new object; a provider may bring its credentials along, a model its deployments."""
    intake.known(request, "dry_run")
    edits, places = intake.split(intake.create(resource.kind, fields(request)))
    dry_run = intake.switch(request, "dry_run")
    written = await changes.apply(request, services, edits, dry_run=dry_run, places=places)
    return answered(resource, written[0], services, 200 if dry_run else 201)


async def replace(resource: Resource, request: Request, services: Services) -> Answer:
    """All fields of an object; a setting that is not there yet is made."""
    return await _update(resource, request, services, merge=False)


async def change(resource: Resource, request: Request, services: Services) -> Answer:
    """Some fields of an object (RFC 7396); null takes one away."""
    return await _update(resource, request, services, merge=True)


async def _update(
    resource: Resource, request: Request, services: Services, *, merge: bool
) -> Answer:
    intake.known(request, "dry_run")
    target = request.params["id"]
    seen = Overlay(services.sync.mirror)
    body = fields(request)
    edit = intake.update(
        resource.kind, target, body, seen, merge=merge, if_match=intake.if_match(request)
    )
    dry_run = intake.switch(request, "dry_run")
    try:
        written = await changes.apply(request, services, [edit], dry_run=dry_run)
    except Problem as problem:
        if problem.status != 404 or resource.kind is not Kind.SETTING:
            raise
        if "if-match" in request.headers:
            raise Problem(412, "precondition_failed", "There is no such setting yet.") from None
        if body.get("name", target) != target:
            raise wrong("name", SETTING_STAYS) from None
        edits, places = intake.split(intake.create(resource.kind, {**body, "name": target}))
        written = await changes.apply(request, services, edits, dry_run=dry_run, places=places)
        return answered(resource, written[0], services, 200 if dry_run else 201)
    return answered(resource, written[0], services)


async def delete(resource: Resource, request: Request, services: Services) -> Answer:
    """An object away, and what belongs to it."""
    intake.known(request, "dry_run", "cascade")
    edit = Delete(
        str(resource.kind),
        request.params["id"],
        intake.if_match(request),
        intake.switch(request, "cascade"),
    )
    dry_run = intake.switch(request, "dry_run")
    await changes.apply(request, services, [edit], dry_run=dry_run)
    return Answer(None, 204)


def answered(resource: Resource, written: Written, services: Services, status: int = 200) -> Answer:
    """What a write is answered with: the object, its ETag, where it is, and what is to be known of it."""
    record = written.record
    headers = {"etag": etag(record, _with(record, services))}
    if status == 201:
        headers["location"] = f"{resource.path}/{quote(str(record.id))}"
    return Answer(shown(written, services), status, headers)


def shown(written: Written, services: Services) -> dict[str, Any]:
    """An object that was just written, and a new key, this once."""
    content = shape(written.record, _with(written.record, services), services.sync.vault)
    if written.secret:
        content["key"] = written.secret
    if written.warnings:
        content["warnings"] = list(written.warnings)
    return content


def _with(record: Record, services: Services) -> Overlay:
    """The mirror, and a record that it may not have: of a dry run, or when the store has just gone away."""
    seen = Overlay(services.sync.mirror)
    seen.put(record)
    return seen


# --- routes ---


_SWITCH = {"enum": ["true", "false"]}
_QUERIES: dict[str, dict[str, Any]] = {
    "GET": {},
    "POST": {"dry_run": _SWITCH},
    "PUT": {"dry_run": _SWITCH},
    "PATCH": {"dry_run": _SWITCH},
    "DELETE": {"dry_run": _SWITCH, "cascade": _SWITCH},
}
_HEADERS = dict.fromkeys(("PUT", "PATCH", "DELETE"), ("If-Match",)) | {"GET": ("If-None-Match",)}
_Line = tuple[str, str, Any, str, Any, Any, tuple[int, ...]]


def _query(resource: Resource, method: str, rest: str) -> Mapping[str, Any]:
    if method == "GET" and not rest:
        return paging.parameters(resource.asked)
    live = {"live": _SWITCH} if method == "GET" and "live" in resource.asked else {}
    return _QUERIES[method] | live


def _routes(resource: Resource) -> Iterator[Route]:
    kind, path, tag = resource.kind.value, resource.path, resource.plural
    reference = {"$ref": f"#/components/schemas/{kind}"}
    body = {"$ref": f"#/components/schemas/new_{kind}"}
    page = {"$ref": f"#/components/schemas/{kind}_page"}
    some = {"$ref": f"#/components/schemas/some_of_{kind}"}
    # A provider may be asked for by the name of a model, and then it is the model's providers.
    shown = {} if resource.kind is Kind.PROVIDER else reference
    made = (200, 201) if resource.kind is Kind.SETTING else (200,)
    table: tuple[_Line, ...] = (
        ("GET", "", list_all, f"List {tag}.", None, page, (200,)),
        ("POST", "", create, f"Make a {kind}.", body, reference, (201, 200)),
        ("GET", "/{id:path}", show_one, f"Show a {kind}.", None, shown, (200, 304)),
        ("PUT", "/{id:path}", replace, f"Replace a {kind}.", body, reference, made),
        ("PATCH", "/{id:path}", change, f"Change some fields of a {kind}.", some, reference, made),
        ("DELETE", "/{id:path}", delete, f"Delete a {kind}.", None, None, (204,)),
    )
    for method, rest, act, summary, asks, gives, statuses in table:
        yield Route(
            method=method,
            path=path + rest,
            permission=resource.read if method == "GET" else resource.write,
            handler=partial(act, resource),
            summary=summary,
            aliases=tuple(f"/admin/{name}{rest}" for name in resource.also),
            body=asks,
            answer=gives,
            tag=tag,
            query=_query(resource, method, rest),
            headers=_HEADERS[method] if rest else (),
            statuses=statuses,
        )


ROUTES: tuple[Route, ...] = tuple(route for resource in RESOURCES for route in _routes(resource))
