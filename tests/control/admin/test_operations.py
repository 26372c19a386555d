"""What is done by every worker at once, and switches."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.control.admin.access import Role
from proxy.core import virtual_key
from tests.control.admin.office import Office, problem


def rewrite(office: Office, **sections: Any) -> None:
    """The configuration file, with other sections."""
    path = office.folder / "headrace.yaml"
    path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | sections))


async def test_a_reload_reads_the_file_anew_and_names_what_each_worker_reached(
    office: Office,
) -> None:
    rewrite(office, models={"new": {"deployments": [{"provider": "filed"}]}})

    said = await office.owner("POST", "/admin/reload")

    assert said.status == 200
    [worker] = said.json["workers"]
    assert worker["revision"] == said.json["revision"]
    assert (worker["problem"], said.json["missing"]) == ("", [])
    assert await office.names("/admin/models") == ["new"]
    assert "new" in office.services.state.snapshot.models


@pytest.mark.parametrize(
    "sections", [{"models": {"m": {"deployments": [{"provider": "none"}], "strategy": "best"}}}]
)
async def test_a_file_that_cannot_be_used_changes_nothing_and_all_its_problems_are_told(
    office: Office, sections: dict[str, Any]
) -> None:
    rewrite(office, **sections)

    said = await office.owner("POST", "/admin/reload")

    assert problem(said)[:2] == (422, "unusable_configuration")
    told = " ".join(fault["message"] for fault in said.json["errors"])
    assert "strategy" in told
    assert "provider" in told
    assert await office.names("/admin/models") == ["filed/model"]


async def test_a_file_that_names_what_the_store_has_is_refused_and_both_are_named(
    office: Office,
) -> None:
    await office.made("/admin/models", {"name": "m"})
    rewrite(office, models={"m": {"deployments": [{"provider": "filed"}]}})

    said = await office.owner("POST", "/admin/reload")

    assert problem(said)[:2] == (422, "unusable_configuration")
    assert "'m'" in said.json["errors"][0]["message"]


@pytest.mark.parametrize(
    ("path", "signal"),
    [("/admin/stats/reset", "stats.reset"), ("/admin/cache/clear", "cache.clear")],
)
async def test_a_signal_is_followed_and_noted(office: Office, path: str, signal: str) -> None:
    followed: list[str] = []
    office.services.sync.on(signal, lambda: followed.append(signal))

    said = await office.owner("POST", path)

    assert said.status == 200
    assert followed == [signal]
    [row] = await office.trail(action=signal)
    assert (row["principal"], row["revision"]) == ("token", said.json["revision"])


async def test_the_workers_are_listed(office: Office) -> None:
    await office.owner("POST", "/admin/reload")

    [worker] = (await office.shown("/admin/workers"))["data"]

    assert (worker["name"], worker["revision"]) == ("0", 1)


async def test_a_key_is_replaced_and_the_old_one_is_good_for_a_while(office: Office) -> None:
    old = await office.made("/admin/keys", {"name": "app"})

    new = await office.owner("POST", "/admin/keys/app/rotate", {"overlap": 60})
    again = await office.owner("POST", "/admin/keys/app/rotate")

    [pepper] = office.services.sync.peppers
    keys = office.services.state.snapshot.keys
    known = [
        virtual_key.digest(one, pepper) in keys
        for one in (old["key"], new.json["key"], again.json["key"])
    ]
    assert known == [False, False, True]
    assert [one["key_id"] for one in new.json["keys"]] == [new.json["key_id"], old["key_id"]]
    assert "keys" not in again.json
    assert (await office.shown("/admin/keys/app"))["key"] == "***"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"overlap": -1}, "overlap"),
        ({"overlap": 1e9}, "overlap"),
        ({"overlap": "60"}, "overlap"),
        ({"overlap": True}, "overlap"),
        ({"seconds": 1}, "seconds"),
    ],
)
async def test_an_overlap_has_bounds(office: Office, body: Any, field: str) -> None:
    await office.made("/admin/keys", {"name": "app"})

    said = await office.owner("POST", "/admin/keys/app/rotate", body)

    assert problem(said) == (400, "invalid", [field])


async def test_a_key_of_ones_own_is_taken_and_not_shown_twice(office: Office) -> None:
    key = "an-old-key-of-mine-1234"

    made = await office.made("/admin/keys", {"name": "app", "key": key})
    taken = await office.owner("POST", "/admin/keys", {"name": "other", "key": key})
    filed = await office.owner(
        "POST", "/admin/keys", {"name": "other", "key": "sk-filed-key-000001"}
    )

    assert (made["key"], made["last4"]) == (key, "1234")
    assert problem(taken)[:2] == problem(filed)[:2] == (409, "conflict")
    assert key not in (await office.owner("GET", "/admin/audit")).body.decode()


@pytest.mark.parametrize(
    "key",
    [
        "short",
        "x" * 15,
        "a" * 40,
        "with spaces in it 123",
        "ümläute-are-no-key-1",
        5,
        "x" * 600,
        "***",
    ],
)
async def test_a_weak_key_is_not_taken(office: Office, key: Any) -> None:
    said = await office.owner("POST", "/admin/keys", {"name": "app", "key": key})

    assert problem(said) == (400, "invalid", ["key"])


@pytest.mark.parametrize("body", [{"key": "another-key-123456"}, {"key": ""}])
async def test_a_key_is_not_changed_by_the_way(office: Office, body: Any) -> None:
    await office.made("/admin/keys", {"name": "app"})

    said = await office.owner("PATCH", "/admin/keys/app", body)

    assert problem(said) == (400, "invalid", ["key"])


@pytest.mark.parametrize("kind", ["keys", "deployments", "providers", "targets"])
async def test_a_switch_is_thrown_and_nothing_else(office: Office, kind: str) -> None:
    await office.lab("m")
    await office.made("/admin/keys", {"name": "app", "rpm": 5})
    [before] = (await office.shown(f"/admin/{kind}?source=store"))["data"]

    off = await office.owner("POST", f"/admin/{kind}/{before['id']}/disable")
    listed = (await office.shown(f"/admin/{kind}?source=store&enabled=false"))["data"]
    on = await office.owner("POST", f"/admin/{kind}/{before['id']}/enable")

    assert (off.json["enabled"], on.json["enabled"]) == (False, True)
    assert [one["id"] for one in listed] == [before["id"]]
    changed = {"revision", "updated", "warnings"}
    assert {name: value for name, value in on.json.items() if name not in changed} == {
        name: value for name, value in before.items() if name not in changed
    }


async def test_a_key_has_the_limits_it_was_given(office: Office) -> None:
    body = {"rpm": 5, "tpm": 6, "concurrency": 7, "budget": {"usd": 1.5, "period": "day"}}

    made = await office.made("/admin/keys", {"name": "app", **body})

    assert {name: made[name] for name in body} == body
    [warning] = made["warnings"]  # of the model in the file
    assert "no price is known of 'up'" in warning


async def test_what_needs_the_whole_fleet_needs_the_right_to_it(office: Office) -> None:
    viewer = await office.token("viewer", Role.VIEWER)

    said = [
        await office.ask("POST", path, None, viewer)
        for path in ("/admin/reload", "/admin/stats/reset", "/admin/cache/clear")
    ]

    assert {one.status for one in said} == {403}
