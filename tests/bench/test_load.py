"""The load generator against scripted answers on loopback: what it counts, and what it calls wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic, monotonic_ns

import msgspec
import pytest

from bench.load import Load, Outcome, arrive, hold, loop, request_bytes

Script = Callable[[asyncio.StreamWriter], Awaitable[None]]

JSON = b'{"choices":[]}'
UNARY = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%%s\r\n%s" % (len(JSON), JSON)
STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def token() -> bytes:
    event = b'data: {"choices":[{"delta":{"content":"%020d"}}]}\n\n' % monotonic_ns()
    return b"%x\r\n%s\r\n" % (len(event), event)


async def whole(writer: asyncio.StreamWriter) -> None:
    writer.write(UNARY % b"")


async def whole_and_close(writer: asyncio.StreamWriter) -> None:
    writer.write(UNARY % b"Connection: close\r\n")
    writer.close()


async def refused(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 429 Too Many\r\nContent-Length: 4\r\n\r\nslow")


async def stream(writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM + token() + token() + token() + LAST)


async def stream_byte_by_byte(writer: asyncio.StreamWriter) -> None:
    for byte in STREAM + token() + token() + LAST:
        writer.write(bytes([byte]))
        await asyncio.sleep(0)


async def stream_without_done(writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM + token() + b"0\r\n\r\n")


async def stream_cut_off(writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM + token())
    await writer.drain()
    writer.close()


async def stream_silent(writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM + token())


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def nonsense(writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello, who is there?\r\n\r\n")


@asynccontextmanager
async def answering(script: Script) -> AsyncIterator[int]:
    """A server that answers every request on a connection with the script."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                await script(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def brief(port: int, **changes: object) -> Load:
    load = Load(model="sim", port=port, connections=2, seconds=0.05, warm=0.02)
    return msgspec.structs.replace(load, **changes)


async def counted(port: int, *names: str) -> Outcome:
    """Of a window in which there was something of all of these: a busy machine may see nothing in so short a time."""
    while True:
        outcome = await loop(brief(port))
        if all(getattr(outcome, name) for name in names):
            return outcome


async def test_whole_answers_are_counted() -> None:
    async with answering(whole) as port:
        outcome = await counted(port, "requests")

    assert outcome.requests > 0
    assert outcome.errors == outcome.truncated == outcome.tokens == 0
    assert 0 < outcome.latency.p50 <= outcome.latency.p99 <= outcome.latency.maximum


async def test_with_a_rate_no_more_is_asked_than_that() -> None:
    async with answering(whole) as port:
        began = monotonic()
        outcome = await loop(brief(port, seconds=0.2, rate=50.0))
        took = monotonic() - began

    # One of each connection at once; what was to be asked while the machine had no time for it is asked later.
    assert 0 < outcome.requests <= 50 * took + 2


async def test_a_closed_connection_is_opened_again() -> None:
    async with answering(whole_and_close) as port:
        outcome = await counted(port, "reconnects", "requests")

    assert outcome.reconnects > 0
    assert outcome.requests > 0
    assert outcome.errors == outcome.truncated == 0


async def test_an_error_status_is_an_error_with_its_words() -> None:
    async with answering(refused) as port:
        outcome = await counted(port, "errors")

    assert outcome.errors > 0
    assert outcome.requests == 0
    assert outcome.first_error == "slow"


@pytest.mark.parametrize(("script", "tokens"), [(stream, 3), (stream_byte_by_byte, 2)])
async def test_tokens_are_counted_with_their_delay(script: Script, tokens: int) -> None:
    async with answering(script) as port:
        outcome = await arrive(brief(port, stream=True, shape="arrive", connections=5))

    assert outcome.requests == 5
    assert outcome.tokens == 5 * tokens
    assert outcome.errors == outcome.truncated == 0
    assert outcome.first_token.p50 > 0
    assert outcome.token_delay.p50 > 0


@pytest.mark.parametrize("script", [stream_without_done, stream_cut_off])
async def test_a_stream_without_its_end_is_truncated(script: Script) -> None:
    async with answering(script) as port:
        outcome = await arrive(brief(port, stream=True, shape="arrive"))

    assert outcome.truncated == 2
    assert outcome.requests == 0


@pytest.mark.parametrize("script", [closed, nonsense])
async def test_no_answer_is_an_error(script: Script) -> None:
    async with answering(script) as port:
        outcome = await arrive(brief(port, shape="arrive"))

    assert outcome.errors == 2
    assert outcome.first_error


async def test_streams_are_held_in_steps() -> None:
    async with answering(stream_silent) as port:
        outcome = await hold(brief(port, stream=True, shape="hold", hold=[3, 7]))

    assert [held.streams for held in outcome.held] == [3, 7]
    assert outcome.tokens == 7


async def test_holding_goes_on_when_streams_end_before_a_token() -> None:
    async with answering(refused) as port:
        outcome = await hold(brief(port, stream=True, shape="hold", hold=[3]))

    assert outcome.errors == 3


@pytest.mark.parametrize("size", [400, 401, 20_000])
@pytest.mark.parametrize("streaming", [False, True])
def test_a_request_has_the_size_asked_for(size: int, streaming: bool) -> None:
    head, _, body = request_bytes(
        Load(model="sim-n16-d0-f0-s4-t", body_bytes=size, stream=streaming)
    ).partition(b"\r\n\r\n")

    assert len(body) == size
    assert f"Content-Length: {len(body)}".encode() in head
    assert msgspec.json.decode(body).get("stream", False) is streaming
