"""Many objects at once: all, or none and every row's reason."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.control.admin import batch
from tests.control.admin.office import CREDENTIAL, LAB, Office, problem


@pytest.mark.parametrize("path", ["/admin/keys/batch", "/api/keys/batch"])
async def test_new_objects_come_back_in_order(office: Office, path: str) -> None:
    said = await office.owner("POST", path, [{"name": "b"}, {"name": "a"}])

    assert said.status == 201
    assert [one["name"] for one in said.json["data"]] == ["b", "a"]
    assert all(one["key"].startswith("sk-hr-") for one in said.json["data"])
    assert await office.names("/admin/keys?source=store") == ["b", "a"]


async def test_each_brings_its_own_along(office: Office) -> None:
    providers = [{**LAB, "name": name, "credentials": [CREDENTIAL + name]} for name in "pq"]

    said = await office.owner("POST", "/admin/providers/batch", {"items": providers})

    assert [one["name"] for one in said.json["data"]] == ["p", "q"]
    shown = (await office.shown("/admin/credentials?source=store"))["data"]
    assert [(one["provider"], one["last4"]) for one in shown] == [("p", "234p"), ("q", "234q")]


async def test_every_row_that_is_wrong_is_named(office: Office) -> None:
    rows: list[Any] = [
        {**LAB, "name": "a"},
        {**LAB, "name": "b", "base_url": "ftp://x"},
        {**LAB, "name": "c", "weight": 1},
        {**LAB, "name": "d", "credentials": [{"key": CREDENTIAL, "weight": -1}]},
    ]

    said = await office.owner("POST", "/admin/providers/batch", rows)

    assert problem(said) == (
        400,
        "invalid",
        ["[1].base_url", "[2].weight", "[3].credentials[0].weight"],
    )
    assert said.json["detail"].startswith("3 of 5 are refused")
    assert await office.names("/admin/providers?source=store") == []


async def test_rows_that_are_no_objects_are_named_too(office: Office) -> None:
    said = await office.owner("POST", "/admin/keys/batch", [{"name": 1}, "x", {"name": "a"}, None])

    assert problem(said) == (400, "invalid", ["[0].name", "[1]", "[3]"])


@pytest.mark.parametrize("body", [[], {}, {"items": []}, {"items": {}}, [{}] * 1001, "x"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_batch_has_one_row_to_a_thousand(office: Office, method: str, body: Any) -> None:
    said = await office.owner(method, "/admin/models/batch", body)

    assert problem(said) == (400, "invalid", [""])


async def test_objects_are_replaced_and_changed_by_id_or_name(office: Office) -> None:
    await office.owner(
        "POST", "/admin/models/batch", [{"name": "a", "aliases": ["x"]}, {"name": "b"}]
    )

    put = await office.owner(
        "PUT", "/admin/models/batch", [{"id": 1, "name": "a2"}, {"name": "b", "strict": True}]
    )
    patched = await office.owner("PATCH", "/admin/models/batch", [{"id": "2", "aliases": ["y"]}])
    nameless = await office.owner("PUT", "/admin/models/batch", [{"strict": True}])

    assert [(one["name"], one["aliases"], one["strict"]) for one in put.json["data"]] == [
        ("a2", [], False),
        ("b", [], True),
    ]
    assert [(one["aliases"], one["strict"]) for one in patched.json["data"]] == [(["y"], True)]
    assert problem(nameless) == (400, "invalid", ["[0].id"])


async def test_objects_go_together_or_not_at_all(office: Office) -> None:
    await office.owner("POST", "/admin/models/batch", [{"name": "a"}, {"name": "b"}, {"name": "c"}])

    missing = await office.owner("DELETE", "/admin/models/batch", ["a", "none", "filed/model"])
    stale = await office.owner("DELETE", "/admin/models/batch", [{"id": 1, "revision": 7}])
    done = await office.owner(
        "DELETE", "/admin/models/batch", ["a", 2, {"name": "c", "revision": 3}]
    )

    assert problem(missing) == (404, "not_found", ["[1]", "[2]"])
    assert problem(stale)[:2] == (412, "precondition_failed")
    assert [one["name"] for one in done.json["data"]] == ["a", "b", "c"]
    assert await office.names("/admin/models?source=store") == []


async def test_a_thousand_keys_hold_nobody_up(office: Office) -> None:
    """The guard against blocking the loop watches."""
    rows = [{"name": f"k{number:04}", "team": "red"} for number in range(1000)]

    said = await office.owner("POST", "/admin/keys/batch", rows)

    assert said.status == 201
    assert len(office.services.state.snapshot.keys) == 1001


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_only_the_revision_that_was_meant_is_changed(office: Office, method: str) -> None:
    await office.owner("POST", "/admin/models/batch", [{"name": "a"}, {"name": "b"}])
    seen = (await office.shown("/admin/models?source=store"))["data"]
    await office.owner("PATCH", "/admin/models/b", {"description": "by another"})

    lost = await office.owner(
        method, "/admin/models/batch", [{**one, "strict": True} for one in seen]
    )
    wrong = await office.owner(method, "/admin/models/batch", [{"name": "a", "revision": "1"}])
    fresh = await office.owner(method, "/admin/models/batch", [{**seen[0], "strict": True}])

    assert problem(lost) == (412, "precondition_failed", ["[1]"])
    assert problem(wrong) == (400, "invalid", ["[0].revision"])
    assert [one["strict"] for one in fresh.json["data"]] == [True]
    assert (await office.shown("/admin/models/b"))["description"] == "by another"


async def test_a_name_that_is_another_s_id_is_a_name_where_it_is_said_to_be_one(
    office: Office,
) -> None:
    other = await office.made("/admin/models", {"name": "other"})
    digits = str(other["id"])
    await office.made("/admin/models", {"name": digits})

    changed = await office.owner(
        "PATCH", "/admin/models/batch", [{"name": digits, "description": "of the number"}]
    )
    gone = await office.owner("DELETE", "/admin/models/batch", [{"name": digits}])
    again = await office.owner("DELETE", "/admin/models/batch", [{"name": digits}])

    assert [one["name"] for one in changed.json["data"]] == [digits]
    assert [one["name"] for one in gone.json["data"]] == [digits]
    assert problem(again)[:2] == (404, "not_found")
    assert await office.names("/admin/models?source=store") == ["other"]


def test_the_description_of_a_batch_lets_each_row_say_which_object_it_is_about() -> None:
    bodies = {route.method: route.body["$ref"] for route in batch.ROUTES if "keys" in route.path}

    assert {method: ref.rpartition("/")[2] for method, ref in bodies.items()} == {
        "POST": "new_key_batch",
        "PUT": "whole_key_batch",
        "PATCH": "some_of_key_batch",
        "DELETE": "target_batch",
    }
