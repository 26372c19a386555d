"""The end of TLS, between a socket and whoever answers: what comes, what goes, and what is nothing of the kind."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from math import inf
from pathlib import Path
from time import monotonic
from typing import cast

import pytest

from proxy.core import certificates
from proxy.core.model import TLS
from proxy.core.tls import Identity, Termination
from tests.line.harness import until
from tests.upstream.certificates import Authority

pytestmark = pytest.mark.allow_blocking("certificates are made in the loop")


class Answering(asyncio.Protocol):
    """Says back what it hears; stays when the client ends, if `stays`."""

    def __init__(self, *, stays: bool = False) -> None:
        self.stays = stays
        self.heard = b""
        self.reads = 0
        self.ended = False
        self.lost = False
        self.paused = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.heard += data
        self.reads += 1
        self.transport.write(data)

    def eof_received(self) -> bool:
        self.ended = True
        return self.stays

    def pause_writing(self) -> None:
        self.paused += 1

    def resume_writing(self) -> None:
        self.paused -= 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


class Client:
    """A client that says what it wants to when it wants to, below TLS too."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="127.0.0.1")

    async def do(self, step: Callable[[], object]) -> object:
        """One step of TLS, with as much as it wants to be read. Raises as it does, EOFError where there is no more."""
        while True:
            try:
                return step()
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLWantReadError:
                self._flush()
                data = await self.reader.read(65536)
                if not data:
                    raise EOFError from None
                self.incoming.write(data)
            finally:
                self._flush()

    def _flush(self) -> None:
        if self.outgoing.pending:
            self.writer.write(self.outgoing.read())

    async def shake(self) -> None:
        await self.do(self.tls.do_handshake)

    def sealed(self, data: bytes) -> bytes:
        """What would be sent."""
        self.tls.write(data)
        return self.outgoing.read()

    async def read(self, size: int) -> bytes:
        """So many bytes, or less at the end."""
        got = b""
        while size > len(got):
            part = await self.do(partial(self.tls.read, size - len(got)))
            if not part:
                break
            assert isinstance(part, bytes)
            got += part
        return got

    def end(self) -> None:
        """Say that nothing will follow, and stay."""
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.writer.write(self.outgoing.read())


class Listener:
    """A termination that listens."""

    def __init__(self, authority: Authority, **settings: str) -> None:
        self.authority = authority
        self.tls = Termination("api")
        self.made: list[Answering] = []
        self.stays = False
        self.clients: list[Client] = []
        self.identify(**settings)

    def identify(self, **settings: str) -> None:
        """Another certificate."""
        certificate, key = self.authority.issue()
        wanted = TLS(**{"certificate": str(certificate), "key": str(key), **settings})
        self.tls.identity = Identity(*certificates.load(wanted))

    def make(self) -> Answering:
        self.made.append(Answering(stays=self.stays))
        return self.made[-1]

    async def client(self, context: ssl.SSLContext | None = None) -> Client:
        """Connected, and no more."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.clients.append(Client(reader, writer, context or self.authority.trusted()))
        return self.clients[-1]

    async def shaken(self) -> tuple[Client, Answering]:
        """Connected, with the handshake done on both sides."""
        client, number = await self.client(), len(self.made)
        await client.shake()
        await until(lambda: len(self.made) > number)
        return client, self.made[-1]

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self.tls.over(self.make), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            self.tls.dismiss(len(self.tls.shaking), inf)
            for one in self.made:
                one.transport.abort()
            for client in self.clients:
                client.writer.close()
                with suppress(ConnectionError):
                    await client.writer.wait_closed()
            await until(lambda: not self.tls.shaking and all(one.lost for one in self.made))


@pytest.fixture
async def listener(tmp_path: Path) -> AsyncIterator[Listener]:
    listener = Listener(Authority(tmp_path))
    async with listener.listening():
        yield listener


async def test_what_comes_is_heard_and_what_is_said_goes(listener: Listener) -> None:
    client, one = await listener.shaken()

    client.writer.write(client.sealed(b"hello"))
    assert await client.read(5) == b"hello"

    assert listener.tls.results == {"ok": 1}
    assert not listener.tls.shaking
    assert one.transport.get_extra_info("peername")[0] == "127.0.0.1"
    assert one.transport.get_extra_info("ssl_object").selected_alpn_protocol() is None
    assert listener.tls.identity is not None
    assert one.transport.get_extra_info("sslcontext") is listener.tls.identity.context
    assert one.transport.get_protocol() is one
    client.writer.close()
    await until(lambda: one.lost)


async def test_http_1_1_is_agreed_on(listener: Listener) -> None:
    context = listener.authority.trusted()
    context.set_alpn_protocols(["h2", "http/1.1"])
    client = await listener.client(context)

    await client.shake()

    assert client.tls.selected_alpn_protocol() == "http/1.1"


async def test_many_records_come_as_one_read_and_go_as_they_fit(listener: Listener) -> None:
    client, one = await listener.shaken()
    data = bytes(range(256)) * 400

    client.writer.write(
        b"".join(client.sealed(data[at : at + 10_000]) for at in range(0, len(data), 10_000))
    )

    assert await client.read(len(data)) == data
    assert one.heard == data
    assert one.reads < 10


async def test_a_piece_of_a_record_is_not_idle(listener: Listener) -> None:
    client, one = await listener.shaken()
    sealed = client.sealed(b"hello")
    assert not one.transport.get_extra_info("unread")

    client.writer.write(sealed[:-1])
    await until(lambda: one.transport.get_extra_info("unread"))
    assert one.heard == b""
    client.writer.write(sealed[-1:])

    assert await client.read(5) == b"hello"
    assert not one.transport.get_extra_info("unread")


@pytest.mark.parametrize("stays", [True, False])
async def test_a_client_that_shuts_its_side_is_answered_if_somebody_wants_to(
    listener: Listener, stays: bool
) -> None:
    listener.stays = stays
    client, one = await listener.shaken()

    client.writer.write_eof()
    await until(lambda: one.ended)

    assert one.transport.is_closing() != stays
    one.transport.write(b"more")
    assert await client.read(4) == (b"more" if stays else b"")
    one.transport.close()
    one.transport.write(b"nobody hears it")
    assert await client.read(1) == b""
    await until(lambda: one.lost)


@pytest.mark.parametrize("unsent", [0, 8_000_000])
async def test_a_client_that_says_it_ends_is_gone(listener: Listener, unsent: int) -> None:
    listener.stays = True
    client, one = await listener.shaken()
    one.transport.write(b"x" * unsent)

    client.end()

    await until(lambda: one.lost)
    assert not one.ended


async def test_an_end_is_said(listener: Listener) -> None:
    client, one = await listener.shaken()

    one.transport.writelines([b"the ", b"last"])
    one.transport.close()

    assert await client.read(100) == b"the last"  # and not EOFError: `close_notify` came


async def test_who_does_not_read_holds_the_writer_back(listener: Listener) -> None:
    client, one = await listener.shaken()
    one.transport.set_write_buffer_limits(high=65536)

    written = 0
    while not one.paused:
        one.transport.write(b"x" * 60_000)
        written += 60_000
        await asyncio.sleep(0)

    assert one.transport.get_write_buffer_limits()[1] == 65536
    assert 65536 < one.transport.get_write_buffer_size() < 65536 + 61_000
    assert len(await client.read(written)) == written
    assert one.paused == 0


async def test_reading_can_wait(listener: Listener) -> None:
    client, one = await listener.shaken()

    one.transport.pause_reading()
    assert not one.transport.is_reading()
    client.writer.write(client.sealed(b"hello"))
    await client.writer.drain()
    one.transport.resume_reading()

    assert await client.read(5) == b"hello"


async def test_what_was_changed_under_way_ends_the_connection(listener: Listener) -> None:
    client, one = await listener.shaken()
    sealed = bytearray(client.sealed(b"hello"))
    sealed[-1] ^= 1

    client.writer.write(sealed)

    await until(lambda: one.lost)
    assert one.heard == b""


async def test_plain_http_is_told_so(listener: Listener) -> None:
    client = await listener.client()

    client.writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000\r\n\r\n"
    )
    client.writer.write(b"a" * 200_000)
    answer = await client.reader.read(-1)

    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.endswith(b"This port speaks TLS: ask with https://...\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-length: %d\r\n" % len(body) in head + b"\r\n"
    assert listener.tls.results == {"plain_http": 1}
    assert listener.made == []
    client.writer.close()
    await until(lambda: not listener.tls.shaking)


@pytest.mark.parametrize(
    ("sent", "result"), [(b"\x00" * 64, "protocol"), (b"SSH-2.0-OpenSSH_9\r\n", "protocol")]
)
async def test_what_is_no_tls_is_ended(listener: Listener, sent: bytes, result: str) -> None:
    client = await listener.client()

    client.writer.write(sent)
    await client.reader.read(-1)

    assert listener.tls.results == {result: 1}


async def test_an_old_version_is_refused(tmp_path: Path) -> None:
    listener = Listener(Authority(tmp_path), min_version="1.3")
    context = listener.authority.trusted()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with listener.listening():
        client = await listener.client(context)

        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
            await client.shake()

        assert listener.tls.results == {"protocol": 1}


async def test_only_clients_with_a_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    listener = Listener(authority, client_ca=str(authority.path))
    known = authority.trusted()
    known.load_cert_chain(*authority.issue("someone"))
    async with listener.listening():
        nobody, somebody = await listener.client(), await listener.client(known)

        await nobody.shake()  # of TLS 1.3, which a client ends before it is answered
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
            await nobody.read(1)
        await somebody.shake()
        somebody.writer.write(somebody.sealed(b"hello"))

        assert await somebody.read(5) == b"hello"
        assert listener.tls.results == {"certificate": 1, "ok": 1}
        (one,) = listener.made
        subject = one.transport.get_extra_info("peercert")["subject"]
        assert subject == ((("commonName", "someone"),),)


async def test_a_handshake_has_a_deadline(listener: Listener) -> None:
    listener.tls.patience = 0.05
    client = await listener.client()
    client.writer.write(b"\x16\x03\x01")  # the beginning of one

    await until(lambda: len(listener.tls.shaking) == 1)
    assert await client.reader.read(-1) == b""

    assert listener.tls.results == {"timeout": 1}
    assert not listener.tls.shaking


async def test_a_client_that_leaves_before_it_is_done(listener: Listener) -> None:
    client = await listener.client()
    await until(lambda: len(listener.tls.shaking) == 1)

    client.writer.close()

    await until(lambda: not listener.tls.shaking)
    assert listener.tls.results == {"closed": 1}


async def test_the_oldest_handshakes_make_room(listener: Listener) -> None:
    for _ in range(3):
        await listener.client()
    await until(lambda: len(listener.tls.shaking) == 3)
    began = list(listener.tls.shaking.values())

    assert listener.tls.dismiss(9, began[0] - 1.0) == 0
    assert listener.tls.dismiss(2, monotonic()) == 2
    await until(lambda: len(listener.tls.shaking) == 1)

    assert list(listener.tls.shaking.values()) == began[2:]


async def test_another_certificate_is_for_who_comes_later(listener: Listener) -> None:
    before, after = await listener.client(), await listener.client()
    await before.shake()

    listener.identify()
    later = await listener.client()
    await after.shake()
    await later.shake()

    # Who had connected has the one that was there then.
    assert before.tls.getpeercert(True) == after.tls.getpeercert(True)
    assert later.tls.getpeercert(True) != before.tls.getpeercert(True)
    before.writer.write(before.sealed(b"still here"))
    assert await before.read(10) == b"still here"


async def test_without_an_identity_connections_are_plain(tmp_path: Path) -> None:
    listener = Listener(Authority(tmp_path))
    listener.tls.identity = None
    async with listener.listening():
        client = await listener.client()
        client.writer.write(b"hello")

        assert await client.reader.readexactly(5) == b"hello"
        assert listener.tls.results == {}


async def test_a_reset_is_a_loss(listener: Listener) -> None:
    client, one = await listener.shaken()

    sock = client.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    client.writer.transport.abort()

    await until(lambda: one.lost)
    assert one.transport.is_closing()
    assert not one.ended
