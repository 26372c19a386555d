"""What we rely on inside aiohttp and llhttp, so that a release that changes it is noticed here and not in production."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection

from proxy.core.errors import Cause, UpstreamError
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.pool import Upstream
from tests.line.harness import Script, read_request, scripted, until
from tests.upstream.places import OK, exchange, hello, secured, upstream
from tests.upstream.wires import Taken

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"


async def plain(one: Upstream, url: str) -> bytes:
    """The body of an answer to aiohttp's own request on the same pool."""
    async with one.session.post(url, data=b"{}") as answer:
        return await answer.read()


# --- the connector ---


async def test_the_connector_makes_its_connections_with_its_factory() -> None:
    async with scripted(hello) as url, upstream(url) as one:
        connection, release = await one.connect(5.0)

        assert type(connection) is UpstreamConnection
        assert isinstance(connection, ResponseHandler)
        release()


async def test_the_same_is_true_behind_tls(self_signed: ssl.SSLContext) -> None:
    async with secured(hello, self_signed) as url, upstream(url, verify_tls=False) as one:
        connection, release = await one.connect(5.0)

        assert type(connection) is UpstreamConnection
        release()


async def test_a_borrowed_connection_is_given_back_by_release_or_closed_by_close() -> None:
    async with scripted(hello) as url, upstream(url) as one:
        kept = await one._connector.connect(one._origin, [], aiohttp.ClientTimeout())
        closed = await one._connector.connect(one._origin, [], aiohttp.ClientTimeout())
        assert isinstance(kept, Connection)

        kept.release()
        closed.close()

        assert one.idle == 1


async def test_idle_connections_are_kept_by_place_with_the_time_of_their_return() -> None:
    async with scripted(hello) as url, upstream(url) as one:
        await exchange(one)

        pools = one._connector._conns
        assert list(pools) == [one._origin.connection_key]
        idle = pools[one._origin.connection_key]
        assert isinstance(idle, deque)
        [(protocol, since)] = idle
        assert isinstance(protocol, UpstreamConnection)
        assert isinstance(since, float)


async def test_one_request_object_serves_for_every_connect() -> None:
    async with scripted(hello) as url, upstream(url) as one:
        origin = one._origin
        key = origin.connection_key

        for _ in range(3):
            await exchange(one)
            one.drop_idle()
            await exchange(one)

        assert isinstance(origin, ClientRequest)
        assert (one._origin, origin.connection_key) == (origin, key)
        assert one.opened == 4


async def test_a_connection_closed_by_the_other_side_is_not_handed_out() -> None:
    async with scripted(hello) as url, upstream(url) as one:
        connection, release = await one.connect(5.0)
        release()
        connection.abort()

        other, release = await one.connect(5.0)

        assert other is not connection
        release()


async def test_a_connection_that_should_close_is_closed_when_given_back() -> None:
    async with scripted(hello) as url, upstream(url) as one:
        connection, release = await one.connect(5.0)
        connection.force_close()

        release()

        assert one.idle == 0
        assert not connection.is_connected()


async def test_a_limit_holds_for_borrowed_connections() -> None:
    async with scripted(hello) as url, upstream(url, max_connections=2) as one:
        borrowed = [await one.connect(5.0) for _ in range(2)]

        third = asyncio.ensure_future(one.connect(5.0))
        await asyncio.sleep(0)
        assert not third.done()
        borrowed[0][1]()
        connection, release = await third

        assert connection is borrowed[0][0]
        release()
        borrowed[1][1]()


# --- plain requests on the same pool ---


@pytest.mark.parametrize("answer", [OK, CHUNKED], ids=["length", "chunked"])
async def test_plain_requests_and_lean_ones_share_a_connection(answer: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(answer)

    async with scripted(script) as url, upstream(url) as one:
        for _ in range(2):
            assert await plain(one, url) == b"hello"
            assert (await exchange(one)).data == b"hello"

        assert (one.idle, one.session.closed) == (1, False)
        [(protocol, _)] = one._connector._conns[one._origin.connection_key]
        assert isinstance(protocol, UpstreamConnection)
        assert protocol.served == 4


@pytest.mark.parametrize("before", ["plain", "lean"])
async def test_an_unasked_answer_while_idle_reaches_nobody(before: str) -> None:
    wrong = OK.replace(b"hello", b"WRONG")
    more = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not more.is_set():
            for _ in range(2 if before == "plain" else 1):
                await read_request(reader)
                writer.write(OK)
            await more.wait()
            writer.write(wrong)
        await hello(reader, writer)

    async with scripted(script) as url, upstream(url) as one:
        if before == "plain":
            await plain(one, url)
        await exchange(one)
        [(idle, _)] = one._connector._conns[one._origin.connection_key]
        more.set()
        await until(lambda: not idle.is_connected())

        assert (await exchange(one)).data == b"hello"
        assert await plain(one, url) == b"hello"


async def test_a_plain_request_whose_answer_breaks_off_fails() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK[:-1])

    async with scripted(script) as url, upstream(url) as one:
        with pytest.raises(aiohttp.ClientPayloadError):
            await plain(one, url)

        assert one.idle == 0


async def test_plain_requests_are_not_decompressed_and_keep_no_cookies() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, _ = await read_request(reader)
            heads.append(head.lower())
            fields = b"content-encoding: gzip\r\nset-cookie: a=b\r\ncontent-length: 5\r\n\r\n"
            writer.write(b"HTTP/1.1 200 OK\r\n" + fields + b"hello")

    heads: list[bytes] = []
    async with scripted(script) as url, upstream(url) as one:
        assert await plain(one, url) == b"hello"
        assert await plain(one, url) == b"hello"

    assert not any(b"cookie" in head for head in heads)


# --- the same faults, on a new connection and on a used one ---

FAULTS: dict[str, tuple[bytes, Cause | None]] = {
    "whole": (OK, None),
    "until the end of the file": (b"HTTP/1.1 200 OK\r\n\r\nhello", None),
    "cut in its length": (OK[:-1], Cause.TRUNCATED),
    "cut in its chunks": (CHUNKED[:-5], Cause.TRUNCATED),
    "cut in its head": (OK[:20], Cause.CONNECT),
    "garbage": (b"\x00\x01\x02\x03\r\n\r\n", Cause.MALFORMED),
    "two lengths": (OK.replace(b"\r\n\r\n", b"\r\ncontent-length: 5\r\n\r\n"), Cause.MALFORMED),
}


def faulty(answer: bytes, good: int) -> Script:
    """A provider that answers `good` requests well, then one with `answer`, and closes."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(good):
            await read_request(reader)
            writer.write(OK)
        await read_request(reader)
        writer.write(answer)

    return script


@pytest.mark.parametrize("good", [0, 1], ids=["new", "used"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_faults_through_the_pool(fault: str, good: int) -> None:
    answer, cause = FAULTS[fault]

    async with scripted(faulty(answer, good)) as url, upstream(url) as one:
        for _ in range(good):
            assert (await exchange(one)).ended
        taken = await exchange(one)

        assert (taken.error and taken.error.cause) == cause
        assert one.busy == 0


@pytest.mark.parametrize(("good", "cause"), [(0, Cause.CONNECT), (1, Cause.STALE)])
async def test_silence_through_the_pool(good: int, cause: Cause) -> None:
    async with scripted(faulty(b"", good)) as url, upstream(url) as one:
        for _ in range(good):
            await exchange(one)
        taken = await exchange(one)

        assert taken.error is not None
        assert taken.error.cause is cause


# --- through an HTTP proxy ---


async def test_a_plain_provider_is_reached_through_a_proxy() -> None:
    heads: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, _ = await read_request(reader)
            heads.append(head)
            writer.write(OK)

    async with scripted(script) as via, upstream("http://provider.invalid", proxy=via) as one:
        assert (await exchange(one)).data == b"hello"
        assert (await exchange(one)).data == b"hello"
        assert one.opened == 1

    # The lean lane writes what it is told: the absolute target is for who renders the head.
    assert len(heads) == 2


async def test_a_secure_provider_is_reached_through_a_tunnel(self_signed: ssl.SSLContext) -> None:
    asked: list[bytes] = []

    async with secured(hello, self_signed) as url:
        port = int(url.rpartition(":")[2])

        async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append((await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0])
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

            async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
                try:
                    while data := await source.read(65536):
                        sink.write(data)
                finally:
                    sink.close()

            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

        async with scripted(tunnel) as via, upstream(url, proxy=via, verify_tls=False) as one:
            connection, release = await one.connect(5.0)
            taken = Taken()
            connection.exchange(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"", taken, release)
            await taken.over.wait()
            assert taken.data == b"hello"
            assert (await exchange(one)).data == b"hello"
            assert (type(connection), one.opened) == (UpstreamConnection, 1)

    assert asked == [b"CONNECT 127.0.0.1:%d HTTP/1.1" % port]


async def test_a_proxy_that_refuses_is_a_failure_to_connect() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")

    async with scripted(script) as via, upstream("https://provider.invalid", proxy=via) as one:
        with pytest.raises(UpstreamError) as refused:
            await one.connect(5.0)

        assert (refused.value.cause, refused.value.sent) == (Cause.CONNECT, False)
        assert one.busy == 0
