"""The table of all routes, as a whole."""

from __future__ import annotations

from pathlib import Path

from proxy.control.admin import routes
from proxy.control.admin.access import Permission
from proxy.control.admin.match import Table
from proxy.control.admin.resources import RESOURCES
from proxy.gateway.endpoints import match

PUBLIC = {"/admin/login", "/api/"}


def test_no_two_are_at_one_path_and_each_has_a_permission() -> None:
    Table(routes.all_routes())


def test_every_module_with_routes_is_named() -> None:
    folder = Path(routes.__file__).parent
    having = {path.stem for path in folder.rglob("*.py") if "\nROUTES" in path.read_text()}

    assert {module.__name__.rpartition(".")[2] for module in routes.MODULES} == having


def test_nothing_rests_on_the_words_of_other_gateways() -> None:
    folder = Path(routes.__file__).parent

    users = {path.stem for path in folder.glob("*.py") if "admin.compat" in path.read_text()}

    assert users == {"routes"}


def test_hardly_anything_is_public() -> None:
    public = {route.path for route in routes.all_routes() if route.permission is Permission.PUBLIC}

    assert public <= PUBLIC


def test_what_changes_something_needs_more_than_reading() -> None:
    weak = {Permission.READ, Permission.METRICS}

    found = [
        route for route in routes.all_routes() if route.method != "GET" and route.permission in weak
    ]

    # This one asks the API as whoever has a virtual key may anyway, and changes nothing here.
    assert [f"{route.method} {route.path}" for route in found] == [
        "POST /admin/playground/{path:path}"
    ]


def test_each_resource_has_its_batch_and_its_aliases() -> None:
    table = Table(routes.all_routes())

    for resource in RESOURCES:
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert table.find(method, f"{resource.path}/batch")
    for path in (
        "/api/providers/batch",
        "/api/models/batch",
        "/api/targets/batch",
        "/api/keys/batch",
    ):
        assert table.methods(path)[:1] == ["DELETE"]
    assert table.find("GET", "/admin/targets/7")


def test_on_a_shared_port_no_route_takes_one_of_the_api_away() -> None:
    taken = [
        f"{route.method} {path}"
        for route in routes.all_routes()
        for path in (route.path, *route.aliases)
        if "{" not in path and match(route.method, path) is not None
    ]

    assert taken == []
