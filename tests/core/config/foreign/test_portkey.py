from __future__ import annotations

from typing import Any

import msgspec
import pytest

from proxy.core.config import parse
from proxy.core.config.foreign import Foreign
from proxy.core.config.foreign.portkey import recognised
from proxy.core.config.foreign.tree import Reference
from tests.core.config.foreign.examples import plain, translated, warned, wrong


def config(**content: Any) -> Foreign:
    return translated(msgspec.json.encode(content).decode(), "config.json")


def target(name: str = "openai", **fields: Any) -> dict[str, Any]:
    return {"provider": name, "api_key": f"key-of-{name}", **fields}


def places(found: Foreign) -> list[tuple[str, int, int]]:
    """Provider, priority and weight of each deployment of the first model."""
    model = next(iter(plain(found.tree)["models"].values()))
    return [(one["provider"], one["priority"], one["weight"]) for one in model["deployments"]]


def test_one_provider_serves_every_model_by_its_name() -> None:
    found = config(**target(retry={"attempts": 4}, request_timeout=2500))

    assert plain(found.tree)["models"] == {
        "*": {
            "deployments": [
                {
                    "provider": "openai",
                    "model": "*",
                    "priority": 1,
                    "weight": 1000,
                    "timeouts": {"request": 2.5, "ttft": 2.5},
                    "retry": {"count": 4},
                }
            ]
        }
    }


def test_fallback_is_one_priority_after_the_other() -> None:
    found = config(
        strategy={"mode": "fallback"}, targets=[target(), target("anthropic"), target("groq")]
    )

    assert places(found) == [("openai", 1, 1000), ("anthropic", 2, 1000), ("groq", 3, 1000)]


def test_loadbalance_is_weights() -> None:
    found = config(
        strategy={"mode": "loadbalance"},
        targets=[target(weight=0.75), target("anthropic", weight=0.25), target("groq", weight=0)],
    )

    assert places(found) == [("openai", 1, 750), ("anthropic", 1, 250), ("groq", 1, 0)]


def test_a_tree_is_flattened_and_what_is_said_above_holds_below() -> None:
    found = config(
        strategy={"mode": "fallback"},
        retry={"attempts": 2},
        override_params={"temperature": 0},
        targets=[
            {
                "strategy": {"mode": "loadbalance"},
                "override_params": {"model": "big"},
                "targets": [
                    target(weight=3),
                    target("azure-openai", weight=1, azure_resource_name="r"),
                ],
            },
            target("anthropic", override_params={"model": "other"}, retry={"attempts": 0}),
        ],
    )

    assert places(found) == [("openai", 1, 750), ("azure-openai", 1, 250), ("anthropic", 2, 1000)]
    first, second, third = plain(found.tree)["models"]["*"]["deployments"]
    assert (first["model"], second["model"], third["model"]) == ("big", "big", "other")
    assert first["param_overrides"] == {"temperature": 0}
    assert third["param_overrides"] == {"temperature": 0}
    assert (first["retry"], third["retry"]) == ({"count": 2}, {"count": 0})
    assert not warned(found)
    assert parse(found.yaml(), env={}).config.models


def test_fallbacks_inside_a_balanced_tree_are_close_to_it_and_that_is_said() -> None:
    branch = {"strategy": {"mode": "fallback"}, "targets": [target(), target("anthropic")]}
    found = config(strategy={"mode": "loadbalance"}, targets=[branch, target("groq")])

    assert places(found) == [("openai", 1, 500), ("anthropic", 2, 500), ("groq", 1, 500)]
    assert "close to it" in warned(found)["targets[0].targets"]


def test_conditions_are_rules() -> None:
    found = config(
        strategy={
            "mode": "conditional",
            "conditions": [
                {"query": {"metadata.plan": {"$eq": "paid"}}, "then": "best"},
                {"query": {"metadata.plan": {"$in": ["a", "b"]}}, "then": "best"},
                {"query": {"metadata.plan": {"$regex": "x"}}, "then": "best"},
                {"query": {"params.model": {"$eq": "x"}}, "then": "best"},
                {"query": {"metadata.plan": "x"}, "then": "nowhere"},
                {"query": {"metadata.plan": "x"}, "then": "cheap"},
            ],
            "default": "cheap",
        },
        targets=[
            target(name="openai", override_params={"model": "gpt-best"}) | {"name": "best"},
            target("groq") | {"name": "cheap"},
        ],
    )
    # `provider` and `name` are two fields of a target.
    models = plain(found.tree)["models"]

    assert models.keys() == {"best", "cheap/*", "*"}
    assert models["*"]["rules"] == [
        {"when": {"metadata": {"plan": ["paid"]}}, "use": "best"},
        {"when": {"metadata": {"plan": ["a", "b"]}}, "use": "best"},
    ]
    assert [path for path in warned(found) if path.startswith("strategy.conditions")] == [
        f"strategy.conditions[{at}].{field}"
        for at, field in ((2, "query"), (3, "query"), (4, "then"), (5, "then"))
    ]
    assert parse(found.yaml(), env={}).config.models["*"].rules[0].use == "best"


def test_what_is_said_above_conditions_holds_for_every_target() -> None:
    found = config(
        strategy={
            "mode": "conditional",
            "conditions": [{"query": {"metadata.plan": "x"}, "then": "best"}],
            "default": "cheap",
        },
        retry={"attempts": 2},
        request_timeout=5000,
        override_params={"temperature": 0, "user": "us"},
        input_guardrails=["of ours"],
        odd=1,
        targets=[
            target(override_params={"model": "gpt-best", "temperature": 1}) | {"name": "best"},
            target("groq", request_timeout=1000) | {"name": "cheap"},
        ],
    )
    models = plain(found.tree)["models"]
    [best], [cheap] = models["best"]["deployments"], models["cheap/*"]["deployments"]

    assert (best["retry"], cheap["retry"]) == ({"count": 2}, {"count": 2})
    assert (best["timeouts"]["request"], cheap["timeouts"]["request"]) == (5, 1)
    assert best["param_overrides"] == {"temperature": 1, "user": "us"}
    assert cheap["param_overrides"] == {"temperature": 0, "user": "us"}
    assert {"input_guardrails", "odd"} <= warned(found).keys()


def test_the_cache_is_the_model_s() -> None:
    found = config(cache={"mode": "semantic", "max_age": 60}, **target())

    assert plain(found.tree)["models"]["*"]["cache"] == {"ttl": 60, "requests": "all"}
    assert "cache.mode" in warned(found)


def test_what_a_slug_stands_for_has_to_be_filled_in() -> None:
    found = config(
        strategy={"mode": "fallback"},
        targets=[{"virtual_key": "openai-prod-1"}, {"provider": "@anthropic-prod"}],
    )
    tree = plain(found.tree)

    assert tree["providers"]["openai"]["credentials"] == [Reference("${PORTKEY_OPENAI_PROD_1}")]
    assert tree["providers"]["anthropic"]["preset"] == "anthropic"
    assert {"targets[0].virtual_key", "targets[1].provider"} == warned(found).keys()


@pytest.mark.parametrize(
    ("model", "asked", "refused"), [(None, "*", False), ("", "*", False), (["a"], "*", True)]
)
def test_a_model_that_is_no_text_is_none(model: Any, asked: str, refused: bool) -> None:
    found = config(**target(override_params={"model": model, "n": 1}))

    [made] = plain(found.tree)["models"][asked]["deployments"]
    assert (made["model"], made["param_overrides"]) == (asked, {"n": 1})
    assert ("override_params.model" in wrong(found)) is refused


def test_a_provider_may_be_said_with_the_model() -> None:
    found = config(
        strategy={"mode": "fallback"},
        targets=[
            {"override_params": {"model": "@openai-prod/gpt-4o"}},
            {"override_params": {"model": "@anthropic-prod/claude-x"}},
            {"provider": "@groq-eu", "override_params": {"model": "@groq-eu/meta/llama"}},
            {"provider": "together-ai", "api_key": "k", "override_params": {"model": "meta/llama"}},
        ],
    )

    config_ = parse(found.yaml(), env={"PORTKEY_OPENAI_PROD": "sk-production"}).config
    [model] = config_.models.values()
    assert [(one.provider, one.model) for one in model.deployments] == [
        ("openai", "gpt-4o"),
        ("anthropic", "claude-x"),
        ("groq", "meta/llama"),
        ("together", "meta/llama"),
    ]
    assert config_.providers["openai"].credentials[0].key.reveal() == "sk-production"
    assert "openai-prod" in warned(found)["targets[0].override_params.model"]


def test_two_accounts_with_one_vendor_are_two() -> None:
    slugs = ("@openai-prod", "@openai-dev", "@openai-prod")
    targets = [{"provider": slug} for slug in slugs]
    targets.append({"provider": "openai", "virtual_key": "schlüssel"})
    found = config(strategy={"mode": "loadbalance"}, targets=targets)

    env = {
        "PORTKEY_OPENAI_PROD": "sk-production",
        "PORTKEY_OPENAI_DEV": "sk-development",
        "PORTKEY_SCHL_SSEL": "sk-of-a-virtual-key",
    }
    providers = parse(found.yaml(), env=env).config.providers
    keys = [one.credentials[0].key.reveal() for one in providers.values()]
    assert keys == list(env.values())
    assert [one for one, _, _ in places(found)] == ["openai", "openai-2", "openai", "openai-3"]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"input_guardrails": ["x"]}, "input_guardrails"),
        ({"retry": {"attempts": 1, "on_status_codes": [429]}}, "retry.on_status_codes"),
        ({"odd": 1}, "odd"),
        ({"provider": "nobody"}, "provider"),
        ({"provider": "azure-openai"}, "provider"),
        ({"azure_deployment_id": "x"}, "azure_deployment_id"),
    ],
)
def test_what_has_no_equal_is_named(fields: dict[str, Any], path: str) -> None:
    assert path in warned(config(**{**target(), **fields}))


def test_a_server_of_one_s_own_needs_no_preset() -> None:
    found = config(**target("openai", custom_host="http://10.0.0.1/v1", openai_organization="org"))

    assert plain(found.tree)["providers"]["openai"] == {
        "base_url": "http://10.0.0.1/v1",
        "allow_private": True,
        "credentials": ["key-of-openai"],
        "headers": {"openai-organization": "org"},
    }


def test_a_mode_that_nobody_knows_is_a_fallback() -> None:
    found = config(strategy={"mode": "dice"}, targets=[target(), target("groq")])

    assert [priority for _, priority, _ in places(found)] == [1, 2]
    assert "strategy.mode" in warned(found)


def test_it_is_recognised() -> None:
    assert recognised({"targets": []})
    assert recognised({"provider": "openai", "api_key": "x"})
    assert not recognised({"provider": "openai"})
    assert not recognised({"models": {}})


def test_clouds_have_their_address_from_the_fields_beside_the_provider() -> None:
    found = config(
        targets=[
            target("azure-openai", resource_name="res", deployment_id="dep", api_version="x"),
            {
                "provider": "bedrock",
                "aws_access_key_id": "id",
                "aws_secret_access_key": "secret",
                "aws_region": "eu-west-1",
                "override_params": {"model": "nova"},
            },
            {
                "provider": "vertex-ai",
                "api_key": "a token for an hour",
                "vertex_project_id": "p",
                "vertex_region": "us-east5",
                "override_params": {"model": "claude-x"},
            },
        ],
        strategy={"mode": "fallback"},
    )

    blocks = plain(found.tree)["providers"]
    assert blocks["azure-openai"]["base_url"] == "https://res.openai.azure.com/openai"
    assert blocks["bedrock"] == {
        "preset": "bedrock",
        "base_url": "https://bedrock-runtime.eu-west-1.amazonaws.com",
        "auth": "sigv4:eu-west-1",
        "credentials": [Reference("id:secret")],
    }
    assert blocks["vertex-anthropic"] == {
        "preset": "vertex-anthropic",
        "base_url": "https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5",
        "credentials": ["ambient"],
    }
    models = [one["model"] for one in plain(found.tree)["models"]["*"]["deployments"]]
    assert models == ["dep", "nova", "claude-x"]
    assert warned(found).keys() == {"targets[0].api_version", "targets[2].api_key"}
