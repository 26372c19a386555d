"""Converse watched as it passes, and what its refusals mean."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.core.errors import Cause
from proxy.dialects import DIALECTS
from proxy.dialects.base import BAD, CONTENT, ERROR, FINISH, Tap, Usage
from proxy.dialects.bedrock.fields import FIELDS
from proxy.dialects.loss import FEATURES
from proxy.wire import eventstream

CONVERSE = DIALECTS["bedrock.converse"]
USAGE = {"inputTokens": 3, "outputTokens": 9, "totalTokens": 48, "cacheReadInputTokens": 30, "cacheWriteInputTokens": 6}  # fmt: skip


def seen(tap: Tap, name: str, data: Any) -> int:
    return tap.event(name.encode(), data if isinstance(data, bytes) else orjson.dumps(data))


def test_it_is_asked_by_path_and_answers_in_frames() -> None:
    codec = CONVERSE.codec
    assert codec is not None

    assert (codec.suffix, codec.stream_suffix) == ("/{model}/converse", "/{model}/converse-stream")
    assert (codec.parse_request, codec.render_response, codec.encoder) == (None, None, None)
    assert CONVERSE.framing.single is eventstream.single
    assert not CONVERSE.framing.comments


def test_every_field_is_a_feature() -> None:
    assert FIELDS.keys() <= FEATURES.keys()


def test_a_stream_passes() -> None:
    tap = CONVERSE.tap()

    flags = [
        seen(tap, "messageStart", {"role": "assistant"}),
        seen(tap, "contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": ""}}),
        seen(tap, "contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hi"}}),
        seen(tap, "contentBlockStop", {"contentBlockIndex": 0}),
        seen(tap, "messageStop", {"stopReason": "end_turn"}),
        seen(tap, "metadata", {"usage": USAGE}),
    ]

    assert flags == [0, 0, CONTENT, 0, FINISH, 0]
    assert tap.complete()
    assert tap.finish_reason == "end_turn"
    assert tap.usage == Usage(input=3, cache_read=30, cache_write=6, output=9)


@pytest.mark.parametrize(
    ("delta", "flags"),
    [
        ({"toolUse": {"input": '{"a"'}}, CONTENT),
        ({"toolUse": {"input": ""}}, 0),
        ({"reasoningContent": {"text": "Hm"}}, CONTENT),
        ({"reasoningContent": {"text": ""}}, 0),
        ({"reasoningContent": {"signature": "E"}}, CONTENT),
        ({"citation": {"title": "x"}}, CONTENT),
        ({"image": {"source": {"bytes": "AAAA"}}}, CONTENT),
        ({}, 0),
    ],
)
def test_a_delta_is_content_when_it_says_something(delta: Any, flags: int) -> None:
    assert seen(CONVERSE.tap(), "contentBlockDelta", {"delta": delta}) == flags


def test_a_call_is_content_by_its_name() -> None:
    start = {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t", "name": "f"}}}

    assert seen(CONVERSE.tap(), "contentBlockStart", start) == CONTENT
    assert seen(CONVERSE.tap(), "contentBlockStart", {"contentBlockIndex": 0}) == 0


def test_a_failure_inside_is_an_error() -> None:
    tap = CONVERSE.tap()
    (event,) = eventstream.events(
        eventstream.exception("throttlingException", b'{"message":"slow"}')
    )

    assert tap.event(event.name, event.data or b"") == ERROR
    assert tap.error is not None
    assert (tap.error.cause, tap.error.status) == (Cause.IN_BAND, 429)
    assert not tap.complete()


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("internalServerException", 500),
        ("modelStreamErrorException", 500),
        ("modelTimeoutException", 504),
        ("serviceUnavailableException", 503),
        ("validationException", 400),
        ("accessDeniedException", 403),
        ("somethingNewException", 502),
    ],
)
def test_an_exception_stands_for_a_status(word: str, status: int) -> None:
    tap = CONVERSE.tap()

    assert seen(tap, "error", {"type": word, "message": "x"}) == ERROR
    assert tap.error is not None
    assert tap.error.status == status


@pytest.mark.parametrize(
    ("name", "data", "flags", "bad"),
    [
        ("contentBlockDelta", b"{oops", BAD, 1),
        ("contentBlockDelta", b"[1]", BAD, 1),
        ("contentBlockDelta", b'{"delta":{"text":"\xff"}}', CONTENT, 0),
        ("contentBlockDelta", b'{"delta":null}', 0, 0),
        ("contentBlockDelta", b" ", 0, 0),
        ("contentBlockStart", b"{oops", BAD, 1),
        ("messageStop", b'{"stopReason":7}', FINISH, 0),
        ("metadata", b"oops", BAD, 1),
        ("metadata", b'{"usage":"no"}', 0, 0),
        ("somethingNew", b'{"x":1}', 0, 0),
        ("somethingNew", b"oops", BAD, 1),
        ("ping", b"", 0, 0),
    ],
)
def test_odd_events_are_odd(name: str, data: bytes, flags: int, bad: int) -> None:
    tap = CONVERSE.tap()

    assert seen(tap, name, data) == flags
    assert tap.bad == bad


def test_the_report_after_the_end_is_the_last() -> None:
    tap = CONVERSE.tap()
    seen(tap, "metadata", {"usage": {"inputTokens": 1, "outputTokens": 1}})
    seen(tap, "messageStop", {"stopReason": "end_turn"})
    seen(tap, "metadata", {"usage": USAGE})
    seen(tap, "metadata", {"usage": {"inputTokens": 7, "outputTokens": 7}})

    assert tap.usage == Usage(input=3, cache_read=30, cache_write=6, output=9)


def test_an_event_too_long_is_content() -> None:
    assert CONVERSE.tap().oversized(b"", b"") == CONTENT


def test_a_whole_answer_passes() -> None:
    tap = CONVERSE.tap()
    body = {"output": {"message": {}}, "stopReason": "max_tokens", "usage": USAGE}

    assert tap.body(orjson.dumps(body)) == CONTENT | FINISH
    assert (tap.finish_reason, tap.complete()) == ("max_tokens", True)
    assert tap.usage == Usage(input=3, cache_read=30, cache_write=6, output=9)


def test_a_count_of_tokens_is_an_answer() -> None:
    assert CONVERSE.tap().body(b'{"inputTokens":77}') == CONTENT | FINISH


@pytest.mark.parametrize(
    ("raw", "flags"),
    [
        (b'{"__type":"ServiceUnavailableException","message":"x"}', ERROR),
        (b'{"Output":{"__type":"x"}}', ERROR),
        (b"<html>", BAD),
        (b"[]", BAD),
        (b'{"output":{},"stopReason":7}', CONTENT | FINISH),
    ],
)
def test_a_body_that_is_no_answer_is_none(raw: bytes, flags: int) -> None:
    assert CONVERSE.tap().body(raw) == flags


# --- refusals ---


@pytest.mark.parametrize(
    ("status", "name", "message", "cause"),
    [
        (400, "ValidationException", "Malformed input request", Cause.CLIENT),
        (400, "ValidationException", "Input is too long for requested model.", Cause.CONTEXT),
        (400, "ValidationException", "prompt is too long: 215000 tokens > 200000 maximum", Cause.CONTEXT),
        (400, "ValidationException", "Number of input tokens exceeds maximum length.", Cause.CONTEXT),
        (400, "ValidationException", "The provided model identifier is invalid.", Cause.NOT_FOUND),
        (
            400, "ValidationException",
            "Invocation of model ID a with on-demand throughput isn't supported.", Cause.NOT_FOUND,
        ),
        (400, "ServiceQuotaExceededException", "x", Cause.QUOTA),
        (403, "AccessDeniedException", "You don't have access to the model with the specified model ID.", Cause.NOT_FOUND),
        (403, "AccessDeniedException", "User is not authorized to perform: bedrock:InvokeModel", Cause.AUTH),
        (403, "UnrecognizedClientException", "The security token is invalid.", Cause.AUTH),
        (400, "IncompleteSignatureException", "x", Cause.AUTH),
        (404, "ResourceNotFoundException", "end of its life", Cause.NOT_FOUND),
        (408, "ModelTimeoutException", "x", Cause.SERVER),
        (424, "ModelErrorException", "x", Cause.SERVER),
        (429, "ThrottlingException", "Too many tokens, please wait before trying again.", Cause.RATE_LIMIT),
        (429, "ThrottlingException", "Too many tokens per day, please wait.", Cause.QUOTA),
        (429, "ModelNotReadyException", "x", Cause.SERVER),
        (500, "InternalServerException", "x", Cause.SERVER),
        (503, "ServiceUnavailableException", "Bedrock is unable to process your request.", Cause.SERVER),
    ],
)  # fmt: skip
def test_an_exception_means_what_its_name_says(
    status: int, name: str, message: str, cause: Cause
) -> None:
    body = orjson.dumps({"message": message})
    header = (b"x-amzn-errortype", f"{name}:http://internal.amazon.com/coral/".encode())

    by_header = CONVERSE.parse_error(status, [header], body)
    typed = orjson.dumps({"__type": f"com.amazon.coral#{name}", "message": message})
    by_body = CONVERSE.parse_error(status, [], typed)

    assert by_header.cause is by_body.cause is cause
    assert by_header.status == status
    assert by_header.body == body


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"__type":7}', b"\xff"])
def test_any_refusal_is_one(body: bytes) -> None:
    assert CONVERSE.parse_error(418, [], body).cause is Cause.CLIENT
