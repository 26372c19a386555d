"""The rules for chat completions, legacy ones too, find what is planted, and nothing in what is legal."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.dialects.checkers import chat, completions
from tests.dialects.planted import GONE, assert_found, edited, stream

CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {}}},
}
REQUEST: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_content": "Hm"},
        {"role": "tool", "tool_call_id": "call_1", "content": "1"},
    ],
    "tools": [TOOL],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "parallel_tool_calls": False,
}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
SOUND = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}
FILE = {
    "type": "file",
    "file": {"file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"},
}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
G = {"type": "function", "function": {"name": "g"}}
CUSTOM = {"id": "call_1", "type": "custom", "custom": {"name": "f", "input": "not JSON"}}


def allowed(*tools: object) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": list(tools)}}


@pytest.mark.parametrize(
    "edits",
    [
        {},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"messages.1.content.+": IMAGE},
        {"messages.1.content.+": SOUND},
        {"messages.1.content.+": FILE},
        {"response_format": SCHEMA},
        {"tool_choice": allowed(TOOL)},
        {"messages.2.tool_calls.0": CUSTOM},
        {"messages.1.name": "Ann"},
        {"logprobs": True, "top_logprobs": 20, "stop": ["a", "b"], "logit_bias": {"1": -100}},
        {"messages.2.reasoning_details": [{"type": "reasoning.text", "text": "Hm"}]},
        {"modalities": ["text", "audio"], "audio": {"format": "wav", "voice": "alloy"}},
    ],
)
def test_a_legal_request_has_no_violations(edits: dict[str, Any]) -> None:
    assert chat.check_request(orjson.dumps(edited(REQUEST, edits))) == []


@pytest.mark.parametrize(
    ("word", "edits"),
    [
        (".model: is missing", {"model": GONE}),
        ("model: must not be empty", {"model": ""}),
        (".top_k: unknown", {"top_k": 3}),
        ("content[0].foo: unknown", {"messages.1.content.0.foo": 3}),
        ("input_audio", {"messages.2.content": [SOUND]}),
        ("role", {"messages.1.role": "robot"}),
        ("temperature: 3", {"temperature": 3}),
        ("top_p: 2", {"top_p": 2}),
        ("presence_penalty", {"presence_penalty": -3}),
        ("frequency_penalty", {"frequency_penalty": 3}),
        ("top_logprobs: 21", {"logprobs": True, "top_logprobs": 21}),
        ("top_logprobs: only", {"top_logprobs": 2}),
        ("more than 16", {"metadata": {str(n): "" for n in range(17)}}),
        ("longer than 64", {"metadata": {"k" * 65: ""}}),
        ("max_tokens: not together", {"max_tokens": 1, "max_completion_tokens": 1}),
        ("max_tokens: 0", {"max_tokens": 0}),
        ("stream_options: only", {"stream_options": {"include_usage": True}}),
        ("audio: is missing", {"modalities": ["text", "audio"]}),
        ("n: 0", {"n": 0}),
        ("stop: 5", {"stop": list("abcde")}),
        ("stop: 0", {"stop": []}),
        ("logit_bias.1", {"logit_bias": {"1": 101}}),
        ("json_schema.name: 'a b'", {"response_format": edited(SCHEMA, {"json_schema.name": "a b"})}),
        ("schema: is missing", {"response_format": edited(SCHEMA, {"json_schema.schema": GONE})}),
        ("json_schema.name: is missing", {"response_format": edited(SCHEMA, {"json_schema.name": GONE})}),
        ("is no name of a tool", {"tools.0.function.name": "a b"}),
        ("is the name of two", {"tools.+": TOOL}),
        ("parameters.type", {"tools.0.function.parameters": {}}),
        ("tools: must not be empty", {"tools": []}),
        ("tool_choice: only with tools", {"tools": GONE}),
        ("parallel_tool_calls: only with tools", {"tools": GONE}),
        ("there is no tool 'g'", {"tool_choice": G}),
        ("there is no tool 'g'", {"tool_choice": allowed(G)}),
        ("messages: must not be empty", {"messages": []}),
        ("answers no call", {"messages.3.tool_call_id": "call_2"}),
        ("have no tool message", {"messages.3": {"role": "user", "content": "Hi"}}),
        ("at the end have no tool message", {"messages.3": GONE}),
        ("two calls have the id", {"messages.2.tool_calls.+": CALL}),
        ("is no name", {"messages.1.name": "Ann Bee"}),
        ("content: must not be empty", {"messages.1.content": []}),
        ("tool_calls: must not be empty", {"messages.2.tool_calls": []}),
        ("where there are no tool_calls", {"messages.2.tool_calls": GONE}),
        ("1 to 64 characters", {"messages.2.tool_calls.0.id": "x" * 65}),
        ("name of a tool", {"messages.2.tool_calls.0.function.name": "a.b"}),
        ("no JSON object", {"messages.2.tool_calls.0.function.arguments": ""}),
        ("no data URL of an image", {"messages.1.content.+": edited(IMAGE, {"image_url.url": "data:image/png;base64,!"})}),
        ("is no address", {"messages.1.content.+": edited(IMAGE, {"image_url.url": "a.png"})}),
        ("is not base64", {"messages.1.content.+": edited(SOUND, {"input_audio.data": "?"})}),
        ("needs one of file_data", {"messages.1.content.+": edited(FILE, {"file.file_id": "f"})}),
        ("is no data URL", {"messages.1.content.+": edited(FILE, {"file.file_data": "aGk="})}),
        ("filename: is missing", {"messages.1.content.+": edited(FILE, {"file.filename": GONE})}),
        ("must be a list of objects", {"messages.2.reasoning_details": "Hm"}),
        ("'x' is unknown", {"messages.2.reasoning_details": [{"type": "x"}]}),
        ("must be a string", {"messages.2.reasoning_details": [{"type": "reasoning.text", "text": 1}]}),
    ],
)  # fmt: skip
def test_a_planted_violation_of_a_request_is_found(word: str, edits: dict[str, Any]) -> None:
    assert_found(chat.check_request, REQUEST, edits, word)


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
RESPONSE: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": None, "tool_calls": [CALL]},
            "finish_reason": "tool_calls",
        }
    ],
    "usage": USAGE,
}
MESSAGE = "choices.0.message"


@pytest.mark.parametrize(
    ("word", "edits"),
    [
        ("finish_reason", {"choices.0.finish_reason": "end_turn"}),
        (".foo: unknown", {"foo": 1}),
        ("id: must not be empty", {"id": ""}),
        ("no time in seconds", {"created": 0}),
        ("choices: must not be empty", {"choices": []}),
        ("do not count up", {"choices.0.index": 1}),
        ("content: is missing", {f"{MESSAGE}.content": GONE}),
        ("tool_calls: must not be empty", {f"{MESSAGE}.tool_calls": []}),
        ("tool_calls without any", {f"{MESSAGE}.tool_calls": GONE}),
        ("an id of its own", {f"{MESSAGE}.tool_calls.+": CALL}),
        ("reasoning_details: must be", {f"{MESSAGE}.reasoning_details": {}}),
        ("is not 3 + 2", {"usage.total_tokens": 6}),
        ("is negative", {"usage": {"prompt_tokens": -1, "completion_tokens": 1, "total_tokens": 0}}),
        ("more than the prompt", {"usage.prompt_tokens_details": {"cached_tokens": 4}}),
        ("more reasoning tokens", {"usage.completion_tokens_details": {"reasoning_tokens": 3}}),
    ],
)  # fmt: skip
def test_a_planted_violation_of_an_answer_is_found(word: str, edits: dict[str, Any]) -> None:
    assert_found(chat.check_response, RESPONSE, edits, word)


def chunk(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "m",
        "choices": choices,
        **more,
    }


def fragment(index: int, arguments: str, **first: Any) -> dict[str, Any]:
    name = first.pop("name", None)
    function = {"arguments": arguments} | ({"name": name} if name else {})
    return {"tool_calls": [{"index": index, "function": function, **first}]}


DETAIL = {"type": "reasoning.text", "index": 0}
CHUNKS = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"reasoning_details": [{**DETAIL, "text": "H", "format": "f"}]}),
    chunk({"reasoning_details": [{**DETAIL, "text": "m", "signature": "s"}]}),
    chunk({"content": "Hi"}),
    chunk(fragment(0, "", id="call_1", type="function", name="f")),
    chunk(fragment(0, "{}")),
    chunk({}, "tool_calls"),
    chunk(None, usage=USAGE),
]
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    "raw",
    [
        stream(CHUNKS, done=DONE),
        b": ping\n\n" + stream(CHUNKS[:1] + CHUNKS[3:], done=DONE),
        stream([*CHUNKS[:2], {"error": {"message": "m", "type": "t", "param": None, "code": "c"}}]),
    ],
)
def test_a_legal_stream_has_no_violations(raw: bytes) -> None:
    assert chat.check_stream(raw) == []


@pytest.mark.parametrize(
    ("word", "edits"),
    [
        ("have become", {"3.id": "chatcmpl-2"}),
        ("have become", {"3.model": "n"}),
        ("have become", {"3.created": 1700000001}),
        ("unknown field", {"3.foo": 1}),
        ("object", {"3.object": "chat.completion"}),
        ("does not begin with the role", {"0.choices.0.delta": {"content": ""}}),
        ("says the role again", {"3.choices.0.delta.role": "assistant"}),
        ("is not the next", {"4.choices.0.delta.tool_calls.0.index": 1}),
        ("has no type", {"4.choices.0.delta.tool_calls.0.type": GONE}),
        ("has no name", {"4.choices.0.delta.tool_calls.0.function.name": GONE}),
        ("an id of its own", {"4.choices.0.delta.tool_calls.0.id": GONE}),
        ("says id again", {"5.choices.0.delta.tool_calls.0.id": "call_1"}),
        ("says name again", {"5.choices.0.delta.tool_calls.0.function.name": "f"}),
        ("has no arguments", {"5.choices.0.delta.tool_calls.0.function.arguments": GONE}),
        ("no finish_reason", {"6.choices.0.finish_reason": None}),
        ("tool_calls without any", {"4": CHUNKS[3], "5": CHUNKS[3]}),
        ("after its finish_reason", {"3.choices.0.finish_reason": "stop"}),
        ("neither choices nor usage", {"7.usage": None}),
        ("together with choices", {"6.usage": USAGE}),
        ("comes after the usage", {"+": CHUNKS[7]}),
        ("before every choice has finished", {"6": CHUNKS[7]}),
        ("is not the next", {"0.choices.0.index": 1}),
        ("has no index", {"1.choices.0.delta.reasoning_details.0.index": GONE}),
        ("detail 1 is not the next", {"1.choices.0.delta.reasoning_details.0.index": 1}),
        ("says format again", {"2.choices.0.delta.reasoning_details.0.format": "f"}),
        ("changes its type", {"2.choices.0.delta.reasoning_details.0.type": "reasoning.summary"}),
        ("error.message", {"7": {"error": {"type": "t"}}}),
        ("error: must be an object", {"7": {"error": "t"}}),
        ("after the end", {"5": {"error": {"message": "m", "type": "t"}}}),
    ],
)
def test_a_planted_violation_of_a_stream_is_found(word: str, edits: dict[str, Any]) -> None:
    problems = chat.check_stream(stream(edited(CHUNKS, edits), done=DONE))

    assert any(word in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("word", "raw"),
    [
        ("no [DONE]", stream(CHUNKS)),
        ("no events", b""),
        ("no choices", DONE),
        ("has a name", b"event: x\n" + stream(CHUNKS, done=DONE)),
        ("no blank line", stream(CHUNKS, done=b"data: [DONE]\n")),
        ("carriage returns", stream(CHUNKS, done=b"data: [DONE]\r\n\n")),
        ("is no line of an event", stream(CHUNKS, done=b"date: 3\n\n" + DONE)),
        ("has no data", stream(CHUNKS, done=b"event: x\n\n" + DONE)),
        ("is not JSON", stream(CHUNKS, done=b"data: {\n\n" + DONE)),
        ("is not UTF-8", b"data: \xff\n\n"),
        ("is given twice", b'data: {"id": 1, "id": 2}\n\n'),
        ("NaN is not JSON", b'data: {"id": NaN}\n\n'),
        ("must be an object", b"data: []\n\n"),
        ("after the end", stream(CHUNKS, done=DONE + DONE)),
    ],
)
def test_a_stream_that_is_framed_wrongly_is_found(word: str, raw: bytes) -> None:
    problems = chat.check_stream(raw)

    assert any(word in problem for problem in problems), problems


LEGACY = {"model": "m", "prompt": ["Hi"], "logprobs": 5, "best_of": 2, "n": 2, "stop": ["a"]}


@pytest.mark.parametrize(
    ("word", "edits"),
    [
        (".messages: unknown", {"messages": []}),
        (".prompt: is missing", {"prompt": GONE}),
        ("prompt: must not be empty", {"prompt": []}),
        ("logprobs: 6", {"logprobs": 6}),
        ("n: 0", {"n": 0}),
        ("best_of: 1", {"best_of": 1}),
        ("more than 4", {"stop": list("abcde")}),
        ("temperature", {"temperature": 3}),
        ("stream_options: only", {"stream_options": {"include_usage": True}}),
    ],
)
def test_a_planted_violation_of_a_legacy_request_is_found(word: str, edits: dict[str, Any]) -> None:
    assert_found(completions.check_request, LEGACY, edits, word)


LOGPROBS = {"tokens": ["Hi"], "token_logprobs": [-0.1], "text_offset": [0], "top_logprobs": [{}]}
LEGACY_RESPONSE = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1700000000,
    "model": "m",
    "choices": [{"index": 0, "text": "Hi", "logprobs": LOGPROBS, "finish_reason": "stop"}],
    "usage": USAGE,
}


@pytest.mark.parametrize(
    ("word", "edits"),
    [
        ("choices[0].text: is missing", {"choices.0.text": GONE}),
        ("finish_reason", {"choices.0.finish_reason": "tool_calls"}),
        ("id: must not", {"id": ""}),
        ("no time", {"created": 0}),
        ("choices: must not be empty", {"choices": []}),
        ("do not count up", {"choices.0.index": 1}),
        ("differ in length", {"choices.0.logprobs.text_offset": []}),
        ("is not 3 + 2", {"usage.total_tokens": 6}),
    ],
)
def test_a_planted_violation_of_a_legacy_answer_is_found(word: str, edits: dict[str, Any]) -> None:
    assert_found(completions.check_response, LEGACY_RESPONSE, edits, word)


def legacy_chunk(text: str | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [] if text is None else [{"index": 0, "text": text, "finish_reason": finish}]
    return {**LEGACY_RESPONSE, "choices": choices, "usage": None, **more}


LEGACY_CHUNKS = [
    legacy_chunk("H"),
    legacy_chunk("i"),
    legacy_chunk("", "stop"),
    legacy_chunk(None, usage=USAGE),
]


def test_a_legal_legacy_stream_has_no_violations() -> None:
    assert completions.check_stream(stream(LEGACY_CHUNKS, done=DONE)) == []


@pytest.mark.parametrize(
    ("word", "edits"),
    [
        ("have become", {"1.id": "cmpl-2"}),
        ("text: is missing", {"1.choices.0.text": GONE}),
        ("finish_reason: is missing", {"1.choices.0.finish_reason": GONE}),
        ("no finish_reason", {"2.choices.0.finish_reason": None}),
        ("after its finish_reason", {"1.choices.0.finish_reason": "stop"}),
        ("neither choices nor usage", {"3.usage": None}),
        ("together with choices", {"2.usage": USAGE}),
        ("comes after the usage", {"+": LEGACY_CHUNKS[3]}),
        ("error.type", {"3": {"error": {"message": "m"}}}),
        ("unknown field", {"1.delta": {}}),
        ("no choices", {"": GONE}),
    ],
)
def test_a_planted_violation_of_a_legacy_stream_is_found(word: str, edits: dict[str, Any]) -> None:
    chunks = [] if "" in edits else edited(LEGACY_CHUNKS, edits)

    problems = completions.check_stream(stream(chunks, done=DONE))

    assert any(word in problem for problem in problems), problems
    assert completions.check_stream(stream(LEGACY_CHUNKS)) == ["stream: has no [DONE]"]
