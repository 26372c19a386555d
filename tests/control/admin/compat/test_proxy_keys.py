"""Proxy keys are virtual keys: made once, shown once, and good at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.control.admin.access import Role
from proxy.core import virtual_key
from tests.control.admin.desk import Desk
from tests.control.admin.foreign import open_foreign

KEY: dict[str, Any] = {"name": "my-app-key", "rpm": 100, "enabled": True}
AT = "/admin/proxy-keys"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_foreign(tmp_path) as one:
        yield one


def known(desk: Desk, key: str) -> bool:
    """Whether a client that presents it is let in."""
    snapshot = desk.services.state.snapshot
    found = [
        snapshot.keys.get(virtual_key.digest(key, pepper)) for pepper in desk.services.sync.peppers
    ]
    return any(one is not None and one.enabled for one in found)


async def made(desk: Desk, **changes: Any) -> dict[str, Any]:
    said = await desk.owner("POST", AT, {**KEY, **changes})
    assert said.status == 200, said.body
    content: dict[str, Any] = said.json
    return content


async def test_a_new_key_is_shown_once_and_good_at_once(desk: Desk) -> None:
    made_once = await made(desk)
    key = made_once["key"]

    listed = (await desk.owner("GET", AT)).json
    one = (await desk.owner("GET", f"{AT}/{made_once['id']}")).json

    assert virtual_key.is_wellformed(key)
    assert known(desk, key)
    assert made_once.items() >= {**KEY, "success": True, "models": ["*"]}.items()
    assert one == listed[1]
    assert one["key"] == "***" + key[-4:]
    assert key not in str(listed)


async def test_a_limit_is_nothing_to_warn_of(desk: Desk) -> None:
    assert not any("rpm" in warning for warning in (await made(desk))["warnings"])


async def test_keys_of_the_file_are_listed_without_a_trace_of_them(desk: Desk) -> None:
    listed = (await desk.owner("GET", AT)).json

    assert [(one["name"], one["key"], one["id"]) for one in listed] == [("file-key", "***", None)]


async def test_one_of_the_file_is_shown_as_it_is_listed(desk: Desk) -> None:
    said = await desk.owner("GET", f"{AT}/file-key")

    assert (said.status, said.json) == (200, (await desk.owner("GET", AT)).json[0])
    blue = await desk.token("blue", Role.KEY_MANAGER, team="blue")
    assert (await desk.ask("GET", f"{AT}/file-key", who=blue)).status == 404


async def test_a_change_leaves_what_is_not_named(desk: Desk) -> None:
    key = await made(desk)

    said = (await desk.owner("PUT", f"{AT}/{key['id']}", {"enabled": False})).json

    assert (said["name"], said["rpm"], said["enabled"]) == ("my-app-key", 100, False)
    assert said["key"] == "***" + key["key"][-4:]
    assert not known(desk, key["key"])


async def test_no_limit_is_0_or_left_out(desk: Desk) -> None:
    key = await made(desk, rpm=0)
    limited = (await desk.owner("PUT", f"{AT}/{key['id']}", {"rpm": 5})).json
    again = (await desk.owner("PUT", f"{AT}/{key['id']}", {"rpm": 0, "name": "renamed"})).json

    assert (key["rpm"], limited["rpm"], again["rpm"]) == (None, 5, None)
    assert again["name"] == "renamed"


async def test_one_sent_back_as_it_was_shown_stays_as_it_is(desk: Desk) -> None:
    key = await made(desk)
    shown = (await desk.owner("GET", f"{AT}/{key['id']}")).json

    said = (await desk.owner("PUT", f"{AT}/{key['id']}", shown)).json

    assert said.items() >= shown.items()
    assert known(desk, key["key"])


async def test_a_deleted_key_is_refused_at_once(desk: Desk) -> None:
    key = await made(desk)

    said = await desk.owner("DELETE", f"{AT}/{key['id']}")

    assert (said.status, said.json["success"]) == (200, True)
    assert not known(desk, key["key"])
    assert (await desk.owner("GET", f"{AT}/{key['id']}")).status == 404


@pytest.mark.parametrize(
    "body", [{"name": 7}, {}, {"name": "a", "rpm": -1}, {"name": "a", "rpm": "5"}]
)
async def test_what_is_wrong_is_named(desk: Desk, body: dict[str, Any]) -> None:
    said = await desk.owner("POST", AT, body)

    assert (said.status, said.code) == (400, "invalid")
    assert said.json["errors"][0]["field"] in ("name", "rpm")


async def test_a_key_of_the_file_is_read_only(desk: Desk) -> None:
    for method, body in (("PUT", {"enabled": False}), ("DELETE", None)):
        said = await desk.owner(method, f"{AT}/file-key", body)
        assert (said.status, said.code) == (409, "read_only")


async def test_a_team_sees_and_makes_keys_of_its_own_alone(desk: Desk) -> None:
    others = await made(desk)
    team = await desk.token("keys", Role.KEY_MANAGER, team="blue")

    own = (await desk.ask("POST", AT, {"name": "blue-key"}, team)).json
    listed = (await desk.ask("GET", AT, who=team)).json
    foreign = [
        (await desk.ask(method, f"{AT}/{others['id']}", body, team)).status
        for method, body in (("GET", None), ("PUT", {"rpm": 1}), ("DELETE", None))
    ]

    assert [one["name"] for one in listed] == ["blue-key"]
    assert foreign == [404, 404, 404]
    assert known(desk, own["key"])


async def test_who_may_only_look_sees_no_keys(desk: Desk) -> None:
    viewer = await desk.token("viewer", Role.VIEWER)

    assert (await desk.ask("GET", AT, who=viewer)).status == 403
    assert (await desk.ask("GET", AT)).status == 401
