from __future__ import annotations

from typing import Any

import msgspec
import pytest

from proxy.core.config import parse
from proxy.core.config.foreign import Foreign, read_as
from proxy.core.config.foreign.one_api import NAME, NEWER, TYPES, channels, recognised
from proxy.core.config.foreign.tree import Reference
from proxy.core.config.presets import presets
from tests.core.config.foreign.examples import plain, translated, warned

CHANNEL = {
    "id": 3,
    "type": 1,
    "key": "sk-one\nsk-two",
    "status": 1,
    "name": "main",
    "weight": 5,
    "created_time": 1700000000,
    "base_url": "",
    "models": "gpt-4o,gpt-4",
    "group": "default",
    "used_quota": 12,
    "model_mapping": '{"gpt-4": "gpt-4-turbo"}',
    "priority": 10,
}


def export(*each: dict[str, Any], wrapped: bool = False) -> Foreign:
    listed: Any = [{**CHANNEL, **one} for one in each]
    content = (
        {"success": True, "data": {"items": listed, "total": len(listed)}} if wrapped else listed
    )
    return translated(msgspec.json.encode(content).decode(), "channels.json")


def test_a_channel_is_a_provider_and_its_models() -> None:
    found = export({}, wrapped=True)

    assert plain(found.tree) == {
        "defaults": {"strategy": "weighted_random"},
        "providers": {
            "main": {"preset": "openai", "enabled": True, "credentials": ["sk-one", "sk-two"]}
        },
        "models": {
            "gpt-4o": {
                "deployments": [{"provider": "main", "model": "gpt-4o", "priority": 1, "weight": 5}]
            },
            "gpt-4": {
                "deployments": [
                    {"provider": "main", "model": "gpt-4-turbo", "priority": 1, "weight": 5}
                ]
            },
        },
    }
    assert not warned(found)
    assert parse(found.yaml(), env={}).config.models["gpt-4"].deployments[0].model == "gpt-4-turbo"


def test_the_largest_priority_goes_first_here_as_one() -> None:
    found = export({"priority": 0}, {"priority": 100, "name": "b"}, {"priority": -5, "name": "c"})
    deployments = plain(found.tree)["models"]["gpt-4o"]["deployments"]

    assert [(one["provider"], one["priority"]) for one in deployments] == [
        ("main", 2),
        ("b", 1),
        ("c", 3),
    ]


@pytest.mark.parametrize(("status", "enabled"), [(1, True), (2, False), (3, False)])
def test_a_channel_that_is_off_is_off(status: int, enabled: bool) -> None:
    assert plain(export({"status": status}).tree)["providers"]["main"]["enabled"] is enabled


@pytest.mark.parametrize(
    ("fields", "provider"),
    [
        ({"type": 14, "base_url": None}, {"preset": "anthropic"}),
        (
            {"type": 8, "base_url": "http://10.0.0.1"},
            {"base_url": "http://10.0.0.1", "allow_private": True},
        ),
        ({"type": 1, "base_url": "https://a.example"}, {"base_url": "https://a.example"}),
        (
            {"type": 3, "base_url": "https://r.openai.azure.com"},
            {"preset": "azure-openai", "base_url": "https://r.openai.azure.com/openai"},
        ),
        ({"type": 999, "base_url": "https://a.example"}, {"base_url": "https://a.example"}),
    ],
)
def test_a_type_is_a_preset(fields: dict[str, Any], provider: dict[str, Any]) -> None:
    (found,) = plain(export(fields).tree)["providers"].values()

    del found["credentials"], found["enabled"]
    assert found == provider


@pytest.mark.parametrize("fields", [{"type": 999}, {"type": 8}, {"type": 3}])
def test_what_cannot_be_reached_is_left_out_and_named(fields: dict[str, Any]) -> None:
    found = export(fields)

    assert "left out" in warned(found)["[0].type"]
    assert "providers" not in plain(found.tree)


def test_the_two_programs_number_vendors_differently() -> None:
    text = msgspec.json.encode([{**CHANNEL, "type": 43}]).decode()
    newer = translated(msgspec.json.encode([{**CHANNEL, "type": 43, "auto_ban": 1}]).decode())

    assert newer.program == NEWER
    assert not warned(newer)
    assert plain(newer.tree)["providers"]["main"]["preset"] == "deepseek"
    assert read_as("new-api", text, "c.json", {}).program == NEWER
    assert "providers" not in plain(read_as("one-api", text, "c.json", {}).tree)


@pytest.mark.parametrize("program", TYPES)
def test_every_type_leads_to_a_preset_that_is_there(program: str) -> None:
    assert {name for name in TYPES[program].values() if name} <= presets().keys()
    assert program in (NAME, NEWER)


def test_what_has_no_equal_is_named() -> None:
    found = export(
        {
            "group": "default,vip",
            "tag": "t",
            "auto_ban": 0,
            "status_code_mapping": '{"429": "503"}',
            "odd": 1,
            "model_mapping": "nonsense",
            "key": '["a"',
            "param_override": '{"temperature": 0, "a": {"b": 1}}',
            "setting": "",
            "remark": "ours",
            "channel_info": {"is_multi_key": True, "multi_key_status_list": {"1": 2}},
            "header_override": '{"x-a": "1", "x-b": "{api_key}"}',
        }
    )

    assert {path.partition(".")[2] for path in warned(found)} == {
        "group",
        "tag",
        "status_code_mapping",
        "odd",
        "model_mapping",
        "key",
        "channel_info",
        "header_override",
    }
    provider = plain(found.tree)["providers"]["main"]
    assert provider["param_overrides"] == {"temperature": 0, "a": {"b": 1}}
    assert provider["headers"] == {"x-a": "1"}
    assert provider["note"] == "ours"


def test_a_list_without_keys_has_variables_in_their_place() -> None:
    found = export({"key": "", "name": "main (eu)", "channel_info": {"is_multi_key": False}})

    credentials = plain(found.tree)["providers"]["main (eu)"]["credentials"]
    assert credentials == [Reference("${CHANNEL_KEY_MAIN_EU}")]
    assert "CHANNEL_KEY_MAIN_EU" in warned(found)["[0].key"]
    assert len(warned(found)) == 1


def test_keys_may_be_a_list_and_a_weight_nothing() -> None:
    tree = plain(export({"key": '["a", "b"]', "weight": 0}).tree)

    assert tree["providers"]["main"]["credentials"] == ["a", "b"]
    assert tree["models"]["gpt-4o"]["deployments"][0]["weight"] == 1


def test_it_is_recognised() -> None:
    assert channels({"data": {"items": [1]}}) == ("data.items", [1])
    assert channels({"data": 1}) == ("data", [])
    assert recognised([CHANNEL]) == NAME
    assert recognised([]) is None
    assert recognised([{"type": 1}]) is None
    assert recognised({"models": {}}) is None


def test_channels_without_keys_share_none() -> None:
    names = ("主账号", "克劳德", "dup", "dup")
    found = export(*({"name": name, "key": "", "type": 14} for name in names))

    keys = [one["credentials"] for one in plain(found.tree)["providers"].values()]
    variables = [Reference(f"${{CHANNEL_KEY_{at}}}") for at in ("1", "1_2", "DUP", "DUP_2")]
    assert keys == [[one] for one in variables]
    assert [warned(found)[f"[{at}].key"].rpartition(" ")[2] for at in range(4)] == [
        one.text[2:-1] for one in variables
    ]


def test_that_there_are_more_channels_than_in_the_file_is_told() -> None:
    page = {"data": {"items": [CHANNEL], "total": 40, "page": 1, "page_size": 10}, "success": True}

    found = translated(msgspec.json.encode(page).decode(), "channels.json")

    assert "1 of 40" in warned(found)["data.total"]
    bare = translated(msgspec.json.encode(page["data"]).decode(), "channels.json")
    assert "1 of 40" in warned(bare)["total"]


@pytest.mark.parametrize(
    ("url", "place", "told"),
    [
        ("https://a.example/v1/chat/completions", "https://a.example/v1", False),
        ("https://a.example/{model}/ask", "https://a.example/{model}/ask", True),
    ],
)
def test_a_custom_channel_of_new_api_has_a_whole_address(url: str, place: str, told: bool) -> None:
    found = export({"type": 8, "base_url": url, "auto_ban": 1})
    older = export({"type": 8, "base_url": url})

    assert plain(found.tree)["providers"]["main"]["base_url"] == place
    assert ("[0].base_url" in warned(found)) is told
    assert plain(older.tree)["providers"]["main"]["base_url"] == url


def test_a_type_that_is_not_known_is_not_said_to_be_left_out_where_it_is_not() -> None:
    found = export({"type": 999, "base_url": "https://a.example"})

    assert "left out" not in warned(found)["[0].type"]


def test_a_channel_without_models_is_named() -> None:
    assert "left out" in warned(export({}, {"models": "", "name": "b"}))["[1].models"]


def test_steps_of_new_api_are_no_parameters() -> None:
    steps = '{"operations": [{"path": "n", "mode": "set", "value": 1}], "seed": 3}'
    found = export({"param_override": steps})

    assert plain(found.tree)["providers"]["main"]["param_overrides"] == {"seed": 3}
    assert "operations" in warned(found)["[0].param_override"]


def test_new_api_looks_up_what_it_finds_again() -> None:
    mapping = {"model_mapping": '{"gpt-4o": "a", "a": "b", "gpt-4": "c", "c": "gpt-4"}'}
    newer, older = export({**mapping, "auto_ban": 1}), export(mapping)

    def asked(found: Foreign) -> list[str]:
        return [one["deployments"][0]["model"] for one in plain(found.tree)["models"].values()]

    assert asked(newer) == ["b", "gpt-4"]
    assert asked(older) == ["a", "c"]
