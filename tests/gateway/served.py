"""The data plane alone, listening on loopback, and providers that do as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from proxy.core.model import Snapshot, VirtualKey
from proxy.core.virtual_key import digest
from proxy.gateway.server import Gateway, Page
from proxy.upstream.pool import UpstreamPool
from tests.gateway.asked import PEPPER, state
from tests.line.harness import Answer, Raw, read_request

COMPLETION = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"up","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}'
)
CHUNK = (
    b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":null}]}\n\n'
)
FINISH = (
    b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}\n\n'
    b"data: [DONE]\n\n"
)
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def whole(
    body: bytes = COMPLETION, status: int = 200, *fields: bytes, kind: bytes = b"application/json"
) -> bytes:
    """A provider's whole answer."""
    head = b"HTTP/1.1 %d x\r\ncontent-type: %b\r\ncontent-length: %d\r\n" % (
        status,
        kind,
        len(body),
    )
    return head + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


def chunk(data: bytes) -> bytes:
    """Framed for a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


STREAMED = STREAM + chunk(CHUNK) + chunk(FINISH) + b"0\r\n\r\n"


class Provider:
    """A provider that answers each request with the next of its answers, the last one again and again."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[bytes, bytes]] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            self.requests.append(await read_request(reader))
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            writer.write(answer)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A provider that reads and says nothing."""
    await reader.read()


class Served:
    """A gateway that listens."""

    def __init__(self, snapshot: Snapshot, pages: Mapping[str, Page]) -> None:
        self.state = state(snapshot)
        self.pool = UpstreamPool()
        self.gateway = Gateway(self.state, self.pool, pages)
        self.port = 0
        self.clients: list[Raw] = []

    async def client(self) -> Raw:
        """A connection to it."""
        client = await Raw.open(self.port)
        self.clients.append(client)
        return client

    async def ask(self, data: bytes) -> Answer:
        """One request on a connection of its own."""
        client = await self.client()
        client.send(data)
        return await client.answer()


@asynccontextmanager
async def serving(
    snapshot: Snapshot, pages: Mapping[str, Page] | None = None
) -> AsyncIterator[Served]:
    """A gateway that serves `snapshot`."""
    served = Served(snapshot, pages or {})
    loop = asyncio.get_running_loop()
    server = await loop.create_server(served.gateway.connection, "127.0.0.1", 0)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        for client in served.clients:
            client.close()
        await served.gateway.drain(0.2)
        await served.pool.close()


def virtual_key(text: str, *models: str) -> dict[bytes, VirtualKey]:
    """The keys of a snapshot: this one, for these models."""
    found = digest(text, PEPPER)
    return {found: VirtualKey("app", found, models=models or ("*",))}
