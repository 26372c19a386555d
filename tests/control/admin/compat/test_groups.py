"""A group is made, shown, changed and removed as one thing, and is a provider, its keys and its models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.control.admin.access import Role
from proxy.core.records import Kind
from tests.control.admin.desk import Desk
from tests.control.admin.foreign import open_foreign

GROUP: dict[str, Any] = {
    "groupName": "openai-primary",
    "providerType": "openai",
    "apiKeys": ["sk-your-openai-key-1", "sk-your-openai-key-2"],
    "models": ["gpt-3.5-turbo", "gpt-4", "gpt-4-turbo"],
    "balancePolicy": "round_robin",
    "retryCount": 3,
    "timeout": 60,
    "priority": 1,
    "enabled": True,
    "parameters": {"temperature": 0.7, "max_tokens": 2000},
}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_foreign(tmp_path) as one:
        yield one


async def made(desk: Desk, **changes: Any) -> dict[str, Any]:
    said = await desk.owner("POST", "/admin/groups", {**GROUP, **changes})
    assert said.status == 200, said.body
    group: dict[str, Any] = said.json
    return group


async def put(desk: Desk, id: int | str, /, **changes: Any) -> dict[str, Any]:
    said = await desk.owner("PUT", f"/admin/groups/{id}", changes)
    assert said.status == 200, said.body
    group: dict[str, Any] = said.json
    return group


async def listed(desk: Desk, kind: str) -> list[dict[str, Any]]:
    """The native objects of the store."""
    said = await desk.owner("GET", f"/admin/{kind}?source=store")
    content: list[dict[str, Any]] = said.json["data"]
    return content


async def test_a_group_is_shown_as_it_was_made_with_its_keys_masked(desk: Desk) -> None:
    group = await made(desk)

    assert group.items() >= {**GROUP, "apiKeys": ["***ey-1", "***ey-2"]}.items()
    assert group["baseUrl"] == "https://api.openai.com/v1"
    assert (group["success"], group["warnings"], group["source"]) == (True, [], "store")
    assert group["status"] == "healthy"
    assert group["keys"] == {"usable": 2, "cooling": 0, "bad": 0}


async def test_it_is_a_provider_its_keys_and_a_deployment_for_each_model(desk: Desk) -> None:
    group = await made(desk)

    providers = await listed(desk, "providers")
    credentials = await listed(desk, "credentials")
    models = await listed(desk, "models")
    deployments = await listed(desk, "deployments")

    assert [(one["id"], one["name"], one["preset"]) for one in providers] == [
        (group["id"], "openai-primary", "openai")
    ]
    assert [one["provider"] for one in credentials] == ["openai-primary"] * 2
    assert {one["name"]: one["strategy"] for one in models} == dict.fromkeys(
        GROUP["models"], "round_robin"
    )
    assert [(one["public_model"], one["provider"], one["priority"]) for one in deployments] == [
        (model, "openai-primary", 1) for model in GROUP["models"]
    ]


async def test_what_it_serves_is_served_once_it_is_answered(desk: Desk) -> None:
    await made(desk)

    snapshot = desk.services.state.snapshot
    deployment = snapshot.models["gpt-4"].tiers[0][0]
    assert deployment.provider.name == "openai-primary"
    assert (deployment.retry.count, deployment.timeouts.ttft, deployment.timeouts.request) == (
        3,
        60.0,
        60.0,
    )
    assert deployment.param_defaults == {"temperature": 0.7, "max_tokens": 2000}


async def test_no_key_is_in_any_answer_or_in_the_clear_in_the_database(desk: Desk) -> None:
    group = await made(desk)
    answers = [
        await desk.owner("GET", path)
        for path in ("/admin/groups", f"/admin/groups/{group['id']}", "/admin/credentials")
    ]

    rows = await desk.store.fetch("SELECT spec, sealed, private FROM objects")

    for key in GROUP["apiKeys"]:
        assert all(key.encode() not in said.body for said in answers)
        assert all(key not in str(row) for row in rows)


async def test_the_list_has_the_groups_of_the_file_too(desk: Desk) -> None:
    await made(desk)

    groups = (await desk.owner("GET", "/admin/groups")).json

    assert [(one["groupName"], one["source"], one["id"] is None) for one in groups] == [
        ("from-file", "file", True),
        ("openai-primary", "store", False),
    ]
    assert groups[0]["apiKeys"] == ["***0001"]
    assert groups[0]["models"] == ["filed"]
    assert groups[0].keys() == groups[1].keys()


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_group_of_the_file_is_read_only(desk: Desk, method: str) -> None:
    said = await desk.owner(method, "/admin/groups/from-file", {} if method == "PUT" else None)

    assert (said.status, said.code) == (409, "read_only")
    assert (await desk.owner("GET", "/admin/groups/from-file")).json["source"] == "file"


@pytest.mark.parametrize("model", ["filed", "filed-too"])
async def test_a_model_of_the_file_is_not_joined_and_nothing_is_made(
    desk: Desk, model: str
) -> None:
    said = await desk.owner("POST", "/admin/groups", {**GROUP, "models": ["new", model]})

    assert (said.status, said.code) == (409, "conflict")
    assert f"'{model}'" in said.json["detail"]
    assert "models.filed" in said.json["detail"]
    assert await listed(desk, "providers") == []
    assert await listed(desk, "models") == []


async def test_a_second_group_joins_the_models_of_the_first(desk: Desk) -> None:
    await made(desk)
    second = await made(
        desk, groupName="second", providerType="anthropic", models=["gpt-4"], priority=2
    )

    tiers = desk.services.state.snapshot.models["gpt-4"].tiers
    assert [[one.provider.name for one in tier] for tier in tiers] == [
        ["openai-primary"],
        ["second"],
    ]
    assert second["warnings"] == []


async def test_groups_that_are_made_at_once_serve_the_same_new_models(desk: Desk) -> None:
    models = ["gpt-4", "gpt-5"]
    groups = await asyncio.gather(
        *(
            made(desk, groupName=f"number {n}", models=models[:: 1 if n % 2 else -1])
            for n in range(6)
        )
    )
    await asyncio.gather(*(put(desk, each["id"], models=[*models, "gpt-6"]) for each in groups))

    assert sorted(one["name"] for one in await listed(desk, "models")) == [*models, "gpt-6"]
    for name in (*models, "gpt-6"):
        (tier,) = desk.services.state.snapshot.models[name].tiers
        assert {one.provider.name for one in tier} == {f"number {n}" for n in range(6)}


async def test_a_name_that_is_another_models_alias_is_refused(desk: Desk) -> None:
    said = await desk.owner("POST", "/admin/models", {"name": "gpt-4", "aliases": ["four"]})
    assert said.status == 201, said.body

    said = await desk.owner("POST", "/admin/groups", {**GROUP, "models": ["four"]})

    assert said.status in (400, 409), said.body
    assert said.json["errors"][0]["field"] == "models"


async def test_a_group_that_joins_does_not_change_the_others_strategy(desk: Desk) -> None:
    await made(desk)

    second = await made(desk, groupName="second", models=["gpt-4"], balancePolicy="Least-Used")

    assert second["warnings"] == [
        "balancePolicy: 'gpt-4' is served by others too and keeps its strategy, 'round_robin'."
    ]
    assert str(desk.services.state.snapshot.models["gpt-4"].strategy) == "round_robin"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"retryCount": 99}, "retryCount"),
        ({"timeout": 0}, "timeout"),
        ({"balancePolicy": "dice"}, "balancePolicy"),
        ({"priority": -1}, "priority"),
        ({"providerType": "telegraph"}, "providerType"),
        ({"baseUrl": "ftp://example.com"}, "baseUrl"),
        ({"baseUrl": "http://169.254.169.254/"}, "baseUrl"),
        ({"baseUrl": "http://127.0.0.1:1"}, "baseUrl"),
        ({"groupName": ""}, "groupName"),
        ({"groupName": None}, "groupName"),
        ({"apiKeys": [1]}, "apiKeys"),
        ({"apiKeys": ["${HOME}"]}, "apiKeys"),
        ({"models": ["a\x00b"]}, "models"),
    ],
)
async def test_what_is_wrong_is_named_as_the_caller_wrote_it_and_nothing_is_made(
    desk: Desk, changes: dict[str, Any], field: str
) -> None:
    said = await desk.owner("POST", "/admin/groups", {**GROUP, **changes})

    assert (said.status, said.code) == (400, "invalid")
    assert [fault["field"] for fault in said.json["errors"]][:1] == [field]
    assert await listed(desk, "providers") == []


async def test_a_name_that_is_taken_is_a_conflict(desk: Desk) -> None:
    await made(desk)

    again = await desk.owner("POST", "/admin/groups", GROUP)
    of_the_file = await desk.owner("POST", "/admin/groups", {**GROUP, "groupName": "from-file"})

    assert (again.status, again.code) == (409, "conflict")
    assert (of_the_file.status, of_the_file.code) == (409, "read_only")


async def test_what_is_not_known_is_said_and_does_no_harm(desk: Desk) -> None:
    group = await made(desk, faxNumber="1")

    assert group["warnings"] == ["'faxNumber' is not kept: there is no such setting here."]


async def test_a_change_of_some_fields_leaves_the_others(desk: Desk) -> None:
    group = await made(desk)

    changed = await put(desk, group["id"], priority=5, enabled=False)

    expected = {**group, "priority": 5, "enabled": False}
    for field in ("updatedAt", "status", "keys", "message"):
        expected[field] = changed[field]
    assert changed == expected
    assert "gpt-4" not in desk.services.state.snapshot.models


async def test_a_group_sent_back_as_it_was_shown_stays_as_it_is(desk: Desk) -> None:
    group = await made(desk)
    before = {kind: await listed(desk, kind) for kind in ("providers", "credentials", "models")}

    shown = (await desk.owner("GET", f"/admin/groups/{group['id']}")).json
    changed = await put(desk, group["id"], **shown)

    assert changed["warnings"] == []
    assert before == {kind: await listed(desk, kind) for kind in before}


async def test_what_differs_behind_one_number_stays_when_the_group_is_sent_back(desk: Desk) -> None:
    """Two timeouts, the places of deployments and the strategies of models are each shown as one."""
    timeouts = {"ttft": 10, "request": 600}
    provider = {"name": "lab", "preset": "openai", "timeouts": timeouts}
    await desk.owner("POST", "/admin/providers", provider)
    for number, policy in enumerate(("random", "round_robin"), 1):
        one = {"provider": "lab", "priority": number}
        body = {"name": f"m{number}", "strategy": policy, "deployments": [one]}
        await desk.owner("POST", "/admin/models", body)
    kinds = ("models", "deployments")
    before = {kind: await listed(desk, kind) for kind in kinds}
    shown = (await desk.owner("GET", "/admin/groups/lab")).json

    changed = await put(desk, "lab", **{**shown, "description": "for tests"})

    assert changed["description"] == "for tests"
    assert (await listed(desk, "providers"))[0]["timeouts"] == timeouts
    assert before == {kind: await listed(desk, kind) for kind in kinds}


async def test_a_model_that_joins_stands_where_the_body_says(desk: Desk) -> None:
    group = await made(desk, models=["gpt-4"], priority=3)

    await put(desk, group["id"], models=["gpt-4", "gpt-5"], priority=3, balancePolicy="random")

    assert {one["priority"] for one in await listed(desk, "deployments")} == {3}
    assert {one["strategy"] for one in await listed(desk, "models")} == {"random"}


async def test_models_come_and_go(desk: Desk) -> None:
    group = await made(desk)

    changed = await put(desk, group["id"], models=["gpt-4", "gpt-5"])

    assert changed["models"] == ["gpt-4", "gpt-5"]
    assert sorted(one["name"] for one in await listed(desk, "models")) == ["gpt-4", "gpt-5"]
    assert set(desk.services.state.snapshot.models) == {"gpt-4", "gpt-5", "filed", "filed-too"}


async def test_keys_that_stay_are_the_same_and_others_come_and_go(desk: Desk) -> None:
    group = await made(desk)
    first = (await listed(desk, "credentials"))[0]["id"]

    changed = await put(desk, group["id"], apiKeys=["***ey-1", "sk-your-openai-key-3"])

    assert changed["apiKeys"] == ["***ey-1", "***ey-3"]
    assert (await listed(desk, "credentials"))[0]["id"] == first
    provider = desk.services.state.snapshot.providers["openai-primary"]
    assert [one.secret.reveal() for one in provider.credentials] == [
        "sk-your-openai-key-1",
        "sk-your-openai-key-3",
    ]


async def test_keys_that_look_alike_all_stay_when_they_are_sent_back(desk: Desk) -> None:
    keys = ["short-1", "short-2", "sk-one-key-of-the-lab-0001", "sk-two-key-of-the-lab-0001"]
    group = await made(desk, apiKeys=keys)
    before = await listed(desk, "credentials")
    assert group["apiKeys"] == ["***", "***", "***0001", "***0001"]

    await put(desk, group["id"], apiKeys=group["apiKeys"], timeout=30)
    await desk.owner("PUT", f"/api/providers/{group['id']}", {"api_key": "***", "timeout": 20})

    assert await listed(desk, "credentials") == before


@pytest.mark.parametrize("mask", ["***", "***ey-1"])
async def test_a_new_group_has_no_mask_for_a_key(desk: Desk, mask: str) -> None:
    body = {**GROUP, "apiKeys": ["sk-your-openai-key-1", mask]}

    said = await desk.owner("POST", "/admin/groups", body)

    assert (said.status, said.json["errors"][0]["field"]) == (400, "apiKeys")
    assert await listed(desk, "providers") == []


async def test_a_mask_that_stands_for_no_key_is_refused(desk: Desk) -> None:
    group = await made(desk)

    said = await desk.owner("PUT", f"/admin/groups/{group['id']}", {"apiKeys": ["***none"]})

    assert said.status == 400
    assert said.json["errors"][0]["field"] == "apiKeys"


async def test_keys_do_not_go_with_a_group_to_another_address(desk: Desk) -> None:
    group = await made(desk)
    there = "https://elsewhere.example.com/v1"

    masked = await desk.owner(
        "PUT", f"/admin/groups/{group['id']}", {"baseUrl": there, "apiKeys": ["***ey-1"]}
    )
    without = await put(desk, group["id"], baseUrl=there)

    assert masked.status == 400
    assert without["apiKeys"] == ["***", "***"]
    assert "another way" in without["warnings"][0]
    assert "openai-primary" not in desk.services.state.snapshot.providers


async def test_a_group_moves_with_new_keys(desk: Desk) -> None:
    group = await made(desk)
    there = "https://elsewhere.example.com/v1"

    changed = await put(desk, group["id"], baseUrl=there, apiKeys=GROUP["apiKeys"])

    assert (changed["baseUrl"], changed["apiKeys"]) == (there, ["***ey-1", "***ey-2"])
    provider = desk.services.state.snapshot.providers["openai-primary"]
    assert provider.base_url == there
    assert [one.secret.reveal() for one in provider.credentials] == GROUP["apiKeys"]


async def test_a_group_may_become_another_vendors(desk: Desk) -> None:
    group = await made(desk)

    changed = await put(desk, group["id"], providerType="Claude", apiKeys=["sk-ant-0123456789"])

    assert changed["providerType"] == "anthropic"
    assert changed["baseUrl"] == "https://api.anthropic.com"
    provider = desk.services.state.snapshot.providers["openai-primary"]
    assert "anthropic.messages" in provider.dialects


async def test_a_group_is_renamed_with_all_that_refers_to_it(desk: Desk) -> None:
    group = await made(desk, weight=7)

    changed = await put(desk, group["id"], groupName="renamed", priority=3)

    assert (changed["id"], changed["groupName"]) == (group["id"], "renamed")
    assert changed["models"] == GROUP["models"]
    tier = desk.services.state.snapshot.models["gpt-4"].tiers[0]
    assert [(one.provider.name, one.priority, one.weight) for one in tier] == [("renamed", 3, 7)]


async def test_a_strategy_changes_for_models_of_the_group_alone(desk: Desk) -> None:
    group = await made(desk)
    await made(desk, groupName="second", models=["gpt-4"], apiKeys=["sk-another-key-0002"])

    changed = await put(desk, group["id"], balancePolicy="RANDOM")

    strategies = {
        name: str(model.strategy) for name, model in desk.services.state.snapshot.models.items()
    }
    assert (strategies["gpt-3.5-turbo"], strategies["gpt-4"]) == ("random", "round_robin")
    assert len(changed["warnings"]) == 1


async def test_a_group_goes_with_its_keys_and_the_models_only_it_served(desk: Desk) -> None:
    group = await made(desk)
    await made(desk, groupName="second", models=["gpt-4"], apiKeys=["sk-another-key-0002"])

    said = await desk.owner("DELETE", f"/admin/groups/{group['id']}")

    assert said.status == 200
    assert said.json["warnings"] == []
    assert [one["name"] for one in await listed(desk, "providers")] == ["second"]
    assert [one["provider"] for one in await listed(desk, "credentials")] == ["second"]
    assert [one["name"] for one in await listed(desk, "models")] == ["gpt-4"]
    assert [one["provider"] for one in await listed(desk, "deployments")] == ["second"]
    assert (await desk.owner("GET", f"/admin/groups/{group['id']}")).status == 404


async def test_a_model_others_fall_back_on_stays_and_is_named(desk: Desk) -> None:
    group = await made(desk)
    leaning = {"name": "leaning", "fallbacks": ["gpt-4"]}
    assert (await desk.owner("POST", "/admin/models", leaning)).status == 201

    said = await desk.owner("DELETE", f"/admin/groups/{group['id']}")

    assert said.json["warnings"] == [
        "The model 'gpt-4' stays, with nothing that serves it: 'leaning' falls back on it."
    ]
    names = {one["name"] for one in await listed(desk, "models")}
    assert names == {"gpt-4", "leaning"}


async def test_a_group_without_models_says_what_it_cannot_keep(desk: Desk) -> None:
    group = await made(desk, models=[])

    assert group["warnings"] == [
        "balancePolicy: it belongs to the models of a group, and this one has none.",
        "priority: it belongs to the models of a group, and this one has none.",
    ]


async def test_rights_are_those_of_what_a_group_is_made_of(desk: Desk) -> None:
    group = await made(desk)
    path = f"/admin/groups/{group['id']}"
    viewer, operator = (
        await desk.token("viewer", Role.VIEWER),
        await desk.token("operator", Role.OPERATOR),
    )

    assert (await desk.ask("GET", "/admin/groups")).status == 401
    assert (await desk.ask("GET", path, who=viewer)).status == 200
    assert (await desk.ask("PUT", path, {"priority": 2}, viewer)).status == 403
    assert (await desk.ask("PUT", path, {"priority": 2}, operator)).status == 200
    assert (await desk.ask("PUT", path, {"enabled": False}, operator)).status == 200
    for body in ({"apiKeys": ["sk-mine-0123456789"]}, {"baseUrl": "https://mine.example.com"}):
        assert (await desk.ask("PUT", path, body, operator)).status == 403
    assert (await desk.ask("POST", "/admin/groups", GROUP, operator)).status == 403
    assert (await desk.ask("DELETE", path, who=operator)).status == 403


async def test_a_group_that_is_not_there_is_not_found(desk: Desk) -> None:
    for method, body in (("GET", None), ("PUT", {}), ("DELETE", None)):
        said = await desk.owner(method, "/admin/groups/999", body)
        assert (said.status, said.code) == (404, "not_found")


async def test_all_of_a_change_is_one_transaction(desk: Desk) -> None:
    group = await made(desk)
    before = {kind: await listed(desk, kind) for kind in ("providers", "credentials", "models")}
    body = {"models": ["gpt-6"], "apiKeys": ["sk-new-0123456789"], "retryCount": 99}

    said = await desk.owner("PUT", f"/admin/groups/{group['id']}", body)

    assert said.status == 400
    assert before == {kind: await listed(desk, kind) for kind in before}
    assert len(desk.services.sync.mirror.records[Kind.DEPLOYMENT]) == 3
