"""A client's connection keeps its deadlines and its manners, whoever is at the other end."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiohttp import web

from proxy.core.errors import ProxyError
from proxy.core.model import Server
from proxy.gateway import body
from proxy.gateway.connection import CONTINUE, ClientConnection
from proxy.state.memory import Memory
from tests.gateway.asked import raw
from tests.line.harness import Raw, until

if TYPE_CHECKING:
    from aiohttp.web_request import BaseRequest

Answer = Callable[["BaseRequest", ClientConnection], Awaitable[bool]]
GET = raw("GET", "/a")


def said(what: str) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(what), what.encode())


class Place:
    """A listener whose connections answer as a test likes, and refuse in words it can read."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.refusals: list[tuple[str, str]] = []
        self.connections: list[ClientConnection] = []
        self.port = 0
        self.head_timeout = 5.0
        self.keepalive = 5.0
        self.write_timeout = 60.0
        self.server = web.Server(cast("Any", None), handler_cancellation=True, access_log=None)

    def connection(self) -> ClientConnection:
        one = ClientConnection(
            self.server,
            loop=asyncio.get_running_loop(),
            answer=self.answer,
            reject=self._reject,
            head_timeout=self.head_timeout,
            keepalive=self.keepalive,
            write_timeout=self.write_timeout,
        )
        self.connections.append(one)
        return one

    def _reject(self, ref: str, request_line: str) -> bytes:
        self.refusals.append((ref, request_line))
        return said(ref)


@asynccontextmanager
async def listening(answer: Answer, **settings: float) -> AsyncIterator[tuple[Place, Raw]]:
    """A listener, and a client connected to it."""
    place = Place(answer)
    for name, value in settings.items():
        setattr(place, name, value)
    server = await asyncio.get_running_loop().create_server(place.connection, "127.0.0.1", 0)
    place.port = server.sockets[0].getsockname()[1]
    client = await Raw.open(place.port)
    try:
        yield place, client
    finally:
        client.close()
        server.close()
        await place.server.shutdown(0.1)


async def echo(request: BaseRequest, client: ClientConnection) -> bool:
    """Say what path was asked for."""
    assert client.transport is not None
    client.transport.write(said(request.raw_path))
    return True


async def never(request: BaseRequest, client: ClientConnection) -> bool:
    """Be at it for ever."""
    await asyncio.Event().wait()
    return True


# --- one after the other ---


async def test_a_connection_carries_one_request_after_another() -> None:
    async with listening(echo) as (_, client):
        for path in ("/a", "/b", "/c"):
            client.send(raw("GET", path))
            assert (await client.answer()).body == path.encode()


async def test_requests_sent_at_once_are_answered_in_order() -> None:
    async def answer(request: BaseRequest, client: ClientConnection) -> bool:
        await asyncio.sleep(0)
        return await echo(request, client)

    async with listening(answer) as (place, client):
        client.send(b"".join(raw("GET", f"/{at}") for at in range(50)))

        assert [(await client.answer()).body for _ in range(50)] == [
            b"/%d" % at for at in range(50)
        ]
        assert place.connections[0].answered == 50


async def test_a_request_in_pieces_is_one_request() -> None:
    async with listening(echo) as (place, client):
        for at in range(len(GET)):
            client.send(GET[at : at + 1])
            await asyncio.sleep(0)

        assert (await client.answer()).body == b"/a"
        assert place.refusals == []


async def test_an_answer_that_says_so_is_the_last() -> None:
    async def answer(request: BaseRequest, client: ClientConnection) -> bool:
        await echo(request, client)
        return False

    async with listening(answer) as (_, client):
        client.send(GET + raw("GET", "/b"))

        assert (await client.answer()).body == b"/a"
        assert await client.reader.read() == b""


async def test_a_body_nobody_has_read_ends_the_connection() -> None:
    async with listening(echo) as (_, client):
        client.send(raw("POST", "/a", b"", "Content-Length: 10") + b"part")

        assert (await client.answer()).body == b"/a"
        assert await client.reader.read() == b""


# --- deadlines ---


@pytest.mark.parametrize("begun", [b"", b"GET", GET[:-2]])
async def test_a_head_that_does_not_come_is_refused(begun: bytes) -> None:
    async with listening(never, head_timeout=0.03) as (place, client):
        client.send(begun)

        assert (await client.answer()).body == b"slow_req"
        assert await client.reader.read() == b""
        assert [ref for ref, _ in place.refusals] == ["slow_req"]


async def test_a_head_that_trickles_in_is_refused_all_the_same() -> None:
    async with listening(never, head_timeout=0.05) as (_, client):
        client.send(b"GET /a HTTP/1.1\r\n")
        answering = asyncio.ensure_future(client.answer())

        while not answering.done():
            client.send(b"A: b\r\n")
            await asyncio.sleep(0.005)

        assert (await answering).body == b"slow_req"


async def test_the_second_head_has_a_deadline_of_its_own() -> None:
    async with listening(echo, head_timeout=0.03) as (_, client):
        client.send(GET)
        await client.answer()

        client.send(GET[:-2])

        assert (await client.answer()).body == b"slow_req"


async def test_a_slow_answer_is_no_slow_head() -> None:
    async def answer(request: BaseRequest, client: ClientConnection) -> bool:
        await late.wait()
        return await echo(request, client)

    late = asyncio.Event()
    async with listening(answer, head_timeout=0.01) as (place, client):
        client.send(GET)
        asyncio.get_running_loop().call_later(0.05, late.set)

        assert (await client.answer()).body == b"/a"
        assert place.refusals == []


async def test_an_idle_connection_is_closed_without_a_word() -> None:
    async with listening(echo, keepalive=0.02) as (place, client):
        client.send(GET)
        await client.answer()

        assert await client.reader.read() == b""
        assert place.refusals == []


# --- what is no request ---


@pytest.mark.parametrize(
    ("data", "ref"),
    [
        (b"nonsense\r\n\r\n", "bad_http"),
        (b"GET /v1/messages HTTP/1.1\r\nbad header\r\n\r\n", "bad_http"),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", "hdr_big"),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * 9000 + b"\r\n\r\n", "hdr_big"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n", "hdr_big"),
    ],
)
async def test_what_is_no_request_is_refused(data: bytes, ref: str) -> None:
    async with listening(never) as (place, client):
        client.send(data)

        assert (await client.answer()).body == ref.encode()
        assert await client.reader.read() == b""
        assert place.refusals == [(ref, data[:2048].partition(b"\n")[0].decode())]


async def test_requests_before_what_is_none_are_answered() -> None:
    async with listening(echo) as (_, client):
        client.send(GET)
        assert (await client.answer()).body == b"/a"

        client.send(b"nonsense\r\n\r\n")

        assert (await client.answer()).body == b"bad_http"
        assert await client.reader.read() == b""


async def test_an_answer_that_fails_is_said_to_have_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def answer(request: BaseRequest, client: ClientConnection) -> bool:
        raise LookupError("a mistake of ours")

    async with listening(answer) as (_, client):
        client.send(GET)

        assert (await client.answer()).body == b"oops"
        assert await client.reader.read() == b""
    assert "a mistake of ours" in caplog.text


async def test_an_answer_that_is_given_up_ends_its_connection() -> None:
    async def answer(request: BaseRequest, client: ClientConnection) -> bool:
        raise asyncio.CancelledError

    async with listening(answer) as (place, client):
        client.send(GET + raw("GET", "/b"))

        async with asyncio.timeout(5):
            assert await client.reader.read() == b""
        assert not place.server.connections
        assert place.connections[0].task is None


# --- clients that leave ---


def reset(client: Raw) -> None:
    """Leave as a killed process does."""
    sock = client.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.reset()


class Watched:
    """An answer that takes for ever, and how it ended."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, request: BaseRequest, client: ClientConnection) -> bool:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return True


async def test_what_is_done_for_a_client_that_is_gone_is_cancelled() -> None:
    answer = Watched()
    async with listening(answer) as (_, client):
        client.send(GET)
        await answer.begun.wait()

        reset(client)

        await answer.cancelled.wait()


async def test_the_same_when_it_closes_and_will_not_listen() -> None:
    answer = Watched()
    async with listening(answer) as (_, client):
        client.send(GET)
        await answer.begun.wait()

        client.close()

        await answer.cancelled.wait()


async def test_a_client_that_has_only_said_all_it_has_to_say_is_answered() -> None:
    async def answer(request: BaseRequest, client: ClientConnection) -> bool:
        begun.set()
        await until(lambda: client.half_closed)
        await client.confirm_client()
        return await echo(request, client) and False

    begun = asyncio.Event()
    async with listening(answer) as (_, client):
        client.send(GET)
        await begun.wait()
        client.writer.write_eof()

        received = await client.reader.read()
        # Twice it is asked whether it is there, in a way that no client minds.
        assert received == CONTINUE * 2 + said("/a")


async def test_an_old_client_is_told_nothing_before_its_answer() -> None:
    async def answer(request: BaseRequest, client: ClientConnection) -> bool:
        begun.set()
        await until(lambda: client.half_closed)
        return await echo(request, client) and False

    begun = asyncio.Event()
    async with listening(answer) as (_, client):
        client.send(b"GET /a HTTP/1.0\r\nHost: a\r\n\r\n")
        await begun.wait()
        client.writer.write_eof()

        assert await client.reader.read() == said("/a")


async def test_a_client_that_has_said_all_and_has_its_answer_is_let_go() -> None:
    async def answer(request: BaseRequest, client: ClientConnection) -> bool:
        begun.set()
        await until(lambda: client.half_closed)
        return await echo(request, client)

    begun = asyncio.Event()
    async with listening(answer) as (_, client):
        client.send(GET + raw("GET", "/b"))
        await begun.wait()
        client.writer.write_eof()

        async with asyncio.timeout(2):
            received = await client.reader.read()
        assert received.removeprefix(CONTINUE) == said("/a") + said("/b")


async def test_that_it_may_have_left_is_known_before_the_loop_has_read_its_end() -> None:
    async def answer(request: BaseRequest, client: ClientConnection) -> bool:
        assert client.transport is not None
        end = client.transport.get_extra_info("socket").fileno()
        before = client.may_have_left()
        theirs.shutdown(socket.SHUT_WR)
        select.select([end], [], [], 5)  # the loop stands still meanwhile
        seen.append((before, client.may_have_left(), client.half_closed))
        await until(lambda: client.half_closed)
        seen.append(client.may_have_left())
        return await echo(request, client) and False

    seen: list[object] = []
    async with listening(answer) as (_, client):
        with socket.socket(
            fileno=os.dup(client.writer.get_extra_info("socket").fileno())
        ) as theirs:
            client.send(GET)
            await client.reader.read()

    assert seen == [(False, True, False), True]


async def test_a_client_that_stops_in_the_middle_of_its_body_is_let_go() -> None:
    answer = Watched()
    async with listening(answer) as (_, client):
        client.send(raw("POST", "/a", b"", "Content-Length: 10") + b"part")
        await answer.begun.wait()

        client.writer.write_eof()

        await answer.cancelled.wait()


async def test_a_client_that_ends_between_requests_is_let_go() -> None:
    async with listening(echo) as (place, client):
        client.send(GET)
        await client.answer()

        client.writer.write_eof()

        assert await client.reader.read() == b""
        assert place.refusals == []


# --- flow ---


class Stream:
    """What feeds a client: remembers how it was steered."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")

    def gone(self) -> None:
        self.calls.append("gone")

    def restart(self) -> None:
        self.calls.append("restart")

    def probe(self) -> bytes:
        self.calls.append("probe")
        return b":\n\n"


class Feeding(Watched):
    """An answer that a stream feeds."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__()
        self.stream = Stream()
        self.data = data

    async def __call__(self, request: BaseRequest, client: ClientConnection) -> bool:
        client.flow = self.stream
        assert client.transport is not None
        client.transport.write(self.data)
        return await super().__call__(request, client)


async def test_a_client_that_does_not_keep_up_pauses_what_feeds_it() -> None:
    size = 8 << 20
    answer = Feeding(b"x" * size)
    async with listening(answer) as (_, client):
        client.send(GET)
        await answer.begun.wait()
        assert answer.stream.calls == ["pause"]

        while size:
            size -= len(await client.reader.read(1 << 16))
        await until(lambda: answer.stream.calls == ["pause", "resume"])


class Large:
    """Answers that are more than the system takes for a client that reads nothing."""

    def __init__(self, *, last: bool = False, size: int = 1 << 20) -> None:
        self.last = last
        self.data = said("x" * size)

    async def __call__(self, request: BaseRequest, client: ClientConnection) -> bool:
        assert client.transport is not None
        client.transport.write(self.data)
        return not self.last


async def test_a_client_that_does_not_read_is_given_no_other_answer() -> None:
    async with listening(Large()) as (place, client):
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(GET * 100)
        await until(lambda: bool(place.connections) and place.connections[0].writing_paused)
        for _ in range(100):
            await asyncio.sleep(0)

        assert place.connections[0].answered < 50
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(100):
            assert len((await client.answer()).body) == 1 << 20


@pytest.mark.parametrize("last", [False, True])
async def test_a_client_that_takes_nothing_of_an_answer_is_cut_off(*, last: bool) -> None:
    async with listening(Large(last=last, size=12 << 20), write_timeout=0.02) as (place, client):
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(GET)
        await until(lambda: bool(place.connections) and place.connections[0].answered == 1)
        assert place.server.connections

        await until(lambda: not place.server.connections)


async def test_so_is_one_that_has_said_all_and_leaves_the_end_of_it() -> None:
    async def answer(request: BaseRequest, client: ClientConnection) -> bool:
        transport = client.transport
        assert transport is not None
        while not transport.get_write_buffer_size():  # of which the system takes some
            transport.write(b"x" * 30_000)
            await asyncio.sleep(0)
        return True

    async with listening(answer, write_timeout=0.02) as (place, client):
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(GET)
        await until(lambda: bool(place.connections) and place.connections[0].answered == 1)
        assert not place.connections[0].writing_paused
        client.writer.write_eof()

        await until(lambda: not place.server.connections, 2.0)


async def test_one_that_takes_a_little_of_it_is_not() -> None:
    async with listening(Large(size=12 << 20)) as (place, client):
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(GET)
        await until(lambda: bool(place.connections) and place.connections[0].answered == 1)
        one = place.connections[0]
        assert one.transport is not None
        left = one.transport.get_write_buffer_size()

        one._unread.watch(one.transport, left + 1)
        assert place.server.connections
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len((await client.answer()).body) == 12 << 20
        client.send(GET)
        assert len((await client.answer()).body) == 12 << 20


async def test_what_feeds_a_client_is_told_when_it_is_gone() -> None:
    answer = Feeding()
    async with listening(answer) as (_, client):
        client.send(GET)
        await answer.begun.wait()

        reset(client)
        await answer.cancelled.wait()

        assert answer.stream.calls == ["gone"]


async def test_what_feeds_a_client_knows_how_to_ask_whether_it_is_there() -> None:
    answer = Feeding(b"data: 1\n\n")
    async with listening(answer) as (place, client):
        client.send(GET)
        await answer.begun.wait()

        client.writer.write_eof()

        assert await client.reader.readexactly(15) == b"data: 1\n\n:\n\n:\n\n"
        assert answer.stream.calls == ["probe", "probe"]
        assert place.connections[0].half_closed


async def test_a_body_that_breaks_on_its_way_is_refused_at_once() -> None:
    async def answer(request: BaseRequest, client: ClientConnection) -> bool:
        assert client.transport is not None
        begun.set()
        try:
            await body.read(request, client.transport, Server(body_idle_timeout=0.1), Memory())
        except ProxyError as error:
            client.transport.write(said(error.ref))
        return False

    begun = asyncio.Event()
    async with listening(answer) as (_, client):
        client.send(raw("POST", "/a", b"", "Transfer-Encoding: chunked"))
        await begun.wait()

        client.send(b"zz\r\n")

        assert (await client.answer()).body == b"bad_http"


async def test_a_body_that_breaks_before_its_reader_began_is_refused_at_once() -> None:
    async def answer(request: BaseRequest, client: ClientConnection) -> bool:
        assert client.transport is not None
        try:
            await body.read(request, client.transport, Server(body_idle_timeout=0.1), Memory())
        except ProxyError as error:
            client.transport.write(said(error.ref))
        return False

    async with listening(answer) as (place, client):
        await until(lambda: bool(place.connections))
        connection = place.connections[0]

        # Two reads in one turn of the loop: the first request's handler has not begun when the second breaks it.
        connection.data_received(raw("POST", "/a", b"", "Transfer-Encoding: chunked"))
        connection.data_received(b"zz\r\n")

        assert (await client.answer()).body == b"bad_http"
