"""The admin API described: OpenAPI 3.1 for programs, one page for people.

Made from the routes themselves when somebody first asks, in a thread: it takes as long as some hundred requests.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from msgspec import Struct
from pydantic import BaseModel

from proxy import __version__
from proxy.control.admin.access import Permission
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
HTML = "text/html; charset=utf-8"


class Documents(Struct, frozen=True, eq=False):
    """What is made of the routes."""

    openapi: bytes
    page: bytes
    policy: str
    """Of the page: its own style and nothing else."""


class Documentation:
    """The descriptions of some routes, made once; `endpoints` are those of the API itself, `POST /v1/responses`."""

    __slots__ = ("_endpoints", "_made", "_routes")

    def __init__(self, routes: Sequence[Route], endpoints: Sequence[str]) -> None:
        self._routes = routes
        self._endpoints = endpoints
        self._made: Documents | None = None

    async def made(self) -> Documents:
        """Both."""
        if self._made is None:
            self._made = await asyncio.to_thread(documents, self._routes, self._endpoints)
        return self._made

    def routes(self) -> list[Route]:
        """Where they are. They say what every installation has, so anybody may read them."""
        return [
            Route(
                "GET",
                "/openapi.json",
                Permission.PUBLIC,
                self._openapi,
                "Describe the admin API for programs.",
                tag="documentation",
            ),
            Route(
                "GET",
                "/docs",
                Permission.PUBLIC,
                self._page,
                "Describe the admin API for people.",
                aliases=("/swagger",),
                tag="documentation",
                gives=("text/html",),
            ),
        ]

    async def _openapi(self, _request: Request, _services: Services) -> Answer:
        return Answer((await self.made()).openapi, kind=JSON)

    async def _page(self, _request: Request, _services: Services) -> Answer:
        made = await self.made()
        return Answer(made.page, kind=HTML, headers={"content-security-policy": made.policy})


def documents(routes: Sequence[Route], endpoints: Sequence[str]) -> Documents:
    """The descriptions, made."""
    content = describe(routes, endpoints)
    page, policy = _page(content, endpoints)
    return Documents(orjson.dumps(content), page, policy)


def describe(routes: Sequence[Route], endpoints: Sequence[str] = ()) -> dict[str, Any]:
    """The OpenAPI document."""
    named = components()
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        for path in (route.path, *route.aliases):
            plain = _NAMED.sub(r"{\1}", path)
            paths.setdefault(plain, {})[route.method.lower()] = _operation(route, path, named)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headrace admin API",
            "version": __version__,
            "description": "Providers, models, virtual keys and settings, while traffic flows.",
        },
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": named,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "x-endpoints": list(endpoints),
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
        found[str(status)] = {"description": HTTPStatus(status).phrase}
        if status not in (204, 304):
            schema = {} if route.answer is None else _schema(route.answer, named)
            found[str(status)]["content"] = {kind: {"schema": schema} for kind in route.gives}
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/problem"}}}
    for status in _READING if route.method == "GET" else _WRITING:
        one = found.setdefault(str(status), {"description": HTTPStatus(status).phrase})
        one["content"] = one.get("content", {}) | problem
    return found


def _schema(given: Any, named: dict[str, Schema]) -> Schema:
    """A schema as it is, or that of a pydantic model, whose parts become components."""
    if not (isinstance(given, type) and issubclass(given, BaseModel)):
        schema: Schema = given
        return schema
    made = given.model_json_schema(ref_template=REFERENCE)
    named.update(made.pop("$defs", {}))
    return made


# --- the page ---

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
h2 { border-bottom: 1px solid; margin-top: 2.5rem; }
summary { cursor: pointer; padding: .25rem 0; }
code, pre { font: 14px/1.4 ui-monospace, monospace; }
pre { overflow: auto; padding: .75rem; border: 1px solid #8884; border-radius: 4px; }
.method { display: inline-block; min-width: 4.5rem; font-weight: 600; }
.may { opacity: .7; }
@media (prefers-color-scheme: dark) { body { background: #111; color: #ddd; } a { color: #8bf; } }
"""


def _page(content: Mapping[str, Any], endpoints: Sequence[str]) -> tuple[bytes, str]:
    digest = base64.b64encode(sha256(_STYLE.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'; base-uri 'none'"
    )
    tags: dict[str, list[str]] = {}
    for path, operations in content["paths"].items():
        for method, operation in operations.items():
            tags.setdefault(operation["tags"][0], []).append(_shown(method, path, operation))
    sections = [
        f'<section><h2 id="{escape(tag)}">{escape(tag)}</h2>{"".join(shown)}</section>'
        for tag, shown in sorted(tags.items())
    ]
    schemas = [
        f'<details id="schema-{escape(name)}"><summary><code>{escape(name)}</code></summary>'
        f"{_code(schema)}</details>"
        for name, schema in sorted(content["components"]["schemas"].items())
    ]
    listed = "".join(f"<li><code>{escape(one)}</code></li>" for one in endpoints)
    links = " · ".join(f'<a href="#{escape(tag)}">{escape(tag)}</a>' for tag in sorted(tags))
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Headrace admin API</title><style>{_STYLE}</style></head><body>"
        f"<h1>Headrace admin API</h1><p>Version {escape(__version__)}. For programs: "
        f'<a href="/openapi.json">openapi.json</a>.</p><nav>{links}</nav>'
        f"{''.join(sections)}<h2>Schemas</h2>{''.join(schemas)}"
        f"<h2>API for applications</h2><ul>{listed}</ul></body></html>"
    )
    return page.encode(), policy


def _shown(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parts = [f'<p class="may">Permission: {escape(operation["x-permission"])}</p>']
    if "x-alias-of" in operation:
        parts.append(f"<p>The same as <code>{escape(operation['x-alias-of'])}</code>.</p>")
    names = [one["name"] for one in operation["parameters"] if one["in"] != "path"]
    if names:
        parts.append(f"<p>Parameters: <code>{escape(', '.join(names))}</code></p>")
    body = operation.get("requestBody")
    if body is not None:
        parts += [f"<p>Body</p>{_code(one['schema'])}" for one in body["content"].values()]
    for status, response in operation["responses"].items():
        if status < "300" and "content" in response:
            kept = [one["schema"] for one in response["content"].values() if one["schema"]]
            parts += [f"<p>Answer {escape(status)}</p>{_code(schema)}" for schema in kept]
    return (
        f'<details><summary><span class="method">{escape(method.upper())}</span> '
        f"<code>{escape(path)}</code> {escape(operation['summary'])}</summary>{''.join(parts)}</details>"
    )


def _code(schema: Schema) -> str:
    name = schema.get("$ref", "").rpartition("/")[2]
    if name:
        return f'<p><a href="#schema-{escape(name)}"><code>{escape(name)}</code></a></p>'
    text = orjson.dumps(schema, option=orjson.OPT_INDENT_2).decode()
    return f"<pre>{escape(text)}</pre>"
