"""Chat completions as OpenAI sends them, and as others do."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.errors import Cause
from proxy.dialects.base import BAD, CONTENT, ERROR, FINISH, Usage
from proxy.dialects.openai_chat import DIALECT
from tests.dialects.streams import CUTS, data, feed, holds_for_every_cut, letters

DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}


def chunk(delta: Any = None, finish: Any = None, index: Any = 0, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "choices": [choice], **more}


def usage_chunk(**usage: Any) -> dict[str, Any]:
    return {"id": "c", "choices": [], "usage": usage or USAGE}


def call(**function: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, "id": "x", "type": "function", "function": function}]}


STREAM = (
    data(
        chunk({"role": "assistant", "content": "", "refusal": None}, usage=None),
        chunk({"content": "Hallo 日本 \U0001f600"}, usage=None),
        chunk(call(name="f", arguments="")),
        chunk(call(arguments='{"a')),
        chunk({}, "tool_calls"),
        usage_chunk(),
    )
    + DONE
)


def test_a_stream_is_followed_to_its_end() -> None:
    tap, flags = feed(DIALECT, STREAM)

    assert flags == "- C C C - U F"
    assert tap.complete()
    assert tap.finish_reason == "tool_calls"
    assert tap.usage == Usage(input=10, output=4)
    assert tap.closing == b""
    assert tap.bad == 0
    assert tap.error is None


@settings(deadline=None, max_examples=40)
@given(CUTS, st.booleans(), st.booleans())
def test_no_cut_changes_what_a_stream_says(cuts: list[int], crlf: bool, commented: bool) -> None:
    stream = (b": hello\n\n" if commented else b"") + STREAM
    holds_for_every_cut(DIALECT, stream.replace(b"\n", b"\r\n") if crlf else stream, cuts)


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "a"},
        {"reasoning_content": "a"},
        {"reasoning": "a", "content": ""},
        {"refusal": "no"},
        call(name="f"),
        call(arguments="{}"),
        {"tool_calls": [{"type": "custom", "custom": {"name": "f", "input": ""}}]},
        {"tool_calls": [{"type": "custom", "custom": {"input": "x"}}]},
        {"function_call": {"name": "f"}},
        {"function_call": {"arguments": "{"}},
        {"audio": {"id": "a", "data": "UklG"}},
        {"images": [{"type": "image_url", "image_url": {"url": "data:,x"}}]},
        {"content": [{"type": "text", "text": "a list"}]},
        {"content": {"odd": 1}},
        {"tool_calls": {"odd": 1}},
    ],
)
def test_what_a_client_would_show_is_content(delta: dict[str, Any]) -> None:
    assert feed(DIALECT, data(chunk(delta)))[1] == "C"


@pytest.mark.parametrize(
    "delta",
    [
        None,
        {},
        {"role": "assistant"},
        {"role": "assistant", "content": ""},
        {"content": None},
        {"content": "", "reasoning": None, "tool_calls": []},
        call(name="", arguments=""),
        {"tool_calls": [{"index": 0, "id": "x"}]},
        {"function_call": {"arguments": ""}},
        [],
        "",
    ],
)
def test_what_only_opens_a_message_is_not(delta: Any) -> None:
    assert feed(DIALECT, data(chunk(delta)))[1] == "-"


def test_a_finish_reason_for_every_choice_completes_without_done() -> None:
    first = data(chunk({"content": "a"}), chunk({"content": "b"}, index=1), chunk({}, "stop"))

    assert not feed(DIALECT, first)[0].complete()
    tap = feed(DIALECT, first, data(chunk({}, "length", index=1)))[0]
    assert tap.complete()
    assert tap.closing == DONE


def test_done_completes_without_any_finish_reason() -> None:
    tap, flags = feed(DIALECT, data(chunk({"content": "a"})) + DONE)

    assert flags == "C F"
    assert tap.complete()
    assert tap.finish_reason is None


def test_a_stream_that_merely_stops_is_not_complete() -> None:
    assert not feed(DIALECT, data(chunk({"content": "a"})))[0].complete()
    assert not feed(DIALECT, b"")[0].complete()
    assert not feed(DIALECT, data(usage_chunk()))[0].complete()


@pytest.mark.parametrize("done", [b"data: [DONE]\n\n", b"data:[DONE]\n\n", b"data:  [DONE] \n\n"])
def test_done_may_be_spaced(done: bytes) -> None:
    assert feed(DIALECT, done)[1] == "F"


def test_the_last_report_counts_and_reports_are_never_added() -> None:
    tap, flags = feed(
        DIALECT,
        data(
            chunk({"content": "a"}, usage={"prompt_tokens": 10, "completion_tokens": 1}),
            chunk({"content": "b"}, usage={"prompt_tokens": 10, "completion_tokens": 2}),
            chunk({}, "stop", usage=None),
        ),
    )

    assert flags == "C C -"
    assert tap.usage == Usage(input=10, output=2)


def test_usage_inside_a_choice_is_found() -> None:
    last = chunk({}, "stop")
    last["choices"][0]["usage"] = USAGE

    assert feed(DIALECT, data(last))[0].usage == Usage(input=10, output=4)


def test_usage_beside_a_choice_is_not_usage_only() -> None:
    assert feed(DIALECT, data(chunk({"content": ""}, "stop", usage=USAGE)))[1] == "-"


def test_no_choices_and_no_usage_is_nothing() -> None:
    filters = {"choices": [], "prompt_filter_results": [{"prompt_index": 0}], "usage": None}

    assert feed(DIALECT, data(filters))[1] == "-"


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        ({"error": {"message": "m", "type": "server_error", "code": None}}, 500),
        ({"error": {"message": "m", "code": 429}}, 429),
        ({"error": {"message": "m", "code": "503"}}, 503),
        ({"error": {"message": "m", "code": "insufficient_quota", "type": "x"}}, 429),
        ({"error": {"message": "m", "type": "overloaded_error"}}, 529),
        ({"error": "something"}, 502),
        ({"error": {"message": "m", "code": 502}, "choices": [{"delta": {"content": ""}}]}, 502),
        ({"object": "error", "message": "m", "type": "BadRequestError", "code": 400}, 400),
        ({"message": "m", "type": "rate_limit_error"}, 429),
        ({"detail": "went wrong"}, 502),
    ],
)
def test_an_error_chunk_stands_for_its_status(payload: dict[str, Any], status: int) -> None:
    tap, flags = feed(DIALECT, data(payload))

    assert flags == "E"
    assert tap.error is not None
    assert tap.error.cause is Cause.IN_BAND
    assert tap.error.status == status
    assert not tap.complete()


@pytest.mark.parametrize("payload", [b'{"message":"m","code":500}', b"plain words", b'"text"'])
def test_an_event_named_error_is_one_whatever_it_holds(payload: bytes) -> None:
    assert feed(DIALECT, data(payload, name="error"))[1] == "E"


def test_a_null_error_is_none() -> None:
    assert feed(DIALECT, data(chunk({"content": "a"}, error=None)))[1] == "C"


def test_finish_reason_error_is_an_error() -> None:
    tap, flags = feed(DIALECT, data(chunk({"content": ""}, "error")))

    assert flags == "E"
    assert not tap.complete()


@pytest.mark.parametrize(
    "payload", [b"hello", b"<html>", b"[1]", b"null", b"12", b'"text"', b'{"a":', b"[" * 5000]
)
def test_what_is_no_object_is_bad(payload: bytes) -> None:
    tap, flags = feed(DIALECT, data(payload))

    assert flags == "B"
    assert tap.bad == 1


def test_an_empty_event_is_a_heartbeat() -> None:
    assert feed(DIALECT, b"data: \n\ndata:\n\n")[1] == "- -"


@pytest.mark.parametrize(
    "odd",
    [
        {"choices": [{"index": None, "delta": {"content": "a"}, "finish_reason": None}]},
        {"choices": [{"index": "0", "delta": {"content": "a"}}]},
        {"choices": [{"delta": {"content": "a", "tool_calls": "x"}}]},
        {"choices": [None, {"delta": {"content": "a"}}]},
    ],
)
def test_odd_types_are_forgiven(odd: dict[str, Any]) -> None:
    tap, flags = feed(DIALECT, data(odd))

    assert flags == "C"
    assert tap.bad == 0


def test_odd_chunks_still_count_and_finish() -> None:
    tap, _ = feed(
        DIALECT,
        data({"choices": [{"index": 1.5, "delta": [], "finish_reason": "stop"}], "usage": USAGE}),
    )

    assert tap.complete()
    assert tap.finish_reason == "stop"
    assert tap.usage == Usage(input=10, output=4)


@pytest.mark.parametrize(
    "text", [b'"\xff"', b'"\\ud83d"', b'"\\ude00 b"', b'"ok \xe4\xbd"', b'"\\\\ud83d \xff"']
)
def test_broken_characters_are_content_all_the_same(text: bytes) -> None:
    tap, flags = feed(DIALECT, data(b'{"choices":[{"index":0,"delta":{"content":%b}}]}' % text))

    assert flags == "C"
    assert tap.bad == 1


def test_many_choices_take_bounded_memory() -> None:
    many = data(*[chunk({"content": "a"}, "stop", index=index) for index in range(3000)])

    assert feed(DIALECT, many)[0].complete()


@pytest.mark.parametrize("index", [-5, 10**18])
def test_an_absurd_index_does_no_harm(index: int) -> None:
    assert feed(DIALECT, data(chunk({"content": "a"}, "stop", index=index)))[0].complete()


def body(**more: Any) -> bytes:
    message = {"role": "assistant", "content": "hi"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return orjson.dumps({"object": "chat.completion", "choices": [choice], "usage": USAGE, **more})


def test_a_whole_body_is_an_answer() -> None:
    tap = DIALECT.tap()

    assert tap.body(body(error=None)) == CONTENT | FINISH
    assert tap.complete()
    assert tap.finish_reason == "stop"
    assert tap.usage == Usage(input=10, output=4)


def test_a_body_without_usage_reports_none() -> None:
    tap = DIALECT.tap()

    assert tap.body(body(usage=None)) == CONTENT | FINISH
    assert tap.usage is None


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"<html>", b"null", b"{}", body(choices=[]), body(choices=None), b'{"id":"x"}'],
)
def test_a_body_without_an_answer_is_bad(raw: bytes) -> None:
    assert DIALECT.tap().body(raw) == BAD


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b'{"error":{"message":"m","code":429}}', 429),
        (b'{"error":{"message":"m","type":"overloaded_error"},"choices":[]}', 529),
        (b'{"error":"m","choices":{}}', 502),
        (b'{"object":"error","message":"m","code":400}', 400),
        (b'{"detail":"m"}', 502),
        (b'{"choices":[{"finish_reason":"error","error":{"code":502}}]}', 502),
    ],
)
def test_an_error_in_a_200_is_an_error(raw: bytes, status: int) -> None:
    tap = DIALECT.tap()

    assert tap.body(raw) == ERROR
    assert tap.error is not None
    assert tap.error.status == status


def test_a_body_of_odd_types_is_forgiven() -> None:
    raw = b'{"choices":[{"finish_reason":1}],"usage":{"prompt_tokens":3},"x":"\xff"}'
    tap = DIALECT.tap()

    assert tap.body(raw) == CONTENT | FINISH
    assert tap.usage == Usage(input=3)


def test_an_event_too_long_to_hold_is_read_from_its_end() -> None:
    tail = b'xxx"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
    tap = DIALECT.tap()

    assert letters(tap.oversized(b'data: {"choices":[{"delta":{"images":["', tail)) == "C"
    assert tap.complete()
    assert tap.usage == Usage(input=7, output=2)


def test_a_broken_stream_ends_with_an_error_and_no_done() -> None:
    event = DIALECT.render_stream_error("upstream_truncated", "It broke.", "req-1", 0)

    assert feed(DIALECT, event)[1] == "E"
    assert orjson.loads(event[6:]) == {
        "error": {
            "message": "It broke.",
            "type": "upstream_error",
            "param": None,
            "code": "upstream_truncated",
        }
    }


@settings(deadline=None)
@given(st.binary(max_size=60), st.sampled_from([b"", b"error", b"ping"]))
def test_any_bytes_get_flags(payload: bytes, name: bytes) -> None:
    tap = DIALECT.tap()

    assert tap.event(name, payload) in range(32)
    assert tap.body(payload) in (BAD, ERROR, CONTENT | FINISH)
    assert tap.oversized(payload, payload) == CONTENT
    assert tap.usage is None or tap.usage.input >= 0


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "delta", "index", "content", "finish_reason", "usage"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["choices", "usage", "error", "message"]), VALUES))
def test_any_object_gets_flags(payload: dict[str, Any]) -> None:
    raw = orjson.dumps(payload)
    tap = DIALECT.tap()

    assert not tap.event(b"", raw) & BAD
    assert tap.body(raw) in (BAD, ERROR, CONTENT | FINISH)
    assert tap.usage is None or tap.usage.output >= 0
