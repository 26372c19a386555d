"""The whole of our HTTP described: OpenAPI 3.1 for programs, and the page that shows it to people.

Made from the routes themselves when somebody first asks, in a thread: it takes as long as some hundred requests.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel

from proxy import __version__
from proxy.control.admin import surface
from proxy.control.admin.access import Permission
from proxy.control.admin.assets import Assets
from proxy.control.admin.schemas import REFERENCE, Schema, components
from proxy.control.admin.web import JSON, Answer, Request, Route

if TYPE_CHECKING:
    from proxy.control.admin.services import Services

_NAMED = re.compile(r"\{([a-z_]+)(?::path)?\}")
_PLAIN = {
    "GET": (200,),
    "POST": (200, 201),
    "PUT": (200, 201),
    "PATCH": (200, 201),
    "DELETE": (200, 204),
}
_READING = (400, 401, 403, 404, 429, 503)
_WRITING = (*_READING, 408, 409, 412, 413, 415, 422)


class Documentation:
    """The description of some routes, made once; `endpoints` are those of the API itself, `POST /v1/responses`."""

    __slots__ = ("_assets", "_endpoints", "_made", "_routes")

    def __init__(self, routes: Sequence[Route], endpoints: Sequence[str], assets: Assets) -> None:
        self._routes = routes
        self._endpoints = endpoints
        self._assets = assets
        self._made: bytes | None = None

    async def made(self) -> bytes:
        """As JSON."""
        if self._made is None:
            self._made = await asyncio.to_thread(document, self._routes, self._endpoints)
        return self._made

    def routes(self) -> list[Route]:
        """Where they are. They say what every installation has, so anybody may read them."""
        return [
            Route(
                "GET",
                "/openapi.json",
                Permission.PUBLIC,
                self._openapi,
                "Describe both APIs for programs.",
                tag="documentation",
            ),
            Route(
                "GET",
                "/docs",
                Permission.PUBLIC,
                self._page,
                "Describe both APIs for people, to be tried.",
                aliases=("/swagger",),
                tag="documentation",
                gives=("text/html",),
            ),
        ]

    async def _openapi(self, _request: Request, _services: Services) -> Answer:
        return Answer(await self.made(), kind=JSON)

    async def _page(self, _request: Request, _services: Services) -> Answer:
        return await self._assets.page("reference.html")


def document(routes: Sequence[Route], endpoints: Sequence[str]) -> bytes:
    """The OpenAPI document as JSON."""
    return orjson.dumps(describe(routes, endpoints))


def describe(routes: Sequence[Route], endpoints: Sequence[str] = ()) -> dict[str, Any]:
    """The OpenAPI document."""
    named = components()
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        for path in (route.path, *route.aliases):
            plain = _NAMED.sub(r"{\1}", path)
            paths.setdefault(plain, {})[route.method.lower()] = _operation(route, path, named)
    for path, method, operation in surface.paths(endpoints):
        paths.setdefault(path, {"servers": surface.SERVERS})[method] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headrace",
            "version": __version__,
            "description": "The API for applications, and the admin API: providers, models, virtual keys and settings, "
            "while traffic flows. What is for applications says x-listener: clients.",
        },
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": named,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of the admin API.",
                },
                "key": {"type": "http", "scheme": "bearer", "description": "A virtual key."},
            },
        },
    }


def _operation(route: Route, path: str, named: dict[str, Schema]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _id(route.method, path),
        "summary": route.summary,
        "tags": [route.tag or "other"],
        "parameters": [*_path_parameters(path), *_parameters(route)],
        "responses": _responses(route, named),
        "x-permission": route.permission.value,
    }
    if path != route.path:
        operation["x-alias-of"] = _NAMED.sub(r"{\1}", route.path)
    if route.permission is not Permission.PUBLIC:
        operation["security"] = [{"token": []}]
    if route.body is not None:
        schema = _schema(route.body, named)
        operation["requestBody"] = {
            "required": route.needs_body,
            "content": {kind: {"schema": schema} for kind in route.takes},
        }
    return operation


def _id(method: str, path: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", path.replace(":path", ""))
    return "_".join((method.lower(), *words, *["slash"] * path.endswith("/")))


def _path_parameters(path: str) -> Iterator[dict[str, Any]]:
    for name in _NAMED.findall(path):
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
        }


def _parameters(route: Route) -> Iterator[dict[str, Any]]:
    for name, schema in route.query.items():
        yield {"name": name, "in": "query", "schema": schema}
    for name in route.headers:
        yield {"name": name, "in": "header", "schema": {"type": "string"}}


def _responses(route: Route, named: dict[str, Schema]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status in route.statuses or _PLAIN[route.method]:
        found[str(status)] = {"description": _phrase(status)}
        if status not in (204, 304):
            schema = {} if route.answer is None else _schema(route.answer, named)
            found[str(status)]["content"] = {kind: {"schema": schema} for kind in route.gives}
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/problem"}}}
    for status in _READING if route.method == "GET" else _WRITING:
        one = found.setdefault(str(status), {"description": _phrase(status)})
        one["content"] = one.get("content", {}) | problem
    return found


def _phrase(status: int) -> str:
    """Of the registry of statuses; those that only vendors have are in none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Overloaded" if status == 529 else "Other"


def _schema(given: Any, named: dict[str, Schema]) -> Schema:
    """A schema as it is, or that of a pydantic model, whose parts become components."""
    if not (isinstance(given, type) and issubclass(given, BaseModel)):
        schema: Schema = given
        return schema
    made = given.model_json_schema(ref_template=REFERENCE)
    named.update(made.pop("$defs", {}))
    return made
