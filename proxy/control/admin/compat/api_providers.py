"""`/api/providers`: providers as LLM Orchestrator has them, `{name, type, config: {base_url, api_key}}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from proxy.control.admin import body
from proxy.control.admin.access import Permission
from proxy.control.admin.compat import grouping, plain
from proxy.control.admin.compat.plain import Words
from proxy.control.admin.compat.spelled import (
    MAPPING,
    NUMBER,
    SWITCH,
    TEXT,
    WHOLE,
    Given,
    Kind,
    answer,
    read,
    renamed,
    schema,
)
from proxy.control.admin.web import Answer, Problem, Route

if TYPE_CHECKING:
    from proxy.control.admin.compat.grouping import Group
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request

INNER: Mapping[str, Kind] = {"base_url": TEXT, "api_key": TEXT}
FIELDS: Mapping[str, Kind] = {
    "name": TEXT,
    "type": TEXT,
    "config": MAPPING,
    "enabled": SWITCH,
    "max_retries": WHOLE,
    "timeout": NUMBER,
    "allow_private": SWITCH,
    "allow_http": SWITCH,
    **INNER,
}
ANSWERED = ("id", "status", "source", "created_at", "updated_at", "warnings")
WORDS = Words(
    theirs={
        "groupName": "name",
        "providerType": "type",
        "baseUrl": "config.base_url",
        "apiKeys": "config.api_key",
        "retryCount": "max_retries",
        "allowPrivate": "allow_private",
        "allowHttp": "allow_http",
    },
    fields={
        "name": "groupName",
        "type": "providerType",
        "base_url": "baseUrl",
        "api_key": "apiKeys",
        "enabled": "enabled",
        "max_retries": "retryCount",
        "timeout": "timeout",
        "allow_private": "allowPrivate",
        "allow_http": "allowHttp",
    },
)


def given(content: Mapping[str, Any], *, needed: tuple[str, ...] = ()) -> Given:
    """What a body says; its `config` may as well be spread over the body. Raises Problem 400."""
    outer = read(content, FIELDS, needed=needed, ignored=ANSWERED)
    try:
        inner = read(outer.get("config", {}), INNER)
    except Problem as problem:
        names = [fault.field for fault in problem.faults]
        raise renamed(problem, {name: f"config.{name}" for name in names}) from None
    unknown = (*outer.unknown, *(f"config.{name}" for name in inner.unknown))
    return Given({**outer.values, **inner.values}, unknown)


def shown(group: Mapping[str, Any]) -> dict[str, Any]:
    """A group without its models."""
    keys = group["apiKeys"]
    return {
        "id": group["id"],
        "name": group["groupName"],
        "type": group["providerType"],
        "config": {"base_url": group["baseUrl"], "api_key": keys[0] if keys else None},
        "enabled": group["enabled"],
        "max_retries": group["retryCount"],
        "timeout": group["timeout"],
        "source": group["source"],
        "created_at": group["createdAt"],
        "updated_at": group["updatedAt"],
    }


async def listing(request: Request, services: Services) -> Answer:
    """Every provider, those of the file first."""
    return Answer([shown(group) for group in await plain.every(services)])


async def one(request: Request, services: Services) -> Answer:
    """One provider, by id or name."""
    target = request.params["id"]
    config = services.sync.config
    if target in config.providers:
        return Answer(shown(grouping.of_the_file(config, target)))
    return Answer(shown(grouping.shown(plain.find(target, services))))


async def create(request: Request, services: Services) -> Answer:
    """A provider and its key in one transaction."""
    said = given(body.fields(request), needed=("name", "type"))
    return _told(*await plain.create(request, services, said, WORDS), status=201)


async def replace(request: Request, services: Services) -> Answer:
    """The fields that are given; the others stay."""
    group = plain.find(request.params["id"], services)
    said = given(body.fields(request))
    return _told(*await plain.replace(request, services, group, said, WORDS))


async def remove(request: Request, services: Services) -> Answer:
    """The provider and its keys away; not while a model is served by it."""
    await plain.remove(request, services, plain.find(request.params["id"], services))
    return Answer(status=204)


def _told(group: Group, warnings: list[str], *, status: int = 200) -> Answer:
    return Answer({**shown(grouping.shown(group)), "warnings": warnings}, status)


async def root(request: Request, services: Services) -> Answer:
    """What is to be found below `/api/`."""
    paths = ["/api/providers", "/api/providers/health", "/api/logs"]
    return Answer({"name": "headrace", "endpoints": paths, "documentation": "/docs"})


_RULES: Mapping[str, Mapping[str, Any]] = {
    "config": {"properties": schema(INNER)["properties"]},
    "max_retries": {"minimum": 0, "maximum": 20},
    "timeout": {"exclusiveMinimum": 0, "description": "Seconds."},
}
_SHOWN = answer(
    {
        name: FIELDS[name]
        for name in ("name", "type", "config", "enabled", "max_retries", "timeout")
    },
    "id",
    "source",
)
_AT, _ONE = "/api/providers", "/api/providers/{id}"

ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/api/",
        Permission.READ,
        root,
        "What there is below /api/.",
        aliases=("/api",),
        tag="api",
    ),
    Route(
        "GET",
        _AT,
        Permission.READ,
        listing,
        "Providers.",
        answer={"type": "array", "items": _SHOWN},
        tag="api",
    ),
    Route(
        "POST",
        _AT,
        Permission.CONFIGURE,
        create,
        "Create a provider with one key.",
        body=schema(FIELDS, "name", "type", **_RULES),
        answer=_SHOWN,
        tag="api",
    ),
    Route("GET", _ONE, Permission.READ, one, "One provider.", answer=_SHOWN, tag="api"),
    Route(
        "PUT",
        _ONE,
        Permission.CONFIGURE,
        replace,
        "Change a provider; what is not given stays.",
        body=schema(FIELDS, **_RULES),
        answer=_SHOWN,
        tag="api",
    ),
    Route("DELETE", _ONE, Permission.CONFIGURE, remove, "Delete a provider.", tag="api"),
)
