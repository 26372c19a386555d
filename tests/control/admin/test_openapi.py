"""The description of the admin API, for programs and for people."""

from __future__ import annotations

import re
from typing import Any, cast

import orjson

from proxy.control.admin.access import Permission
from proxy.control.admin.assets import POLICY, Assets
from proxy.control.admin.openapi import Documentation, describe
from proxy.control.admin.routes import all_routes
from proxy.control.admin.services import Services
from proxy.control.admin.web import Request

ROUTES = all_routes()
CONTENT = describe(ROUTES, ["POST /v1/chat/completions"])
ADMIN = {
    path: {method: one for method, one in operations.items() if method != "servers"}
    for path, operations in CONTENT["paths"].items()
}
ASKED = Request("GET", "/docs", {}, {}, b"", "127.0.0.1", "r1")
SERVICES = cast("Services", None)  # nobody asks them


def references(value: Any) -> set[str]:
    """Every `$ref` in it."""
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_every_path_is_there_with_its_methods() -> None:
    for route in ROUTES:
        for path in (route.path, *route.aliases):
            plain = re.sub(r"\{([a-z_]+):path\}", r"{\1}", path)
            operation = CONTENT["paths"][plain][route.method.lower()]
            assert operation["x-permission"] == route.permission
            assert ("security" in operation) == (route.permission is not Permission.PUBLIC)


def test_every_reference_leads_somewhere() -> None:
    named = {f"#/components/schemas/{name}" for name in CONTENT["components"]["schemas"]}

    assert references(CONTENT) <= named


def test_ids_are_unique_and_tags_are_given() -> None:
    operations = [one for path in ADMIN.values() for one in path.values()]
    ids = [one["operationId"] for one in operations]

    assert len(ids) == len(set(ids))
    assert all(one["tags"] and one["summary"] for one in operations)


def test_parameters_of_a_path_are_those_in_it() -> None:
    for path, operations in ADMIN.items():
        for operation in operations.values():
            names = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
            assert names == set(re.findall(r"\{([a-z_]+)\}", path))


def test_whatever_obeys_if_match_says_so() -> None:
    for path in ("/admin/keys/{id}", "/admin/keys/{id}/rotate", "/admin/providers/{id}/disable"):
        method = "put" if path.endswith("}") else "post"
        headers = [
            one["name"] for one in ADMIN[path][method]["parameters"] if one["in"] == "header"
        ]
        assert headers == ["If-Match"], path


def test_the_api_for_applications_is_described_for_its_own_listener() -> None:
    path = CONTENT["paths"]["/v1/chat/completions"]
    body = path["post"]["requestBody"]["content"]["application/json"]

    assert path["servers"][0]["variables"]["port"]["default"] == "8000"
    assert path["post"]["x-listener"] == "clients"
    assert path["post"]["security"] == [{"key": []}]
    assert body["schema"]["required"] == ["model", "messages"]
    assert body["example"]["messages"]


async def test_the_page_is_one_of_the_assets() -> None:
    answer = await Documentation(ROUTES[:3], [], Assets()).routes()[1].handler(ASKED, SERVICES)

    assert answer.kind == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY
    assert b"/reference.js" in answer.content


async def test_it_is_made_once() -> None:
    one = Documentation(ROUTES[:3], [], Assets())

    first, second = await one.made(), await one.made()

    assert first is second
    assert orjson.loads(first)["openapi"] == "3.1.0"
