from __future__ import annotations

import pytest

from proxy.core.config.foreign import clouds
from proxy.core.config.foreign.source import Said
from proxy.core.config.foreign.tree import Reference

AT = Said("there")


@pytest.mark.parametrize(
    ("written", "model", "region"),
    [
        ("anthropic.claude-v2", "anthropic.claude-v2", None),
        ("converse/amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0", None),
        ("invoke/us.anthropic.claude", "us.anthropic.claude", None),
        ("us-gov-west-1/anthropic.claude", "anthropic.claude", "us-gov-west-1"),
        ("converse/eu-west-1/m", "m", "eu-west-1"),
        ("nova/arn:aws:bedrock:us-east-1:1:custom/x", "arn:aws:bedrock:us-east-1:1:custom/x", None),
        ("arn:aws:bedrock:us-east-1:1:custom/x", "arn:aws:bedrock:us-east-1:1:custom/x", None),
        ("*", "*", None),
    ],
)
def test_an_id_of_bedrock_may_have_a_route_and_a_region_before_it(
    written: str, model: str, region: str | None
) -> None:
    assert clouds.bedrock_model(written) == (model, region)


def test_a_region_may_be_a_variable() -> None:
    found = clouds.bedrock(AT, "${REGION}", Said("id"), Said("a${b"), Said(Reference("${TOKEN}")))

    assert {name: getattr(said, "value", said) for name, said in found.items()} == {
        "base_url": Reference("https://bedrock-runtime.${REGION}.amazonaws.com"),
        "auth": Reference("sigv4:${REGION}"),
        "credentials": [Said(Reference("id:a$${b:${TOKEN}"))],
    }
    assert "auth" not in clouds.bedrock(AT, "eu-west-1", Said("id"), None)


@pytest.mark.parametrize(
    ("region", "account", "url", "credential"),
    [
        ("us-east5", None, "us-east5-aiplatform", "ambient"),
        ("global", Said("/sa.json"), "aiplatform", Reference("file:/sa.json")),
        ("eu-x1", Said('{"type": "x"}'), "eu-x1-aiplatform", '{"type": "x"}'),
        ("eu-x1", Said(Reference("${SA}")), "eu-x1-aiplatform", Reference("${SA}")),
    ],
)
def test_vertex_has_an_address_for_each_region(
    region: str, account: Said | None, url: str, credential: object
) -> None:
    found = clouds.vertex(AT, "p", region, account)

    assert found["base_url"].value == (
        f"https://{url}.googleapis.com/v1/projects/p/locations/{region}"
    )
    assert [said.value for said in found["credentials"]] == [credential]


def test_of_vertex_gemini_and_claude_are_asked() -> None:
    assert clouds.vertex_preset("gemini-2.5-pro") == "vertex"
    assert clouds.vertex_preset("claude-sonnet-4@20250514") == "vertex-anthropic"
    assert clouds.vertex_preset("meta/llama") is None
