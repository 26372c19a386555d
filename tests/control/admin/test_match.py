"""Which route gets a request, whatever its path is made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.admin.access import Permission
from proxy.control.admin.match import Table
from proxy.control.admin.services import Services
from proxy.control.admin.web import Answer, Request, Route


async def nothing(_request: Request, _services: Services) -> Answer:
    return Answer()


def route(method: str, path: str, *aliases: str) -> Route:
    return Route(method, path, Permission.READ, nothing, path, aliases)


TABLE = Table(
    [
        route("GET", "/admin/models", "/api/models"),
        route("POST", "/admin/models"),
        route("GET", "/admin/models/{id:path}"),
        route("POST", "/admin/models/batch"),
        route("PUT", "/admin/models/{id:path}"),
        route("PUT", "/admin/models/batch"),
        route("POST", "/admin/keys/{id:path}/rotate"),
        route("DELETE", "/admin/keys/{id:path}"),
        route("GET", "/v1/providers/{name}/performance"),
        route("GET", "/v1/providers/stats/overview"),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "template", "params"),
    [
        ("GET", "/admin/models", "/admin/models", {}),
        ("HEAD", "/admin/models", "/admin/models", {}),
        ("GET", "/api/models", "/admin/models", {}),
        ("GET", "/admin/models/gpt-4o", "/admin/models/{id:path}", {"id": "gpt-4o"}),
        ("GET", "/admin/models/a/b%20c", "/admin/models/{id:path}", {"id": "a/b c"}),
        ("GET", "/admin/models/a%2Fb", "/admin/models/{id:path}", {"id": "a/b"}),
        ("GET", "/admin/models/a%252Fb", "/admin/models/{id:path}", {"id": "a%2Fb"}),
        ("GET", "/admin/models/..%2f..%2fetc", "/admin/models/{id:path}", {"id": "../../etc"}),
        ("GET", "/admin/models/batch", "/admin/models/{id:path}", {"id": "batch"}),
        ("PUT", "/admin/models/batch", "/admin/models/batch", {}),
        ("POST", "/admin/keys/a/b/rotate", "/admin/keys/{id:path}/rotate", {"id": "a/b"}),
        ("DELETE", "/admin/keys/a/rotate", "/admin/keys/{id:path}", {"id": "a/rotate"}),
        (
            "GET",
            "/v1/providers/stats/performance",
            "/v1/providers/{name}/performance",
            {"name": "stats"},
        ),
    ],
)
def test_a_path_finds_its_route(
    method: str, path: str, template: str, params: dict[str, str]
) -> None:
    found = TABLE.find(method, path)

    assert found is not None
    assert (found[0].path, found[1]) == (template, params)


@pytest.mark.parametrize(
    "path",
    [
        "/admin/models/",
        "/admin//models",
        "/admin/./models",
        "/admin/x/../models",
        "/ADMIN/models",
        "/admin/models%2f",
        "/%61dmin/models",
        "/admin%2fmodels",
        "/v1/providers/a/b/performance",
        "/admin/models/%00",
        "/admin/models/a%0d%0ab",
        "/admin/models/%ff",
        "",
        "*",
    ],
)
def test_what_only_looks_like_one_finds_nothing(path: str) -> None:
    assert TABLE.find("GET", path) is None


def test_the_methods_of_a_path() -> None:
    assert TABLE.methods("/admin/models") == ["GET", "HEAD", "POST"]
    assert TABLE.methods("/admin/models/batch") == ["GET", "HEAD", "POST", "PUT"]
    assert TABLE.methods("/none") == []


@pytest.mark.parametrize(
    "second",
    [
        route("GET", "/a/{x}"),
        route("GET", "/b", "/a/{other}"),
    ],
)
def test_two_routes_may_not_have_one_path(second: Route) -> None:
    with pytest.raises(ValueError, match="twice"):
        Table([route("GET", "/a/{id}"), second])


def test_a_route_without_permission_stops_the_start() -> None:
    naked = Route("GET", "/a", None, nothing, "")  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="no permission"):
        Table([naked])


@given(st.text(min_size=1))
def test_a_name_is_found_as_it_was_encoded(name: str) -> None:
    from urllib.parse import quote

    try:
        path = quote(name, safe="")
    except UnicodeEncodeError:
        return
    found = TABLE.find("GET", f"/admin/models/{path}")

    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        assert found is None
    else:
        assert found is not None
        assert found[1] == {"id": name}
