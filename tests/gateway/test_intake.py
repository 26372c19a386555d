"""A large body arrives past the parser, whole and in time, and whatever follows it is the next request."""

from __future__ import annotations

import asyncio
import zlib
from random import Random
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from proxy.core.errors import ProxyError
from proxy.core.model import Server
from proxy.gateway import body, intake
from proxy.gateway.connection import CONTINUE
from proxy.gateway.intake import Intake
from proxy.state.memory import Memory
from tests.gateway.asked import raw
from tests.gateway.test_connection import listening, said
from tests.line.harness import until

if TYPE_CHECKING:
    from aiohttp.web_request import BaseRequest

    from proxy.gateway.connection import ClientConnection
    from tests.gateway.test_connection import Place
    from tests.line.harness import Raw

LIMITS = Server()
SIZE = 500_000
CONTENT = Random(1).randbytes(SIZE)
NEXT = raw("GET", "/next")


def head(size: int, *fields: str) -> bytes:
    return raw("POST", "/a", b"", f"Content-Length: {size}", *fields)


class Reader:
    """Reads each body, says its checksum and keeps it; what became of one that did not come is in `errors`."""

    def __init__(self, limits: Server = LIMITS) -> None:
        self.limits = limits
        self.begun = asyncio.Event()
        self.bodies: list[bytes] = []
        self.errors: list[ProxyError] = []
        self.cancelled = asyncio.Event()
        self.memory = Memory()

    async def __call__(self, request: BaseRequest, client: ClientConnection) -> bool:
        transport = client.transport
        assert transport is not None
        self.begun.set()
        try:
            read = await body.read(request, transport, self.limits, self.memory)
        except ProxyError as error:
            self.errors.append(error)
            transport.write(said(error.ref))
            return False
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        self.bodies.append(read)
        transport.write(said(f"{request.raw_path} {zlib.crc32(read)}"))
        return request.content.is_eof()


def lent(place: Place) -> Intake | None:
    """Who has the socket of the only connection, if it is not that itself."""
    transport = place.connections[0].transport
    protocol = None if transport is None else transport.get_protocol()
    return protocol if isinstance(protocol, Intake) else None


async def begin(place: Place, client: Raw, size: int = SIZE, *fields: str) -> Intake:
    """Send the head of a body, and wait until the socket is lent for it."""
    client.send(head(size, *fields))
    await until(lambda: bool(place.connections) and lent(place) is not None)
    found = lent(place)
    assert found is not None
    return found


def answered(content: bytes, path: str = "/a") -> bytes:
    return f"{path} {zlib.crc32(content)}".encode()


# --- whole ---


@pytest.mark.parametrize("step", [7919, 65536, SIZE])
async def test_a_large_body_is_put_where_it_stays(step: int) -> None:
    reader = Reader()
    async with listening(reader) as (place, client):
        await begin(place, client)
        for at in range(0, SIZE, step):
            client.send(CONTENT[at : at + step])
            await asyncio.sleep(0)

        assert (await client.answer()).body == answered(CONTENT)
        assert type(reader.bodies[0]) is bytes
        assert reader.bodies[0] == CONTENT
        assert lent(place) is None
        assert (reader.memory.coming, reader.memory.fresh) == (0, SIZE)


@pytest.mark.parametrize("sent", [SIZE, SIZE - 1])
async def test_a_connection_that_stays_open_keeps_no_body(sent: int) -> None:
    reader = Reader(replace(LIMITS, body_idle_timeout=0.05))
    async with listening(reader) as (place, client):
        room = await begin(place, client)
        client.send(CONTENT[:sent])
        await client.answer()

        assert room._io.closed  # and has given its bytes away


async def test_what_came_with_the_head_is_part_of_it() -> None:
    async with listening(Reader()) as (_, client):
        client.send(head(SIZE) + CONTENT[:1000])
        await asyncio.sleep(0.01)
        client.send(CONTENT[1000:])

        assert (await client.answer()).body == answered(CONTENT)


async def test_what_follows_a_body_is_the_next_request() -> None:
    reader = Reader()
    async with listening(reader) as (place, client):
        await begin(place, client)
        client.send(CONTENT + NEXT + head(SIZE) + CONTENT[::-1] + NEXT)

        bodies = [(await client.answer()).body for _ in range(4)]
        assert bodies == [
            answered(CONTENT),
            answered(b"", "/next"),
            answered(CONTENT[::-1]),
            answered(b"", "/next"),
        ]
        assert place.connections[0].answered == 4


async def test_what_follows_a_body_and_is_no_request_is_refused() -> None:
    async with listening(Reader()) as (place, client):
        await begin(place, client)
        client.send(CONTENT + b"G@T / HTTP/1.1\r\n\r\n")

        assert (await client.answer()).body == answered(CONTENT)
        assert (await client.answer()).body == b"bad_http"


async def test_a_client_that_waits_to_be_asked_is_asked() -> None:
    async with listening(Reader()) as (place, client):
        await begin(place, client, SIZE, "Expect: 100-continue")
        assert await client.reader.readexactly(len(CONTINUE)) == CONTINUE
        client.send(CONTENT)

        assert (await client.answer()).body == answered(CONTENT)


async def test_a_small_rest_is_left_to_the_parser() -> None:
    async with listening(Reader()) as (place, client):
        client.send(head(intake.LEAST - 1))
        await until(lambda: bool(place.connections) and place.connections[0].busy)
        await asyncio.sleep(0.01)
        assert lent(place) is None
        client.send(b"x" * (intake.LEAST - 1))

        assert (await client.answer()).body == answered(b"x" * (intake.LEAST - 1))


async def test_what_may_be_followed_by_another_protocol_is_left_to_the_parser() -> None:
    reader = Reader()
    async with listening(reader) as (place, client):
        client.send(head(SIZE, "Connection: Upgrade", "Upgrade: websocket"))
        await reader.begun.wait()
        await asyncio.sleep(0)
        assert lent(place) is None
        client.send(CONTENT)

        assert (await client.answer()).body == answered(CONTENT)


# --- on a promise ---


async def test_room_for_a_very_large_body_is_made_when_a_part_of_it_is_here() -> None:
    size = 4 * intake.UNSEEN
    content = Random(2).randbytes(size)
    reader = Reader()
    async with listening(reader) as (place, client):
        client.send(head(size))
        await reader.begun.wait()
        client.send(content[: size // intake.SHARE - 1])
        await asyncio.sleep(0.02)
        assert lent(place) is None

        client.send(content[size // intake.SHARE - 1 : size // 2])
        await until(lambda: lent(place) is not None)
        client.send(content[size // 2 :])

        assert (await client.answer()).body == answered(content)


# --- time ---


async def test_a_large_body_that_stops_coming_is_refused() -> None:
    async with listening(Reader(Server(body_idle_timeout=0.05))) as (place, client):
        await begin(place, client)
        client.send(CONTENT[:-1])

        assert (await client.answer()).body == b"slow_req"
        assert lent(place) is None
        assert await client.reader.read() == b""


async def test_a_large_body_that_keeps_coming_is_not_idle() -> None:
    async with listening(Reader(Server(body_idle_timeout=0.4))) as (place, client):
        await begin(place, client)
        for at in range(0, SIZE, SIZE // 10):
            client.send(CONTENT[at : at + SIZE // 10])
            await asyncio.sleep(0.05)

        assert (await client.answer()).body == answered(CONTENT)


async def test_a_large_body_that_never_ends_is_refused() -> None:
    reader = Reader(Server(body_timeout=0.05))
    async with listening(reader) as (place, client):
        await begin(place, client)
        while not reader.errors:
            client.send(b"x")
            await asyncio.sleep(0.002)

        assert [error.ref for error in reader.errors] == ["slow_req"]


async def test_a_large_body_that_comes_too_slowly_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "GRACE", 0.0)
    monkeypatch.setattr(intake, "SLOWEST", 1_000_000_000)
    async with listening(Reader()) as (place, client):
        await begin(place, client)
        client.send(CONTENT[:1000])

        assert (await client.answer()).body == b"slow_req"


async def test_a_body_whose_last_comes_with_the_refusal_is_refused() -> None:
    reader = Reader()
    async with listening(reader) as (place, client):
        taker = await begin(place, client)
        taker._fail()
        taker.data_received(CONTENT)

        assert (await client.answer()).body == b"slow_req"
        assert lent(place) is None


# --- gone ---


async def test_a_client_that_leaves_takes_its_body_along() -> None:
    reader = Reader()
    async with listening(reader) as (place, client):
        await begin(place, client)
        client.send(CONTENT[:1000])
        client.reset()

        await reader.cancelled.wait()
        await until(lambda: reader.memory.coming == 0)


async def test_a_client_that_ends_in_the_middle_of_a_large_body_is_let_go() -> None:
    reader = Reader()
    async with listening(reader) as (place, client):
        await begin(place, client)
        client.send(CONTENT[:1000])
        client.writer.write_eof()

        await reader.cancelled.wait()
        assert await client.reader.read() == b""


async def test_a_body_that_nobody_waits_for_any_more_is_the_parsers_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(body, "LINGER_SECONDS", 0.05)

    async def answer(request: BaseRequest, client: ClientConnection) -> bool:
        assert client.transport is not None
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await body.read(request, client.transport, LIMITS, Memory())
        client.transport.write(said("enough"))
        await body.linger(request.content)
        return False

    async with listening(answer) as (place, client):
        await begin(place, client)
        client.send(CONTENT[:1000])

        assert (await client.answer()).body == b"enough"
        assert lent(place) is None
        client.send(CONTENT[1000:2000])
        assert await client.reader.read() == b""


# --- on a transport that has its own place for what it reads ---


async def test_what_was_deciphered_is_copied_and_the_rest_is_the_next_request() -> None:
    async with listening(Reader()) as (place, client):
        taker = await begin(place, client)
        taker.data_received(CONTENT[:10])
        taker.data_received(CONTENT[10:] + NEXT)

        assert (await client.answer()).body == answered(CONTENT)
        assert (await client.answer()).body == answered(b"", "/next")


# --- what the connection has to know ---


async def test_a_client_that_does_not_take_what_was_written_is_known_meanwhile() -> None:
    async with listening(Reader()) as (place, client):
        taker = await begin(place, client)
        connection = place.connections[0]
        for change, paused in ((taker.pause_writing, True), (taker.resume_writing, False)):
            change()
            assert connection.writing_paused is paused
        client.send(CONTENT)

        assert (await client.answer()).body == answered(CONTENT)


@pytest.mark.parametrize(
    ("size", "least"),
    [(0, 0), (intake.UNSEEN, 0), (intake.UNSEEN + 16, intake.UNSEEN // 16 + 1), (1 << 25, 1 << 21)],
)
def test_how_much_of_a_body_has_to_be_here(size: int, least: int) -> None:
    assert intake.enough(size) == least
