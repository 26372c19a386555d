"""The description of the admin API, for programs and for people."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import orjson
import pytest

from proxy.control.admin.access import Permission
from proxy.control.admin.openapi import Documentation, describe, documents
from proxy.control.admin.routes import all_routes
from proxy.control.admin.services import Services
from proxy.control.admin.web import Answer, Request, Route

ROUTES = all_routes()
CONTENT = describe(ROUTES, ["POST /v1/chat/completions"])


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
    operations = [one for path in CONTENT["paths"].values() for one in path.values()]
    ids = [one["operationId"] for one in operations]

    assert len(ids) == len(set(ids))
    assert all(one["tags"] and one["summary"] for one in operations)


def test_parameters_of_a_path_are_those_in_it() -> None:
    for path, operations in CONTENT["paths"].items():
        for operation in operations.values():
            names = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
            assert names == set(re.findall(r"\{([a-z_]+)\}", path))


class Reader(HTMLParser):
    """What a page has, and whether it is well made."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        self.ids |= {value or "" for name, value in attrs if name == "id"}
        assert not [name for name, _ in attrs if name.startswith("on") or name == "style"]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_fetches_nothing_and_runs_nothing() -> None:
    made = documents(ROUTES, ["POST /v1/chat/completions"])
    reader = Reader()

    reader.feed(made.page.decode())

    assert reader.open == []
    assert not reader.tags & {"script", "img", "link", "iframe", "form"}
    assert all(link == "/openapi.json" or link[1:] in reader.ids for link in reader.links)
    assert made.policy.startswith("default-src 'none'; style-src 'sha256-")
    assert b"/admin/keys/{id}/rotate" in made.page
    assert b"POST /v1/chat/completions" in made.page


async def nothing(_request: Request, _services: Services) -> Answer:
    return Answer()


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", '"><img src=x>', "&lt;"])
def test_words_of_a_route_are_only_text(evil: str) -> None:
    route = Route("GET", "/a", Permission.READ, nothing, evil, tag=evil, answer={"title": evil})

    page = documents([route], [evil]).page.decode()

    assert evil not in page


async def test_it_is_made_once() -> None:
    one = Documentation(ROUTES[:3], [])

    first, second = await one.made(), await one.made()

    assert first is second
    assert orjson.loads(first.openapi)["openapi"] == "3.1.0"
