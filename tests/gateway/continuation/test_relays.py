"""Streams that are left open when they break off, on the line without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import orjson
import pytest

from proxy.core.errors import Cause
from proxy.dialects import ir
from proxy.gateway.attempt import End
from proxy.gateway.continuation.relays import (
    OpenEventRelay,
    OpenTranslatingRelay,
    error_of,
    mark,
    may_leave_open,
)
from proxy.gateway.relay import BytesRelay, EventRelay
from proxy.gateway.response import respond
from proxy.gateway.translating import TranslatingRelay
from tests.gateway.rig import Rig
from tests.line.streams import CHAT, CHUNKED, GEMINI, LAST_CHUNK, MESSAGES, Stream, chunk

BODY = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}'
CLAUDE = BODY.replace(b"{", b'{"max_tokens":9,', 1)
BAD = b"data: not JSON\n\n"


class OpenRig(Rig):
    """The same, of a model whose streams can go on elsewhere."""

    def open(self) -> None:
        if self.gate.opened and not self.exchange.head_sent:
            if self.attempt.translation is not None:
                self.attempt.error = self.attempt.translate()
            call = respond(
                self.exchange,
                self.attempt,
                cast("Any", self.client),
                self.write_timeout,
                [],
                left_open=may_leave_open,
            )
            try:
                call.send(None)
            except StopIteration:
                pass
            self._call = call

    @property
    def left(self) -> OpenEventRelay | OpenTranslatingRelay:
        assert isinstance(self.relay, OpenEventRelay | OpenTranslatingRelay)
        return self.relay


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that does not run: nothing between these calls waits for anything."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture(params=["passed", "translated"])
def rig(loop: asyncio.AbstractEventLoop, request: pytest.FixtureRequest) -> Iterator[OpenRig]:
    """A chat client's stream, from a provider that speaks the same or `messages`."""
    passed = request.param == "passed"
    made = OpenRig(loop, "chat", language="" if passed else "anthropic.messages", body=BODY)
    yield made
    made.close()


def stream_of(rig: OpenRig) -> Stream:
    return CHAT if rig.attempt.translation is None else MESSAGES


def begin(rig: OpenRig) -> None:
    rig.feed(CHUNKED, chunk(stream_of(rig).begun))


def test_a_stream_that_breaks_off_is_left_open(rig: OpenRig) -> None:
    begin(rig)
    rig.eof()

    assert rig.left.left_open
    assert rig.left.reason is End.TRUNCATED
    assert rig.left.done.done()
    assert not rig.down.closed
    assert b'"error"' not in rig.body
    assert "が回る" in rig.left.sent.text
    assert rig.client.flow is None


def test_an_event_that_is_none_is_the_end_of_it(rig: OpenRig) -> None:
    begin(rig)
    rig.feed(chunk(BAD))
    assert rig.left.left_open
    assert rig.left.reason is End.MALFORMED
    assert b"not JSON" not in rig.body


def test_what_the_provider_calls_an_error_is_kept_back(rig: OpenRig) -> None:
    begin(rig)
    rig.feed(chunk(stream_of(rig).content[3] + stream_of(rig).error))
    assert rig.left.left_open
    assert rig.left.reason is End.ERROR_EVENT
    assert b"verloaded" not in rig.body
    assert "🌊" in rig.body.decode()
    assert error_of(rig.left).cause is Cause.IN_BAND

    rig.left.give_up(End.ERROR_EVENT)
    assert b'"error"' in rig.body
    assert rig.down.closed


def test_one_that_nobody_goes_on_with_ends_as_any_other(rig: OpenRig) -> None:
    begin(rig)
    rig.eof()
    rig.left.give_up(End.TRUNCATED)

    assert b"upstream_truncated" in rig.body
    assert not rig.left.left_open
    assert rig.down.closed
    assert not rig.complete


def test_a_whole_stream_is_whole(rig: OpenRig) -> None:
    begin(rig)
    rig.feed(chunk(stream_of(rig).rest), LAST_CHUNK)
    assert rig.complete
    assert not rig.left.left_open
    assert rig.left.reason is End.DONE


@pytest.mark.parametrize("reason", [End.DEADLINE, End.RESTART, End.CLIENT_DEADLINE])
def test_who_has_no_time_does_not_go_on(rig: OpenRig, reason: End) -> None:
    begin(rig)
    rig.left.break_off(reason)
    assert not rig.left.left_open
    assert rig.down.closed


def test_a_request_that_is_at_fault_goes_nowhere_else(loop: asyncio.AbstractEventLoop) -> None:
    error = b'data: {"error":{"message":"no","type":"invalid_request_error","code":400}}\n\n'
    rig = OpenRig(loop, "chat", body=BODY)
    rig.feed(CHUNKED, chunk(CHAT.begun), chunk(error))
    assert not rig.left.left_open
    assert rig.body.endswith(error)
    assert rig.down.closed
    rig.close()


def test_half_of_an_event_cannot_be_taken_back(loop: asyncio.AbstractEventLoop) -> None:
    rig = OpenRig(loop, "chat", body=BODY)
    long = b'data: {"id":"c1","choices":[{"index":0,"delta":{"content":"' + b"x" * 70_000
    rig.feed(CHUNKED, chunk(CHAT.begun), chunk(long))
    rig.eof()
    assert not rig.left.left_open
    assert rig.down.closed
    rig.close()


def test_an_event_too_long_to_be_looked_at_spoils_the_rest(
    loop: asyncio.AbstractEventLoop,
) -> None:
    rig = OpenRig(loop, "chat", body=BODY)
    long = b'data: {"id":"c1","choices":[{"index":0,"delta":{"content":"' + b"x" * 70_000
    rig.feed(CHUNKED, chunk(CHAT.begun), chunk(long), chunk(b'"}}]}\n\n'), chunk(CHAT.content[3]))
    rig.eof()
    assert not rig.left.left_open
    rig.close()


def test_a_client_that_is_gone_is_not_waited_for(rig: OpenRig) -> None:
    begin(rig)
    rig.down.abort()
    rig.eof()
    assert not rig.left.left_open


def test_who_is_no_stream_of_words_is_as_ever() -> None:
    made = OpenRig(asyncio.new_event_loop(), "embeddings", stream=False)
    assert may_leave_open(made.exchange, EventRelay) is EventRelay
    chat = OpenRig(made.attempt.gate.done.get_loop(), "chat")
    assert may_leave_open(chat.exchange, EventRelay) is OpenEventRelay
    assert may_leave_open(chat.exchange, TranslatingRelay) is OpenTranslatingRelay
    assert may_leave_open(chat.exchange, BytesRelay) is BytesRelay
    made.attempt.gate.done.get_loop().close()


def test_a_mark_is_a_comment_where_there_are_comments(loop: asyncio.AbstractEventLoop) -> None:
    rig = OpenRig(loop, "messages", body=CLAUDE)
    rig.feed(CHUNKED, chunk(MESSAGES.begun))
    assert mark(rig.relay) == b"\n: continued\n\n"
    google = OpenRig(loop, "gemini", body=b'{"contents":[{"parts":[{"text":"hi"}]}]}')
    google.feed(CHUNKED, chunk(GEMINI.begun))
    assert mark(google.relay) == b"\n"
    for one in (rig, google):
        one.close()


def test_what_a_client_is_told_goes_on_in_its_numbers(loop: asyncio.AbstractEventLoop) -> None:
    rig = OpenRig(loop, "messages", body=CLAUDE)
    rig.feed(CHUNKED, chunk(MESSAGES.begun))
    rig.eof()
    assert rig.left.left_open
    encoder = rig.left.sent.encoder
    assert encoder is not None
    data = encoder.encode(ir.TextDelta(0, "more")).partition(b"data: ")[2]
    assert orjson.loads(data)["index"] == 0
    rig.close()
