"""Anthropic messages: blocks and their deltas."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.errors import Cause
from proxy.dialects.anthropic import DIALECT
from proxy.dialects.base import BAD, CONTENT, ERROR, FINISH, Usage
from tests.dialects.streams import CUTS, data, feed, holds_for_every_cut, letters, named

USAGE = {
    "input_tokens": 20,
    "cache_read_input_tokens": 100,
    "cache_creation_input_tokens": 30,
    "output_tokens": 1,
}


def start(**usage: Any) -> dict[str, Any]:
    message = {"id": "m", "role": "assistant", "usage": usage or USAGE}
    return {"type": "message_start", "message": message}


def block(**fields: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": 0, "content_block": fields}


def delta(**fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": fields}


def end(reason: str | None = "end_turn", **usage: Any) -> dict[str, Any]:
    change = {"stop_reason": reason, "stop_sequence": None}
    return {"type": "message_delta", "delta": change, "usage": usage or {"output_tokens": 9}}


STOP = {"type": "message_stop"}
EVENTS = [
    start(),
    block(type="thinking", thinking="", signature=""),
    {"type": "ping"},
    delta(type="thinking_delta", thinking="Hm"),
    delta(type="signature_delta", signature="sig"),
    {"type": "content_block_stop", "index": 0},
    block(type="text", text=""),
    delta(type="text_delta", text="Hallo 日本 \U0001f600"),
    block(type="tool_use", id="t", name="f", input={}),
    delta(type="input_json_delta", partial_json=""),
    delta(type="input_json_delta", partial_json='{"a":1}'),
    end("tool_use"),
    STOP,
]
STREAM = named(*EVENTS)


def test_a_stream_is_followed_to_its_end() -> None:
    tap, flags = feed(DIALECT, STREAM)

    assert flags == "- - - C - - - C C - C - F"
    assert tap.complete()
    assert tap.finish_reason == "tool_use"
    assert tap.usage == Usage(input=20, cache_read=100, cache_write=30, output=9)
    assert tap.closing == b""


def test_events_without_names_say_the_same() -> None:
    assert feed(DIALECT, data(*EVENTS))[1] == feed(DIALECT, STREAM)[1]


def test_names_without_types_say_the_same() -> None:
    bare = [
        data({key: value for key, value in event.items() if key != "type"}, name=event["type"])
        for event in EVENTS
    ]

    tap, flags = feed(DIALECT, *bare)

    assert flags == feed(DIALECT, STREAM)[1]
    assert tap.usage == Usage(input=20, cache_read=100, cache_write=30, output=9)


@settings(deadline=None, max_examples=30)
@given(CUTS)
def test_no_cut_changes_what_a_stream_says(cuts: list[int]) -> None:
    holds_for_every_cut(DIALECT, STREAM, cuts)


@pytest.mark.parametrize(
    "event",
    [
        delta(type="citations_delta", citation={"cited_text": "x"}),
        block(type="text", text="already"),
        block(type="thinking", thinking="already"),
        block(type="redacted_thinking", data="opaque"),
        block(type="server_tool_use", id="s", name="web_search", input={}),
        block(type="web_search_tool_result", tool_use_id="s", content=[]),
    ],
)
def test_what_a_client_would_show_is_content(event: dict[str, Any]) -> None:
    assert feed(DIALECT, named(event))[1] == "C"


def test_a_stream_is_complete_only_with_its_last_event() -> None:
    assert not feed(DIALECT, named(*EVENTS[:-1]))[0].complete()


def test_the_end_states_the_usage_where_it_states_it_all() -> None:
    tap, _ = feed(
        DIALECT,
        named(
            start(input_tokens=900, output_tokens=1),
            end(input_tokens=40, cache_read_input_tokens=860, output_tokens=7),
        ),
    )

    assert tap.usage == Usage(input=40, cache_read=860, output=7)


def test_an_end_that_states_no_prompt_leaves_the_one_at_the_start() -> None:
    tap, _ = feed(DIALECT, named(start(), end(input_tokens=0, output_tokens=7)))

    assert tap.usage == Usage(input=20, cache_read=100, cache_write=30, output=7)


def test_a_stream_cut_short_has_the_usage_of_its_start() -> None:
    tap, _ = feed(DIALECT, named(start()))

    assert tap.usage == Usage(input=20, cache_read=100, cache_write=30, output=1)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("overloaded_error", 529),
        ("rate_limit_error", 429),
        ("api_error", 500),
        ("timeout_error", 504),
        ("invalid_request_error", 400),
        ("new_error", 502),
    ],
)
def test_an_error_event_stands_for_its_status(kind: str, status: int) -> None:
    error = {"type": "error", "error": {"type": kind, "message": "m"}}

    tap, flags = feed(DIALECT, named(error))

    assert flags == "E"
    assert tap.error is not None
    assert (tap.error.cause, tap.error.status) == (Cause.IN_BAND, status)
    assert not tap.complete()


@pytest.mark.parametrize(
    "stream",
    [
        data({"error": {"message": "m"}}),
        data(b"words", name="error"),
        data({"type": "error", "error": "m", "delta": 1}),
    ],
)
def test_errors_come_in_other_shapes_too(stream: bytes) -> None:
    assert feed(DIALECT, stream)[1] == "E"


@pytest.mark.parametrize("payload", [b"hello", b"[]", b"null", b'{"type":'])
def test_what_is_no_object_is_bad(payload: bytes) -> None:
    tap, flags = feed(DIALECT, data(payload))

    assert flags == "B"
    assert tap.bad == 1


def test_heartbeats_and_a_foreign_end_are_nothing() -> None:
    tap, flags = feed(DIALECT, data(b"", b"[DONE]"))

    assert flags == "- -"
    assert not tap.complete()


@pytest.mark.parametrize(
    ("event", "flags"),
    [
        (delta(text="a", thinking=1), "C"),
        (delta(text=["a"]), "C"),
        ({"type": "message_stop", "delta": []}, "F"),
        ({"type": "content_block_start", "content_block": []}, "-"),
        ({"type": "ping", "message": "x"}, "-"),
    ],
)
def test_odd_types_are_forgiven(event: dict[str, Any], flags: str) -> None:
    tap, seen = feed(DIALECT, named(event))

    assert seen == flags
    assert tap.bad == 0


def test_odd_events_still_count_and_finish() -> None:
    begin = {**start(), "delta": []}
    last = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "text": 5},
        "usage": USAGE,
    }

    tap, _ = feed(DIALECT, named(begin, last, STOP))

    assert tap.complete()
    assert tap.finish_reason == "end_turn"
    assert tap.usage == Usage(input=20, cache_read=100, cache_write=30, output=1)


def test_broken_characters_are_content_all_the_same() -> None:
    event = data(b'{"type":"content_block_delta","delta":{"type":"text_delta","text":"\\ud83d"}}')

    tap, flags = feed(DIALECT, event)

    assert flags == "C"
    assert tap.bad == 1


def test_a_whole_body_is_an_answer() -> None:
    message = {"type": "message", "content": [], "stop_reason": "max_tokens", "usage": USAGE}
    tap = DIALECT.tap()

    assert tap.body(orjson.dumps(message)) == CONTENT | FINISH
    assert tap.complete()
    assert tap.finish_reason == "max_tokens"
    assert tap.usage == Usage(input=20, cache_read=100, cache_write=30, output=1)


def test_counted_tokens_are_an_answer_that_used_none() -> None:
    tap = DIALECT.tap()

    assert tap.body(b'{"input_tokens":14}') == CONTENT | FINISH
    assert tap.usage is None


@pytest.mark.parametrize(
    ("raw", "flags"),
    [
        (b'{"type":"error","error":{"type":"overloaded_error"}}', ERROR),
        (b'{"type":"error"}', ERROR),
        (b'{"error":"m","stop_reason":1}', ERROR),
        (b'{"stop_reason":1}', CONTENT | FINISH),
        (b"[]", BAD),
        (b"<html>", BAD),
        (b"", BAD),
    ],
)
def test_bodies_are_told_apart(raw: bytes, flags: int) -> None:
    assert DIALECT.tap().body(raw) == flags


def test_an_event_too_long_to_hold_is_content() -> None:
    assert letters(DIALECT.tap().oversized(b"event: content_block_start\n", b"}\n\n")) == "C"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("upstream_truncated", "api_error"),
        ("upstream_idle_timeout", "timeout_error"),
        ("gateway_restart", "overloaded_error"),
    ],
)
def test_a_broken_stream_ends_with_an_error(code: str, kind: str) -> None:
    event = DIALECT.render_stream_error(code, "It broke.", "req-1", 0)

    assert feed(DIALECT, event)[1] == "E"
    name, payload = event.split(b"\n", 1)
    assert name == b"event: error"
    assert orjson.loads(payload[6:]) == {
        "type": "error",
        "error": {"type": kind, "message": "It broke."},
        "request_id": "req-1",
    }


@settings(deadline=None)
@given(st.binary(max_size=60), st.sampled_from([b"", b"error", b"message_stop"]))
def test_any_bytes_get_flags(payload: bytes, name: bytes) -> None:
    tap = DIALECT.tap()

    assert tap.event(name, payload) in range(32)
    assert tap.body(payload) in (BAD, ERROR, CONTENT | FINISH)
    tap.oversized(payload, payload)
