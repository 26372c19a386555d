"""Rows of users: made, found, changed, and never the last owner gone."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from pydantic import SecretStr

from proxy.control.admin import people
from proxy.control.admin.people import User
from proxy.control.admin.web import Problem
from proxy.core.model import Admin
from proxy.core.secret import Secret
from proxy.store.base import Duplicate
from tests.control.admin.desk import Desk

ANNA = User(0, "anna", "owner", "red", enabled=True, created=7.0, updated=7.0, changed=7.0)
_SESSION = (
    "INSERT INTO sessions (id, user_id, csrf, created, seen, expires, peer, agent)"
    " VALUES ($1, $2, 'c', 1, 1, 2, '', '')"
)


async def _sessions(desk: Desk) -> set[str]:
    return {row[0] for row in await desk.store.fetch("SELECT id FROM sessions")}


async def test_a_row_is_made_found_and_taken_away(either: Desk) -> None:
    store = either.store
    id = await people.insert(store, ANNA, "$hash")
    anna = replace(ANNA, id=id)

    assert await people.find(store, "anna") == await people.find(store, str(id)) == anna
    assert await people.every(store) == [anna]
    with pytest.raises(Duplicate):
        await people.insert(store, ANNA, "$other")

    await people.delete(store, id)
    with pytest.raises(Problem) as caught:
        await people.find(store, "anna")
    assert caught.value.status == 404


@pytest.mark.parametrize(
    ("changed", "kept", "ends"),
    [
        ({"name": "anne"}, "", False),
        ({"team": "blue"}, "", True),
        ({"role": "viewer"}, "", True),
        ({"enabled": False}, "", True),
        ({}, "$new", True),
    ],
)
async def test_other_rights_or_another_password_end_its_sessions_and_no_others(
    desk: Desk, changed: dict[str, object], kept: str, ends: bool
) -> None:
    id = await people.insert(desk.store, ANNA, "$hash")
    await desk.store.execute(_SESSION, "anna's", id)
    await desk.store.execute(_SESSION, "another's", id + 1)
    before = await people.find(desk.store, "anna")
    after = replace(before, updated=9.0, **changed)

    await people.update(desk.store, before, after, kept)

    assert await _sessions(desk) == {"another's"} | (set() if ends else {"anna's"})
    found = await people.find(desk.store, str(id))
    assert (found.name, found.role, found.team) == (after.name, after.role, after.team)
    assert found.is_owner is after.is_owner
    assert (found.changed > 7.0) is bool(kept)


async def test_the_last_owner_is_kept_unless_the_configuration_has_one(desk: Desk) -> None:
    whole = replace(ANNA, team="")
    anna = replace(whole, id=await people.insert(desk.store, whole, "$hash"))
    await people.insert(desk.store, replace(ANNA, name="berta"), "$hash")

    with pytest.raises(Problem) as caught:
        await people.keep_an_owner(desk.store, Admin(), anna)
    assert caught.value.code == "last_owner"
    await people.keep_an_owner(desk.store, Admin(password=Secret("of the file")), anna)
    await people.keep_an_owner(desk.store, Admin(), replace(anna, role="viewer"))

    otto = replace(whole, name="otto")
    await people.insert(desk.store, otto, "$hash")
    await people.keep_an_owner(desk.store, Admin(), anna)


@pytest.mark.parametrize("password", ["anna-anna-anna", "ANNA-anna-anna", "a" * 20])
def test_what_is_tried_first_is_no_password(password: str) -> None:
    with pytest.raises(Problem):
        people.check_password(SecretStr(password), "Anna-Anna-Anna")
    people.check_password(SecretStr("another one altogether"), "Anna-Anna-Anna")
