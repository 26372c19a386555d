"""A stream on its way to a client of another dialect: at once, whole, and never whole when it is not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from time import monotonic

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.model import Timeouts
from proxy.core.surfaces import CONVERSATION
from proxy.gateway import event_relay, translating
from proxy.gateway.attempt import End
from tests.dialects.services import service
from tests.gateway.rig import Rig
from tests.line.harness import until
from tests.line.streams import (
    CHAT,
    CHUNKED,
    GEMINI,
    HEAD,
    LAST_CHUNK,
    MESSAGES,
    RESPONSES,
    STREAMS,
    TEXT,
    WRITINGS,
    Stream,
    chunk,
)

LANGUAGES = {
    "chat": "openai.chat",
    "responses": "openai.responses",
    "messages": "anthropic.messages",
    "gemini": "gemini.generate",
}
ASKED = {
    "chat": b'{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}]}',
    "responses": b'{"model":"m","stream":true,"input":"hi"}',
    "messages": b'{"model":"m","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"hi"}]}',
    "gemini": b'{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}',
}
TERMINAL = {
    "chat": b"data: [DONE]\n\n",
    "responses": b"response.completed",
    "messages": b"message_stop",
    "gemini": b'"finishReason"',
}
PAIRS = [
    pytest.param(client, stream, id=f"{client} from {stream.name}")
    for client in LANGUAGES
    for stream in STREAMS.values()
    if stream.name != client
]
SAID = "".join(orjson.loads(f'"{text}"') for text in TEXT)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that does not run: nothing between these calls waits for anything."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def rig(
    loop: asyncio.AbstractEventLoop,
    client: str,
    stream: Stream,
    *,
    streams: bool = True,
    query: str = "alt=sse",
    timeouts: Timeouts | None = None,
) -> Rig:
    return Rig(
        loop,
        client,
        stream=streams,
        query=query,
        timeouts=timeouts or Timeouts(),
        language=LANGUAGES[stream.name],
        body=ASKED[client],
    )


def events(body: bytes) -> list[dict[str, object]]:
    """The objects of a client's stream."""
    lines = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")]
    return [orjson.loads(line) for line in lines if line != b"[DONE]"]


def text_of(body: bytes) -> str:
    """The text a client of any dialect puts together from its stream."""
    found = ""
    for event in events(body):
        match event:
            case {"choices": [{"delta": {"content": str(text)}}]}:
                found += text
            case {"type": "response.output_text.delta", "delta": str(text)}:
                found += text
            case {"delta": {"type": "text_delta", "text": str(text)}}:
                found += text
            case {"candidates": [{"content": {"parts": list(parts)}}]}:
                found += "".join(part.get("text", "") for part in parts)
            case _:
                pass
    return found


@pytest.mark.parametrize("writing", WRITINGS)
@pytest.mark.parametrize(("client", "stream"), PAIRS)
def test_what_is_said_arrives_whole_however_it_is_written(
    client: str, stream: Stream, writing: str, loop: asyncio.AbstractEventLoop
) -> None:
    one = rig(loop, client, stream)

    one.feed(CHUNKED, chunk(WRITINGS[writing](stream.whole + b"")), LAST_CHUNK)

    assert text_of(one.body) == SAID
    assert TERMINAL[client] in one.body
    assert one.complete
    assert one.relay.reason is End.DONE
    one.close()


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([(c, s) for c in LANGUAGES for s in STREAMS.values() if s.name != c]),
    st.lists(st.integers(0, 5000), max_size=12),
)
def test_cuts_between_reads_change_nothing(pair: tuple[str, Stream], cuts: list[int]) -> None:
    client, stream = pair
    loop = asyncio.new_event_loop()
    whole = stream.whole
    ends = sorted({0, len(whole), *(at % len(whole) for at in cuts)})
    one = rig(loop, client, stream)

    one.feed(CHUNKED, *(chunk(whole[start:end]) for start, end in pairwise(ends)), LAST_CHUNK)

    assert text_of(one.body) == SAID
    assert one.complete
    one.close()
    loop.close()


@pytest.mark.parametrize(("client", "stream"), PAIRS)
def test_each_token_goes_out_in_the_read_it_came_in(
    client: str, stream: Stream, loop: asyncio.AbstractEventLoop
) -> None:
    one = rig(loop, client, stream)
    one.feed(CHUNKED, chunk(b"".join(stream.opening)))
    for number, event in enumerate(stream.content, 1):
        before = one.down.writes
        one.feed(chunk(event))

        said = "".join(orjson.loads(f'"{text}"') for text in TEXT[:number])
        assert said in "".join(_texts(one.down.written))
        assert one.down.writes <= before + 1
    one.close()


def _texts(written: bytes) -> list[str]:
    """The text so far, of an answer whose end has not come."""
    body = written.partition(b"\r\n\r\n")[2]
    plain = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        plain += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
    return [text_of(plain)]


@pytest.mark.parametrize(("client", "stream"), PAIRS)
def test_a_stream_cut_short_ends_in_an_error_of_the_clients_dialect(
    client: str, stream: Stream, loop: asyncio.AbstractEventLoop
) -> None:
    one = rig(loop, client, stream)

    one.feed(CHUNKED, chunk(stream.begun))
    one.eof()

    assert one.relay.reason is End.TRUNCATED
    assert not one.complete
    assert TERMINAL[client] not in one.down.written
    assert (
        b"upstream_truncated" in one.down.written or b"before it was complete" in one.down.written
    )
    one.close()


@pytest.mark.parametrize(("client", "stream"), PAIRS)
def test_an_error_inside_the_stream_is_the_last_thing_the_client_gets(
    client: str, stream: Stream, loop: asyncio.AbstractEventLoop
) -> None:
    one = rig(loop, client, stream)

    one.feed(CHUNKED, chunk(stream.begun), chunk(stream.error + stream.rest))

    assert one.relay.reason is End.ERROR_EVENT
    assert not one.complete
    assert one.down.written.count(b"verloaded") >= 1
    assert TERMINAL[client] not in one.down.written
    one.close()


@pytest.mark.parametrize(("client", "stream"), PAIRS)
def test_what_is_no_event_ends_the_stream(
    client: str, stream: Stream, loop: asyncio.AbstractEventLoop
) -> None:
    one = rig(loop, client, stream)

    one.feed(CHUNKED, chunk(stream.begun), chunk(b"<html>502</html>\n\n"))

    assert one.relay.reason is End.MALFORMED
    assert b"<html>" not in one.down.written
    assert not one.complete
    one.close()


@pytest.mark.parametrize(("client", "stream"), PAIRS)
def test_a_client_that_does_not_stream_gets_the_stream_folded(
    client: str, stream: Stream, loop: asyncio.AbstractEventLoop
) -> None:
    one = rig(loop, client, stream, streams=False)

    one.feed(CHUNKED, chunk(stream.begun))
    assert not one.down.written
    one.feed(chunk(stream.rest), LAST_CHUNK)

    assert one.attempt.error is None
    assert one.head.startswith(b"HTTP/1.1 200 ")
    assert b"content-type: application/json" in one.head
    assert orjson.dumps(SAID) in orjson.dumps(orjson.loads(one.body))
    one.close()


def test_half_a_stream_is_no_answer_for_a_client_that_does_not_stream(
    loop: asyncio.AbstractEventLoop,
) -> None:
    one = rig(loop, "chat", MESSAGES, streams=False)

    one.feed(CHUNKED, chunk(MESSAGES.begun))
    one.eof()

    assert one.gate.error is not None
    assert not one.down.written
    one.close()


def test_a_whole_answer_is_a_stream_for_a_client_that_streams(
    loop: asyncio.AbstractEventLoop,
) -> None:
    one = rig(loop, "chat", MESSAGES)
    body = (
        b'{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"hello"}],'
        b'"stop_reason":"end_turn","usage":{"input_tokens":7,"output_tokens":2}}'
    )

    one.feed(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
        % (len(body), body)
    )

    assert b"content-type: text/event-stream" in one.head
    assert text_of(one.body) == "hello"
    assert one.body.endswith(TERMINAL["chat"])
    assert events(one.body)[-1]["usage"]
    one.close()


def test_geminis_stream_is_an_array_without_alt_sse(loop: asyncio.AbstractEventLoop) -> None:
    one = rig(loop, "gemini", CHAT, query="")

    one.feed(CHUNKED, chunk(CHAT.whole), LAST_CHUNK)

    assert b"content-type: application/json" in one.head
    chunks = orjson.loads(one.body)
    parts = [part for one in chunks for part in one["candidates"][0]["content"].get("parts", [])]
    assert "".join(part["text"] for part in parts) == SAID
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"
    one.close()


def test_an_array_that_is_cut_is_closed_with_an_error(loop: asyncio.AbstractEventLoop) -> None:
    one = rig(loop, "gemini", CHAT, query="")

    one.feed(CHUNKED, chunk(CHAT.begun))
    one.eof()

    assert not one.complete
    assert b'"error"' in one.down.written
    assert b"data: " not in one.down.written.partition(b"\r\n\r\n")[2]
    one.close()


def test_a_long_event_is_held_until_it_is_whole(loop: asyncio.AbstractEventLoop) -> None:
    one = rig(loop, "chat", GEMINI)
    long = "x" * 300_000
    event = (
        b'data: {"candidates":[{"content":{"role":"model","parts":[{"text":"%b"}]}}]}\r\n\r\n'
        % long.encode()
    )
    one.feed(CHUNKED, chunk(GEMINI.content[0]))
    before = one.down.writes
    for at in range(0, len(event) - 4, 50_000):
        one.feed(chunk(event[at : min(at + 50_000, len(event) - 4)]))
        assert one.down.writes == before
    one.feed(chunk(event[-4:]), chunk(GEMINI.end), LAST_CHUNK)

    assert long in text_of(one.body)
    assert one.complete
    one.close()


def test_an_event_that_never_ends_is_not_held_for_ever(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translating, "MAX_WHOLE", 100_000)
    one = rig(loop, "chat", GEMINI)

    one.feed(CHUNKED, chunk(GEMINI.content[0]), *(chunk(b"data: " + b"x" * 60_000),) * 2)

    assert one.relay.reason is End.MALFORMED
    one.close()


@pytest.mark.parametrize(
    ("stream", "reason"), [(CHAT, End.FINISH_NO_DONE), (RESPONSES, End.TRUNCATED)]
)
def test_a_missing_end_is_made_up_only_where_the_answer_is_known_to_be_whole(
    stream: Stream, reason: End, loop: asyncio.AbstractEventLoop
) -> None:
    one = rig(loop, "messages", stream)

    one.feed(
        CHUNKED, chunk(stream.begun + b"".join(stream.content[3:]) + stream.finish), LAST_CHUNK
    )

    assert one.relay.reason is reason
    assert (TERMINAL["messages"] in one.down.written) is (reason is End.FINISH_NO_DONE)
    one.close()


def test_a_last_event_without_its_blank_line_counts(loop: asyncio.AbstractEventLoop) -> None:
    one = rig(loop, "chat", MESSAGES)

    one.feed(HEAD + b"connection: close\r\n\r\n", MESSAGES.whole.rstrip(b"\n"))
    one.eof()

    assert text_of(one.body) == SAID
    assert one.complete
    one.close()


def test_signs_of_life_pass_in_the_clients_own_way(loop: asyncio.AbstractEventLoop) -> None:
    one = rig(loop, "chat", MESSAGES)
    one.feed(CHUNKED, chunk(MESSAGES.begun))
    before = one.down.written

    one.feed(chunk(b'event: ping\ndata: {"type": "ping"}\n\n'), chunk(b": still here\n\n"))

    assert one.down.written[len(before) :].count(b": ping\n\n") == 2
    one.close()


def test_a_comment_is_no_event_that_does_not_end(loop: asyncio.AbstractEventLoop) -> None:
    one = rig(loop, "chat", MESSAGES)
    one.feed(CHUNKED, chunk(MESSAGES.begun))
    relay = one.events
    relay.last_event -= 100.0
    long_ago = relay.last_event

    one.feed(chunk(b'event: content_block_delta\ndata: {"type": "conten'))
    assert relay.last_event == long_ago
    one.feed(chunk(b't_block_delta"}\n\n'))
    relay.last_event = long_ago
    one.feed(chunk(b": still here\n\n"))

    assert relay.last_event > long_ago
    one.close()


def test_usage_is_seen_whatever_the_client_speaks(loop: asyncio.AbstractEventLoop) -> None:
    one = rig(loop, "chat", MESSAGES)

    one.feed(CHUNKED, chunk(MESSAGES.whole), LAST_CHUNK)

    usage = one.gate.tap.usage
    assert usage is not None
    assert (usage.input, usage.output) == (7, 6)
    assert events(one.body)[-1]["usage"] == {
        **dict(events(one.body)[-1]["usage"]),  # type: ignore[call-overload]
        "prompt_tokens": 7,
        "completion_tokens": 6,
        "total_tokens": 13,
    }
    one.close()


async def test_a_silent_provider_is_told_of_in_the_clients_dialect() -> None:
    loop = asyncio.get_running_loop()
    one = rig(loop, "messages", CHAT, timeouts=Timeouts(idle=0.02))
    one.feed(CHUNKED, chunk(CHAT.begun))

    await until(one.relay.done.done)

    assert one.relay.reason is End.STALLED
    assert b"event: error" in one.down.written
    assert TERMINAL["messages"] not in one.down.written
    one.close()


async def test_signs_of_life_behind_a_whole_answer_keep_it_open_no_longer() -> None:
    one = rig(asyncio.get_running_loop(), "messages", CHAT)
    one.feed(CHUNKED, chunk(CHAT.begun + CHAT.rest))
    assert TERMINAL["messages"] in one.body
    one.relay.last_read = one.events.last_content = monotonic() - 3
    due, _ = one.relay.due(0)

    one.feed(chunk(b": ping\n\n"), chunk(CHAT.content[3]))

    assert one.relay.due(0)[0] == due
    one.close()


# Services that end their answer with its body and in no other way


def spoken(loop: asyncio.AbstractEventLoop, timeouts: Timeouts | None = None, *reads: bytes) -> Rig:
    """A client of such a service that has had half an answer."""
    one = Rig(
        loop,
        timeouts=timeouts or Timeouts(),
        language=CONVERSATION,
        body=ASKED["chat"],
        service=service(done=None, done_at_end=True),
    )
    one.feed(CHUNKED, chunk(b'data: {"delta": "The mill"}\n\n'), *reads)
    return one


async def test_a_pause_is_no_end_where_only_the_body_has_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_relay, "AFTER_FINISH", 0.01)
    one = spoken(asyncio.get_running_loop(), Timeouts(idle=0.02))

    await until(one.relay.done.done)

    assert one.relay.reason is End.STALLED
    assert not one.complete
    assert TERMINAL["chat"] not in one.body
    one.close()


def test_a_client_that_leaves_half_way_is_booked_so_where_only_the_body_has_an_end(
    loop: asyncio.AbstractEventLoop,
) -> None:
    one = spoken(loop)

    one.relay.gone()

    assert one.relay.reason is End.CLIENT_GONE
    one.close()


def test_the_end_of_the_body_is_the_end_where_there_is_no_other(
    loop: asyncio.AbstractEventLoop,
) -> None:
    one = spoken(loop, None, chunk(b'data: {"delta": " turns."}\n\n'), LAST_CHUNK)

    assert text_of(one.body) == "The mill turns."
    assert one.relay.reason is End.DONE
    assert one.complete
    one.close()
