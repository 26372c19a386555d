"""A stream through nginx and through HAProxy, by the files in `deploy/`: nothing is held back, lost or sent twice."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from bench.balancers import BALANCERS, Front
from proxy.core.model import Server
from tests.fleet.conftest import Balance
from tests.line.harness import (
    KEY,
    Proxy,
    Raw,
    closed_port,
    config,
    read_request,
    request,
    scripted,
    serving,
    until,
)

TOKENS = 5
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
BODY = b'{"model": "sim", "stream": true, "messages": []}'


@pytest.fixture
def closed() -> Iterator[int]:
    """The port of a host that is not there."""
    with closed_port() as port:
        yield port


def event(number: int, reason: str = "null") -> bytes:
    data = (
        f'data: {{"id":"c","object":"chat.completion.chunk","created":1,"model":"sim","choices":'
        f'[{{"index":0,"delta":{{"content":"<{number}>"}},"finish_reason":{reason}}}]}}\n\n'
    ).encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


class Provider:
    """Sends a token when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.left = 0
        self.more = asyncio.Semaphore(0)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            self.asked += 1
            writer.write(HEAD)
            for number in range(TOKENS):
                waiting = asyncio.ensure_future(self.more.acquire())
                leaving = asyncio.ensure_future(reader.read(1))
                await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if leaving.done():
                    waiting.cancel()
                    self.left += 1
                    return
                leaving.cancel()
                await asyncio.wait({leaving})
                writer.write(event(number))
            writer.write(event(TOKENS, '"stop"'))
            end = b"data: [DONE]\n\n"
            writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(end), end))


@asynccontextmanager
async def behind(
    name: str, balance: Balance, closed: int, folder: Path
) -> AsyncIterator[tuple[Front, Proxy, Provider]]:
    """A proxy behind a balancer, whose other host is not there."""
    provider = Provider()
    async with (
        scripted(provider.serve) as url,
        serving(config(url, ledger={"client_gone": "cancel"}), folder) as proxy,
    ):
        front = await asyncio.to_thread(balance, name, (closed, proxy.port))
        yield front, proxy, provider


@asynccontextmanager
async def connected(front: Front) -> AsyncIterator[Raw]:
    """By TLS, as a client on the other side is."""
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port, ssl=front.trust)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


async def received(client: Raw, what: bytes, so_far: bytes) -> bytes:
    """Everything up to now, once `what` is in it."""
    while what not in so_far:
        piece = await client.reader.read(65536)
        assert piece, so_far
        so_far += piece
    return so_far


@pytest.mark.parametrize("name", BALANCERS)
async def test_each_token_arrives_before_the_next_is_made(
    name: str, balance: Balance, closed: int, tmp_path: Path
) -> None:
    async with (
        behind(name, balance, closed, tmp_path) as (front, _, provider),
        connected(front) as client,
    ):
        client.send(request("POST", "/v1/chat/completions", BODY, {"x-request-id": "mine-1"}))
        said = b""
        for number in range(TOKENS):
            # The next one is made only when this one is here: whoever holds one back holds up the test.
            provider.more.release()
            async with asyncio.timeout(5):
                said = await received(client, b"<%d>" % number, said)
        said = await received(client, b"[DONE]", said)

    head = said.split(b"\r\n\r\n")[0].lower()
    assert head.startswith(b"http/1.1 200")
    for line in (
        b"\r\nx-request-id: mine-1",
        b"\r\ncontent-type: text/event-stream",
        b"\r\ncache-control: no-store",
        b"\r\nx-content-type-options: nosniff",
    ):
        assert line in head
    assert not re.search(rb"\r\ncontent-encoding:", head)
    # The host that is not there was passed by; who was asked was asked once.
    assert provider.asked == 1


@pytest.mark.parametrize("name", BALANCERS)
async def test_a_client_that_leaves_is_gone_at_the_provider_too(
    name: str, balance: Balance, closed: int, tmp_path: Path
) -> None:
    async with (
        behind(name, balance, closed, tmp_path) as (front, _, provider),
        connected(front) as client,
    ):
        client.send(request("POST", "/v1/chat/completions", BODY))
        provider.more.release()
        await received(client, b"<0>", b"")

        client.reset()

        await until(lambda: provider.left == 1)


@pytest.mark.parametrize("name", BALANCERS)
async def test_a_client_cannot_say_where_it_is(
    name: str, balance: Balance, closed: int, tmp_path: Path
) -> None:
    keys = [{"name": "test", "key": KEY, "cidrs": ["203.0.113.0/24"]}]
    content = config("http://127.0.0.1:9", server={"proxies": ["127.0.0.1"]}, keys=keys)
    claim = {"x-forwarded-for": "203.0.113.9"}
    async with serving(content, tmp_path) as proxy:
        front = await asyncio.to_thread(balance, name, (closed, proxy.port))
        # From a balancer itself it would be believed.
        there = await proxy.post("/v1/chat/completions", {"model": "none"}, claim)
        async with connected(front) as client:
            client.send(request("POST", "/v1/chat/completions", BODY, claim))
            here = await client.answer()

    assert (there.status, here.status) == (404, 403)


@pytest.mark.parametrize("name", BALANCERS)
async def test_what_is_ours_comes_through_in_our_words(
    name: str, balance: Balance, closed: int, tmp_path: Path
) -> None:
    async with behind(name, balance, closed, tmp_path) as (front, proxy, _):
        for key, status in (("sk-nobody", 401), (None, 401)):
            async with connected(front) as client:
                client.send(request("POST", "/v1/chat/completions", BODY, key=key))
                there = await client.answer()
            here = await proxy.post("/v1/chat/completions", BODY, key=key)
            assert (there.status, there.json["error"]["code"]) == (
                status,
                here.json["error"]["code"],
            )
        async with connected(front) as client:
            client.send(request("GET", "/metrics", None))
            assert (await client.answer()).status == 404


@pytest.mark.parametrize("name", BALANCERS)
async def test_a_body_that_is_too_large_is_refused_in_our_words(
    name: str, balance: Balance, closed: int, tmp_path: Path
) -> None:
    size = {"content-length": str(Server().max_body + 1)}
    async with serving(config("http://127.0.0.1:9"), tmp_path) as proxy:
        front = await asyncio.to_thread(balance, name, (closed, proxy.port))
        async with connected(front) as client:
            client.send(request("POST", "/v1/chat/completions", BODY, size))
            answer = await client.answer()

    assert answer.status == 413
    assert answer.json["error"]["code"] == "request_too_large"


@pytest.mark.allow_blocking("the library builds what it needs in the loop")
@pytest.mark.parametrize("name", BALANCERS)
async def test_a_socket_of_the_realtime_api_comes_through(
    name: str, balance: Balance, closed: int, tmp_path: Path
) -> None:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", 0) as vendor:
        (listener,) = vendor.sockets
        content = config(f"http://127.0.0.1:{listener.getsockname()[1]}")
        content["providers"]["p0"]["dialects"] = ["openai.realtime"]
        async with serving(content, tmp_path) as proxy:
            front = await asyncio.to_thread(balance, name, (closed, proxy.port))
            async with connect(
                f"wss://127.0.0.1:{front.port}/v1/realtime?model=sim",
                ssl=front.trust,
                additional_headers={"authorization": f"Bearer {KEY}"},
                proxy=None,
            ) as client:
                await client.send("hello")
                heard = await client.recv()

    assert heard == "hello"
