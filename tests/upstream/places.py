"""Providers on loopback, and an exchange with one of them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec.structs import replace

from proxy.core.model import Provider
from proxy.upstream.pool import Upstream
from tests.line.harness import Script, read_request
from tests.upstream.wires import Taken

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
REQUEST = b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n"


def provider(url: str, **changes: object) -> Provider:
    """A provider at `url`."""
    one = Provider("p", url, {"openai.chat": "/v1/chat/completions"}, allow_private=True)
    return replace(one, **changes)


@asynccontextmanager
async def upstream(url: str, **changes: object) -> AsyncIterator[Upstream]:
    """The connections to a provider at `url`."""
    one = Upstream(provider(url, **changes))
    try:
        yield one
    finally:
        await one.close()


async def exchange(upstream: Upstream, *, fresh: bool = False) -> Taken:
    """Borrow a connection, ask, and wait until it has been given back."""
    connection, release = await upstream.connect(5.0, fresh=fresh)
    taken = Taken()
    connection.exchange(REQUEST, b"{}", taken, release)
    await taken.over.wait()
    return taken


async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A provider that greets for every request."""
    while True:
        await read_request(reader)
        writer.write(OK)


@asynccontextmanager
async def secured(script: Script, context: ssl.SSLContext) -> AsyncIterator[str]:
    """A server that does with each TLS connection what `script` does; its URL."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
