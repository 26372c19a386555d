"""Requests a vendor would not take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from proxy.simulator import strict
from proxy.simulator.errors import Refused

if TYPE_CHECKING:
    from tests.simulator.raw import Simulator

HI: Any = {"role": "user", "content": "hi"}
LONG = "x" * 65


def refused(check: Any, body: dict[str, Any]) -> tuple[str, str]:
    """What is said, and of which field."""
    with pytest.raises(Refused) as caught:
        check(body)
    return caught.value.message, caught.value.param


# chat

CALL: Any = {"id": "1", "type": "function", "function": {"name": "a", "arguments": "{}"}}
CALLS: Any = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT: Any = {"role": "tool", "tool_call_id": "1", "content": "rain"}
TOOL: Any = {"type": "function", "function": {"name": "a"}}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"messages": [{"role": "system", "content": "be"}, HI, CALLS, RESULT], "tools": [TOOL]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
    ],
)
def test_good_chats_pass(more: dict[str, Any]) -> None:
    strict.chat({"model": "m", "messages": [HI], **more})


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"top_k": 1}, "top_k"),
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"stream_options": {}}, "stream_options"),
        ({"max_tokens": 1, "max_completion_tokens": 1}, "max_tokens"),
        ({"temperature": 2.5}, "temperature"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"stop": list("abcde")}, "stop"),
        ({"tools": []}, "tools"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        (
            {"tools": [{"type": "function", "function": {"name": "a", "parameters": {"type": "array"}}}]},
            "tools[0].function.parameters",
        ),
        ({"messages": [{"role": "model", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{**HI, "tool_use": 1}]}, "messages[0].tool_use"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].type"),
        ({"messages": [HI, {**CALLS, "tool_calls": []}]}, "messages[1].content"),
        ({"messages": [HI, {**CALLS, "content": "", "tool_calls": []}]}, "messages[1].tool_calls"),
        ({"messages": [HI, {**CALLS, "tool_calls": [{**CALL, "id": LONG}]}]}, "messages[1].tool_calls[0].id"),
        (
            {"messages": [HI, {**CALLS, "tool_calls": [{**CALL, "function": {"name": "a", "arguments": {}}}]}]},
            "messages[1].tool_calls[0].function.arguments",
        ),
        ({"messages": [HI, RESULT]}, "messages.[1].role"),
        ({"messages": [HI, CALLS]}, "messages"),
        ({"messages": [HI, CALLS, HI, RESULT]}, "messages"),
    ],
)  # fmt: skip
def test_bad_chats_are_refused(more: dict[str, Any], param: str) -> None:
    message, field = refused(strict.chat, {"model": "m", "messages": [HI], **more})

    assert message
    assert field == param


# Responses

FUNCTION: Any = {"type": "function_call", "call_id": "1", "name": "a", "arguments": "{}"}
OUTPUT: Any = {"type": "function_call_output", "call_id": "1", "output": "rain"}
REASONING: Any = {"type": "reasoning", "id": "rs_1", "summary": []}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"input": [HI, REASONING, FUNCTION, OUTPUT]},
        {"input": [], "previous_response_id": "resp_1"},
        {"input": [OUTPUT], "previous_response_id": "resp_1"},
        {"tools": [{"type": "function", "name": "a"}, {"type": "web_search"}]},
    ],
)
def test_good_responses_pass(more: dict[str, Any]) -> None:
    strict.responses({"model": "m", "input": "hi", **more})


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"messages": []}, "messages"),
        ({"input": None}, "input"),
        ({"max_output_tokens": 8}, "max_output_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"name": "a"}]}, "tools[0].type"),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name"),
        ({"input": [{**HI, "name": "bob"}]}, "input[0].name"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": None}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "text"}]}]}, "input[0].content[0]"),
        ({"input": [{"role": "assistant", "content": [{"type": "input_text"}]}]}, "input[0].content[0]"),
        ({"input": [HI, {**FUNCTION, "id": "toolu_1"}]}, "input[1].id"),
        ({"input": [HI, {**FUNCTION, "call_id": LONG}]}, "input[1].call_id"),
        ({"input": [HI, {"type": "reasoning", "id": "rs_1"}]}, "input[1].summary"),
        ({"input": [HI, OUTPUT]}, "input"),
        ({"input": [HI, FUNCTION]}, "input"),
    ],
)  # fmt: skip
def test_bad_responses_are_refused(more: dict[str, Any], param: str) -> None:
    message, field = refused(strict.responses, {"model": "m", "input": "hi", **more})

    assert message
    assert field == param


# Messages

USE: Any = {
    "role": "assistant",
    "content": [{"type": "tool_use", "id": "1", "name": "a", "input": {}}],
}
USED: Any = {
    "role": "user",
    "content": [{"type": "tool_result", "tool_use_id": "1", "content": "rain"}],
}
THINK: Any = {"type": "enabled", "budget_tokens": 1024}
MARKED: Any = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
OWN: Any = {"name": "a", "input_schema": {"type": "object"}}


def said(*blocks: Any, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": list(blocks)}]}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"messages": [HI, USE, USED], "tools": [OWN], "thinking": {"type": "adaptive"}},
        {"messages": [HI, HI, {"role": "assistant", "content": ""}]},
        {"system": [MARKED] * 4},
        {"thinking": THINK, "max_tokens": 2000, "temperature": 1},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    ],
)
def test_good_messages_pass(more: dict[str, Any]) -> None:
    strict.messages({"model": "m", "max_tokens": 9, "messages": [HI], **more})


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"n": 1}, "n"),
        ({"messages": []}, "messages"),
        ({"temperature": 1.5}, "temperature"),
        ({"stop_sequences": ["a", "\n"]}, "stop_sequences.1"),
        ({"thinking": {**THINK, "budget_tokens": 9}}, "thinking.budget_tokens"),
        ({"thinking": THINK}, "max_tokens"),
        ({"thinking": THINK, "max_tokens": 2000, "temperature": 0.5}, "temperature"),
        ({"thinking": THINK, "max_tokens": 2000, "top_k": 5}, "top_k"),
        (
            {"thinking": THINK, "max_tokens": 2000, "tools": [OWN], "tool_choice": {"type": "any"}},
            "tool_choice",
        ),
        ({"tool_choice": {"type": "auto"}}, "tool_choice"),
        ({"tools": [{**OWN, "name": "a b"}]}, "tools.0.name"),
        ({"tools": [{"name": "a"}]}, "tools.0.input_schema"),
        ({"system": [{"type": "image"}]}, "system.0.type"),
        ({"system": [{"type": "text", "text": ""}]}, "system.0"),
        ({"messages": [{**HI, "name": "bob"}]}, "messages.0.name"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages.0.content"),
        (said(role="assistant"), "messages"),
        (said({"text": "x"}), "messages.0.content.0"),
        (said({"type": "text", "text": "x", "id": 1}), "messages.0.content.0.id"),
        (said({"type": "text", "text": " "}), "messages.0.content.0"),
        (said({"type": "tool_use", "id": "1", "input": "{}"}), "messages.0.content.0.input"),
        (said({"type": "tool_use", "id": "a.b", "input": {}}), "messages.0.content.0.id"),
        (said({"type": "thinking", "thinking": "x"}), "messages.0.content.0.signature"),
        (said({"type": "tool_result", "content": [{"type": "text", "text": ""}]}),
         "messages.0.content.0.tool_result.content.0"),
        ({"messages": [USE, HI]}, "messages"),
        ({"messages": [HI, USED]}, "messages.0.content.1.tool_use_id"),
        ({"messages": [HI, USE, HI]}, "messages.2"),
        ({"messages": [HI, USE, HI, USED]}, "messages.2"),
        ({"system": [MARKED] * 3, **said(MARKED, MARKED)}, "cache_control"),
    ],
)  # fmt: skip
def test_bad_messages_are_refused(more: dict[str, Any], param: str) -> None:
    message, field = refused(
        strict.messages, {"model": "m", "max_tokens": 9, "messages": [HI], **more}
    )

    assert message
    assert field == param


# Gemini

ASK: Any = {"role": "user", "parts": [{"text": "hi"}]}
CALLING: Any = {"role": "model", "parts": [{"functionCall": {"name": "a"}}]}
ANSWER: Any = {"role": "user", "parts": [{"functionResponse": {"name": "a", "response": {}}}]}


def declared(**function: Any) -> dict[str, Any]:
    return {"tools": [{"functionDeclarations": [function]}]}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"contents": [ASK, CALLING, ANSWER]},
        {
            "contents": [
                ASK,
                CALLING,
                CALLING,
                {"role": "model", "parts": [{"text": ""}]},
                ANSWER,
                ANSWER,
            ]
        },
        {
            "generation_config": {
                "response_schema": {"type": "STRING"},
                "responseMimeType": "application/json",
            }
        },
        declared(name="a", parametersJsonSchema={"$schema": "x"}),
    ],
)
def test_good_contents_pass(more: dict[str, Any]) -> None:
    strict.contents({"contents": [ASK], **more})


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"messages": []}, "messages"),
        ({"generationConfig": {"max_tokens": 1}}, "generation_config.max_tokens"),
        ({"generationConfig": {"temperature": 3}}, "GenerateContentRequest.generation_config.temperature"),
        ({"generationConfig": {"responseSchema": {"type": "STRING"}}},
         "GenerateContentRequest.generation_config.response_schema"),
        (declared(name="1"), "GenerateContentRequest.tools[0].function_declarations[0].name"),
        (declared(name="a", parameters={"properties": {"x": {"items": {"anyOf": [{"$schema": 1}]}}}}),
         "tools[0].function_declarations[0].parameters.properties[0].value.items.any_of[0].$schema"),
        ({"contents": []}, "GenerateContentRequest.contents"),
        ({"contents": [{**ASK, "content": 1}]}, "contents[0].content"),
        ({"contents": [{**ASK, "role": "assistant"}]}, "contents[0].role"),
        ({"contents": [{"role": "user", "parts": []}]}, "GenerateContentRequest.contents[0].parts"),
        ({"contents": [{"role": "user", "parts": [{"type": "text"}]}]}, "contents[0].parts[0].type"),
        ({"contents": [{"role": "user", "parts": [{"thought": True}]}]},
         "GenerateContentRequest.contents[0].parts[0].data"),
        ({"contents": [CALLING]}, "contents[0]"),
        ({"contents": [ASK, ANSWER]}, "contents[0]"),
        ({"contents": [ASK, CALLING, ASK]}, "contents[2]"),
    ],
)  # fmt: skip
def test_bad_contents_are_refused(more: dict[str, Any], param: str) -> None:
    message, field = refused(strict.contents, {"contents": [ASK], **more})

    assert message
    assert field == param


# over HTTP


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/v1/chat/completions", {"messages": [HI], "top_k": 1}, "top_k"),
        ("/v1/responses", {"input": "hi", "top_k": 1}, "top_k"),
        ("/v1/messages", {"messages": [HI]}, "max_tokens: Field required"),
        ("/v1beta/models/sim-strict:generateContent", {"contents": [ASK], "top_k": 1}, "top_k"),
        ("/v1beta/models/sim-strict:streamGenerateContent", {}, "contents is not specified"),
    ],
)
def test_a_refusal_names_the_field(sim: Simulator, path: str, body: Any, told: str) -> None:
    named = {} if "v1beta" in path else {"model": "sim-strict"}

    answer = sim.post(path, {**body, **named})

    assert answer.status == 400
    assert told in answer.body.decode()


@pytest.mark.parametrize(
    "body", [{"messages": 5}, {"messages": [5]}, {"messages": [HI], "tools": 3}]
)
def test_what_cannot_be_read_is_refused_too(sim: Simulator, body: Any) -> None:
    for path in ("/v1/chat/completions", "/v1/messages"):
        assert sim.post(path, {"model": "sim-strict", "max_tokens": 9, **body}).status == 400
