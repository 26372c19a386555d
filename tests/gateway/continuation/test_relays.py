"""Streams that are left open when they break off, on the line without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import orjson
import pytest

from proxy.core.errors import Cause
from proxy.dialects import ir
from proxy.dialects.base import Decoder
from proxy.gateway.attempt import End
from proxy.gateway.continuation.relays import (
    OpenEventRelay,
    OpenTranslatingRelay,
    SpliceRelay,
    error_of,
    mark,
    may_leave_open,
)
from proxy.gateway.continuation.rungs import RUNGS
from proxy.gateway.continuation.seam import Seam
from proxy.gateway.event_relay import EventRelay
from proxy.gateway.relay import BytesRelay
from proxy.gateway.response import respond
from proxy.gateway.translating import TranslatingRelay
from proxy.gateway.translation import Translation
from proxy.wire.sse import events
from tests.gateway.rig import Rig
from tests.line.streams import (
    CHAT,
    CHUNKED,
    GEMINI,
    LAST_CHUNK,
    MESSAGES,
    STREAMS,
    TEXT,
    Stream,
    chunk,
)

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


# --- every byte ---

BODIES = {
    "chat": BODY,
    "messages": CLAUDE,
    "gemini": b'{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}',
    "responses": b'{"model":"m","stream":true,"store":false,"input":"hi"}',
}
NAMES = {
    "chat": "openai.chat",
    "messages": "anthropic.messages",
    "gemini": "gemini.generate",
    "responses": "openai.responses",
}
TERMINAL = {
    "chat": b"data: [DONE]\n\n",
    "messages": b"event: message_stop\n",
    "gemini": b'"finishReason":"STOP"',
    "responses": b"event: response.completed\n",
}
SAID = "".join(orjson.loads(f'"{text}"') for text in TEXT)


def go_on(rig: OpenRig, client: str, second: Stream, rung: str = "match") -> SpliceRelay:
    """Whoever goes on answers whole, at once."""
    loop = rig.gate.done.get_loop()
    language = "" if second.name == client else NAMES[second.name]
    other = Rig(loop, client, language=language, body=BODIES[client], eager=False)
    other.upstream.data_received(CHUNKED + chunk(second.whole) + LAST_CHUNK)
    attempt, sent = other.attempt, rig.left.sent
    if attempt.translation is None:
        attempt.translation = Translation(other.exchange, attempt.candidate)

    def sew(decoder: Decoder) -> Seam:
        return Seam(decoder, RUNGS[rung](sent.text), sent, "", lambda: None)

    relay = SpliceRelay(rig.left, attempt, sew)
    relay.begin([])
    return relay


def text_in_body(body: bytes) -> str:
    """Of whatever dialect."""
    found = []
    for event in events(body.replace(b"\r\n\rdata", b"\r\n\r\ndata")):
        if event.data is None or event.data == b"[DONE]":
            continue
        value = orjson.loads(event.data)
        found += [one["delta"].get("content") or "" for one in value.get("choices", ())]
        for candidate in value.get("candidates", ()):
            found += [part.get("text", "") for part in candidate["content"]["parts"]]
        delta = value.get("delta")
        if isinstance(delta, str):
            found.append(delta)
        elif value.get("type") == "content_block_delta":
            found.append(delta["text"])
    return "".join(found)


@pytest.mark.parametrize(
    ("client", "first", "second"),
    [
        ("chat", "chat", "chat"),
        ("messages", "messages", "messages"),
        ("gemini", "gemini", "gemini"),
        ("chat", "messages", "gemini"),
        ("messages", "chat", "messages"),
        ("responses", "chat", "messages"),
    ],
)
def test_wherever_it_breaks_the_text_is_right_or_the_error_is_loud(
    loop: asyncio.AbstractEventLoop, client: str, first: str, second: str
) -> None:
    stream = STREAMS[first]
    language = "" if first == client else NAMES[first]
    finished = len(stream.whole) - len(stream.end)
    spliced = 0
    step = 1 if client == first == second == "messages" else 9
    for at in range(len(b"".join(stream.opening)) + 1, len(stream.whole), step):
        rig = OpenRig(loop, client, language=language, body=BODIES[client])
        rig.feed(CHUNKED, chunk(stream.whole[:at]))
        rig.eof()
        if rig.attempt.relay is not None and rig.left.left_open:
            relay = go_on(rig, client, STREAMS[second])
            assert relay.seam.joined, at
            spliced += 1
        if TERMINAL[client] in rig.body:
            assert text_in_body(rig.body) == SAID, at
            assert rig.body.count(TERMINAL[client]) == 1
            assert rig.complete
        elif rig.exchange.head_sent:
            assert at >= finished, at
            assert b'"error"' in rig.body
            assert SAID.startswith(text_in_body(rig.body))
            assert rig.down.closed
        rig.close()
    assert spliced > finished / step / 2


@pytest.mark.parametrize("client", ["chat", "messages", "gemini"])
def test_another_answer_adds_nothing(loop: asyncio.AbstractEventLoop, client: str) -> None:
    stream = STREAMS[client]
    rig = OpenRig(loop, client, body=BODIES[client])
    rig.feed(CHUNKED, chunk(stream.begun))
    rig.eof()
    before = rig.body
    words = (stream.content[1], *stream.content)
    relay = go_on(rig, client, stream._replace(content=words))

    assert relay.seam.missed
    assert rig.body == before
    rig.left.give_up(rig.left.reason)
    assert b'"error"' in rig.body
    assert rig.down.closed
    rig.close()


def test_events_are_numbered_on(loop: asyncio.AbstractEventLoop) -> None:
    part = (
        b'event: response.content_part.added\ndata: {"type":"response.content_part.added","item_id":"msg_1",'
        b'"output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]},'
        b'"sequence_number":2}\n\n'
    )
    stream = STREAMS["responses"]
    late = stream.content[0].replace(b'"sequence_number":2', b'"sequence_number":40')
    rig = OpenRig(loop, "responses", body=BODIES["responses"])
    rig.feed(CHUNKED, chunk(b"".join((*stream.opening, part, late))))
    rig.eof()
    assert rig.left.left_open
    go_on(rig, "responses", MESSAGES)

    found = [event.data for event in events(rig.body) if event.data is not None]
    numbers = [orjson.loads(data)["sequence_number"] for data in found]
    assert numbers == sorted(set(numbers))
    assert numbers[4] == 41
    last = orjson.loads(found[-1])["response"]
    assert (last["id"], last["output"][0]["content"][0]["text"]) == ("resp_1", SAID)
    rig.close()
