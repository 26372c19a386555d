"""Service tokens: shown once, bounded in time and rights, gone at once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from proxy.control.admin.access import GRANTS, Permission, Role
from proxy.core import virtual_key
from proxy.core.clock import Hands
from proxy.core.virtual_key import ADMIN_PREFIX, is_wellformed
from tests.control.admin.desk import Desk, Who, bearer, in_days, open_desk

READ = "/admin/probe/read"


def _text(who: Who) -> str:
    return who.headers["authorization"].removeprefix("Bearer ")


async def _status(desk: Desk, who: Who, path: str = READ) -> tuple[int, str]:
    said = await desk.ask("GET", path, who=who)
    return said.status, said.code if said.status != 200 else ""


async def test_it_is_shown_once_and_kept_as_a_digest(either: Desk) -> None:
    content = {"name": "ci", "role": "viewer", "expires": in_days(30)}

    made = await either.owner("POST", "/admin/tokens", content)
    token = made.json["token"]
    listed = await either.owner("GET", "/admin/tokens")
    shown = await either.owner("GET", "/admin/tokens/ci")

    assert (made.status, made.headers["location"]) == (201, f"/admin/tokens/{made.json['id']}")
    assert is_wellformed(token, ADMIN_PREFIX)
    assert made.json["last4"] == token[-4:]
    assert listed.json["data"] == [shown.json]
    assert shown.json == {name: made.json[name] for name in made.json if name != "token"}
    everything = repr(await either.store.fetch("SELECT * FROM tokens"))
    assert token not in everything
    assert token not in repr(await either.store.fetch("SELECT * FROM audit"))
    digest = virtual_key.digest(token, either.services.sync.peppers[0]).hex()
    assert digest in everything
    assert await _status(either, bearer(digest)) == (401, "unauthenticated")


@pytest.mark.parametrize("role", list(Role))
async def test_it_may_what_its_role_may(desk: Desk, role: Role) -> None:
    who = await desk.token("ci", role, team="red")

    for permission in set(Permission) - {Permission.PUBLIC}:
        status, _ = await _status(desk, who, f"/admin/probe/{permission}")
        assert status == (200 if permission in GRANTS[role] else 403)


async def test_scopes_leave_less(desk: Desk) -> None:
    who = await desk.token("ci", Role.ADMIN, scopes=["keys", "users"])

    found = {
        permission: (await _status(desk, who, f"/admin/probe/{permission}"))[0]
        for permission in ("keys", "read", "configure", "self", "users")
    }

    # `users` is none of an admin's, and a scope gives nothing.
    assert found == {"keys": 200, "read": 403, "configure": 403, "self": 403, "users": 403}


async def test_no_scopes_at_all_leave_nothing(desk: Desk) -> None:
    who = await desk.token("ci", Role.OWNER, scopes=[])

    assert await _status(desk, who) == (403, "forbidden")


async def test_revoked_is_refused_at_once(either: Desk) -> None:
    who = await either.token("ci", Role.VIEWER)
    assert await _status(either, who) == (200, "")

    assert (await either.owner("DELETE", "/admin/tokens/ci")).status == 204

    assert await _status(either, who) == (401, "unauthenticated")
    assert (await either.owner("GET", "/admin/tokens/ci")).status == 404


async def test_disabled_is_refused_until_it_is_enabled(either: Desk) -> None:
    who = await either.token("ci", Role.VIEWER)

    assert (await either.owner("PATCH", "/admin/tokens/ci", {"enabled": False})).status == 200
    assert await _status(either, who) == (403, "token_disabled")
    assert (await either.owner("PATCH", "/admin/tokens/ci", {"enabled": True})).status == 200
    assert await _status(either, who) == (200, "")


async def test_it_ends(desk: Desk, hands: Hands) -> None:
    end = datetime.fromtimestamp(hands.now() + 3600, UTC).isoformat()
    who = await desk.token("ci", Role.VIEWER, expires=end)

    hands.advance(3600 + 59)
    assert await _status(desk, who) == (200, "")
    hands.advance(1)
    assert await _status(desk, who) == (403, "token_expired")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "7"),
        ("name", None),
        ("role", "emperor"),
        ("scopes", "read"),
        ("scopes", ["everything"]),
        ("scopes", [1]),
        ("expires", None),
        pytest.param("expires", in_days(-1), id="expires-past"),
        pytest.param("expires", in_days(367), id="expires-far"),
        ("expires", "2027-01-01"),
        ("expires", "2027-01-01T00:00:00"),
        ("expires", "never"),
        ("expires", 9e99),
        ("enabled", True),
        ("digest", "00"),
        ("token", "sk-hra-mine"),
        ("team", "\u0007"),
    ],
)
async def test_a_field_that_is_wrong_or_none_of_theirs_is_named(
    desk: Desk, field: str, value: Any
) -> None:
    content = {"name": "ci", "role": "viewer", "expires": in_days(30)} | {field: value}

    said = await desk.owner("POST", "/admin/tokens", content)

    assert (said.status, said.code) == (400, "invalid")
    assert said.json["errors"][0]["field"].partition("[")[0] == field
    assert await desk.store.fetch("SELECT id FROM tokens") == []


async def test_without_an_end_there_is_none(desk: Desk) -> None:
    said = await desk.owner("POST", "/admin/tokens", {"name": "ci", "role": "viewer"})

    assert (said.status, said.json["errors"][0]["field"]) == (400, "expires")


async def test_a_key_manager_has_a_team(desk: Desk) -> None:
    content = {"name": "ci", "role": "key_manager", "expires": in_days(30)}

    said = await desk.owner("POST", "/admin/tokens", content)

    assert (said.status, said.json["errors"][0]["field"]) == (400, "team")


async def test_a_name_is_there_once(either: Desk) -> None:
    await either.token("ci", Role.VIEWER)
    content = {"name": "ci", "role": "viewer", "expires": in_days(30)}

    assert (await either.owner("POST", "/admin/tokens", content)).status == 409


async def test_a_token_for_users_alone_makes_none_with_more(desk: Desk) -> None:
    await desk.token("all", Role.OWNER)
    scoped = await desk.token("hr", Role.OWNER, scopes=["users"])
    content = {"name": "new", "role": "owner", "expires": in_days(30)}

    assert (await desk.ask("POST", "/admin/tokens", content, scoped)).status == 403
    assert (await desk.ask("DELETE", "/admin/tokens/all", who=scoped)).status == 403
    equal = content | {"scopes": ["users"]}
    assert (await desk.ask("POST", "/admin/tokens", equal, scoped)).status == 201


async def test_without_a_master_key_there_is_nothing_to_make_one_with(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        desk.services.sync._replica.peppers = ()
        content = {"name": "ci", "role": "viewer", "expires": in_days(30)}

        said = await desk.owner("POST", "/admin/tokens", content)

        assert (said.status, said.code) == (409, "no_master_key")


async def test_a_row_of_another_version_opens_nothing(desk: Desk) -> None:
    who = await desk.token("ci", Role.OWNER)
    await desk.store.execute("UPDATE tokens SET scopes = $1", '["fly"]')
    assert await _status(desk, who) == (403, "forbidden")

    await desk.store.execute("UPDATE tokens SET role = 'emperor'")
    assert await _status(desk, who) == (401, "unauthenticated")
