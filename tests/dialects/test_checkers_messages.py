"""The rules for Anthropic's messages find what is planted, and nothing in what is legal."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.dialects.checkers import messages
from tests.dialects.planted import GONE, assert_found, edited, named_stream

THOUGHT = {"type": "thinking", "thinking": "Hm", "signature": "c2ln"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "1"}]}  # fmt: skip
TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {}}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
MARK = {"type": "ephemeral"}
LONG = {"type": "ephemeral", "ttl": "1h"}
REQUEST: dict[str, Any] = {
    "model": "m",
    "max_tokens": 2048,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": LONG}],
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "tools": [TOOL],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": [THOUGHT, CALL]},
        {"role": "user", "content": [RESULT, {"type": "text", "text": "Go on"}]},
    ],
}
PLAIN: dict[str, Any] = {
    "model": "m",
    "max_tokens": 1,
    "messages": [{"role": "user", "content": "Hi"}],
}


@pytest.mark.parametrize(
    "edits",
    [
        {},
        {"stream": True},
        {"thinking": {"type": "adaptive"}, "messages.1.content.0": CALL, "messages.1.content.1": GONE},
        {"messages.0.content.+": IMAGE},
        {"messages.1.content.0": {"type": "redacted_thinking", "data": "eA=="}},
        {"messages.0.content.0.cache_control": MARK, "tools.0.cache_control": LONG},
        {"messages.2.content.0.is_error": True},
        {"metadata": {"user_id": "u"}, "service_tier": "auto", "stop_sequences": ["END"]},
    ],
)  # fmt: skip
def test_a_legal_request_has_no_violations(edits: dict[str, Any]) -> None:
    assert messages.check_request(orjson.dumps(edited(REQUEST, edits))) == []


@pytest.mark.parametrize(
    ("word", "edits"),
    [
        ("max_tokens: is missing", {"max_tokens": GONE}),
        (".foo: unknown", {"foo": 1}),
        ("[0].foo: unknown", {"messages.0.content.0.foo": 1}),
        ("cache_control.foo: unknown", {"system.0.cache_control.foo": 1}),
        ("media_type", {"messages.0.content.+": edited(IMAGE, {"source.media_type": "image/tiff"})}),
        ("at least 1", {"max_tokens": 0}),
        ("model: must not", {"model": ""}),
        ("less than 1024", {"thinking.budget_tokens": 1023}),
        ("greater than the budget", {"max_tokens": 1024}),
        ("temperature: must be 1", {"temperature": 0.5}),
        ("temperature: 2", {"temperature": 2}),
        ("temperature: must be a number", {"temperature": "1"}),
        ("top_k: not when", {"top_k": 5}),
        ("top_p: must be between", {"top_p": 0.5}),
        ("must not force", {"tool_choice": {"type": "any"}}),
        ("must not force", {"tool_choice": {"type": "tool", "name": "f"}}),
        ("no prefill", {"messages.+": {"role": "assistant", "content": "So"}}),
        ("must begin with thinking", {"messages.1.content.0": GONE}),
        ("has no signature", {"messages.1.content.0.signature": ""}),
        ("name of two", {"tools.+": TOOL}),
        ("no name of a tool", {"tools.0.name": "a b"}),
        ("input_schema.type", {"tools.0.input_schema": {"properties": {}}}),
        ("answers no tool_use", {"messages.2.content.0.tool_use_id": "toolu_2"}),
        ("has no tool_result", {"messages.2.content.0": GONE}),
        ("has no tool_result", {"messages.2": GONE}),
        ("answered twice", {"messages.2.content.+": RESULT}),
        ("before anything else", {"messages.2.content": [{"type": "text", "text": "x"}, RESULT]}),
        ("must be of the assistant", {"messages.0.content.+": CALL}),
        ("must be of the assistant", {"messages.0.content.+": THOUGHT}),
        ("must be of the user", {"messages.1.content.+": IMAGE}),
        ("two tool_use have the id", {"messages.1.content.+": CALL}),
        ("text: must not be empty", {"messages.0.content.0.text": " "}),
        ("system[0].text: must not be empty", {"system.0.text": ""}),
        ("is no id", {"messages.1.content.1.id": "a.b"}),
        ("is no id", {"messages.2.content.0.tool_use_id": "a.b"}),
        ("name of a tool", {"messages.1.content.1.name": "a.b"}),
        ("signature: must not", {"messages.1.content.0.signature": ""}),
        ("data: must not", {"messages.1.content.0": {"type": "redacted_thinking", "data": ""}}),
        ("data: is not base64", {"messages.0.content.+": edited(IMAGE, {"source.data": "?"})}),
        ("url: is no address", {"messages.0.content.+": edited(IMAGE, {"source": {"type": "url", "url": "a"}})}),
        ("data: must not be empty", {"messages.0.content.+": {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": ""}}}),
        ("text only when is_error", {"messages.2.content.0.is_error": True, "messages.2.content.0.content": [IMAGE]}),
        ("more than 4", {"tools": [{**TOOL, "name": f"f{n}", "cache_control": LONG} for n in range(4)]}),
        ("must not come after", {"tools.0.cache_control": MARK}),
        ("must not come after", {"messages.2.content.0.content.0.cache_control": MARK, "messages.2.content.0.cache_control": LONG}),
    ],
)  # fmt: skip
def test_a_planted_violation_of_a_request_is_found(word: str, edits: dict[str, Any]) -> None:
    assert_found(messages.check_request, REQUEST, edits, word)


@pytest.mark.parametrize(
    ("word", "edits"),
    [
        ("messages: must not be empty", {"messages": []}),
        ("messages[0]: must be of the user", {"messages.0.role": "assistant"}),
        ("content: must not be empty", {"messages.0.content": ""}),
        ("content: must not be empty", {"messages.0.content": []}),
        ("white space", {"messages.+": {"role": "assistant", "content": "So "}}),
        ("white space", {"stop_sequences": ["\n"]}),
        ("temperature: 1.5", {"temperature": 1.5}),
        ("top_p: 2", {"top_p": 2}),
        ("top_k: must not be negative", {"top_k": -1}),
        ("longer than 256", {"metadata": {"user_id": "u" * 257}}),
        ("only with tools", {"tool_choice": {"type": "auto"}}),
        ("there is no tool 'g'", {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}}),
    ],
)
def test_a_planted_violation_of_a_plain_request_is_found(word: str, edits: dict[str, Any]) -> None:
    assert_found(messages.check_request, PLAIN, edits, word)


USAGE = {
    "input_tokens": 3,
    "output_tokens": 2,
    "cache_creation_input_tokens": 1,
    "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 0},
}
RESPONSE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [THOUGHT, {"type": "text", "text": "Hi"}, CALL],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": USAGE,
}


@pytest.mark.parametrize(
    ("word", "edits"),
    [
        ("role: is missing", {"role": GONE}),
        (".content[1].foo: unknown", {"content.1.foo": 1}),
        ("content[2].input: must be", {"content.2.input": "{}"}),
        ("does not begin with msg_", {"id": "chatcmpl-1"}),
        ("is no id", {"content.2.id": "a.b"}),
        ("name: must not be empty", {"content.2.name": ""}),
        ("data: must not be empty", {"content.0": {"type": "redacted_thinking", "data": ""}}),
        ("two tool_use", {"content.+": CALL}),
        ("tool_use without any", {"content.2": GONE}),
        ("stop_reason: is missing", {"stop_reason": GONE}),
        ("stop_sequence: is missing", {"stop_sequence": GONE}),
        ("stop_reason: must not be null", {"stop_reason": None}),
        ("stop_reason: 'stop'", {"stop_reason": "stop"}),
        ("stop_sequence: goes with", {"stop_sequence": "END"}),
        ("is negative", {"usage.input_tokens": -1}),
        ("does not add up", {"usage.cache_creation_input_tokens": 2}),
        ("more tokens of thinking", {"usage.output_tokens_details": {"thinking_tokens": 3}}),
    ],
)
def test_a_planted_violation_of_an_answer_is_found(word: str, edits: dict[str, Any]) -> None:
    assert_found(messages.check_response, RESPONSE, edits, word)


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": content},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


BEGUN = edited(RESPONSE, {"content": [], "stop_reason": None})
ENDED = {"stop_reason": "tool_use", "stop_sequence": None}
EVENTS = [
    {"type": "message_start", "message": BEGUN},
    *block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "Hm"},
        {"type": "signature_delta", "signature": "c2ln"},
    ),
    {"type": "ping"},
    *block(1, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Hi"}),
    *block(2, CALL, {"type": "input_json_delta", "partial_json": "{}"}),
    {"type": "message_delta", "delta": ENDED, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]
ERROR = {"type": "error", "error": {"type": "api_error", "message": "m"}}


@pytest.mark.parametrize("events", [EVENTS, [*EVENTS[:4], ERROR], [ERROR]])
def test_a_legal_stream_has_no_violations(events: list[Any]) -> None:
    assert messages.check_stream(named_stream(events)) == []


@pytest.mark.parametrize(
    ("word", "edits"),
    [
        ("before message_start", {"0": GONE}),
        ("comes twice", {"5": EVENTS[0]}),
        ("message.content: must be empty", {"0.message.content": [CALL]}),
        ("message.stop_reason", {"0.message.stop_reason": "end_turn"}),
        ("does not begin with msg_", {"0.message.id": "x"}),
        ("is negative", {"0.message.usage.input_tokens": -1}),
        ("says nothing else", {"5.foo": 1}),
        ("before the block before it has stopped", {"4": GONE}),
        ("index: 2 is not 1", {"6.index": 2}),
        ("is not open", {"7.index": 0}),
        ("is not open", {"6": GONE}),
        ("is not open", {"8.index": 0}),
        ("thinking: must be empty", {"1.content_block.thinking": "H"}),
        ("text: must be empty", {"6.content_block.text": "H"}),
        ("signature: must be empty", {"1.content_block.signature": "H"}),
        ("input: must be empty", {"9.content_block.input": {"a": 1}}),
        ("nothing for a block of text", {"7.delta": EVENTS[2]["delta"]}),
        ("after the signature", {"2.delta": EVENTS[3]["delta"]}),
        ("no JSON object", {"10.delta.partial_json": "{"}),
        ("before the last block has stopped", {"11": GONE}),
        ("after message_delta", {"5": EVENTS[12]}),
        ("comes twice", {"5": EVENTS[12]}),
        ("before message_delta", {"12": GONE}),
        ("no message_stop", {"13": GONE}),
        ("comes after the end", {"+": {"type": "ping"}}),
        ("stop_reason: must not be null", {"12.delta.stop_reason": None}),
        ("tool_use without any", {"9": {"type": "ping"}, "10": {"type": "ping"}, "11": {"type": "ping"}}),
        ("two tool_use", {"6": EVENTS[9] | {"index": 1}, "7": EVENTS[10] | {"index": 1}}),
        ("usage: is missing", {"12.usage": GONE}),
        (".foo: unknown", {"7.foo": 1}),
        ("error: must be an object", {"13": {"type": "error", "error": "x"}}),
        ("a type and a message", {"13": {"type": "error", "error": {}}}),
    ],
)  # fmt: skip
def test_a_planted_violation_of_a_stream_is_found(word: str, edits: dict[str, Any]) -> None:
    problems = messages.check_stream(named_stream(edited(EVENTS, edits)))

    assert any(word in problem for problem in problems), problems


def test_events_must_be_named_by_their_type() -> None:
    assert "has no events" in messages.check_stream(b"")[0]
    assert "its type is 'error'" in messages.check_stream(b"data: %b\n\n" % orjson.dumps(ERROR))[0]
