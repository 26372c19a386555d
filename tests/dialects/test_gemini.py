"""Gemini's generated content: every chunk a response."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.errors import Cause
from proxy.dialects.base import BAD, CONTENT, ERROR, FINISH, Usage
from proxy.dialects.gemini import DIALECT
from tests.dialects.streams import CUTS, data, feed, holds_for_every_cut, letters

USAGE = {
    "promptTokenCount": 50,
    "cachedContentTokenCount": 40,
    "candidatesTokenCount": 7,
    "thoughtsTokenCount": 5,
    "totalTokenCount": 62,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 50}],
}


def chunk(*parts: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "g", **more}


CHUNKS = [
    chunk(usageMetadata={"promptTokenCount": 50, "totalTokenCount": 50}),
    chunk({"text": "Hm", "thought": True}),
    chunk({"text": "Hallo 日本 \U0001f600"}, usageMetadata={"trafficType": "ON_DEMAND"}),
    chunk({"functionCall": {"name": "f", "args": {}}}),
    chunk({"text": "", "thoughtSignature": "c2ln"}, finish="STOP", usageMetadata=USAGE),
]
STREAM = data(*CHUNKS, newline=b"\r\n")


def test_a_stream_is_followed_to_its_end() -> None:
    tap, flags = feed(DIALECT, STREAM)

    assert flags == "- C C C F"
    assert tap.complete()
    assert tap.finish_reason == "STOP"
    assert tap.usage == Usage(input=10, cache_read=40, output=12, reasoning=5)
    assert tap.closing == b""


@settings(deadline=None, max_examples=30)
@given(CUTS)
def test_no_cut_changes_what_a_stream_says(cuts: list[int]) -> None:
    holds_for_every_cut(DIALECT, STREAM, cuts)


@pytest.mark.parametrize(
    "part",
    [
        {"inlineData": {"mimeType": "image/png", "data": "AA"}},
        {"fileData": {"fileUri": "u"}},
        {"executableCode": {"code": "1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK"}},
    ],
)
def test_what_a_client_would_show_is_content(part: dict[str, Any]) -> None:
    assert feed(DIALECT, data(chunk(part)))[1] == "C"


@pytest.mark.parametrize(
    "payload",
    [
        chunk(),
        chunk({"text": ""}),
        chunk({"thoughtSignature": "c2ln"}),
        {"candidates": [{"content": {}, "index": 0}]},
        {"candidates": [{"content": None, "finishReason": None}]},
        {"usageMetadata": USAGE},
        {"candidates": []},
        {},
    ],
)
def test_a_chunk_without_parts_is_not(payload: dict[str, Any]) -> None:
    assert feed(DIALECT, data(payload))[1] == "-"


def test_a_blocked_prompt_is_an_answer() -> None:
    tap, flags = feed(DIALECT, data({"promptFeedback": {"blockReason": "SAFETY"}}))

    assert flags == "CF"
    assert tap.complete()
    assert tap.finish_reason == "SAFETY"


def test_feedback_that_blocks_nothing_is_nothing() -> None:
    assert feed(DIALECT, data(chunk(promptFeedback={"safetyRatings": []})))[1] == "-"


def test_every_candidate_must_finish() -> None:
    two = {
        "candidates": [
            {"index": 0, "content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"},
            {"index": 1, "content": {"parts": [{"text": "b"}]}},
        ]
    }
    last = {"candidates": [{"index": 1, "finishReason": "MAX_TOKENS"}]}

    assert feed(DIALECT, data(two))[1] == "C"
    tap, flags = feed(DIALECT, data(two, last))
    assert flags == "C F"
    assert tap.complete()


def test_an_unspecified_reason_finishes_nothing() -> None:
    assert not feed(DIALECT, data(chunk({"text": "a"}, finish="FINISH_REASON_UNSPECIFIED")))[
        0
    ].complete()


def test_a_stream_that_merely_stops_is_not_complete() -> None:
    assert not feed(DIALECT, data(*CHUNKS[:-1]))[0].complete()
    assert not feed(DIALECT, b"")[0].complete()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "m"}, 429),
        ({"code": 503, "status": "UNAVAILABLE"}, 503),
        ({"status": "INTERNAL"}, 500),
        ({"status": "DEADLINE_EXCEEDED"}, 504),
        ({"message": "m"}, 502),
    ],
)
def test_an_error_chunk_stands_for_its_status(error: dict[str, Any], status: int) -> None:
    tap, flags = feed(DIALECT, data({"error": error}))

    assert flags == "E"
    assert tap.error is not None
    assert (tap.error.cause, tap.error.status) == (Cause.IN_BAND, status)


def test_an_error_may_say_when_to_come_back() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "22s"}]

    tap, _ = feed(DIALECT, data({"error": {"code": 429, "details": details}}))

    assert tap.error is not None
    assert tap.error.retry_after == 22


@pytest.mark.parametrize("payload", [b"hello", b"[]", b"null", b'{"candidates":'])
def test_what_is_no_object_is_bad(payload: bytes) -> None:
    tap, flags = feed(DIALECT, data(payload))

    assert flags == "B"
    assert tap.bad == 1


def test_heartbeats_and_a_foreign_end_are_nothing() -> None:
    assert feed(DIALECT, data(b"", b"[DONE]"))[1] == "- -"


@pytest.mark.parametrize(
    ("payload", "flags"),
    [
        ({"candidates": [{"index": "0", "content": {"parts": [{"text": "a"}]}}]}, "C"),
        ({"candidates": [{"content": {"parts": [{"text": 1}]}, "finishReason": "STOP"}]}, "CF"),
        ({"candidates": {"odd": 1}}, "-"),
        ({"candidates": [[], {"content": []}]}, "-"),
        ({"candidates": "x", "error": "m"}, "E"),
    ],
)
def test_odd_types_are_forgiven(payload: dict[str, Any], flags: str) -> None:
    tap, seen = feed(DIALECT, data(payload))

    assert seen == flags
    assert tap.bad == 0


def test_broken_characters_are_content_all_the_same() -> None:
    tap, flags = feed(DIALECT, data(b'{"candidates":[{"content":{"parts":[{"text":"\xff"}]}}]}'))

    assert flags == "C"
    assert tap.bad == 1


def test_a_whole_body_is_an_answer() -> None:
    tap = DIALECT.tap()

    assert tap.body(orjson.dumps(CHUNKS[-1])) == CONTENT | FINISH
    assert tap.complete()
    assert tap.usage == Usage(input=10, cache_read=40, output=12, reasoning=5)


@pytest.mark.parametrize("indent", [None, orjson.OPT_INDENT_2])
def test_a_stream_as_one_array_is_read_when_it_is_whole(indent: int | None) -> None:
    raw = orjson.dumps(CHUNKS, option=indent).replace(b"},{", b"}\n,\r\n{")
    tap = DIALECT.tap()

    assert letters(tap.body(raw)) == "CF"
    assert tap.complete()
    assert tap.usage == Usage(input=10, cache_read=40, output=12, reasoning=5)


@pytest.mark.parametrize(
    ("payload", "flags"),
    [
        ({"totalTokens": 31}, CONTENT | FINISH),
        ({"embedding": {"values": [0.1]}, "usageMetadata": USAGE}, CONTENT | FINISH),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, CONTENT | FINISH),
        ({"candidates": [{"finishReason": "SAFETY"}]}, CONTENT | FINISH),
        ({"candidates": [{"content": {"parts": [{"text": "no reason"}]}}]}, CONTENT | FINISH),
        ({"candidates": [], "usageMetadata": USAGE}, BAD),
        ({"usageMetadata": USAGE, "modelVersion": "g"}, BAD),
        ({}, BAD),
        ([], BAD),
        ([1], BAD),
        ("text", BAD),
        ({"error": {"code": 400}}, ERROR),
        ([{"error": {"code": 400}}], ERROR),
    ],
)
def test_bodies_are_told_apart(payload: Any, flags: int) -> None:
    assert DIALECT.tap().body(orjson.dumps(payload)) == flags


def test_half_an_array_is_no_body() -> None:
    assert DIALECT.tap().body(orjson.dumps(CHUNKS)[:-1]) == BAD


def test_a_chunk_too_long_to_hold_is_read_from_its_end() -> None:
    tail = b'AAAA"}}]},"finishReason": "STOP","index": 0}],"usageMetadata": %b}\r\n\r\n'
    tap = DIALECT.tap()

    flags = tap.oversized(b'data: {"candidates":[{"content":{', tail % orjson.dumps(USAGE))

    assert letters(flags) == "CF"
    assert tap.usage == Usage(input=10, cache_read=40, output=12, reasoning=5)


def test_a_long_chunk_may_be_followed_by_more() -> None:
    tap = DIALECT.tap()

    assert letters(tap.oversized(b"data: {", b'AA"}}]}}]}\r\n\r\n')) == "C"
    assert not tap.complete()


@pytest.mark.parametrize(
    ("code", "number", "status"),
    [
        ("upstream_truncated", 503, "UNAVAILABLE"),
        ("upstream_idle_timeout", 504, "DEADLINE_EXCEEDED"),
    ],
)
def test_a_broken_stream_ends_with_an_error(code: str, number: int, status: str) -> None:
    event = DIALECT.render_stream_error(code, "It broke.", "req-1", 0)

    assert feed(DIALECT, event)[1] == "E"
    assert orjson.loads(event[6:]) == {
        "error": {"code": number, "message": "It broke.", "status": status}
    }


@settings(deadline=None)
@given(st.binary(max_size=60), st.sampled_from([b"", b"error"]))
def test_any_bytes_get_flags(payload: bytes, name: bytes) -> None:
    tap = DIALECT.tap()

    assert tap.event(name, payload) in range(32)
    assert tap.body(payload) in range(32)
    tap.oversized(payload, payload)
