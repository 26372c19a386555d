"""A request for a provider, and for its counter."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.core.errors import ProxyError
from proxy.dialects import ir
from proxy.dialects.base import Target
from proxy.dialects.gemini.fields import FIELDS
from proxy.dialects.gemini.render import render_count, render_request
from proxy.dialects.loss import Loss
from tests.dialects.checkers import gemini as checker
from tests.dialects.contents import asked, fixture, parse, rendered, said

CALL = ir.ToolCall("call_1", "look", '{"at":"sky"}')
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {"at": {"$ref": "#/$defs/place", "description": "Where"}},
    "$defs": {"place": {"const": "sky"}},
}
EVERYTHING = asked(
    said("Be brief.", "system"),
    ir.Message("user", [ir.Text("Look"), ir.Media("image", "image/png", "AAAA", detail="high")]),
    ir.Message("assistant", [ir.Reasoning("Hm", "x", "anthropic"), CALL]),
    ir.Message("user", [ir.ToolResult("call_1", "look", [ir.Text("blue"), ir.Media("image", "image/png", "AAAA")])]),
    said("And?"),
    tools=[
        ir.Tool("look", "Looks", SCHEMA, strict=True),
        ir.Tool("write", custom=True),
        ir.ServerTool("anthropic", "web_search", {"type": "web_search_20250305"}, max_uses=3),
    ],
    tool_choice=ir.ToolChoice("allowed", ["look", "web_search"], required=True),
    parallel_tool_calls=False,
    thinking=ir.Thinking("high", visible=True),
    format=ir.Format("schema", "answer", "An answer", SCHEMA, strict=True),
    max_tokens=0,
    temperature=3,
    top_p=0.5,
    top_k=5,
    stop=["a", "b", "", "c", "d", "e", "f"],
    seed=2**40,
    presence_penalty=-3,
    logprobs=True,
    top_logprobs=50,
    n=9,
    modalities=["text", "image"],
    user="u",
    metadata={"team": "a", "Odd Key": "b"},
    service_tier="priority",
    cache_key="k",
    verbosity="low",
    extras={"new": 1},
)  # fmt: skip


@pytest.mark.parametrize(
    "model", ["gemini-2.5-flash", "gemini-3-pro-preview", "gemini-2.0-flash", "x"]
)
def test_everything_a_foreign_client_may_ask_for_is_legal(model: str) -> None:
    body = render_request(EVERYTHING, Target(model), Loss())

    assert checker.check_request(body) == []


def test_what_cannot_be_said_is_counted() -> None:
    body, dropped = rendered(EVERYTHING, "gemini-3-pro-preview")

    assert set(dropped.values()) == {
        "cache_key", "max_tokens", "metadata", "n", "parallel_tool_calls", "presence_penalty",
        "seed", "server_tool.web_search", "stop", "temperature", "thinking.signature",
        "tool.strict", "top_logprobs", "unknown", "user", "verbosity",
    }  # fmt: skip
    assert body["labels"] == {"team": "a"}
    assert body["serviceTier"] == "priority"
    assert body["toolConfig"] == {
        "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["look"]},
        "includeServerSideToolInvocations": True,
    }
    assert body["tools"][1] == {"googleSearch": {}}


def test_schemas_are_json_schema() -> None:
    body, _ = rendered(EVERYTHING)

    written = {
        "type": "object",
        "properties": {"at": {"$ref": "#/$defs/place"}},
        "$defs": {"place": {"enum": ["sky"]}},
    }
    declared = body["tools"][0]["functionDeclarations"]
    assert declared[0] == {"name": "look", "description": "Looks", "parametersJsonSchema": written}
    assert declared[1]["parametersJsonSchema"]["required"] == ["input"]
    assert body["generationConfig"]["responseJsonSchema"] == written
    assert body["generationConfig"]["responseMimeType"] == "application/json"


def test_a_plain_question_is_nothing_but_its_words() -> None:
    assert rendered(asked(said("Hi"))) == (
        {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
        {},
    )


def test_a_tier_nobody_has_here_is_reported() -> None:
    body, dropped = rendered(asked(service_tier="scale"))

    assert "serviceTier" not in body
    assert list(dropped) == ["service_tier"]


def test_state_another_provider_keeps_is_refused() -> None:
    request = asked(musts={"previous_response_id": "It is kept elsewhere."})

    with pytest.raises(ProxyError) as caught:
        render_request(request, Target("g"), Loss())

    assert caught.value.param == "previous_response_id"


def test_a_tool_only_another_provider_runs_is_refused() -> None:
    request = asked(tools=[ir.ServerTool("openai", "computer_use")])

    with pytest.raises(ProxyError):
        render_request(request, Target("g"), Loss())


def test_own_fields_go_back_where_they_were() -> None:
    request = parse(fixture("settings.request.json"))

    body, dropped = rendered(request)

    assert body["generationConfig"]["speechConfig"]["voiceConfig"]
    assert body["safetySettings"][0]["threshold"] == "BLOCK_NONE"
    assert body["serviceTier"] == "standard"
    assert body["store"] is False
    assert not dropped


def test_tokens_are_counted_of_all_that_the_model_reads() -> None:
    body: Any = orjson.loads(render_count(EVERYTHING, Target("gemini-3-pro"), Loss()))

    inner = body["generateContentRequest"]
    assert inner["model"] == "models/gemini-3-pro"
    assert set(inner) == {"model", "contents", "systemInstruction", "tools", "toolConfig"}


def test_every_field_has_its_spelling() -> None:
    assert all(FIELDS.values())
