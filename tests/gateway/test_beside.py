"""Answers of another application that come piece by piece: all of them, or a connection that is cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from aiohttp.web_request import BaseRequest

from proxy.core.model import Snapshot
from proxy.gateway import beside
from proxy.gateway.server import Aside
from tests.gateway.asked import raw
from tests.gateway.served import serving
from tests.line.harness import until

NOTHING = Snapshot()


class Source:
    """A body in pieces, and how far it was asked for."""

    def __init__(self, *pieces: bytes, fails: bool = False) -> None:
        self._left = pieces
        self._fails = fails
        self.asked = 0
        self.closed = False

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        try:
            for piece in self._left:
                self.asked += 1
                yield piece
            if self._fails:
                raise RuntimeError("what it reads from went away")
        finally:
            self.closed = True

    @property
    def aside(self) -> Aside:
        async def answer(_request: BaseRequest) -> beside.Answer:
            headers = {
                "x-request-id": "r-1",
                "cache-control": "no-store",
                "content-type": "text/csv",
            }
            return 200, headers, self.pieces()

        return lambda request, path: answer(request) if path == "/admin/x" else None


async def test_pieces_are_chunks_and_the_connection_goes_on() -> None:
    source = Source(b"first,", b"", b"second")
    async with serving(NOTHING, {}) as served:
        served.gateway.aside = source.aside
        client = await served.client()
        client.send(raw("GET", "/admin/x") + raw("GET", "/none"))

        answer, following = await client.answer(), await client.answer()

    assert (answer.status, answer.body) == (200, b"first,second")
    assert answer.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in answer.headers
    assert (answer.headers["x-request-id"], answer.headers["content-type"]) == ("r-1", "text/csv")
    assert following.status == 404
    assert source.closed


async def test_an_old_client_gets_them_until_the_end() -> None:
    source = Source(b"first,", b"second")
    async with serving(NOTHING, {}) as served:
        served.gateway.aside = source.aside
        client = await served.client()
        client.send(b"GET /admin/x HTTP/1.0\r\nHost: a\r\n\r\n")

        head, body = await client.head(), await client.reader.read()

    assert b"transfer-encoding" not in head.lower()
    assert body == b"first,second"


async def test_of_them_the_head_alone_may_be_asked_for() -> None:
    source = Source(b"first")
    async with serving(NOTHING, {}) as served:
        served.gateway.aside = source.aside
        client = await served.client()
        client.send(raw("HEAD", "/admin/x") + raw("GET", "/none"))

        head, following = await client.head(), await client.answer()

    assert head.startswith(b"HTTP/1.1 200")
    assert following.status == 404
    assert source.asked == 0


async def test_in_the_middle_of_them_nobody_is_asked_whether_it_is_there() -> None:
    async def pieces() -> AsyncGenerator[bytes, None]:
        yield b"first,"
        await go_on.wait()
        yield b"second"

    async def answer(_request: BaseRequest) -> beside.Answer:
        return 200, {"x-request-id": "r-1", "content-type": "text/csv"}, pieces()

    go_on = asyncio.Event()
    async with serving(NOTHING, {}) as served:
        served.gateway.aside = lambda request, path: answer(request)
        client = await served.client()
        client.send(raw("GET", "/admin/x"))
        await client.reader.readuntil(b"first,\r\n")
        (connection,) = served.gateway._connections()
        client.writer.write_eof()
        await until(lambda: connection.half_closed)
        go_on.set()

        async with asyncio.timeout(5):
            assert await client.reader.read() == b"6\r\nsecond\r\n0\r\n\r\n"


async def test_what_fails_in_the_middle_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(NOTHING, {}) as served:
        served.gateway.aside = Source(b"first", fails=True).aside
        client = await served.client()
        client.send(raw("GET", "/admin/x"))

        await client.head()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.reader.readuntil(b"0\r\n\r\n")

    assert "was cut: what it reads from went away" in caplog.text


async def test_nothing_is_read_for_a_client_that_takes_nothing() -> None:
    source = Source(*[b"x" * 1_000_000] * 200)
    async with serving(NOTHING, {}) as served:
        served.gateway.aside = source.aside
        client = await served.client()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(raw("GET", "/admin/x"))
        await until(lambda: source.asked > 0)
        seen = -1
        while seen != source.asked:  # until its buffers are full
            seen = source.asked
            for _ in range(200):
                await asyncio.sleep(0)
        stuck = source.asked
        client.reset()
        await until(lambda: source.closed)

    assert stuck < 100
    assert source.asked == stuck


async def test_who_takes_nothing_for_too_long_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "STALL", 0.05)
    source = Source(*[b"x" * 1_000_000] * 200)
    async with serving(NOTHING, {}) as served:
        served.gateway.aside = source.aside
        client = await served.client()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(raw("GET", "/admin/x"))

        await until(lambda: source.closed)

    assert 0 < source.asked < 100
