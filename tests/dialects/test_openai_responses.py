"""The Responses API: typed, numbered events."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.errors import Cause
from proxy.dialects.base import BAD, CONTENT, ERROR, FINISH, Usage
from proxy.dialects.openai_responses import DIALECT
from tests.dialects.streams import CUTS, data, feed, holds_for_every_cut, letters, named

USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 64},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 12},
    "total_tokens": 120,
}


def response(status: str, **more: Any) -> dict[str, Any]:
    return {"id": "r", "object": "response", "status": status, "error": None, "output": [], **more}


def numbered(*events: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


EVENTS = numbered(
    {"type": "response.created", "response": response("in_progress", usage=None)},
    {"type": "response.in_progress", "response": response("in_progress")},
    {"type": "response.output_item.added", "item": {"type": "reasoning", "summary": []}},
    {"type": "response.reasoning_summary_part.added", "part": {"type": "summary_text", "text": ""}},
    {"type": "response.reasoning_summary_text.delta", "delta": "Hm"},
    {"type": "response.output_item.done", "item": {"type": "reasoning", "summary": [{}]}},
    {"type": "response.output_item.added", "item": {"type": "message", "content": []}},
    {"type": "response.content_part.added", "part": {"type": "output_text", "text": ""}},
    {"type": "response.output_text.delta", "delta": "Hallo 日本 \U0001f600", "logprobs": []},
    {"type": "response.output_text.done", "text": "Hallo 日本 \U0001f600"},
    {"type": "response.content_part.done", "part": {"type": "output_text", "text": "Hallo"}},
    {"type": "response.completed", "response": response("completed", usage=USAGE)},
)
STREAM = named(*EVENTS)


def test_a_stream_is_followed_to_its_end() -> None:
    tap, flags = feed(DIALECT, STREAM)

    assert flags == "- - - - C - - - C C - F"
    assert tap.complete()
    assert tap.finish_reason == "completed"
    assert tap.usage == Usage(input=36, cache_read=64, output=20, reasoning=12)
    assert tap.sequence == 12
    assert tap.closing == b""


def test_events_without_names_say_the_same() -> None:
    assert feed(DIALECT, data(*EVENTS))[1] == feed(DIALECT, STREAM)[1]


def test_names_without_types_say_the_same() -> None:
    bare = [
        data({key: value for key, value in event.items() if key != "type"}, name=event["type"])
        for event in EVENTS
    ]

    assert feed(DIALECT, *bare)[1] == feed(DIALECT, STREAM)[1]


@settings(deadline=None, max_examples=30)
@given(CUTS)
def test_no_cut_changes_what_a_stream_says(cuts: list[int]) -> None:
    holds_for_every_cut(DIALECT, STREAM, cuts)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.refusal.delta", "delta": "no"},
        {"type": "response.function_call_arguments.delta", "delta": "{"},
        {"type": "response.custom_tool_call_input.delta", "delta": "x"},
        {"type": "response.reasoning_text.delta", "delta": "x"},
        {"type": "response.audio.delta", "delta": "AAAA"},
        {"type": "response.output_item.added", "item": {"type": "function_call", "name": "f"}},
        {"type": "response.output_item.added", "item": {"type": "web_search_call"}},
        {"type": "response.image_generation_call.partial_image", "partial_image_b64": "AA"},
        {"type": "response.function_call_arguments.done", "arguments": "{}"},
        {"type": "response.reasoning.delta", "delta": {"odd": "text"}},
    ],
)
def test_what_a_client_would_show_is_content(event: dict[str, Any]) -> None:
    assert feed(DIALECT, named(event))[1] == "C"


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.queued", "response": response("queued")},
        {"type": "response.output_text.delta", "delta": ""},
        {"type": "response.output_text.done", "text": ""},
        {"type": "response.output_item.done", "item": {"type": "message"}},
        {"type": "response.web_search_call.searching"},
        {"type": "keepalive"},
        {},
    ],
)
def test_what_only_reports_progress_is_not(event: dict[str, Any]) -> None:
    assert feed(DIALECT, data(event))[1] == "-"


def test_an_incomplete_response_is_a_finished_answer() -> None:
    why = {"incomplete_details": {"reason": "max_output_tokens"}, "usage": USAGE}

    tap, flags = feed(
        DIALECT, named({"type": "response.incomplete", "response": response("incomplete", **why)})
    )

    assert flags == "F"
    assert tap.complete()
    assert tap.finish_reason == "max_output_tokens"
    assert tap.usage is not None


@pytest.mark.parametrize(
    ("code", "status"),
    [("rate_limit_exceeded", 429), ("server_error", 500), ("invalid_prompt", 400), ("other", 502)],
)
def test_a_failed_response_is_an_error_and_an_end(code: str, status: int) -> None:
    failed = response("failed", error={"code": code, "message": "m"})

    tap, flags = feed(DIALECT, named({"type": "response.failed", "response": failed}))

    assert flags == "FE"
    assert tap.complete()
    assert tap.error is not None
    assert (tap.error.cause, tap.error.status) == (Cause.IN_BAND, status)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "code": "server_error", "message": "m", "param": None},
        {"type": "error", "error": {"type": "server_error", "message": "m"}},
        {"error": {"code": 500, "message": "m"}},
    ],
)
def test_an_error_event_is_no_end(event: dict[str, Any]) -> None:
    tap, flags = feed(DIALECT, data(event))

    assert flags == "E"
    assert not tap.complete()
    assert tap.error is not None
    assert tap.error.status == 500


def test_a_stream_that_merely_stops_is_not_complete() -> None:
    assert not feed(DIALECT, named(*EVENTS[:-1]))[0].complete()


@pytest.mark.parametrize("payload", [b"hello", b"[]", b"null", b'{"type":'])
def test_what_is_no_object_is_bad(payload: bytes) -> None:
    assert feed(DIALECT, data(payload))[1] == "B"


def test_heartbeats_and_a_foreign_end_are_nothing() -> None:
    tap, flags = feed(DIALECT, data(b"", b"[DONE]"))

    assert flags == "- -"
    assert not tap.complete()


@pytest.mark.parametrize(
    ("event", "flags"),
    [
        (
            {"type": "response.completed", "response": {"usage": USAGE, "error": 0, "status": 1}},
            "F",
        ),
        ({"type": "response.failed", "response": [], "sequence_number": "x"}, "FE"),
        ({"type": "error", "sequence_number": "x"}, "E"),
        ({"type": "response.output_text.delta", "delta": "a", "item": 1}, "C"),
        ({"type": "response.created", "response": 1}, "-"),
    ],
)
def test_odd_types_are_forgiven(event: dict[str, Any], flags: str) -> None:
    assert feed(DIALECT, data(event))[1] == flags


def test_broken_characters_are_content_all_the_same() -> None:
    tap, flags = feed(DIALECT, data(b'{"type":"response.output_text.delta","delta":"\xff"}'))

    assert flags == "C"
    assert tap.bad == 1


def test_a_whole_body_is_an_answer() -> None:
    tap = DIALECT.tap()

    assert tap.body(orjson.dumps(response("completed", usage=USAGE))) == CONTENT | FINISH
    assert tap.complete()
    assert tap.finish_reason == "completed"
    assert tap.usage == Usage(input=36, cache_read=64, output=20, reasoning=12)


@pytest.mark.parametrize(
    ("payload", "flags"),
    [
        ({"error": {"message": "m", "code": "server_error"}}, ERROR),
        (response("failed", error={"code": "server_error", "message": "m"}), ERROR),
        (response("failed", background=True, error={"code": "x"}), CONTENT | FINISH),
        (response("queued", background=True), CONTENT | FINISH),
        ({"id": "r", "object": "response.deleted", "deleted": True}, CONTENT | FINISH),
        ({"object": "list", "data": []}, CONTENT | FINISH),
        ({"status": 7, "usage": USAGE}, CONTENT | FINISH),
        ({"status": 7, "error": "m"}, ERROR),
        ([], BAD),
        ("text", BAD),
    ],
)
def test_bodies_are_told_apart(payload: Any, flags: int) -> None:
    assert DIALECT.tap().body(orjson.dumps(payload)) == flags


def test_the_end_may_be_too_long_to_hold() -> None:
    head = b'event: response.completed\ndata: {"type":"response.completed","response":{"output":['
    tail = b'"}],"usage":%b,"user":null,"metadata":{}}}\n\n' % orjson.dumps(USAGE)
    tap = DIALECT.tap()

    assert letters(tap.oversized(head, tail)) == "F"
    assert tap.complete()
    assert tap.usage == Usage(input=36, cache_read=64, output=20, reasoning=12)


@pytest.mark.parametrize(
    ("head", "flags"),
    [
        (b'data: {"sequence_number":4,"type": "response.failed",', "FE"),
        (b'data: {"type":"response.output_text.done","text":"', "C"),
        (b"data: {", "C"),
    ],
)
def test_other_long_events_are_told_by_their_beginning(head: bytes, flags: str) -> None:
    assert letters(DIALECT.tap().oversized(head, b'"}\n\n')) == flags


def test_a_broken_stream_ends_with_a_numbered_error() -> None:
    event = DIALECT.render_stream_error("upstream_truncated", "It broke.", "req-1", 7)

    tap, flags = feed(DIALECT, event)
    assert flags == "E"
    assert tap.sequence == 8
    name, payload = event.split(b"\n", 1)
    assert name == b"event: error"
    found = orjson.loads(payload[6:])
    assert found["code"] == found["error"]["code"] == "upstream_truncated"
    assert found["type"] == "error"
    assert found["sequence_number"] == 7


@settings(deadline=None)
@given(st.binary(max_size=60), st.sampled_from([b"", b"error", b"response.failed"]))
def test_any_bytes_get_flags(payload: bytes, name: bytes) -> None:
    tap = DIALECT.tap()

    assert tap.event(name, payload) in range(32)
    assert tap.body(payload) in (BAD, ERROR, CONTENT | FINISH)
    tap.oversized(payload, payload)
