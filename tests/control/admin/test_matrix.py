"""Every route there is, asked for by everybody there could be: what is not granted is denied."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.control.admin import login, tokens, users
from proxy.control.admin.access import GRANTS, Permission, Role
from proxy.control.admin.app import AdminApp
from proxy.control.admin.lockout import Peers
from proxy.control.admin.services import Services
from proxy.control.admin.web import Answer, Request, Route
from proxy.control.listener import OPEN, Page, admin_app
from proxy.core.virtual_key import ADMIN_PREFIX, PREFIX, mint
from tests.control.admin.desk import (
    PASSWORD,
    Desk,
    Said,
    Who,
    bearer,
    in_days,
    open_desk,
    with_session,
)

PAGES: dict[str, Page] = {
    path: lambda: (200, "text/plain", b"page") for path in (*OPEN, "/", "/health", "/metrics")
}
REACHED = 299
PUBLIC = {"POST /admin/login", "GET /dashboard", *(f"GET {path}" for path in OPEN)}
"""All that anybody may ask for, besides the documentation; a route added to it is added here by hand."""


async def _reached(_request: Request, _services: Services) -> Answer:
    return Answer(status=REACHED)


def _paths(route: Route) -> Iterator[str]:
    for path in (route.path, *route.aliases):
        yield re.sub(r"\{[a-z_]+(:path)?\}", "7", path)


async def _routes(desk: Desk) -> tuple[Route, ...]:
    # In a thread: writing the OpenAPI document takes a while.
    app = await asyncio.to_thread(admin_app, desk.services, PAGES, ["/v1/chat/completions"])
    return app.routes


class Matrix:
    """All routes, with nothing behind them but a word that they were reached."""

    def __init__(self, desk: Desk, routes: tuple[Route, ...]) -> None:
        self.desk = desk
        self.routes = routes

    async def each(self, who: Who | None) -> list[tuple[Route, str, Said]]:
        """What everybody of that kind is told, at each path of each route."""
        found = []
        for route in self.routes:
            for path in _paths(route):
                self.desk.services.door.guesses = Peers()
                said = await self.desk.ask(route.method, path, who=who)
                found.append((route, path, said))
        assert len(found) > 150
        return found


def _name(route: Route) -> str:
    return f"{route.method} {route.path}"


def _is_public(route: Route) -> bool:
    return route.permission is Permission.PUBLIC


@pytest.fixture
async def matrix(tmp_path: Path) -> AsyncIterator[Matrix]:
    async with open_desk(tmp_path) as real:
        routes = await _routes(real)
    empty = tuple(replace(route, handler=_reached) for route in routes)
    async with open_desk(tmp_path, (*empty, *_doors())) as desk:
        yield Matrix(desk, empty)


def _doors() -> Iterator[Route]:
    """Where the tests get their tokens and sessions: those same routes, elsewhere."""
    for route in (*login.ROUTES, *users.ROUTES, *tokens.ROUTES):
        yield replace(route, path=f"/real{route.path}", aliases=())


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[Desk]:
    """The application as it is served, with everything behind it."""
    async with open_desk(tmp_path) as desk:
        routes = await _routes(desk)
    async with open_desk(tmp_path, routes) as desk:
        yield desk


async def test_what_is_public_is_written_down(matrix: Matrix) -> None:
    found = {_name(route) for route in matrix.routes if _is_public(route)}
    documents = {_name(route) for route in matrix.routes if route.tag == "documentation"}

    assert found - documents == PUBLIC
    assert all(name.startswith("GET ") for name in documents)


@pytest.mark.parametrize(
    "who",
    [
        None,
        Who({"authorization": "Bearer wrong"}),
        Who({"authorization": "Basic dG9rZW4="}),
        Who({"x-api-key": ""}),
        Who({"cookie": "__Host-headrace=wrong", "sec-fetch-site": "same-origin"}),
        bearer(mint(PREFIX).reveal()),
        bearer(mint(ADMIN_PREFIX).reveal()),
    ],
    ids=["nothing", "wrong", "basic", "empty", "cookie", "virtual-key", "unknown-token"],
)
async def test_nobody_reaches_anything_that_is_not_public(whole: Desk, who: Who | None) -> None:
    for route, path, said in await Matrix(whole, await _routes(whole)).each(who):
        if not _is_public(route):
            assert (said.status, said.code) == (401, "unauthenticated"), path


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_reaches_what_it_is_granted(matrix: Matrix, role: Role) -> None:
    who = await _token(matrix.desk, "ci", role=role, team="red")

    for route, path, said in await matrix.each(who):
        if _is_public(route) or route.permission in GRANTS[role]:
            assert said.status == REACHED, path
        else:
            assert (said.status, said.code) == (403, "forbidden"), path


@pytest.mark.parametrize("scope", [one for one in Permission if one is not Permission.PUBLIC])
async def test_a_scope_leaves_one_permission(matrix: Matrix, scope: Permission) -> None:
    who = await _token(matrix.desk, "ci", role=Role.OWNER, scopes=[scope])

    for route, path, said in await matrix.each(who):
        reached = _is_public(route) or route.permission is scope
        assert said.status == (REACHED if reached else 403), path


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE tokens SET expires = 1.0", "token_expired"),
        ("UPDATE tokens SET expires = NULL", "token_expired"),
        ("UPDATE tokens SET enabled = 0", "token_disabled"),
        ("UPDATE tokens SET role = 'emperor'", "unauthenticated"),
        ("DELETE FROM tokens", "unauthenticated"),
    ],
)
async def test_a_token_that_is_over_reaches_nothing(matrix: Matrix, change: str, code: str) -> None:
    who = await _token(matrix.desk, "ci", role=Role.OWNER)
    await matrix.desk.store.execute(change)

    for route, path, said in await matrix.each(who):
        if not _is_public(route):
            assert (said.status in (401, 403), said.code) == (True, code), path


@pytest.mark.parametrize(
    ("without", "other"),
    [
        ("x-headrace-csrf", {}),
        ("x-headrace-csrf", {"x-headrace-csrf": "wrong"}),
        ("sec-fetch-site", {}),
        ("sec-fetch-site", {"sec-fetch-site": "cross-site"}),
        ("sec-fetch-site", {"sec-fetch-site": "same-site"}),
        ("sec-fetch-site", {"origin": "https://evil.example"}),
        ("", {}),
    ],
    ids=["no-csrf", "wrong-csrf", "silent", "cross-site", "same-site", "origin", "all"],
)
async def test_a_session_changes_nothing_for_another_page(
    matrix: Matrix, without: str, other: dict[str, str]
) -> None:
    session = await _session(matrix.desk)
    sent = {name: value for name, value in session.headers.items() if name != without} | other

    for route, path, said in await matrix.each(Who(sent)):
        if _is_public(route) or route.method == "GET" or not without:
            assert said.status == REACHED, path
        else:
            assert (said.status, said.code) == (403, "csrf"), path


async def test_head_is_no_way_around(matrix: Matrix) -> None:
    viewer = await _token(matrix.desk, "ci", role=Role.METRICS)
    for route in matrix.routes:
        if route.method != "GET":
            continue
        for path in _paths(route):
            nobody = (await matrix.desk.ask("HEAD", path)).status
            said = (await matrix.desk.ask("HEAD", path, who=viewer)).status
            assert nobody == (REACHED if _is_public(route) else 401), path
            granted = route.permission in GRANTS[Role.METRICS]
            assert said == (REACHED if granted else 403), path


async def test_other_methods_and_other_paths_say_nothing_to_nobody(whole: Desk) -> None:
    routes = await _routes(whole)
    paths = {path for route in routes if not _is_public(route) for path in _paths(route)}
    paths |= {
        "/admin",
        "/admin/",
        "/admin/none",
        "/admin//users",
        "/admin/users/",
        "/admin/users/..",
    }
    taken = {(route.method, path) for route in routes for path in _paths(route)}
    for path in paths:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
            if (method, path) not in taken:
                assert (await whole.ask(method, path)).status == 401, (method, path)


def test_a_route_without_a_permission_cannot_be_served() -> None:
    everything: dict[str, Any] = {"method": "GET", "path": "/admin/x", "handler": _reached}

    with pytest.raises(TypeError):
        Route(**everything, summary="")
    for none in (None, ""):
        route = Route(**everything, permission=none, summary="")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="no permission"):
            AdminApp([route], None)  # type: ignore[arg-type]


async def _token(desk: Desk, name: str, **fields: Any) -> Who:
    content = {"name": name, "expires": in_days(30)} | fields
    said = await desk.owner("POST", "/real/admin/tokens", content)
    assert said.status == 201, said.body
    return bearer(said.json["token"])


async def _session(desk: Desk) -> Who:
    anna = {"name": "anna", "role": "owner", "password": PASSWORD}
    assert (await desk.owner("POST", "/real/admin/users", anna)).status == 201
    content = {"username": "anna", "password": PASSWORD}
    return with_session(await desk.ask("POST", "/real/admin/login", content, Who(desk.origin)))
