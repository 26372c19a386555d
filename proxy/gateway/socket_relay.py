"""A WebSocket between a client and a provider: each read of either side is one write to the other.

Both sockets get a protocol that does nothing else. Back-pressure goes both ways: who does not keep up is not read for. A side that
ends is answered for by a close frame, unless it has sent one itself.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, cast

from proxy.gateway.attempt import Attempt, End
from proxy.gateway.relay import Relay
from proxy.upstream.raw import RawConnection
from proxy.wire.websocket import Reader, close_frame

if TYPE_CHECKING:
    from proxy.core.errors import UpstreamError
    from proxy.dialects.realtime import RealtimeTap
    from proxy.gateway.connection import ClientConnection
    from proxy.gateway.exchange import Exchange, Headers

INTERNAL, RESTARTS, TOO_LONG = 1011, 1012, 1008
"""Why it ends (RFC 6455, 7.4.1, and the registry of IANA)."""
_PASSED = frozenset({b"sec-websocket-accept", b"sec-websocket-protocol"})


class SocketRelay(Relay):
    """Of one socket, from its 101 on."""

    __slots__ = ("_reader", "_waits")

    def __init__(
        self, exchange: Exchange, attempt: Attempt, client: ClientConnection, write_timeout: float
    ) -> None:
        super().__init__(exchange, attempt, client, write_timeout)
        self._reader = Reader(cast("RealtimeTap", attempt.gate.tap).message)
        self._waits = False

    def begin(self, headers: Headers) -> None:
        """Say 101, and take over both sockets."""
        exchange, gate = self.exchange, self.gate
        exchange.status, exchange.head_sent, exchange.keep_alive = 101, True, False
        passed = [pair for pair in gate.headers if pair[0] in _PASSED]
        lines = [
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
        ]
        lines += [b"%b: %b\r\n" % pair for pair in (*passed, *headers)]
        lines.append(b"x-request-id: %b\r\n\r\n" % exchange.id.encode())
        self.transport.write(b"".join(lines))
        self.first_written = monotonic()
        rest, gate.held = gate.held, b""
        if gate.ended or gate.lost_error is not None:
            if rest:
                self.body(rest)
            self.end()
            return
        self.upstream.consumer = self
        self.client.flow = self
        self._arm(self.due(self.started)[0] - self.started)
        gate.release()
        upstream = self.upstream.transport
        assert upstream is not None
        self.transport.set_protocol(_Client(self.client, self))
        upstream.set_protocol(RawConnection(self.upstream, self))
        if rest:
            self.body(rest)
        early = self.client.early()
        if early:
            self.heard(early)
        if self.client.writing_paused:
            self.pause()

    # the provider's side

    def body(self, data: bytes) -> None:
        """One read, one write."""
        self.last_read = monotonic()
        self.exchange.bytes_out += len(data)
        self.transport.write(data)
        self._reader.feed(data)

    def end(self) -> None:
        """The provider's socket is closed."""
        self._close(End.DONE if self._reader.closed else End.TRUNCATED, INTERNAL)

    def lost(self, error: UpstreamError) -> None:
        """The same, and not as it should be."""
        self.end()

    def is_complete(self) -> bool:
        """A side has said that it ends."""
        return self._reader.closed

    # the client's side

    def heard(self, data: bytes) -> None:
        """Bytes of the client's."""
        upstream = self.upstream.transport
        if upstream is not None:
            upstream.write(data)

    def wait(self) -> None:
        """The provider does not keep up: stop reading from the client."""
        self._waits = True
        self.transport.pause_reading()

    def go_on(self) -> None:
        """It does again."""
        if self._waits:
            self._waits = False
            self.transport.resume_reading()

    def gone(self) -> None:
        """The client's connection is lost."""
        self.reason = End.DONE if self._reader.closed else End.CLIENT_GONE
        self.stop()

    def _leave(self) -> None:
        self.stop()  # it has no end that somebody could wait for

    # the end

    def restart(self) -> None:
        """The gateway ends before this does."""
        self._close(End.RESTART, RESTARTS)

    def break_off(self, reason: End) -> None:
        """It has lasted for too long."""
        self._close(reason, TOO_LONG if reason in (End.DEADLINE, End.CLIENT_DEADLINE) else INTERNAL)

    def _close(self, reason: End, code: int) -> None:
        self.reason = reason
        if self.exchange.books is not None:
            self._over(reason)
        if not self._reader.closed and not self.transport.is_closing():
            self.transport.write(close_frame(code))
        self.transport.close()
        self.stop()

    def due(self, now: float) -> tuple[float, End]:
        """Nobody has to say anything."""
        return self.limit, self.overdue

    def probe(self) -> bytes:
        """Nothing is harmless here."""
        return b""


class _Client(asyncio.Protocol):
    """A client's socket, after 101. What the connection itself has to know of it, it is told."""

    def __init__(self, connection: ClientConnection, relay: SocketRelay) -> None:
        self._connection = connection
        self._relay = relay

    def data_received(self, data: bytes) -> None:
        """One read, one call."""
        self._relay.heard(data)

    def eof_received(self) -> bool:
        """A socket has no half."""
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        """The same as without it."""
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        """It does not keep up."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        self._connection.resume_writing()
