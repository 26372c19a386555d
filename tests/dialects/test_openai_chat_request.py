"""What a client of chat completions asks, in every spelling there is."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.core.errors import ProxyError
from proxy.dialects import ir
from proxy.dialects.openai_chat.request import parse_request
from tests.dialects.choices import fixture

USER = [{"role": "user", "content": "Hi"}]


def asked(**fields: Any) -> ir.Request:
    return parse_request(orjson.dumps({"model": "m", "messages": USER, **fields}))


def read(case: str) -> ir.Request:
    return parse_request(fixture(f"chat/{case}.request.json"))


def test_parameters_are_read() -> None:
    request = read("parameters")

    assert request.max_tokens == 100
    assert request.temperature == 0.5
    assert request.top_p == 0.9
    assert request.top_k == 40
    assert request.stop == ["END", "\n\n"]
    assert request.seed == 7
    assert request.logit_bias == {"50256": -100}
    assert request.logprobs
    assert request.top_logprobs == 2
    assert request.n == 2
    assert request.user == "u-1"
    assert request.metadata == {"a": "b"}
    assert request.service_tier == "flex"
    assert request.cache_key == "k"
    assert request.cache_retention == "24h"
    assert request.verbosity == "low"
    assert request.stream
    assert request.include_usage
    assert request.extras == {}


def test_the_newer_limit_wins_over_the_older() -> None:
    assert asked(max_tokens=5, max_completion_tokens=7).max_tokens == 7
    assert asked(max_tokens=5).max_tokens == 5


def test_a_safety_identifier_is_the_user_and_no_storage_is_asked_for_in_vain() -> None:
    request = read("stop_string")

    assert request.user == "s-1"
    assert request.stop == ["###"]
    assert request.aside == {"store": False}
    assert request.extras == {}


def test_unknown_fields_are_kept_where_they_were() -> None:
    request = read("unknown_fields")

    assert request.extras["x_top"] == {"deep": {"er": [1, 2, "3"]}}
    assert request.extras["store"] is True
    assert request.messages[0].extras == {"x_message": {"a": [1]}}
    assert request.tools[0].extras == {"x_tool": True}  # type: ignore[union-attr]
    block = request.messages[0].content[0]
    assert isinstance(block, ir.Text)
    assert block.extras == {"x_part": 1}


@pytest.mark.parametrize(
    ("fields", "effort", "budget", "visible"),
    [
        ({"reasoning_effort": "high"}, "high", None, None),
        ({"reasoning_effort": "none"}, "none", None, None),
        ({"reasoning": {"effort": "low"}}, "low", None, None),
        ({"reasoning": {"max_tokens": 2000, "exclude": True}}, "", 2000, False),
        ({"reasoning": {"enabled": True}}, "", -1, None),
        ({"reasoning": {"enabled": False}}, "none", None, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "", 4096, None),
        ({"thinking": {"type": "enabled"}}, "", -1, None),
        ({"thinking": {"type": "adaptive"}}, "", -1, None),
        ({"thinking": {"type": "disabled"}}, "none", None, None),
        ({"thinking": {"type": "enabled"}, "reasoning_effort": "high"}, "high", None, None),
        ({"enable_thinking": True}, "", -1, None),
        ({"enable_thinking": False, "reasoning_effort": "high"}, "none", None, None),
        ({"enable_thinking": True, "thinking_budget": 512}, "", 512, None),
        ({"include_reasoning": False}, "", None, False),
    ],
)
def test_how_much_to_think_is_read_in_every_spelling(
    fields: dict[str, Any], effort: str, budget: int | None, visible: bool | None
) -> None:
    thinking = asked(**fields).thinking

    assert thinking is not None
    assert (thinking.effort, thinking.budget, thinking.visible) == (effort, budget, visible)
    assert thinking.extras == fields


def test_nothing_said_about_thinking_is_nothing() -> None:
    assert asked().thinking is None


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"type": "text"}, ir.Format("text")),
        ({"type": "json_object"}, ir.Format("json")),
        ({"type": "json_object", "schema": {"a": 1}}, ir.Format("schema", schema={"a": 1})),
        ({"type": "json_schema", "schema": {"a": 1}}, ir.Format("schema", schema={"a": 1})),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}},
            ir.Format("schema", "n", schema={}, strict=True),
        ),
        ({"type": "grammar", "grammar": "x"}, None),
    ],
)
def test_formats_are_read(wanted: dict[str, Any], expected: ir.Format | None) -> None:
    request = asked(response_format=wanted)

    assert request.format == expected
    assert ("response_format" in request.extras) is (expected is None)


def test_legacy_functions_are_tools_and_remembered() -> None:
    request = read("legacy_functions")

    assert request.functions
    assert [tool.name for tool in request.tools if isinstance(tool, ir.Tool)] == ["get_weather"]
    assert request.tool_choice == ir.ToolChoice("tool", ["get_weather"])
    call = request.messages[1].content[0]
    result = request.messages[2].content[0]
    assert isinstance(call, ir.ToolCall)
    assert isinstance(result, ir.ToolResult)
    assert result.id == call.id != ""


def test_search_options_are_a_tool_of_the_providers() -> None:
    request = read("citations")

    tool = request.tools[0]
    assert isinstance(tool, ir.ServerTool)
    assert tool.kind == "web_search"
    assert tool.location == {"city": "Oslo", "country": "NO"}


def test_padding_of_a_stream_is_nobodys_loss_and_other_options_are_kept() -> None:
    request = asked(stream_options={"include_obfuscation": False, "continuous_usage_stats": True})

    assert request.extras == {"stream_options": {"continuous_usage_stats": True}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": ["a"]}, "messages[0]"),
        ({"messages": [{"content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "bot", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [7]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages[0].content[0].type"),
        ({"model": 1}, "model"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"stop": [1]}, "stop[0]"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "custom"}]}, "tools[0].custom"),
        ({"tools": [{}]}, "tools[0].type"),
        ({"functions": [{}]}, "functions[0].name"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"reasoning": "high"}, "reasoning"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"web_search_options": []}, "web_search_options"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ProxyError) as raised:
        asked(**fields)

    assert raised.value.ref == "bad_req"
    assert raised.value.param == param
