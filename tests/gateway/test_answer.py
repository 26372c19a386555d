"""What a response must be before a client hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.errors import Cause
from proxy.gateway import answer
from proxy.gateway.answer import HOLD, UNFRAMED, Gate, Kind
from tests.gateway.rig import Rig
from tests.line.streams import (
    CHAT,
    CHUNKED,
    LAST_CHUNK,
    MESSAGES,
    RESPONSES,
    STREAMS,
    WRITINGS,
    chunk,
)

SSE = [(b"content-type", b"text/event-stream; charset=utf-8")]
JSON = [(b"content-type", b"application/json")]
GOOD = b'{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]}'
ERROR = b'{"error":{"message":"Overloaded","code":503}}'


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def gate(
    loop: asyncio.AbstractEventLoop,
    name: str = "chat",
    *,
    eager: bool = False,
    stream: bool = True,
    hide_usage: bool = False,
    query: str = "alt=sse",
) -> Gate:
    rig = Rig(loop, name, eager=eager, stream=stream, hide_usage=hide_usage, query=query)
    return rig.gate


def failed(gate: Gate) -> Cause | None:
    """Why the attempt gives no answer."""
    assert not gate.opened
    assert gate.done.done() is (gate.error is not None)
    return gate.error.cause if gate.error is not None else None


def opened(gate: Gate) -> bool:
    assert gate.error is None
    assert gate.done.done() is gate.opened
    return gate.opened


# How a body is read


@pytest.mark.parametrize(
    ("name", "stream", "status", "content_type", "kind"),
    [
        ("chat", True, 200, b"text/event-stream", Kind.EVENTS),
        ("chat", True, 200, b"Text/Event-Stream;charset=UTF-8", Kind.EVENTS),
        ("chat", True, 200, b"", Kind.EVENTS),
        ("chat", True, 200, b"text/plain", Kind.EVENTS),
        ("chat", True, 200, b"application/json", Kind.WHOLE),
        ("chat", False, 200, b"text/event-stream", Kind.EVENTS),
        ("chat", False, 200, b"application/json; charset=utf-8", Kind.WHOLE),
        ("chat", False, 200, b"", Kind.WHOLE),
        ("chat", False, 201, b"text/plain", Kind.WHOLE),
        ("chat", True, 200, b"text/html", Kind.ERROR),
        ("speech", False, 200, b"text/html; charset=utf-8", Kind.ERROR),
        ("speech", False, 200, b"audio/mpeg", Kind.BYTES),
        ("speech", False, 200, b"text/event-stream", Kind.EVENTS),
        ("embeddings", False, 200, b"application/json", Kind.WHOLE),
        ("chat", True, 302, b"text/event-stream", Kind.ERROR),
        ("chat", True, 429, b"application/json", Kind.ERROR),
        ("chat", False, 500, b"", Kind.ERROR),
    ],
)
def test_status_and_content_type_decide_how_a_body_is_read(
    name: str,
    stream: bool,
    status: int,
    content_type: bytes,
    kind: Kind,
    loop: asyncio.AbstractEventLoop,
) -> None:
    found = gate(loop, name, stream=stream)
    found.head(status, [(b"content-type", content_type)] if content_type else [])

    assert found.kind is kind


# Streams


@pytest.mark.parametrize("name", ["chat", "responses", "messages"])
def test_what_comes_before_the_content_is_held_while_another_candidate_is_left(
    name: str, loop: asyncio.AbstractEventLoop
) -> None:
    stream = STREAMS[name]
    found = gate(loop, name, eager=False)
    found.head(200, SSE)

    for event in stream.opening:
        found.body(event)
        assert not opened(found)
    found.body(stream.content[0])

    assert opened(found)
    assert found.held == b"".join(stream.opening) + stream.content[0]
    assert found.scanned == len(found.held)


@pytest.mark.parametrize("name", ["chat", "responses", "messages"])
def test_the_last_candidate_is_given_to_the_client_with_its_first_event(
    name: str, loop: asyncio.AbstractEventLoop
) -> None:
    found = gate(loop, name, eager=True)
    found.head(200, SSE)
    first = STREAMS[name].opening[0]

    found.body(first[:-1])
    assert not opened(found)
    found.body(first[-1:])
    assert opened(found)


@pytest.mark.parametrize("eager", [True, False])
def test_comments_are_no_answer(eager: bool, loop: asyncio.AbstractEventLoop) -> None:
    found = gate(loop, eager=eager)
    found.head(200, SSE)

    found.body(b": hello\n\n: still here\n\nevent: ping\n\n")

    assert not opened(found)


def test_more_than_a_few_kilobytes_are_not_held_back(loop: asyncio.AbstractEventLoop) -> None:
    found = gate(loop, "messages")
    found.head(200, SSE)
    found.body(MESSAGES.opening[0])
    ping = b'event: ping\ndata: {"type":"ping"}\n\n'

    while len(found.held) <= HOLD:
        assert not opened(found)
        found.body(ping)

    assert opened(found)


def test_an_event_too_long_to_hold_opens(loop: asyncio.AbstractEventLoop) -> None:
    found = gate(loop)
    found.head(200, SSE)

    found.body(b'data: {"choices":[{"delta":{"content":"')
    found.body(b"x" * UNFRAMED)

    assert opened(found)
    assert found.scanned == 0


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("lifecycle", [False, True])
def test_an_error_before_the_content_is_a_failed_attempt(
    name: str, lifecycle: bool, loop: asyncio.AbstractEventLoop
) -> None:
    stream = STREAMS[name]
    found = gate(loop, name)
    found.head(200, SSE)

    if lifecycle:
        found.body(b"".join(stream.opening))
    found.body(stream.error)

    assert failed(found) is Cause.IN_BAND
    assert found.error is not None
    assert found.error.status in (503, 529)


def test_an_error_in_the_same_read_as_content_is_a_failed_attempt(
    loop: asyncio.AbstractEventLoop,
) -> None:
    found = gate(loop, eager=True)
    found.head(200, SSE)

    found.body(CHAT.begun + CHAT.error)

    assert failed(found) is Cause.IN_BAND


def test_a_response_that_failed_before_it_said_anything_is_a_failed_attempt(
    loop: asyncio.AbstractEventLoop,
) -> None:
    found = gate(loop, "responses")
    found.head(200, SSE)
    found.body(RESPONSES.opening[0])

    found.body(
        b'event: response.failed\ndata: {"type":"response.failed","sequence_number":1,"response":'
        b'{"status":"failed","error":{"code":"rate_limit_exceeded","message":"Slowly."}}}\n\n'
    )

    assert failed(found) is Cause.IN_BAND
    assert found.error is not None
    assert found.error.status == 429


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"\n<html>\n\n",
        b"SSH-2.0",
        b'{"choices":[]}\n\n',
        b"data: {not json}\n\n",
        b": fine\n\ndata: [1]\n\n",
        b"data: {}\nwhat is this\n\n",
    ],
)
def test_what_is_no_stream_is_malformed(body: bytes, loop: asyncio.AbstractEventLoop) -> None:
    found = gate(loop)
    found.head(200, SSE)

    found.body(body)

    assert failed(found) is Cause.MALFORMED


def test_a_coding_nobody_asked_for_is_malformed_in_a_stream(
    loop: asyncio.AbstractEventLoop,
) -> None:
    found = gate(loop)
    found.head(200, [*SSE, (b"content-encoding", b"br")])

    found.body(CHAT.begun)

    assert failed(found) is Cause.MALFORMED


def test_nor_is_it_an_answer_in_sound(loop: asyncio.AbstractEventLoop) -> None:
    found = gate(loop, "speech", stream=False)
    found.head(200, [(b"content-type", b"audio/mpeg"), (b"content-encoding", b"br")])

    found.body(b"\x0b\x02\x80hello\x03")

    assert failed(found) is Cause.MALFORMED


@pytest.mark.parametrize("body", [b"", b"\n", b"\r\n\r\n"])
def test_nothing_is_no_answer(body: bytes, loop: asyncio.AbstractEventLoop) -> None:
    found = gate(loop)
    found.head(200, SSE)
    if body:
        found.body(body)

    found.end()

    assert failed(found) is Cause.EMPTY


@pytest.mark.parametrize("name", ["chat", "responses", "messages"])
@pytest.mark.parametrize("half", [b"", b'data: {"choi'])
def test_a_stream_that_ends_before_the_content_is_truncated(
    name: str, half: bytes, loop: asyncio.AbstractEventLoop
) -> None:
    found = gate(loop, name)
    found.head(200, SSE)
    found.body(b"".join(STREAMS[name].opening) + half)

    found.end()

    assert failed(found) is Cause.TRUNCATED


@pytest.mark.parametrize("name", STREAMS)
def test_an_answer_may_be_empty_if_it_has_an_end(
    name: str, loop: asyncio.AbstractEventLoop
) -> None:
    stream = STREAMS[name]
    found = gate(loop, name)
    found.head(200, SSE)

    found.body(b"".join(stream.opening) + stream.finish + stream.end)
    found.end()

    assert opened(found)


def test_a_finish_reason_alone_is_an_end(loop: asyncio.AbstractEventLoop) -> None:
    found = gate(loop)
    found.head(200, SSE)

    found.body(b"".join(CHAT.opening) + CHAT.finish)
    assert not opened(found)
    found.end()

    assert opened(found)
    assert found.tap.closing == CHAT.end


def test_usage_that_is_to_be_hidden_is_taken_out_of_what_is_held(
    loop: asyncio.AbstractEventLoop,
) -> None:
    found = gate(loop, hide_usage=True)
    found.head(200, SSE)
    tail = CHAT.finish[:10]

    found.body(CHAT.opening[0] + CHAT.usage + CHAT.content[0] + CHAT.usage + tail)

    assert opened(found)
    assert found.held == CHAT.opening[0] + CHAT.content[0] + tail
    assert found.held[found.scanned :] == tail


def test_what_comes_until_the_relay_takes_over_is_kept(loop: asyncio.AbstractEventLoop) -> None:
    found = gate(loop)
    found.head(200, SSE)
    found.body(CHAT.begun)
    found.body(CHAT.rest)
    found.end()

    assert found.held == CHAT.whole
    assert found.scanned == len(CHAT.begun)
    assert found.ended


def test_a_provider_that_is_too_fast_is_held_until_the_relay_takes_over(
    loop: asyncio.AbstractEventLoop,
) -> None:
    rig = Rig(loop)
    rig.upstream.data_received(CHUNKED + chunk(CHAT.begun))
    rig.upstream.data_received(chunk(CHAT.content[3] * 100))
    assert rig.up.is_reading()

    while len(rig.gate.held) <= UNFRAMED:
        rig.upstream.data_received(chunk(CHAT.content[3] * 100))
    assert not rig.up.is_reading()

    held = rig.gate.held
    rig.open()
    assert rig.up.is_reading()
    assert rig.body == held
    rig.close()


def test_a_connection_held_at_the_end_of_its_message_is_let_go(
    loop: asyncio.AbstractEventLoop,
) -> None:
    rig = Rig(loop)
    rig.upstream.data_received(CHUNKED + chunk(CHAT.begun))

    rig.upstream.data_received(chunk(CHAT.content[3] * 1000 + CHAT.rest) + LAST_CHUNK)

    assert rig.released == 1
    assert rig.up.is_reading(), "it may be in the pool already"
    rig.open()
    assert rig.complete
    rig.close()


@settings(max_examples=100)
@given(
    st.sampled_from(list(STREAMS)),
    st.sampled_from(list(WRITINGS)),
    st.lists(st.integers(1, 3000), max_size=30),
    st.booleans(),
)
def test_the_gate_opens_for_every_good_stream_wherever_it_is_cut(
    name: str, writing: str, cuts: list[int], eager: bool
) -> None:
    loop = asyncio.new_event_loop()
    stream = WRITINGS[writing](STREAMS[name].whole)
    found = gate(loop, name, eager=eager)
    found.head(200, SSE)
    ends = sorted({0, len(stream), *(at % len(stream) for at in cuts)})

    for start, end in pairwise(ends):
        found.body(stream[start:end])
    found.end()

    assert opened(found)
    assert found.held == stream
    loop.close()


@given(st.binary(max_size=200), st.integers(0, 200))
def test_no_bytes_make_the_gate_raise(data: bytes, at: int) -> None:
    loop = asyncio.new_event_loop()
    for headers in (SSE, JSON, []):
        for stream in (True, False):
            found = gate(loop, stream=stream)
            found.head(200, headers)
            for piece in (data[:at], data[at:]):
                if piece:
                    found.body(piece)
            found.end()

            assert found.opened is (found.error is None)
    loop.close()


# Losing the connection, and time


def test_a_connection_lost_before_the_content_is_a_failed_attempt(
    loop: asyncio.AbstractEventLoop,
) -> None:
    rig = Rig(loop, eager=False)
    rig.feed(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 999\r\n\r\n")
    rig.feed(CHAT.opening[0])
    rig.eof(ConnectionResetError())

    assert failed(rig.gate) is Cause.TRUNCATED
    assert rig.down.written == b""


def test_a_connection_lost_after_the_content_is_for_the_relay(
    loop: asyncio.AbstractEventLoop,
) -> None:
    rig = Rig(loop, eager=False)
    rig.upstream.data_received(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\n"
        + CHAT.begun
    )
    rig.upstream.connection_lost(ConnectionResetError())

    assert opened(rig.gate)
    assert rig.gate.lost_error is not None
    assert rig.gate.lost_error.cause is Cause.TRUNCATED


def test_an_error_status_stands_even_if_its_body_is_cut(loop: asyncio.AbstractEventLoop) -> None:
    rig = Rig(loop)
    rig.feed(b"HTTP/1.1 429 No\r\nretry-after: 7\r\ncontent-length: 999\r\n\r\n", b'{"err')
    rig.eof(ConnectionResetError())

    assert failed(rig.gate) is Cause.RATE_LIMIT
    assert rig.gate.error is not None
    assert rig.gate.error.retry_after == 7
    assert rig.gate.error.body == b'{"err'


def test_time_is_up_only_until_the_gate_opens(loop: asyncio.AbstractEventLoop) -> None:
    late = gate(loop)
    late.head(200, SSE)
    late.body(CHAT.opening[0])
    late.expire()
    late.body(CHAT.content[0])
    assert failed(late) is Cause.TIMEOUT_TTFT

    early = gate(loop)
    early.head(200, SSE)
    early.body(CHAT.begun)
    early.expire()
    assert opened(early)


def test_the_first_failure_counts(loop: asyncio.AbstractEventLoop) -> None:
    found = gate(loop)
    found.head(200, SSE)
    found.body(CHAT.error)
    found.end()
    found.expire()

    assert failed(found) is Cause.IN_BAND


# Whole bodies


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (GOOD, None),
        (b" " + GOOD + b"\n", None),
        (b"", Cause.EMPTY),
        (ERROR, Cause.IN_BAND),
        (GOOD[:-10], Cause.MALFORMED),
        (b"[]", Cause.MALFORMED),
        (b"null", Cause.MALFORMED),
        (b"<html></html>", Cause.MALFORMED),
        (b"{}", Cause.MALFORMED),
        (b'{"choices":[]}', Cause.MALFORMED),
    ],
)
def test_a_whole_body_is_read_before_the_client_hears_of_it(
    body: bytes, cause: Cause | None, loop: asyncio.AbstractEventLoop
) -> None:
    found = gate(loop, stream=False)
    found.head(200, JSON)
    for at in range(0, len(body), 9):
        found.body(body[at : at + 9])
        assert not opened(found)

    found.end()

    if cause is None:
        assert opened(found)
        assert found.held == body
    else:
        assert failed(found) is cause


def test_a_coding_nobody_can_undo_is_malformed(loop: asyncio.AbstractEventLoop) -> None:
    found = gate(loop, stream=False)
    found.head(200, [*JSON, (b"content-encoding", b"br")])
    found.body(GOOD)
    found.end()

    assert failed(found) is Cause.MALFORMED


def test_a_body_without_end_is_malformed(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer, "MAX_WHOLE", 10_000)
    found = gate(loop, stream=False)
    found.head(200, JSON)
    for _ in range(11):
        found.body(b" " * 1000)

    assert failed(found) is Cause.MALFORMED


def test_an_error_body_without_end_is_not_waited_for(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer, "MAX_ERROR_BODY", 10_000)
    found = gate(loop)
    found.head(503, JSON)
    for _ in range(11):
        found.body(b" " * 1000)

    assert failed(found) is Cause.SERVER


@pytest.mark.parametrize(
    ("status", "body", "cause"),
    [
        (302, b"moved", Cause.REDIRECT),
        (400, b'{"error":{"code":"context_length_exceeded"}}', Cause.CONTEXT),
        (401, b"", Cause.AUTH),
        (404, b"<html>", Cause.NOT_FOUND),
        (500, ERROR, Cause.SERVER),
    ],
)
def test_a_refusal_is_what_the_dialect_makes_of_it(
    status: int, body: bytes, cause: Cause, loop: asyncio.AbstractEventLoop
) -> None:
    found = gate(loop)
    found.head(status, JSON)
    if body:
        found.body(body)
    found.end()

    assert failed(found) is cause
    assert found.error is not None
    assert found.error.body == body


def test_a_web_page_is_no_answer(loop: asyncio.AbstractEventLoop) -> None:
    found = gate(loop, stream=False)
    found.head(200, [(b"content-type", b"text/html")])
    found.body(b"<!doctype html>Sign in")
    found.end()

    assert failed(found) is Cause.MALFORMED


# Bytes


def test_bytes_open_at_once(loop: asyncio.AbstractEventLoop) -> None:
    found = gate(loop, "speech", stream=False)
    found.head(200, [(b"content-type", b"audio/mpeg")])
    found.body(b"ID3")

    assert opened(found)
    assert found.held == b"ID3"


def test_no_bytes_are_no_answer(loop: asyncio.AbstractEventLoop) -> None:
    found = gate(loop, "speech", stream=False)
    found.head(200, [(b"content-type", b"audio/mpeg")])
    found.end()

    assert failed(found) is Cause.EMPTY


def test_an_array_opens_with_its_first_item(loop: asyncio.AbstractEventLoop) -> None:
    found = gate(loop, "gemini", query="")
    found.head(200, JSON)

    found.body(b"\n[")
    assert not opened(found)
    found.body(b'{"candidates":')
    assert opened(found)


def test_an_array_of_an_error_is_no_answer(loop: asyncio.AbstractEventLoop) -> None:
    found = gate(loop, "gemini", query="")
    found.head(200, JSON)

    found.body(b'[{"error":{"code":503}}')
    found.body(b"]")
    found.end()

    assert failed(found) is Cause.IN_BAND
    assert found.error is not None
    assert found.error.status == 503


def test_an_array_that_only_speaks_of_an_error_is_one(loop: asyncio.AbstractEventLoop) -> None:
    found = gate(loop, "gemini", query="")
    found.head(200, JSON)
    body = b'[{"candidates":[{"content":{"parts":[{"text":"\\"error\\""}]}}]}]'

    found.body(body[:5])
    found.body(body[5:])
    found.end()

    assert opened(found)
    assert found.held == body


def test_an_object_where_an_array_was_due_is_read_whole(loop: asyncio.AbstractEventLoop) -> None:
    found = gate(loop, "gemini", query="")
    found.head(200, JSON)

    found.body(b'{"error":')
    found.body(b'{"code":503,"status":"UNAVAILABLE"}}')
    found.end()

    assert failed(found) is Cause.IN_BAND
    assert found.error is not None
    assert found.error.status == 503
