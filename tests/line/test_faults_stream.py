"""Streams and bodies that go wrong on their way (fault rows C1 to C10, C13 to C19 and C23).

The client gets what was whole, then one error in its own dialect, then a closed socket: never a terminal event, never
a last chunk. Before the first content it gets another provider's answer, or a true status.
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import anthropic
import openai
import orjson
import pytest

from proxy.gateway import event_relay, translating
from tests.line.asking import (
    CHAT,
    DIALECTS,
    Dialect,
    Row,
    assert_error,
    assert_good,
    fleet,
    replying,
    row,
)
from tests.line.harness import (
    KEY,
    Answer,
    Proxy,
    Raw,
    Simulator,
    config,
    read_request,
    request,
    scripted,
    serving,
    until,
)
from tests.line.streams import CHAT as CHAT_STREAM
from tests.line.streams import CHUNKED, HEAD, LAST_CHUNK, STREAMS, Stream, chunk
from tests.line.streams import GEMINI as GEMINI_STREAM
from tests.line.streams import RESPONSES as RESPONSES_STREAM

GARBAGE = b"<html><body>502 Bad Gateway</body></html>\nTraceback (most recent call last):\n\n"
EOF = HEAD + b"connection: close\r\n\r\n"

TOLD = {
    "upstream_truncated": ("api_error", 503, "UNAVAILABLE"),
    "upstream_bad_response": ("api_error", 503, "UNAVAILABLE"),
    "upstream_idle_timeout": ("timeout_error", 504, "DEADLINE_EXCEEDED"),
    "stream_limit": ("timeout_error", 504, "DEADLINE_EXCEEDED"),
}
"""Our codes in the words of Anthropic and Google."""

every_dialect = pytest.mark.parametrize("name", DIALECTS)


def question(
    dialect: Dialect, model: str = "m", *, stream: bool = True, http10: bool = False
) -> bytes:
    """The bytes of a request."""
    path = dialect.stream_path if stream else dialect.path
    body = dict(dialect.body)
    if dialect.family != "gemini":
        body |= {"model": model, "stream": stream}
    sent = request("POST", path.format(model=model), orjson.dumps(body))
    return sent.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1) if http10 else sent


def in_band(answer: Answer) -> tuple[bytes, dict[str, Any]]:
    """(what came before, data) of the error event an answer ends with."""
    before, event, data = re.fullmatch(
        rb"(.*?)((?:event: error\n)?)data: (\{[^\n]*\})\n\n", answer.body, re.DOTALL
    ).groups()  # type: ignore[union-attr]
    assert b"event: error" not in before
    found: dict[str, Any] = orjson.loads(data)
    if event:
        assert found["type"] == "error"
    return before, found


def assert_cut(dialect: Dialect, answer: Answer, code: str) -> bytes:
    """One error in the shape of the dialect, no end of the protocol, no end of HTTP; what came before the error."""
    assert answer.status == 200, answer
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert not answer.complete, answer
    assert dialect.terminal not in answer.body, answer
    before, data = in_band(answer)
    kind, number, status = TOLD[code]
    error = data["error"]
    assert error["message"]
    if dialect.family == "anthropic":
        assert data["type"] == "error"
        assert error["type"] == kind
        assert data["request_id"] == answer.headers["x-request-id"]
    elif dialect.family == "gemini":
        assert (error["code"], error["status"]) == (number, status)
    else:
        assert (error["code"], error["type"], error["param"]) == (code, "upstream_error", None)
    if dialect.name == "responses":
        assert (data["type"], data["code"]) == ("error", code)
        numbers = [event["sequence_number"] for event in answer.events]
        assert numbers == list(range(len(numbers)))
    return before


def assert_counted(proxy: Proxy, reason: str, *, whole: bool = False) -> None:
    """How the one stream ended, in the metrics."""
    assert proxy.metric("headrace_stream_terminations_total") == 1
    assert proxy.metric("headrace_stream_terminations_total", reason=reason) == 1
    status = "200" if whole else "200_truncated"
    assert proxy.metric("headrace_requests_total", status=status, stream="true") == 1


async def read_to_the_close(client: Raw) -> Answer:
    """A response and everything after it, to the end of the connection, which must be a FIN."""
    head = await client.head()
    rest = await client.reader.read()  # a reset would raise
    body, complete = b"", False
    while rest and not complete:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        body += rest[:length]
        assert rest[length : length + 2] == b"\r\n"
        rest = rest[length + 2 :]
        complete = length == 0
    assert not rest
    return Answer(head, body, complete=complete)


async def ask(proxy: Proxy, dialect: Dialect, model: str = "m") -> Answer:
    """One stream on a kept connection, read until it is closed."""
    client = await proxy.raw()
    try:
        client.send(question(dialect, model))
        return await read_to_the_close(client)
    finally:
        client.close()


@asynccontextmanager
async def cut_row(
    sim: Simulator, folder: Path, fault: str, reason: str, **timeouts: float
) -> AsyncIterator[Row]:
    """A single provider with one fault word, whose one stream ends for this reason."""
    async with row(sim, folder, fault, defaults__timeouts=timeouts) as found:
        yield found
        assert_counted(found.proxy, reason)


class Stage:
    """A provider that sends its response in parts, each when it is told to."""

    def __init__(self, *parts: bytes, close: bool) -> None:
        self.parts = list(parts)
        self.go = asyncio.Semaphore(1)
        self.close = close
        self.requests = 0

    async def play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            self.requests += 1
            for part in self.parts:
                await self.go.acquire()
                writer.write(part)
                await writer.drain()
            if self.close:
                return


@asynccontextmanager
async def staged(
    folder: Path, *parts: bytes, close: bool = False, **changes: Any
) -> AsyncIterator[tuple[Stage, Proxy]]:
    """Such a provider and a proxy in front of it. The first part is sent at once."""
    stage = Stage(*parts, close=close)
    async with (
        scripted(stage.play) as url,
        serving(fleet((url, "m"), **changes), folder) as proxy,
    ):
        yield stage, proxy


async def after(
    stage: Stage, proxy: Proxy, dialect: Dialect, seen: bytes, *, http10: bool = False
) -> Answer:
    """The answer to a stream whose second part is sent once the client has `seen` the first."""
    client = await proxy.raw()
    try:
        client.send(question(dialect, http10=http10))
        head = await client.reader.readuntil(b"\r\n\r\n")
        size = int(await client.reader.readuntil(b"\r\n"), 16) if not http10 else len(seen)
        assert await client.reader.readexactly(size) == seen
        stage.go.release()
        rest = await client.reader.read()
    finally:
        client.close()
    if http10:
        return Answer(head, seen + rest, complete=False)
    assert rest.startswith(b"\r\n")
    body, rest = seen, rest[2:]
    while rest:
        size_line, _, rest = rest.partition(b"\r\n")
        length = int(size_line, 16)
        if not length:
            return Answer(head, body, complete=True)
        body += rest[:length]
        rest = rest[length + 2 :]
    return Answer(head, body, complete=False)


# C1: chunked, FIN without the last chunk


@every_dialect
async def test_c1_a_fin_without_the_last_chunk(sim: Simulator, tmp_path: Path, name: str) -> None:
    async with cut_row(sim, tmp_path, "n8-chunk_fin", "truncated") as here:
        answer = await ask(here.proxy, DIALECTS[name])

        before = assert_cut(DIALECTS[name], answer, "upstream_truncated")
        assert before.count(b"turns") == 1, "what came before the cut is there"
        await until(lambda: here.failures() == 0.5)


async def test_c1_a_cut_in_http_1_0_ends_with_the_error_and_the_close(tmp_path: Path) -> None:
    begun = CHAT_STREAM.begun
    async with staged(tmp_path, CHUNKED + chunk(begun), b"", close=True) as (stage, proxy):
        answer = await after(stage, proxy, CHAT, begun, http10=True)

        before, _ = in_band(answer)
        assert before == begun
        assert answer.headers["connection"] == "close"
        assert "transfer-encoding" not in answer.headers


@every_dialect
async def test_c1_a_fin_behind_the_terminal_event_takes_nothing_from_the_answer(
    tmp_path: Path, name: str
) -> None:
    whole = STREAMS[name].whole
    async with staged(tmp_path, CHUNKED + chunk(whole), close=True) as (_, proxy):
        answer = await DIALECTS[name].ask(proxy, stream=True)

        assert answer.complete
        assert answer.body == whole
        assert_counted(proxy, "done", whole=True)


# C2: reset after k bytes


@every_dialect
@pytest.mark.parametrize("bytes_sent", [0, 1, 100])
async def test_c2_a_reset_before_the_first_event_is_somebody_elses_turn(
    sim: Simulator, tmp_path: Path, name: str, bytes_sent: int
) -> None:
    async with row(sim, tmp_path, f"k{bytes_sent}-rst", "") as here:
        answer = await DIALECTS[name].ask(here.proxy, stream=True)

        assert_good(DIALECTS[name], answer, stream=True)
        assert here.tried(0) >= 1
        assert here.tried(1, outcome="ok") == 1


@every_dialect
@pytest.mark.parametrize("bytes_sent", [0, 1, 100])
async def test_c2_a_reset_before_the_first_event_has_a_true_status(
    sim: Simulator, tmp_path: Path, name: str, bytes_sent: int
) -> None:
    async with row(sim, tmp_path, f"k{bytes_sent}-rst") as here:
        answer = await DIALECTS[name].ask(here.proxy, stream=True)

        assert_error(DIALECTS[name], answer, "up_spent")
        assert len(await here.seen()) == here.tried() == 3


@every_dialect
@pytest.mark.parametrize("size", [1000, 65536])
async def test_c2_a_reset_in_mid_stream(tmp_path: Path, name: str, size: int) -> None:
    stream = STREAMS[name]
    begun = stream.begun.ljust(size, b":").removesuffix(b":") + b"\n\n"

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED + chunk(begun))
        await reset.wait()
        with_a_reset = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, with_a_reset)
        writer.transport.abort()

    reset = asyncio.Event()
    async with scripted(script) as url, serving(fleet((url, "m")), tmp_path) as proxy:
        client = await proxy.raw()
        client.send(question(DIALECTS[name]))
        head = await client.head()
        body = b""
        while len(body) < len(begun):
            length = int(await client.reader.readuntil(b"\r\n"), 16)
            body += (await client.reader.readexactly(length + 2))[:-2]
        reset.set()
        rest, complete = await client._chunks()
        client.close()

        answer = Answer(head, body + rest, complete=complete)
        assert assert_cut(DIALECTS[name], answer, "upstream_truncated") == begun
        assert_counted(proxy, "truncated")


# C3: the body lasts until the connection does, and ends inside an event


@every_dialect
async def test_c3_half_an_event_at_the_end_of_the_connection(
    sim: Simulator, tmp_path: Path, name: str
) -> None:
    async with cut_row(sim, tmp_path, "n8-eof_half", "truncated") as here:
        answer = await ask(here.proxy, DIALECTS[name])

        assert_cut(DIALECTS[name], answer, "upstream_truncated")
        assert answer.events


@every_dialect
@pytest.mark.parametrize("half", [b"d", b"data", b"data: ", b"data: {", b"event: x", b": hel"])
async def test_c3_the_fragment_is_not_forwarded(tmp_path: Path, name: str, half: bytes) -> None:
    begun = STREAMS[name].begun
    async with staged(tmp_path, EOF + begun + half, close=True) as (_, proxy):
        answer = await ask(proxy, DIALECTS[name])

        assert assert_cut(DIALECTS[name], answer, "upstream_truncated") == begun


# C4: ends well for HTTP, without an end of the protocol


@every_dialect
async def test_c4_a_clean_end_without_an_end(sim: Simulator, tmp_path: Path, name: str) -> None:
    async with cut_row(sim, tmp_path, "nodone", "truncated") as here:
        answer = await ask(here.proxy, DIALECTS[name])

        assert_cut(DIALECTS[name], answer, "upstream_truncated")
        await until(lambda: here.failures() == 0.5)


async def test_c4_one_choice_of_two_without_a_finish_reason(tmp_path: Path) -> None:
    other = CHAT_STREAM.content[0].replace(b'"index":0', b'"index":1')
    parts = (CHUNKED, chunk(CHAT_STREAM.begun + other + CHAT_STREAM.finish), LAST_CHUNK)
    async with staged(tmp_path, b"".join(parts)) as (_, proxy):
        answer = await ask(proxy, CHAT)

        assert_cut(CHAT, answer, "upstream_truncated")


@every_dialect
async def test_c4_an_end_before_the_first_content_is_somebody_elses_turn(
    sim: Simulator, tmp_path: Path, name: str
) -> None:
    async with row(sim, tmp_path, "n0-nodone", "") as here:
        answer = await DIALECTS[name].ask(here.proxy, stream=True)

        assert_good(DIALECTS[name], answer, stream=True)
        assert here.tried(1) == 1


# C5: only the terminal event is missing


async def test_c5_done_is_added_to_a_finished_chat(sim: Simulator, tmp_path: Path) -> None:
    async with row(sim, tmp_path, "finish_no_done") as here:
        answer = await CHAT.ask(here.proxy, stream=True)

        assert answer.complete
        assert answer.events[-1] == "[DONE]"
        assert answer.events.count("[DONE]") == 1
        assert answer.events[-2]["choices"][0]["finish_reason"] == "stop"
        assert_counted(here.proxy, "finish_no_done", whole=True)
        assert here.failures() == 0


async def test_c5_a_finish_reason_is_all_gemini_has(sim: Simulator, tmp_path: Path) -> None:
    async with row(sim, tmp_path, "finish_no_done") as here:
        answer = await DIALECTS["gemini"].ask(here.proxy, stream=True)

        assert_good(DIALECTS["gemini"], answer, stream=True)
        assert_counted(here.proxy, "done", whole=True)


@pytest.mark.parametrize("name", ["responses", "messages"])
async def test_c5_other_protocols_need_their_own_end(
    sim: Simulator, tmp_path: Path, name: str
) -> None:
    async with cut_row(sim, tmp_path, "finish_no_done", "truncated") as here:
        answer = await ask(here.proxy, DIALECTS[name])

        assert_cut(DIALECTS[name], answer, "upstream_truncated")


async def test_c5_every_choice_must_have_its_finish_reason(sim: Simulator, tmp_path: Path) -> None:
    async with row(sim, tmp_path, "finish_no_done") as here:
        body = CHAT.body | {"model": "m", "stream": True, "n": 3}
        answer = await here.proxy.post(CHAT.stream_path, body)

        assert answer.complete
        assert answer.events[-1] == "[DONE]"


# C6, C8, C9: silence


@every_dialect
async def test_c6_half_an_event_and_silence(sim: Simulator, tmp_path: Path, name: str) -> None:
    async with cut_row(sim, tmp_path, "n8-half_stall", "stalled", idle=0.1) as here:
        answer = await ask(here.proxy, DIALECTS[name])

        assert_cut(DIALECTS[name], answer, "upstream_idle_timeout")
        assert answer.events  # and every one of them is whole


@every_dialect
async def test_c8_silence_in_mid_stream(sim: Simulator, tmp_path: Path, name: str) -> None:
    async with cut_row(sim, tmp_path, "n8-stall", "stalled", idle=0.1) as here:
        answer = await ask(here.proxy, DIALECTS[name])

        assert_cut(DIALECTS[name], answer, "upstream_idle_timeout")
        await until(lambda: here.failures() == 0.5)


@every_dialect
async def test_c8_pings_alone_are_no_life(sim: Simulator, tmp_path: Path, name: str) -> None:
    async with cut_row(sim, tmp_path, "n8-pings", "stalled", idle=20, content=0.3) as here:
        answer = await ask(here.proxy, DIALECTS[name])

        before = assert_cut(DIALECTS[name], answer, "upstream_idle_timeout")
        assert b"ping" in before, "until then they are passed on"


@every_dialect
async def test_c9_a_drip_that_never_makes_an_event(
    sim: Simulator, tmp_path: Path, name: str
) -> None:
    async with cut_row(sim, tmp_path, "n8-drip", "stalled", idle=20, event=0.15) as here:
        answer = await ask(here.proxy, DIALECTS[name])

        assert_cut(DIALECTS[name], answer, "upstream_idle_timeout")


@every_dialect
async def test_a_stream_may_not_take_longer_than_its_total(
    sim: Simulator, tmp_path: Path, name: str
) -> None:
    async with cut_row(sim, tmp_path, "n8-pings", "deadline", idle=20, total=0.15) as here:
        answer = await ask(here.proxy, DIALECTS[name])

        assert_cut(DIALECTS[name], answer, "stream_limit")


@pytest.mark.parametrize("finished", [True, False])
async def test_a_whole_answer_whose_connection_stays_open_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    monkeypatch.setattr(event_relay, "AFTER_FINISH", 0.05)
    stream = CHAT_STREAM.whole if finished else CHAT_STREAM.begun + CHAT_STREAM.finish
    timeouts = {"idle": 20 if finished else 0.05}
    sent = CHUNKED + chunk(stream)
    async with staged(tmp_path, sent, b"", defaults__timeouts=timeouts) as (_, proxy):
        answer = await CHAT.ask(proxy, stream=True)

        assert answer.complete
        assert answer.events[-1] == "[DONE]"
        assert_counted(proxy, "done" if finished else "finish_no_done", whole=True)


# C7: headers, then nothing; or not even those


@every_dialect
@pytest.mark.parametrize("fault", ["no_first", "no_headers"])
async def test_c7_silence_before_the_first_content_is_somebody_elses_turn(
    sim: Simulator, tmp_path: Path, name: str, fault: str
) -> None:
    async with row(sim, tmp_path, fault, "", providers__p0__timeouts={"ttft": 0.1}) as here:
        answer = await DIALECTS[name].ask(here.proxy, stream=True)

        assert_good(DIALECTS[name], answer, stream=True)
        assert here.tried(0, reason="timeout_ttft") == 1
        assert here.failures(0) == 1


@every_dialect
@pytest.mark.parametrize("fault", ["no_first", "no_headers"])
async def test_c7_silence_before_the_first_content_is_a_timeout(
    sim: Simulator, tmp_path: Path, name: str, fault: str
) -> None:
    async with row(sim, tmp_path, fault, defaults__timeouts={"ttft": 0.1}) as here:
        answer = await DIALECTS[name].ask(here.proxy, stream=True)

        assert_error(DIALECTS[name], answer, "up_time")
        assert here.tried() == 1


@every_dialect
@pytest.mark.parametrize("alternative", [True, False])
async def test_c7_comments_are_no_content(tmp_path: Path, name: str, alternative: bool) -> None:
    silent = Stage(CHUNKED + chunk(b": working on it\n\n"), b"", close=False)
    good = Stage(CHUNKED + chunk(STREAMS[name].whole) + LAST_CHUNK, close=False)
    async with scripted(silent.play) as first, scripted(good.play) as second:
        members = [(first, "m"), (second, "m")] if alternative else [(first, "m")]
        content = fleet(*members, providers__p0__timeouts={"ttft": 0.1})
        async with serving(content, tmp_path) as proxy:
            answer = await DIALECTS[name].ask(proxy, stream=True)

    if alternative:
        assert answer.body == STREAMS[name].whole
    else:
        assert_error(DIALECTS[name], answer, "up_time")


# C10: bytes that are no UTF-8


@every_dialect
async def test_c10_invalid_utf8_passes_unchanged(sim: Simulator, tmp_path: Path, name: str) -> None:
    async with row(sim, tmp_path, "n8-bad_utf8") as here:
        answer = await DIALECTS[name].ask(here.proxy, stream=True)

        assert_good(DIALECTS[name], answer, stream=True)
        assert b"\xff\xfe \xc3( \xe6\xb0" in answer.body
        assert "\ufffd".encode() not in answer.body
        assert here.proxy.metric("headrace_tokens_total", type="output") == 8


@every_dialect
async def test_c10_invalid_utf8_in_a_read_of_its_own_passes_unchanged(
    tmp_path: Path, name: str
) -> None:
    stream = STREAMS[name]
    odd = stream.content[3].replace("\u0301".encode(), b"\xff\xfe \xc3( \xe6\xb0")
    odd = odd.replace("🌊".encode(), b"\xff")
    rest = chunk(b"".join(stream.content[4:]) + stream.finish + stream.end) + LAST_CHUNK
    async with (
        asyncio.timeout(5),
        staged(tmp_path, CHUNKED + chunk(stream.begun), chunk(odd), rest) as (stage, proxy),
    ):
        client = await proxy.raw()
        client.send(question(DIALECTS[name]))
        await client.reader.readuntil(stream.content[2])
        stage.go.release()
        assert b"\xff" in odd
        await client.reader.readuntil(odd)
        stage.go.release()
        await client.reader.readuntil(stream.end)
        assert_counted(proxy, "done", whole=True)


@every_dialect
async def test_c10_a_character_cut_by_an_event_passes_unchanged(tmp_path: Path, name: str) -> None:
    """Some providers cut their text anywhere: each event alone is no UTF-8, together they are."""
    stream = STREAMS[name]
    wave = "🌊".encode()
    pieces = [stream.content[0].replace("水車".encode(), half) for half in (wave[:2], wave[2:])]
    whole = b"".join((*stream.opening, *pieces, stream.rest))
    async with staged(tmp_path, CHUNKED + chunk(whole) + LAST_CHUNK) as (_, proxy):
        answer = await DIALECTS[name].ask(proxy, stream=True)

        assert answer.body == whole
        assert_counted(proxy, "done", whole=True)


# C13: one event of many megabytes (its bytes and its memory: test_byte_exact.py)


@every_dialect
async def test_c13_a_long_event_passes_and_the_usage_behind_it_is_found(
    sim: Simulator, tmp_path: Path, name: str
) -> None:
    async with row(sim, tmp_path, "n8-event2M") as here:
        answer = await DIALECTS[name].ask(here.proxy, stream=True)

        assert_good(DIALECTS[name], answer, stream=True)
        assert answer.body.count(b"x") >= 2 << 20
        assert here.proxy.metric("headrace_tokens_total", type="output") == 8
        assert here.proxy.metric("headrace_tokens_total", type="input") == 12


@pytest.mark.parametrize("stream", [GEMINI_STREAM, RESPONSES_STREAM], ids=lambda one: one.name)
async def test_c13_finish_and_usage_are_found_in_the_tail_of_a_long_event(
    tmp_path: Path, stream: Stream
) -> None:
    image = b"A" * (1 << 20)
    if stream is GEMINI_STREAM:
        part = b'{"inlineData":{"mimeType":"image/png","data":"%b"}}' % image
        last = stream.end.replace(b'{"text":""}', part)
    else:
        item = b'{"type":"image_generation_call","result":"%b"}' % image
        last = stream.end.replace(b'"output":[]', b'"output":[%b]' % item)
    whole = stream.begun + last
    sent = CHUNKED + chunk(whole) + LAST_CHUNK
    async with staged(tmp_path, sent) as (_, proxy):
        answer = await DIALECTS[stream.name].ask(proxy, stream=True)

        assert answer.complete
        assert answer.body == whole
        assert proxy.metric("headrace_tokens_total", type="output") == 6
        assert_counted(proxy, "done", whole=True)


@every_dialect
async def test_c13_a_long_event_that_is_cut_is_told_of(tmp_path: Path, name: str) -> None:
    stream = STREAMS[name]
    long = stream.content[0].replace("水車".encode(), b"x" * 200_000)
    sent = EOF + stream.begun + long[:150_000]
    async with staged(tmp_path, sent, close=True) as (_, proxy):
        answer = await ask(proxy, DIALECTS[name])

        assert not answer.complete
        raw, blank, error = answer.body.rpartition(
            b"\n\nevent: error\n" if b"\nevent: error\n" in answer.body else b"\n\ndata: "
        )
        assert raw == stream.begun + long[:150_000]
        assert b"error" in blank + error
        assert_counted(proxy, "truncated")


# C14: good events, then garbage


@every_dialect
@pytest.mark.parametrize("junk", [GARBAGE, b'data: {"choices":[{"del\n\n', b"data: oops\n\n"])
async def test_c14_garbage_is_not_forwarded(tmp_path: Path, name: str, junk: bytes) -> None:
    stream = STREAMS[name]
    second = chunk(junk + stream.rest) + LAST_CHUNK
    async with staged(tmp_path, CHUNKED + chunk(stream.begun), second) as (stage, proxy):
        answer = await after(stage, proxy, DIALECTS[name], stream.begun)

        assert assert_cut(DIALECTS[name], answer, "upstream_bad_response") == stream.begun
        assert_counted(proxy, "malformed")


@every_dialect
async def test_c14_garbage_before_the_first_content_is_somebody_elses_turn(
    tmp_path: Path, name: str
) -> None:
    stream = STREAMS[name]
    bad = CHUNKED + chunk(b"".join(stream.opening) + GARBAGE) + LAST_CHUNK
    good = CHUNKED + chunk(stream.whole) + LAST_CHUNK
    async with (
        scripted(replying(lambda head, body: bad)) as first,
        scripted(replying(lambda head, body: good)) as second,
        serving(fleet((first, "m"), (second, "m")), tmp_path) as proxy,
    ):
        answer = await DIALECTS[name].ask(proxy, stream=True)

        assert answer.body == stream.whole
        assert proxy.metric("headrace_upstream_attempts_total", reason="malformed") >= 1


@pytest.mark.parametrize("size", [1000, 100_000])
async def test_c14_garbage_without_a_blank_line_is_not_forwarded(tmp_path: Path, size: int) -> None:
    begun = CHAT_STREAM.begun
    page = b"<html>" + b"x" * size
    async with staged(tmp_path, EOF + begun, page, close=True) as (stage, proxy):
        answer = await after(stage, proxy, CHAT, begun)

        code = "upstream_truncated" if size < 65536 else "upstream_bad_response"
        assert assert_cut(CHAT, answer, code) == begun


# C15: an error in a 200, before the first content


@every_dialect
@pytest.mark.parametrize("fault", ["err_first", "lifecycle_err", "split9-lifecycle_err"])
async def test_c15_an_error_before_the_first_content_is_somebody_elses_turn(
    sim: Simulator, tmp_path: Path, name: str, fault: str
) -> None:
    async with row(sim, tmp_path, fault, "") as here:
        answer = await DIALECTS[name].ask(here.proxy, stream=True)

        assert_good(DIALECTS[name], answer, stream=True)
        assert here.models[0].encode() not in answer.body, "nothing of the first one was sent"
        assert here.tried(0, reason="in_band_error") >= 1
        assert here.failures(0) >= 1


@every_dialect
@pytest.mark.parametrize("fault", ["err_first", "200err"])
async def test_c15_an_error_before_the_first_content_has_a_true_status(
    sim: Simulator, tmp_path: Path, name: str, fault: str
) -> None:
    async with row(sim, tmp_path, fault, fault, health__enabled=False) as here:
        answer = await DIALECTS[name].ask(here.proxy, stream=True)

        # Anthropic's error is a 529: when all are overloaded that is what is said.
        assert_error(DIALECTS[name], answer, "no_up" if name == "messages" else "up_spent")
        assert here.tried(0) >= 1
        assert here.tried(1) >= 1


REFUSED = {
    "chat": b'data: {"error":{"message":"No.","type":"invalid_request_error","code":"bad"}}\n\n',
    "responses": b'event: error\ndata: {"type":"error","code":"invalid_prompt","message":"No."}\n\n',
    "messages": b'event: error\ndata: {"type":"error","error":'
    b'{"type":"invalid_request_error","message":"No."}}\n\n',
    "gemini": b'data: {"error":{"code":400,"status":"INVALID_ARGUMENT","message":"No."}}\n\n',
}


@every_dialect
async def test_c15_a_refusal_inside_a_200_is_the_clients_own(tmp_path: Path, name: str) -> None:
    sent = CHUNKED + chunk(REFUSED[name]) + LAST_CHUNK
    async with staged(tmp_path, sent) as (stage, proxy):
        answer = await DIALECTS[name].ask(proxy, stream=True)

        assert answer.status == 400
        assert answer.complete
        assert answer.headers["content-type"].startswith("application/json")
        assert b"No." in answer.body
        assert stage.requests == 1


@pytest.mark.parametrize(
    "event",
    [
        b'event: error\ndata: {"type":"error","code":"invalid_prompt","message":"No.",'
        b'"param":null,"sequence_number":0}\n\n',
        b'event: response.failed\ndata: {"type":"response.failed","sequence_number":0,"response":'
        b'{"error":{"code":"invalid_prompt","message":"No."}}}\n\n',
    ],
)
async def test_c15_what_was_an_event_is_told_as_an_error(tmp_path: Path, event: bytes) -> None:
    async with staged(tmp_path, CHUNKED + chunk(event) + LAST_CHUNK) as (_, proxy):
        answer = await DIALECTS["responses"].ask(proxy, stream=True)

        assert answer.status == 400
        assert answer.json == {
            "error": {
                "message": "No.",
                "type": "invalid_request_error",
                "param": None,
                "code": "invalid_prompt",
            }
        }


# C16: an error event in mid-stream


@every_dialect
async def test_c16_an_error_in_mid_stream_is_the_last_word(tmp_path: Path, name: str) -> None:
    stream = STREAMS[name]
    second = chunk(stream.error + stream.rest) + LAST_CHUNK
    async with staged(tmp_path, CHUNKED + chunk(stream.begun), second) as (stage, proxy):
        answer = await after(stage, proxy, DIALECTS[name], stream.begun)

        assert answer.body == stream.begun + stream.error
        assert not answer.complete
        assert_counted(proxy, "error_event")
        state = proxy.worker.state.live.deployments["m/0:p0"]
        await until(lambda: state.streak == 1.0)
        assert stage.requests == 1, "what the client has seen is never asked for again"


async def test_c16_a_response_that_failed_is_no_success(tmp_path: Path) -> None:
    stream = RESPONSES_STREAM
    failed = stream.end.replace(b"completed", b"failed").replace(
        b'"output":[]', b'"output":[],"error":{"code":"server_error","message":"No."}'
    )
    second = chunk(failed) + LAST_CHUNK
    async with staged(tmp_path, CHUNKED + chunk(stream.begun), second, close=True) as (
        stage,
        proxy,
    ):
        client = await proxy.raw()
        client.send(question(DIALECTS["responses"]))
        await client.reader.readuntil(stream.begun)
        stage.go.release()
        rest = await client.reader.readuntil(LAST_CHUNK)
        client.close()

        assert chunk(failed) in rest
        assert_counted(proxy, "error_event")


# C17: a body shorter than its length


@every_dialect
async def test_c17_a_short_body_is_no_answer(sim: Simulator, tmp_path: Path, name: str) -> None:
    async with row(sim, tmp_path, "cl_short", "") as here:
        answer = await DIALECTS[name].ask(here.proxy)

        assert_good(DIALECTS[name], answer)
        assert here.tried(0, reason="truncated") >= 1
        assert here.tried(1) == 1


@every_dialect
async def test_c17_a_short_body_has_a_true_status(
    sim: Simulator, tmp_path: Path, name: str
) -> None:
    async with row(sim, tmp_path, "cl_short") as here:
        answer = await DIALECTS[name].ask(here.proxy)

        assert_error(DIALECTS[name], answer, "up_spent")


@every_dialect
async def test_c17_a_short_stream_is_a_cut_one(tmp_path: Path, name: str) -> None:
    begun = STREAMS[name].begun
    sent = HEAD + b"content-length: %d\r\n\r\n" % (len(begun) + 100) + begun
    async with staged(tmp_path, sent, close=True) as (_, proxy):
        answer = await ask(proxy, DIALECTS[name])

        assert assert_cut(DIALECTS[name], answer, "upstream_truncated") == begun
        assert_counted(proxy, "truncated")


@every_dialect
async def test_c17_a_length_that_lies_behind_the_terminal_event_takes_nothing(
    sim: Simulator, tmp_path: Path, name: str
) -> None:
    async with row(sim, tmp_path, "cl_short") as here:
        answer = await DIALECTS[name].ask(here.proxy, stream=True)

        assert_good(DIALECTS[name], answer, stream=True)
        assert_counted(here.proxy, "done", whole=True)


# C18: a body longer than its length, a second response nobody asked for


@every_dialect
async def test_c18_bytes_behind_the_answer_reach_nobody(
    sim: Simulator, tmp_path: Path, name: str
) -> None:
    async with row(sim, tmp_path, "unasked") as here:
        for stream in (False, True, False):
            answer = await DIALECTS[name].ask(here.proxy, stream=stream)

            assert_good(DIALECTS[name], answer, stream=stream)
            assert b"nobody asked" not in answer.body
        connections = [one["connection"] for one in await here.seen()]
        assert len(set(connections)) == len(connections) == 3, "such a connection is not used again"


@every_dialect
async def test_c18_an_answer_longer_than_its_length_is_a_cut_one(
    sim: Simulator, tmp_path: Path, name: str
) -> None:
    async with row(sim, tmp_path, "cl_long", "") as here:
        answer = await DIALECTS[name].ask(here.proxy)

        assert_good(DIALECTS[name], answer)
        assert here.tried(0, reason="malformed") >= 1
        connections = [one["connection"] for one in await here.seen()]
        assert len(set(connections)) == len(connections)


@pytest.mark.parametrize("name", ["responses", "messages", "gemini"])
async def test_c18_a_stream_longer_than_its_length_is_a_cut_one(
    sim: Simulator, tmp_path: Path, name: str
) -> None:
    async with cut_row(sim, tmp_path, "cl_long", "truncated") as here:
        answer = await ask(here.proxy, DIALECTS[name])

        assert_cut(DIALECTS[name], answer, "upstream_truncated")


async def test_c18_a_chat_that_lacks_only_its_last_bytes_is_whole(
    sim: Simulator, tmp_path: Path
) -> None:
    async with row(sim, tmp_path, "cl_long") as here:
        answer = await CHAT.ask(here.proxy, stream=True)

        assert_good(CHAT, answer, stream=True)
        assert_counted(here.proxy, "finish_no_done", whole=True)


async def test_c18_a_response_that_comes_unasked_later_reaches_nobody(tmp_path: Path) -> None:
    """The connection is back in the pool when the second response comes."""
    first = b'{"id":"1","choices":[{"message":{"content":"first"},"finish_reason":"stop"}]}'
    second = first.replace(b"first", b"unasked")
    parts = [
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
        % (len(body), body)
        for body in (first, second)
    ]
    async with staged(tmp_path, *parts) as (stage, proxy):
        assert b"first" in (await CHAT.ask(proxy)).body
        upstream = proxy.worker.pool.upstreams()[0]
        assert upstream.idle == 1
        stage.go.release()
        await until(lambda: stage.go.locked())
        await until(lambda: not any(map(_is_open, _pooled(proxy))))

        stage.go.release()
        assert b"first" in (await CHAT.ask(proxy)).body


def _pooled(proxy: Proxy) -> list[Any]:
    """The connections waiting in the pool."""
    pools = proxy.worker.pool.upstreams()[0]._connector._conns
    return [protocol for pool in pools.values() for protocol, _ in pool]


def _is_open(protocol: Any) -> bool:
    return protocol.transport is not None and not protocol.transport.is_closing()


# C19: chunked framing that is broken


@every_dialect
@pytest.mark.parametrize("fault", ["bad_chunk", "bad_chunk_crlf"])
async def test_c19_a_bad_chunk_in_mid_stream(
    sim: Simulator, tmp_path: Path, name: str, fault: str
) -> None:
    async with cut_row(sim, tmp_path, f"n8-{fault}", "malformed") as here:
        answer = await ask(here.proxy, DIALECTS[name])

        before = assert_cut(DIALECTS[name], answer, "upstream_bad_response")
        assert b"turns" in before, "events read together with the bad chunk are not lost"
        assert b"no such size" not in answer.body
        assert b"hello" not in answer.body


@every_dialect
@pytest.mark.parametrize("fault", ["bad_chunk", "bad_chunk_crlf"])
async def test_c19_a_bad_chunk_in_a_whole_answer(
    sim: Simulator, tmp_path: Path, name: str, fault: str
) -> None:
    async with row(sim, tmp_path, f"split50-{fault}", "") as here:
        answer = await DIALECTS[name].ask(here.proxy)

        assert_good(DIALECTS[name], answer)
        assert here.tried(0, reason="malformed") >= 1


@pytest.mark.parametrize(
    "framing",
    [b"fffffffffffffffff\r\n", b"-1\r\n", b"0x5\r\nhello\r\n", b"5 5\r\nhello\r\n", b"5\nhello\n"],
)
async def test_c19_no_spelling_of_a_bad_size_gets_through(tmp_path: Path, framing: bytes) -> None:
    begun = CHAT_STREAM.begun
    second = framing + chunk(CHAT_STREAM.rest) + LAST_CHUNK
    async with staged(tmp_path, CHUNKED + chunk(begun), second) as (stage, proxy):
        answer = await after(stage, proxy, CHAT, begun)

        assert assert_cut(CHAT, answer, "upstream_bad_response") == begun


# C23: a stream without end


@every_dialect
async def test_c23_a_stream_without_end_is_ended(
    sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(event_relay, "MOST", 20_000)
    async with cut_row(sim, tmp_path, "n1000000", "deadline") as here:
        answer = await ask(here.proxy, DIALECTS[name])

        before = assert_cut(DIALECTS[name], answer, "stream_limit")
        assert 20_000 < len(before) < 2_000_000


async def test_c23_nor_is_one_that_is_translated(
    sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translating, "MOST", 20_000)
    other = {"providers__p0__dialects": ["anthropic.messages"]}
    content = fleet((sim.url, "sim-n1000000-c23"), **other)
    async with serving(content, tmp_path) as proxy:
        answer = await ask(proxy, CHAT)

        assert 20_000 < len(assert_cut(CHAT, answer, "stream_limit")) < 2_000_000
        assert_counted(proxy, "deadline")


# What official clients make of it

CUTS = {
    "no last chunk": lambda stream: CHUNKED + chunk(stream.begun),
    "half an event": lambda stream: EOF + stream.begun + stream.content[3][:30],
    "no end": lambda stream: CHUNKED + chunk(stream.begun) + LAST_CHUNK,
    "short": lambda stream: HEAD + b"content-length: 99999\r\n\r\n" + stream.begun,
    "bad chunk": lambda stream: CHUNKED + chunk(stream.begun) + b"zz\r\n",
    "long and cut": lambda stream: EOF + stream.begun + b"data: {" + b" " * 99_999,
}
builds_models = pytest.mark.allow_blocking("the client builds its models when first used")
every_cut = pytest.mark.parametrize("cut", CUTS)
Cut = Callable[[Stream], bytes]


@asynccontextmanager
async def cutting(folder: Path, cut: str, name: str) -> AsyncIterator[Proxy]:
    make: Cut = CUTS[cut]
    async with staged(folder, make(STREAMS[name]), close=True) as (_, proxy):
        yield proxy


@builds_models
@every_cut
async def test_the_openai_client_raises_in_a_cut_chat(tmp_path: Path, cut: str) -> None:
    async with (
        cutting(tmp_path, cut, "chat") as proxy,
        openai.AsyncOpenAI(api_key=KEY, base_url=proxy.url + "/v1", max_retries=0) as client,
    ):
        stream = await client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": "hi"}],
            stream=True,
        )
        with pytest.raises((openai.APIError, ValueError)):
            async for _ in stream:
                pass


@builds_models
@every_cut
async def test_the_openai_client_raises_in_a_cut_response(tmp_path: Path, cut: str) -> None:
    async with (
        cutting(tmp_path, cut, "responses") as proxy,
        openai.AsyncOpenAI(api_key=KEY, base_url=proxy.url + "/v1", max_retries=0) as client,
    ):
        stream = await client.responses.create(model="m", input="hi", stream=True)
        with pytest.raises((openai.APIError, ValueError)):
            async for _ in stream:
                pass


@builds_models
@every_cut
@pytest.mark.parametrize("helper", [True, False])
async def test_the_anthropic_client_raises_in_a_cut_message(
    tmp_path: Path, cut: str, helper: bool
) -> None:
    question: dict[str, Any] = {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
    }
    async with (
        cutting(tmp_path, cut, "messages") as proxy,
        anthropic.AsyncAnthropic(api_key=KEY, base_url=proxy.url, max_retries=0) as client,
    ):

        async def use() -> None:
            if helper:
                async with client.messages.stream(**question) as answer:
                    await answer.get_final_message()
            else:
                async for _ in await client.messages.create(**question, stream=True):
                    pass

        with pytest.raises((anthropic.APIError, ValueError)):
            await use()


async def test_two_whole_streams_after_a_cut_one_are_whole(sim: Simulator, tmp_path: Path) -> None:
    """A cut stream leaves nothing behind: the next ones come on connections of their own or on good ones."""
    async with serving(config(sim.url), tmp_path) as proxy:
        for model in ("sim-chunk_fin-idx", "sim-n5-idx", "sim-n5-idy"):
            answer = await proxy.chat(model)
            assert answer.complete is ("chunk_fin" not in model)
        assert proxy.metric("headrace_stream_terminations_total", reason="done") == 2
