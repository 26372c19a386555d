"""The rules for Responses find what is planted, and nothing in what is legal."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.dialects.checkers import responses
from tests.dialects.planted import GONE, assert_found, edited, named_stream

CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "1"}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
SAID = {"role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,aGk="}
FILE = {"type": "input_file", "file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"}
FORMAT = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}
REQUEST: dict[str, Any] = {
    "model": "m",
    "instructions": "Be brief.",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        SAID,
        THOUGHT,
        CALL,
        RESULT,
    ],
    "tools": [TOOL],
    "tool_choice": {"type": "function", "name": "f"},
    "store": False,
}


@pytest.mark.parametrize(
    "edits",
    [
        {},
        {"stream": True, "stream_options": {"include_obfuscation": False}},
        {"input.0.content.+": IMAGE},
        {"input.0.content.+": FILE},
        {"text": {"format": FORMAT}},
        {"input.3": GONE, "input.2": GONE, "previous_response_id": "resp_1"},
        {"input": "Hi"},
        {"input.4.output": [{"type": "input_text", "text": "1"}]},
        {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}},
        {"include": ["reasoning.encrypted_content"], "reasoning": {"effort": "high", "summary": "auto"}},
    ],
)  # fmt: skip
def test_a_legal_request_has_no_violations(edits: dict[str, Any]) -> None:
    assert responses.check_request(orjson.dumps(edited(REQUEST, edits))) == []


@pytest.mark.parametrize(
    ("word", "edits"),
    [
        ("model: is missing", {"model": GONE}),
        ("input: is missing", {"input": []}),
        (".messages: unknown", {"messages": []}),
        ("[0].foo: unknown", {"input.0.content.0.foo": 1}),
        ("content[0].type", {"input.0.content.0.type": "text"}),
        ("not together with conversation", {"previous_response_id": "resp_1", "conversation": "conv_1"}),
        ("stream_options: only", {"stream_options": {"include_obfuscation": True}}),
        ("background: only", {"background": True}),
        ("max_output_tokens: 15", {"max_output_tokens": 15}),
        ("temperature: 3", {"temperature": 3}),
        ("text.format.name", {"text": {"format": {**FORMAT, "name": "a b"}}}),
        ("name of a tool", {"tools.0.name": "a b"}),
        ("name of two", {"tools.+": TOOL}),
        ("parameters.type", {"tools.0.parameters": {}}),
        ("parameters: is missing", {"tools.0.parameters": GONE}),
        ("only with tools", {"tools": []}),
        ("there is no tool 'g'", {"tool_choice.name": "g"}),
        ("answers no call", {"input.4.call_id": "call_2"}),
        ("answers no call", {"input.4.type": "custom_tool_call_output"}),
        ("has no output", {"input.4": GONE}),
        ("two calls have the call_id", {"input.+": CALL}),
        ("two items have the id", {"input.1.id": "rs_1"}),
        ("without the item that follows", {"input.+": {**THOUGHT, "id": "rs_2"}}),
        ("does not begin with fc_", {"input.3.id": "call_1"}),
        ("does not begin with msg_", {"input.1.id": "x"}),
        ("does not begin with rs_", {"input.2.id": "x"}),
        ("1 to 64", {"input.3.call_id": "x" * 65}),
        ("name of a tool", {"input.3.name": "a.b"}),
        ("no JSON object", {"input.3.arguments": ""}),
        ("content: must not be empty", {"input.0.content": []}),
        ("one of image_url and file_id", {"input.0.content.+": {"type": "input_image"}}),
        ("is no address", {"input.0.content.+": {**IMAGE, "image_url": "a.png"}}),
        ("one of file_data", {"input.0.content.+": {**FILE, "file_id": "file-1"}}),
        ("filename: is missing", {"input.0.content.+": edited(FILE, {"filename": GONE})}),
        ("is no data URL", {"input.0.content.+": {**FILE, "file_data": "aGk="}}),
        ("is no data URL", {"input.4.output": [{**FILE, "file_data": "aGk="}]}),
    ],
)  # fmt: skip
def test_a_planted_violation_of_a_request_is_found(word: str, edits: dict[str, Any]) -> None:
    assert_found(responses.check_request, REQUEST, edits, word)


TEXT = {"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}
MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [TEXT]}  # fmt: skip
THOUGHTS = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}]}
DONE_CALL = {**CALL, "status": "completed"}
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1700000000,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "model": "m",
    "output": [THOUGHTS, MESSAGE, DONE_CALL],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 5,
    },
}


@pytest.mark.parametrize(
    ("word", "edits"),
    [
        ("tools: is missing", {"tools": GONE}),
        (".foo: unknown", {"foo": 1}),
        ("annotations: is missing", {"output.1.content.0.annotations": GONE}),
        ("summary: is missing", {"output.0.summary": GONE}),
        ("does not begin with resp_", {"id": "x"}),
        ("no time", {"created_at": 0}),
        ("status: is missing", {"status": GONE}),
        ("usage: is missing", {"usage": GONE}),
        ("is no end", {"status": "in_progress"}),
        ("error: goes with", {"error": {"code": "server_error", "message": "m"}}),
        ("incomplete_details: goes with", {"status": "incomplete"}),
        ("is not 3 + 2", {"usage.total_tokens": 6}),
        ("reasoning tokens", {"usage.output_tokens_details.reasoning_tokens": 3}),
        ("two items have the id", {"output.+": MESSAGE}),
        ("two calls have the call_id", {"output.+": {**DONE_CALL, "id": "fc_2"}}),
        ("does not begin with msg_", {"output.1.id": "x"}),
        ("a call_id and a name", {"output.2.name": ""}),
        ("status: is missing", {"output.2.status": GONE}),
        ("still in_progress", {"output.2.status": "in_progress"}),
    ],
)
def test_a_planted_violation_of_an_answer_is_found(word: str, edits: dict[str, Any]) -> None:
    assert_found(responses.check_response, RESPONSE, edits, word)


def numbered(events: list[Any]) -> list[Any]:
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def event(kind: str, index: int, of: str = "", **fields: Any) -> dict[str, Any]:
    named = {"item_id": of} if of else {}
    return {"type": f"response.{kind}", "output_index": index, **named, **fields}


BEGUN = edited(RESPONSE, {"status": "in_progress", "output": [], "usage": None})
NO_TEXT = {**TEXT, "text": ""}
LINK = {"type": "url_citation", "start_index": 0, "end_index": 1, "title": "t", "url": "u"}
CITED = edited(RESPONSE, {"output.1.content.0.annotations": [LINK]})
EVENTS = [
    {"type": "response.created", "response": BEGUN},
    {"type": "response.in_progress", "response": BEGUN},
    event("output_item.added", 0, item={**THOUGHTS, "summary": []}),  # 2
    event("reasoning_summary_part.added", 0, "rs_1", summary_index=0, part={"type": "summary_text", "text": ""}),
    event("reasoning_summary_text.delta", 0, "rs_1", summary_index=0, delta="Hm"),
    event("reasoning_summary_text.done", 0, "rs_1", summary_index=0, text="Hm"),
    event("reasoning_summary_part.done", 0, "rs_1", summary_index=0, part=THOUGHTS["summary"][0]),
    event("output_item.done", 0, item=THOUGHTS),
    event("output_item.added", 1, item={**MESSAGE, "status": "in_progress", "content": []}),  # 8
    event("content_part.added", 1, "msg_1", content_index=0, part=NO_TEXT),
    event("output_text.delta", 1, "msg_1", content_index=0, delta="H", logprobs=[]),
    event("output_text.delta", 1, "msg_1", content_index=0, delta="i", logprobs=[]),
    event("output_text.annotation.added", 1, "msg_1", content_index=0, annotation_index=0, annotation=LINK),  # 12
    event("output_text.done", 1, "msg_1", content_index=0, text="Hi", logprobs=[]),
    event("content_part.done", 1, "msg_1", content_index=0, part={**TEXT, "annotations": [LINK]}),  # 14
    event("output_item.done", 1, item=CITED["output"][1]),
    event("output_item.added", 2, item={**CALL, "arguments": "", "status": "in_progress"}),  # 16
    event("function_call_arguments.delta", 2, "fc_1", delta="{}"),
    event("function_call_arguments.done", 2, "fc_1", arguments="{}"),
    event("output_item.done", 2, item=DONE_CALL),  # 19
    {"type": "response.completed", "response": CITED},
]  # fmt: skip
ERROR = {"type": "error", "code": "c", "message": "m", "param": None}
FAILED = edited(RESPONSE, {"status": "failed", "error": {"code": "server_error", "message": "m"}, "output": []})  # fmt: skip
RAW = [
    event("output_item.added", 0, item={"type": "reasoning", "id": "rs_1", "summary": []}),
    event("reasoning_text.delta", 0, "rs_1", content_index=0, delta="Hm"),
    event("reasoning_text.done", 0, "rs_1", content_index=0, text="Hm"),
]


@pytest.mark.parametrize(
    "events",
    [
        EVENTS,
        [*EVENTS[:5], ERROR],
        [EVENTS[0], {"type": "response.failed", "response": FAILED}],
        [*EVENTS[:2], *RAW, ERROR],
    ],
)
def test_a_legal_stream_has_no_violations(events: list[Any]) -> None:
    assert responses.check_stream(named_stream(numbered(events))) == []


@pytest.mark.parametrize(
    ("word", "edits"),
    [
        ("is not response.created", {"0": GONE}),
        ("comes twice", {"1.type": "response.created"}),
        ("response.id has become", {"20.response.id": "resp_2"}),
        ("is not in_progress", {"1.response.status": "completed"}),
        ("output: must be empty", {"1.response.output": [MESSAGE]}),
        ("is not completed", {"20.response.status": "incomplete"}),
        ("before every item is done", {"19": GONE}),
        ("is not what was streamed", {"20.response.output": []}),
        ("is not what was streamed", {"20.response.output.1.content.0.text": "Ho"}),
        ("output_index: 3 is not 2", {"16.output_index": 3}),
        ("there is no item 3", {"17.output_index": 3}),
        ("status: 'completed' is not in_progress", {"8.item.status": "completed"}),
        ("item: must be empty", {"16.item.arguments": "{}"}),
        ("that of another item", {"8.item.id": "rs_1"}),
        ("its item is done", {"8": EVENTS[4]}),
        ("item_id: 'msg_2'", {"10.item_id": "msg_2"}),
        ("call_id: 'call_2' is not", {"19.item.call_id": "call_2"}),
        ("still in_progress", {"19.item.status": "in_progress"}),
        ("before content 0 is done", {"14": EVENTS[1]}),
        ("item: says '{1}'", {"19.item.arguments": "{1}"}),
        ("item.content: says", {"15.item.content.0.text": "Ho"}),
        ("item.summary: says", {"7.item.summary": []}),
        ("part: must be empty", {"9.part.text": "H"}),
        ("content 0 comes twice", {"10": EVENTS[9]}),
        ("content_index: 1 is not the next", {"9.content_index": 1}),
        ("content 0 has not begun", {"9": EVENTS[1]}),
        ("content 0 is done", {"15": EVENTS[10]}),
        ("content 0 is output_text", {"10": event("refusal.delta", 1, "msg_1", content_index=0, delta="H")}),
        ("after the text is done", {"12": EVENTS[13], "13": EVENTS[11]}),
        ("says 'Ho', the deltas 'Hi'", {"13.text": "Ho"}),
        ("before the text is done", {"13": EVENTS[1]}),
        ("part: says 'Ho'", {"14.part.text": "Ho"}),
        ("are not the 1 that were streamed", {"14.part.annotations": []}),
        ("annotation_index: 1 is not 0", {"12.annotation_index": 1}),
        ("says '{1}', the deltas", {"18.arguments": "{1}"}),
        ("no terminal event", {"20": GONE}),
        ("after the end", {"+": EVENTS[1]}),
        ("delta: is missing", {"10.delta": GONE}),
        (".foo: unknown", {"10.foo": 1}),
    ],
)  # fmt: skip
def test_a_planted_violation_of_a_stream_is_found(word: str, edits: dict[str, Any]) -> None:
    problems = responses.check_stream(named_stream(numbered(edited(EVENTS, edits))))

    assert any(word in problem for problem in problems), problems


def test_events_are_numbered_and_named() -> None:
    gap = numbered(EVENTS)
    gap[3]["sequence_number"] = 7

    assert "sequence_number: 7 is not 3" in responses.check_stream(named_stream(gap))[0]
    assert "no events" in responses.check_stream(b"")[0]
    assert "its type is" in responses.check_stream(b"data: %b\n\n" % orjson.dumps(gap[0]))[0]
