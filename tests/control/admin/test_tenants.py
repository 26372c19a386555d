"""Two teams and one installation: whoever is bound to a team has to do with its keys, by whatever way there is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.control.admin.access import Permission, Role
from proxy.control.admin.routes import all_routes
from tests.control.admin.desk import Desk, Who, open_desk

TEAMS = ("red", "blue", "")
LISTS = ("/admin/keys", "/admin/proxy-keys")


@pytest.fixture
async def teams(tmp_path: Path) -> AsyncIterator[Desk]:
    """A key of red's, one of blue's, one of nobody's."""
    async with open_desk(tmp_path, all_routes()) as desk:
        for team in TEAMS:
            content = {"name": f"key-of-{team or 'nobody'}", "models": ["m"], "rpm": 7}
            said = await desk.owner(
                "POST", "/admin/keys", content | ({"team": team} if team else {})
            )
            assert said.status == 201, said.body
        yield desk


async def _kept(desk: Desk) -> dict[str, Any]:
    """Everything there is of each key."""
    rows = await desk.store.fetch(
        "SELECT name, id, revision, spec, private, deleted FROM objects WHERE kind = 'key' ORDER BY id"
    )
    return {row[0]: row for row in rows}


ROUTES = [route for route in all_routes() if route.permission is Permission.KEYS]


def _bodies(target: str, id: int) -> list[Any]:
    """What one might try with a key of others."""
    changes: list[dict[str, Any]] = [
        {},
        {"rpm": 1},
        {"team": "red"},
        {"team": "red", "name": target},
        {"name": target, "enabled": False},
        {"owner": "me", "budget": {"usd": 1000}},
    ]
    batches: list[Any] = [[{"id": id, **change}] for change in changes]
    batches += [[{"name": target, **change}] for change in changes]
    return [*changes, *batches, [id], [target], {"ids": [id]}, {"names": [target]}, None]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_a_key_of_others_is_out_of_reach_on_every_route(teams: Desk, route: Any) -> None:
    red = await teams.token("red", Role.KEY_MANAGER, team="red")
    before = await _kept(teams)

    for path in (route.path, *route.aliases):
        for name in ("key-of-blue", "key-of-nobody"):
            id = before[name][1]
            for target in (str(id), name):
                for body in _bodies(name, id):
                    at = path.replace("{id:path}", target).replace("{id}", target)
                    said = await teams.ask(route.method, at, body, red)
                    assert said.status != 500
                    if "{id" in path:
                        assert said.status >= 400, (at, body, said.body)
                    shown = said.body.replace(target.encode(), b"").replace(name.encode(), b"")
                    assert b"blue" not in shown

    after = await _kept(teams)
    for name in ("key-of-blue", "key-of-nobody"):
        assert after[name] == before[name]
    assert {name for name in after if "of-blue" in name or "of-nobody" in name} == {
        "key-of-blue",
        "key-of-nobody",
    }


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_what_was_tried_there_works_for_an_owner(teams: Desk, route: Any) -> None:
    id = (await _kept(teams))["key-of-blue"][1]
    at = route.path.replace("{id:path}", "key-of-blue").replace("{id}", str(id))

    bodies = [*_bodies("key-of-blue", id), {"name": "new"}, [{"name": "new"}]]
    tried = [(await teams.owner(route.method, at, body)).status for body in bodies]

    assert min(tried) < 300


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("query", ["", "?team=blue", "?q=blue", "?name=key-of-blue", "?limit=1000"])
async def test_a_list_has_ones_own_alone(teams: Desk, path: str, query: str) -> None:
    red = await teams.token("red", Role.KEY_MANAGER, team="red")

    said = await teams.ask("GET", path + query, who=red)

    assert b"key-of-blue" not in said.body
    assert b"key-of-nobody" not in said.body
    if not query:
        assert b"key-of-red" in said.body


async def test_ones_own_key_is_ones_own(teams: Desk) -> None:
    red = await teams.token("red", Role.KEY_MANAGER, team="red")

    changed = await teams.ask("PATCH", "/admin/keys/key-of-red", {"rpm": 9}, red)
    rotated = await teams.ask("POST", "/admin/keys/key-of-red/rotate", {}, red)
    made = await teams.ask("POST", "/admin/keys", {"name": "another"}, red)
    deleted = await teams.ask("DELETE", "/admin/keys/key-of-red", who=red)

    assert [said.status for said in (changed, rotated, made, deleted)] == [200, 200, 201, 204]
    # A key that a manager makes is the team's, whether or not the body says so.
    assert made.json["team"] == "red"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/admin/keys", {"name": "new", "team": "blue"}),
        ("POST", "/admin/keys/batch", [{"name": "new", "team": "blue"}]),
        ("PATCH", "/admin/keys/key-of-red", {"team": "blue"}),
        ("PATCH", "/admin/keys/key-of-red", {"team": None}),
        ("PUT", "/admin/keys/key-of-red", {"team": "blue"}),
        ("PATCH", "/admin/keys/batch", [{"name": "key-of-red", "team": "blue"}]),
    ],
)
async def test_a_key_is_not_given_away(teams: Desk, method: str, path: str, body: Any) -> None:
    red = await teams.token("red", Role.KEY_MANAGER, team="red")
    before = await _kept(teams)

    said = await teams.ask(method, path, body, red)

    assert (said.status, said.code) == (403, "forbidden")
    assert await _kept(teams) == before


async def test_a_batch_with_one_key_of_others_does_nothing_at_all(teams: Desk) -> None:
    red = await teams.token("red", Role.KEY_MANAGER, team="red")
    before = await _kept(teams)
    content = [{"name": "key-of-red", "rpm": 1}, {"name": "key-of-blue", "rpm": 1}]

    said = await teams.ask("PATCH", "/admin/keys/batch", content, red)

    assert said.status in (400, 404)
    assert await _kept(teams) == before


async def test_a_manager_has_to_do_with_nothing_else(teams: Desk) -> None:
    red: Who = await teams.token("red", Role.KEY_MANAGER, team="red")

    for path in (
        "/admin/providers",
        "/admin/models",
        "/admin/audit",
        "/admin/users",
        "/admin/logs",
    ):
        assert (await teams.ask("GET", path, who=red)).status == 403


async def test_an_operator_without_a_team_has_to_do_with_all_keys(teams: Desk) -> None:
    operator = await teams.token("op", Role.OPERATOR)
    of_blue = await teams.token("op-blue", Role.OPERATOR, team="blue")

    assert (await teams.ask("GET", "/admin/keys/key-of-red", who=operator)).status == 200
    assert (await teams.ask("GET", "/admin/keys/key-of-red", who=of_blue)).status == 404
    assert (await teams.ask("GET", "/admin/keys/key-of-blue", who=of_blue)).status == 200


@pytest.mark.parametrize("if_match", [None, '"1"'])
@pytest.mark.parametrize(
    ("method", "below", "body"),
    [
        ("GET", "", None),
        ("PUT", "", {"rpm": 1}),
        ("PATCH", "", {"rpm": 1}),
        ("DELETE", "", None),
        ("POST", "/rotate", {}),
        ("POST", "/enable", None),
    ],
)
async def test_a_key_of_others_is_as_if_it_were_not_there(
    teams: Desk, method: str, below: str, body: Any, if_match: str | None
) -> None:
    red = await teams.token("red", Role.KEY_MANAGER, team="red")
    headers = {} if if_match is None else {"if_match": if_match}

    said = {}
    for name in ("key-of-blue", "key-of-none"):
        answer = await teams.ask(method, f"/admin/keys/{name}{below}", body, red, **headers)
        told = {field: text for field, text in answer.json.items() if field != "request_id"}
        said[name] = (answer.status, told["detail"].replace(name, "…"), told["type"])

    assert said["key-of-blue"] == said["key-of-none"]
    assert said["key-of-blue"][0] == 404


@pytest.mark.parametrize("role", [Role.ADMIN, Role.OWNER])
@pytest.mark.parametrize("secrets", ["references", "encrypted", "omit"])
async def test_an_export_has_ones_own_keys_alone(teams: Desk, role: Role, secrets: str) -> None:
    path = f"/admin/config/export?format=json&secrets={secrets}"
    red = await teams.token("red", role, team="red")

    own = (await teams.ask("GET", path, who=red)).json
    every = (await teams.owner("GET", path)).json

    assert [one["name"] for one in own["keys"]] == ["key-of-red"]
    assert len(every["keys"]) == len(TEAMS)


@pytest.mark.parametrize("role", [Role.ADMIN, Role.OWNER])
async def test_the_audit_log_has_nothing_of_keys_of_others(teams: Desk, role: Role) -> None:
    await teams.owner("POST", "/admin/keys/key-of-blue/rotate")
    await teams.owner("DELETE", "/admin/keys/key-of-blue")
    await teams.owner("PATCH", "/admin/keys/key-of-nobody", {"team": "red"})
    await teams.owner("POST", "/admin/models", {"name": "everybodys"})
    red = await teams.token("red", role, team="red")

    seen: list[str] = []
    path = "/admin/audit?limit=1"
    while path:
        page = (await teams.ask("GET", path, who=red)).json
        seen += [row["name"] for row in page["data"] if row["kind"] in ("key", "model")]
        path = page["next"] and f"/admin/audit?limit=1&after={page['next']}"

    assert seen == ["everybodys", "key-of-nobody", "key-of-red"]
