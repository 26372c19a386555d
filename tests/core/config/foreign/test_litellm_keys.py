from __future__ import annotations

import msgspec
import pytest

from proxy.core.config import parse
from proxy.core.config.foreign import litellm_keys
from tests.core.config.foreign.examples import plain, translated, warned

EXPORT = """{"keys": [
  {"token": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b", "key_name": "sk-...abcd",
   "key_alias": "app one", "spend": 1.5, "models": ["gpt-4o", "all-proxy-models"], "rpm_limit": 60,
   "tpm_limit": 10000, "max_parallel_requests": 5, "max_budget": 10.0, "budget_duration": "7d",
   "expires": "2027-01-31T00:00:00Z", "team_id": "team-a", "user_id": "anna", "blocked": true,
   "metadata": {"purpose": "tests", "n": 1}, "aliases": {}, "config": {}, "permissions": {},
   "allowed_routes": [], "model_max_budget": {"gpt-4o": 1}},
  {"key": "sk-known-to-us-1", "key_alias": "app one", "models": [], "max_budget": 5,
   "budget_duration": "90m", "odd": 1},
  {"token": "x", "key_name": null, "models": ["all-team-models"], "max_budget": null}
], "total_count": 3, "current_page": 1, "total_pages": 1}"""


def test_an_export_becomes_keys() -> None:
    found = translated(EXPORT, "keys.json")

    assert found.program == "LiteLLM"
    config = parse(
        found.yaml(), env={"LITELLM_KEY_APP_ONE": "k" * 20, "LITELLM_KEY_KEY_3": "l" * 20}
    )
    first, second, third = config.config.keys
    assert (first.name, first.key.reveal(), first.models) == ("app one", "k" * 20, ["gpt-4o"])
    assert (first.rpm, first.tpm, first.concurrency) == (60, 10000, 5)
    assert (first.team, first.owner, first.enabled) == ("team-a", "anna", False)
    assert first.metadata == {"purpose": "tests", "n": "1"}
    assert first.budget is not None
    assert (first.budget.usd, first.budget.period) == (10.0, "week")
    # Two of one name are two.
    assert (second.name, second.key.reveal(), second.models) == (
        "app one-2",
        "sk-known-to-us-1",
        ["*"],
    )
    assert (third.name, third.budget) == ("key-3", None)


def test_what_has_no_equal_is_named() -> None:
    named = warned(translated(EXPORT, "keys.json"))

    assert named.keys() == {
        "keys[0].token",
        "keys[0].model_max_budget",
        "keys[1].budget_duration",
        "keys[1].odd",
        "keys[2].token",
        "keys[2].models",
    }
    assert "LITELLM_KEY_APP_ONE" in named["keys[0].token"]


@pytest.mark.parametrize(
    ("models", "enabled"),
    [
        ('["no-default-models"]', False),
        ('["all-team-models"]', False),
        ('["all-team-models", "all-proxy-models"]', False),
        ('["no-default-models", "gpt-4o"]', True),
        ('["all-proxy-models"]', True),
        ("[]", True),
    ],
)
def test_a_key_of_which_no_model_is_left_opens_nothing(models: str, enabled: bool) -> None:
    found = translated(f'[{{"key": "sk-known-to-us-1", "blocked": false, "models": {models}}}]')

    [key] = parse(found.yaml(), env={}).config.keys
    said = warned(found).get("keys[0].models", "")
    assert key.enabled is enabled
    assert ("off" in said) is not enabled


@pytest.mark.parametrize(
    ("routes", "kept", "enabled", "told"),
    [
        (["llm_api_routes"], None, True, False),
        (["/v1/models", "llm_api_routes", "info_routes"], None, True, False),
        (["management_routes"], None, False, True),
        (["/v1/models", "info_routes"], ["/v1/models"], True, True),
    ],
)
def test_a_group_of_routes_is_all_or_none(
    routes: list[str], kept: list[str] | None, enabled: bool, told: bool
) -> None:
    content = [{"key": "sk-known-to-us-1", "models": [], "allowed_routes": routes}]
    found = translated(msgspec.json.encode(content).decode())

    [key] = parse(found.yaml(), env={}).config.keys
    assert (key.routes, key.enabled) == (kept or [], enabled)
    assert ("keys[0].allowed_routes" in warned(found)) is told


def test_metadata_that_is_no_text_is_named() -> None:
    metadata = {
        "model_rpm_limit": {"gpt-4o": 1},
        "tags": ["a"],
        "logging": [],
        "nothing": None,
        "empty": "",
        "b": True,
        "n": 1.5,
    }
    content = [{"key": "sk-known-to-us-1", "models": [], "metadata": metadata}]
    found = translated(msgspec.json.encode(content).decode())

    assert plain(found.tree)["keys"][0]["metadata"] == {"b": "true", "n": "1.5"}
    assert warned(found).keys() == {
        f"keys[0].metadata.{name}" for name in ("model_rpm_limit", "tags")
    }
    assert "with rpm" in warned(found)["keys[0].metadata.model_rpm_limit"]


def test_keys_of_one_spelling_are_two_secrets() -> None:
    aliases = ("a-b", "a_b", "开发", "测试")
    listed = ", ".join(f'{{"token": "t", "key_alias": "{alias}"}}' for alias in aliases)
    variables = [f"LITELLM_KEY_{end}" for end in ("A_B", "A_B_2", "1", "1_2")]
    found = translated(f'{{"keys": [{listed}]}}')

    env = {name: f"secret-of-{name}" for name in variables}
    keys = parse(found.yaml(), env=env).config.keys

    assert [one.name for one in keys] == list(aliases)
    assert [one.key.reveal() for one in keys] == list(env.values())


def test_that_there_are_more_keys_than_in_the_file_is_told() -> None:
    found = translated(EXPORT.replace('"total_count": 3', '"total_count": 50'), "keys.json")

    assert "3 of 50" in warned(found)["total_count"]


def test_a_bare_list_is_one_too() -> None:
    found = translated('[{"key": "sk-known-to-us-1", "rpm_limit": 5}]')

    assert plain(found.tree) == {"keys": [{"name": "key-1", "key": "sk-known-to-us-1", "rpm": 5}]}


def test_it_is_recognised() -> None:
    assert litellm_keys.recognised({"keys": [{"token": "x", "models": []}]})
    assert not litellm_keys.recognised({"keys": [{"name": "a", "key": "b"}]})
    assert not litellm_keys.recognised({"keys": [{"name": "a", "key": "b", "models": ["c"]}]})
    assert not litellm_keys.recognised({"keys": [{"token": "x", "models": []}], "models": {}})
    assert not litellm_keys.recognised({"keys": []})
    assert not litellm_keys.recognised([])
    assert not litellm_keys.recognised("x")
