"""Users: who keeps them, and what not even an owner does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from proxy.control.admin.access import Permission, Role
from tests.control.admin.desk import OWNER, PASSWORD, Desk, open_desk

ANNA = {"name": "anna", "role": "viewer", "password": PASSWORD}


async def test_a_user_is_made_shown_changed_and_deleted(either: Desk) -> None:
    made = await either.owner("POST", "/admin/users", {**ANNA, "team": "red"})
    id = made.json["id"]
    assert (made.status, made.headers["location"]) == (201, f"/admin/users/{id}")
    assert made.json["role"] == "viewer"

    by_id = await either.owner("GET", f"/admin/users/{id}")
    by_name = await either.owner("GET", "/admin/users/anna")
    assert by_id.json == by_name.json == made.json
    assert (await either.owner("GET", "/admin/users")).json["data"] == [made.json]

    patched = await either.owner("PATCH", "/admin/users/anna", {"role": "operator"})
    assert (patched.json["role"], patched.json["team"]) == ("operator", "red")
    replaced = await either.owner("PUT", f"/admin/users/{id}", {"name": "anne", "role": "admin"})
    assert (replaced.json["name"], replaced.json["team"]) == ("anne", "")
    # Without a password the one so far stays.
    assert (await either.login("anne")).status == 200

    assert (await either.owner("DELETE", f"/admin/users/{id}")).status == 204
    assert (await either.owner("GET", f"/admin/users/{id}")).status == 404


async def test_no_answer_has_a_password(desk: Desk) -> None:
    await desk.user("anna")
    kept = (await desk.store.fetch("SELECT password FROM users"))[0][0]

    for said in (
        await desk.owner("GET", "/admin/users"),
        await desk.owner("GET", "/admin/users/anna"),
        await desk.owner("PATCH", "/admin/users/anna", {"password": "another long password"}),
    ):
        assert PASSWORD.encode() not in said.body
        assert kept.encode() not in said.body
        assert b"another long" not in said.body


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "7"),
        ("name", "-x"),
        ("name", "a b"),
        ("name", "anna\n"),
        ("name", "x" * 101),
        ("name", "../x"),
        ("name", None),
        ("role", "emperor"),
        ("role", "OWNER"),
        ("role", None),
        ("role", ["owner"]),
        ("team", "a\u0000b"),
        ("team", " red"),
        ("team", "x" * 201),
        ("team", None),
        ("enabled", 1),
        ("enabled", "true"),
        ("password", "short"),
        ("password", None),
        ("password", "x" * 257),
        ("id", 7),
        ("created", 0.0),
        ("scopes", ["users"]),
    ],
)
async def test_a_field_that_is_wrong_or_none_of_theirs_is_named(
    desk: Desk, field: str, value: Any
) -> None:
    said = await desk.owner("POST", "/admin/users", ANNA | {field: value})

    assert (said.status, said.code) == (400, "invalid")
    assert [one["field"] for one in said.json["errors"]] == [field]
    assert await desk.store.fetch("SELECT id FROM users") == []


async def test_a_key_manager_has_a_team(desk: Desk) -> None:
    manager = ANNA | {"role": "key_manager"}

    said = await desk.owner("POST", "/admin/users", manager)
    assert (said.status, said.json["errors"][0]["field"]) == (400, "team")
    assert (await desk.owner("POST", "/admin/users", manager | {"team": "red"})).status == 201
    assert (await desk.owner("PATCH", "/admin/users/anna", {"team": ""})).status == 400


async def test_a_name_is_there_once(either: Desk) -> None:
    await either.user("anna")
    await either.user("berta")

    assert (await either.owner("POST", "/admin/users", ANNA)).status == 409
    assert (await either.owner("PATCH", "/admin/users/berta", {"name": "anna"})).status == 409


@pytest.mark.parametrize(
    "id", ["nobody", "99", "0", "1e3", "9" * 40, "%2e%2e", "' OR 1=1 --", "%C3%A9"]
)
async def test_what_is_not_there_is_not_found(desk: Desk, id: str) -> None:
    await desk.user("anna")

    for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
        assert (await desk.owner(method, f"/admin/users/{id}", body)).status == 404


# --- the last owner ---

FEWER = [
    ("DELETE", None),
    ("PATCH", {"role": "admin"}),
    ("PATCH", {"enabled": False}),
    ("PATCH", {"team": "red"}),
    ("PUT", {"name": "anna", "role": "viewer"}),
]


@pytest.mark.parametrize(("method", "body"), FEWER)
async def test_the_last_owner_stays(desk: Desk, method: str, body: Any) -> None:
    await desk.user("anna", Role.OWNER)
    await desk.user("berta", Role.OWNER, enabled=False)
    await desk.user("clara", Role.ADMIN)
    await desk.user("dora", Role.OWNER, team="red")

    said = await desk.owner(method, "/admin/users/anna", body)

    assert (said.status, said.code) == (409, "last_owner")
    assert (await desk.owner("GET", "/admin/users/anna")).json["role"] == "owner"

    assert (await desk.owner("PATCH", "/admin/users/berta", {"enabled": True})).status == 200
    assert (await desk.owner(method, "/admin/users/anna", body)).status in (200, 204)


async def test_of_two_owners_who_go_at_once_one_stays(either: Desk) -> None:
    for _ in range(5):
        await either.user("anna", Role.OWNER)
        await either.user("berta", Role.OWNER)

        said = await asyncio.gather(
            either.owner("DELETE", "/admin/users/anna"),
            either.owner("PATCH", "/admin/users/berta", {"role": "viewer"}),
        )

        assert sorted(one.status for one in said) in ([200, 409], [204, 409])
        await either.store.execute("DELETE FROM users")


async def test_an_owner_in_the_configuration_is_one_too(tmp_path: Path) -> None:
    async with open_desk(tmp_path, token=OWNER_TOKEN, password=PASSWORD) as desk:
        await desk.user("anna", Role.OWNER)

        assert (await desk.owner("DELETE", "/admin/users/anna")).status == 204


OWNER_TOKEN = OWNER.headers["authorization"].removeprefix("Bearer ")


# --- nobody gives what they do not have ---


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.OWNER])
async def test_only_an_owner_has_to_do_with_users(desk: Desk, role: Role) -> None:
    await desk.user("anna", role, team="red")
    anna = await desk.session("anna")

    for method, path, body in (
        ("GET", "/admin/users", None),
        ("POST", "/admin/users", ANNA | {"name": "other", "role": "owner"}),
        ("PATCH", "/admin/users/anna", {"role": "owner"}),
        ("PUT", "/admin/users/anna", {"name": "anna", "role": "owner"}),
        ("DELETE", "/admin/users/anna", None),
        ("DELETE", "/admin/users/anna/sessions", None),
        (
            "POST",
            "/admin/tokens",
            {"name": "x", "role": "owner", "expires": "2027-01-01T00:00:00Z"},
        ),
    ):
        assert (await desk.ask(method, path, body, anna)).status == 403

    assert (await desk.owner("GET", "/admin/users/anna")).json["role"] == role


async def test_a_token_for_users_alone_makes_nobody_with_more(desk: Desk) -> None:
    await desk.user("anna", Role.OWNER)
    await desk.user("berta", Role.OWNER)
    scoped = await desk.token("hr", Role.OWNER, scopes=[Permission.USERS])

    for method, path, body in (
        ("POST", "/admin/users", ANNA | {"name": "other", "role": "owner"}),
        ("POST", "/admin/users", ANNA | {"name": "other"}),
        ("PATCH", "/admin/users/anna", {"password": "another long password"}),
        ("DELETE", "/admin/users/anna", None),
        ("DELETE", "/admin/users/anna/sessions", None),
    ):
        said = await desk.ask(method, path, body, scoped)
        assert (said.status, said.code) == (403, "forbidden")
    assert (await desk.ask("GET", "/admin/users", who=scoped)).status == 200


async def test_who_has_more_rights_is_not_taken_down_by_who_has_less(desk: Desk) -> None:
    await desk.user("anna", Role.OWNER)
    await desk.user("berta", Role.OWNER)
    await desk.user("clara", Role.OPERATOR)
    scopes = [Permission.USERS, Permission.READ, Permission.METRICS]
    scoped = await desk.token("hr", Role.OWNER, scopes=scopes)

    for name in ("anna", "clara"):
        said = await desk.ask("PATCH", f"/admin/users/{name}", {"role": "viewer"}, scoped)
        assert (said.status, said.code) == (403, "forbidden")
    viewer = ANNA | {"name": "dora"}
    assert (await desk.ask("POST", "/admin/users", viewer, scoped)).status == 201
    assert (await desk.ask("PATCH", "/admin/users/dora", {"role": "metrics"}, scoped)).status == 200


async def test_an_owner_of_a_team_unlocks_nobody_of_another(desk: Desk) -> None:
    await desk.user("anna", Role.OWNER)
    await desk.user("berta", Role.OWNER, team="red")
    await desk.user("clara", team="red")
    berta = await desk.session("berta")

    for name, status in (("anna", 403), ("clara", 204)):
        said = await desk.ask("POST", f"/admin/users/{name}/unlock", None, berta)
        assert said.status == status


async def test_every_change_is_in_the_audit_log(either: Desk) -> None:
    await either.user("anna")
    await either.owner(
        "PATCH", "/admin/users/anna", {"role": "admin", "password": "something else"}
    )
    await either.owner("DELETE", "/admin/users/anna")

    rows = await either.store.fetch("SELECT action, name, before, after FROM audit ORDER BY id")

    assert [row[:2] for row in rows] == [("create", "anna"), ("update", "anna"), ("delete", "anna")]
    assert '"role":"viewer"' in rows[1][2]
    assert '"role":"admin"' in rows[1][3]
    assert '"password":"***"' in rows[1][3]
    assert "argon2" not in repr(rows)
