"""`/api/providers` takes and gives providers in the words of LLM Orchestrator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from proxy.control.admin.access import Role
from proxy.control.admin.compat.api_providers import WORDS, given
from proxy.control.admin.compat.plain import group_of
from proxy.control.admin.web import Problem
from proxy.core.url import join
from tests.control.admin.desk import Desk
from tests.control.admin.foreign import open_foreign

AT = "/api/providers"
CONFIG = {"base_url": "https://api.openai.com/v1", "api_key": "sk-0123456789-abcd"}
PROVIDER: dict[str, Any] = {"name": "OpenAI", "type": "openai", "config": CONFIG}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_foreign(tmp_path) as one:
        yield one


async def made(desk: Desk, **changes: Any) -> dict[str, Any]:
    said = await desk.owner("POST", AT, {**PROVIDER, **changes})
    assert said.status == 201, said.body
    content: dict[str, Any] = said.json
    return content


async def test_a_provider_is_shown_as_it_was_made_with_its_key_masked(desk: Desk) -> None:
    provider = await made(desk)

    assert provider.items() >= {"name": "OpenAI", "type": "openai", "enabled": True}.items()
    assert provider["config"] == {"base_url": CONFIG["base_url"], "api_key": "***abcd"}
    assert provider["warnings"] == []
    one = (await desk.owner("GET", f"{AT}/{provider['id']}")).json
    assert one == {name: value for name, value in provider.items() if name != "warnings"}


async def test_the_list_has_the_providers_of_the_file_too(desk: Desk) -> None:
    provider = await made(desk)

    listed = (await desk.owner("GET", AT)).json

    assert [(one["id"], one["name"], one["source"]) for one in listed] == [
        (None, "from-file", "file"),
        (provider["id"], "OpenAI", "store"),
    ]
    assert listed[0]["config"]["api_key"] == "***0001"
    assert (await desk.owner("GET", f"{AT}/from-file")).json == listed[0]


async def test_it_is_a_provider_models_can_be_served_by(desk: Desk) -> None:
    await made(desk)
    model = {"name": "gpt-4", "deployments": [{"provider": "OpenAI"}]}

    said = await desk.owner("POST", "/admin/models", model)

    assert said.status == 201, said.body
    deployment = desk.services.state.snapshot.models["gpt-4"].tiers[0][0]
    assert deployment.provider.credentials[0].secret.reveal() == CONFIG["api_key"]


async def test_a_change_leaves_what_is_not_named_the_key_too(desk: Desk) -> None:
    provider = await made(desk)
    path = f"{AT}/{provider['id']}"

    said = (await desk.owner("PUT", path, {"max_retries": 4, "timeout": 30})).json
    masked = (await desk.owner("PUT", path, {"config": {"api_key": "***abcd"}})).json
    other = (await desk.owner("PUT", path, {"config": {"api_key": "sk-9876543210-wxyz"}})).json

    assert (said["max_retries"], said["timeout"], said["config"]) == (4, 30, provider["config"])
    assert masked["config"] == provider["config"]
    assert other["config"]["api_key"] == "***wxyz"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"config": {"base_url": 7}}, "config.base_url"),
        ({"config": {"base_url": "ftp://example.com"}}, "config.base_url"),
        ({"config": {"api_key": 7}}, "config.api_key"),
        ({"config": {"api_key": "file:/etc/passwd"}}, "config.api_key"),
        ({"config": []}, "config"),
        ({"type": "telegraph"}, "type"),
        ({"type": "openai_compatible", "config": {}}, "config.base_url"),
        ({"name": None}, "name"),
        ({"max_retries": 99}, "max_retries"),
    ],
)
async def test_what_is_wrong_is_named_where_it_stands(
    desk: Desk, changes: dict[str, Any], field: str
) -> None:
    said = await desk.owner("POST", AT, {**PROVIDER, **changes})

    assert (said.status, said.code) == (400, "invalid")
    assert said.json["errors"][0]["field"] == field


async def test_what_is_not_kept_is_said(desk: Desk) -> None:
    provider = await made(desk, weight=100, config={**CONFIG, "region": "eu"})

    assert provider["warnings"] == [
        "'weight' is not kept: there is no such setting here.",
        "'config.region' is not kept: there is no such setting here.",
    ]


async def test_an_address_within_a_vendors_paths_may_be_sent_again(desk: Desk) -> None:
    printed = "https://dashscope.aliyuncs.com/compatible-mode/v1"
    provider = await made(desk, type="dashscope", config={**CONFIG, "base_url": printed})
    path = f"{AT}/{provider['id']}"

    again = await desk.owner(
        "PUT", path, {"config": {"base_url": printed, "api_key": provider["config"]["api_key"]}}
    )

    assert again.status == 200, again.body  # elsewhere, its key would have to be sent again
    assert provider["config"]["base_url"] == "https://dashscope.aliyuncs.com"
    assert again.json["config"] == provider["config"]


async def test_an_address_with_a_version_of_its_own_is_asked_right_behind_it(desk: Desk) -> None:
    async def asked() -> str:
        snapshot = desk.services.state.snapshot.providers["OpenAI"]
        return join(snapshot.base_url, snapshot.dialects["openai.chat"])

    there = "https://llm.example.com/api/paas/v4"
    provider = await made(desk, type="custom", config={**CONFIG, "base_url": there})
    found = [await asked()]
    for base_url in ("https://llm.example.com/v1", "https://llm.example.com/api/v3"):
        config = {**CONFIG, "base_url": base_url}
        said = await desk.owner("PUT", f"{AT}/{provider['id']}", {"config": config})
        assert said.status == 200, said.body
        found.append(await asked())

    assert provider["type"] == "openai_compatible"
    assert found == [
        "https://llm.example.com/api/paas/v4/chat/completions",
        "https://llm.example.com/v1/chat/completions",
        "https://llm.example.com/api/v3/chat/completions",
    ]


async def test_a_provider_goes_unless_a_model_is_served_by_it(desk: Desk) -> None:
    provider = await made(desk)
    path = f"{AT}/{provider['id']}"
    model = {"name": "gpt-4", "deployments": [{"provider": "OpenAI"}]}
    await desk.owner("POST", "/admin/models", model)

    used = await desk.owner("DELETE", path)
    await desk.owner("DELETE", "/admin/models/gpt-4")
    unused = await desk.owner("DELETE", path)

    assert (used.status, used.code) == (409, "referenced")
    assert (unused.status, unused.body) == (204, b"")
    assert (await desk.owner("GET", path)).status == 404


async def test_one_of_the_file_is_read_only(desk: Desk) -> None:
    for method, body in (("PUT", {}), ("DELETE", None)):
        said = await desk.owner(method, f"{AT}/from-file", body)
        assert (said.status, said.code) == (409, "read_only")


@pytest.mark.parametrize("path", ["/api", "/api/"])
async def test_the_root_says_what_there_is(desk: Desk, path: str) -> None:
    content = (await desk.owner("GET", path)).json

    for each in content["endpoints"]:
        assert (await desk.owner("GET", each)).status == 200


async def test_rights(desk: Desk) -> None:
    viewer = await desk.token("viewer", Role.VIEWER)

    assert (await desk.ask("GET", AT)).status == 401
    assert (await desk.ask("GET", AT, who=viewer)).status == 200
    assert (await desk.ask("POST", AT, PROVIDER, viewer)).status == 403


@drawn(
    st.dictionaries(st.sampled_from(["base_url", "api_key"]), st.text("abc", min_size=1)),
    st.booleans(),
)
def test_config_may_be_spread_over_the_body(config: dict[str, str], spread: bool) -> None:
    body = config if spread else {"config": config}

    values = group_of(given({"name": "a", "type": "openai", **body}), WORDS).values

    expected: dict[str, Any] = {"groupName": "a", "providerType": "openai"}
    if "base_url" in config:
        expected["baseUrl"] = config["base_url"]
    if "api_key" in config:
        expected["apiKeys"] = [config["api_key"]]
    assert values == expected


def test_a_fault_of_either_level_is_raised() -> None:
    with pytest.raises(Problem) as caught:
        given({"config": {"api_key": 1}})

    assert [fault.field for fault in caught.value.faults] == ["config.api_key"]


async def test_one_with_several_keys_sent_back_as_it_was_shown_keeps_them(desk: Desk) -> None:
    keys = [f"sk-one-of-three-000{number}" for number in range(3)]
    body = {"name": "many", "preset": "openai", "credentials": keys}
    id = (await desk.owner("POST", "/admin/providers", body)).json["id"]
    shown = (await desk.owner("GET", f"{AT}/{id}")).json

    said = await desk.owner("PUT", f"{AT}/{id}", {**shown, "timeout": 30})

    assert (said.status, said.json["timeout"]) == (200, 30)
    group = (await desk.owner("GET", f"/admin/groups/{id}")).json
    assert group["apiKeys"] == ["***0000", "***0001", "***0002"]
    await desk.owner("PUT", f"{AT}/{id}", {"api_key": "sk-another-one-9999"})
    assert (await desk.owner("GET", f"/admin/groups/{id}")).json["apiKeys"] == ["***9999"]


async def test_who_gives_one_key_where_there_are_several_is_told_that_they_are_gone(
    desk: Desk,
) -> None:
    keys = [f"sk-one-of-three-000{number}" for number in range(3)]
    body = {"name": "many", "preset": "openai", "credentials": keys}
    id = (await desk.owner("POST", "/admin/providers", body)).json["id"]
    said = "'config.api_key' is the only key now: 2 others were deleted."

    async def put(key: str) -> Any:
        return (await desk.owner("PUT", f"{AT}/{id}", {"config": {"api_key": key}})).json

    assert (await put(keys[1]))["warnings"] == [said]
    assert (await put("sk-another-one-9999"))["warnings"] == []
