"""The answer on its way to the client: one write for every read, made from the upstream socket's own callback.

What all answers have in common that are passed on as they come: flow control, deadlines, the end. `event_relay` has what
is special about streams of events.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from proxy.core.errors import Cause, UpstreamError
from proxy.gateway.answer import Gate
from proxy.gateway.attempt import Attempt, End
from proxy.gateway.connection import CONTINUE

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.model import Timeouts
    from proxy.gateway.connection import ClientConnection
    from proxy.gateway.exchange import Exchange
    from proxy.upstream.connection import Headers, UpstreamConnection

FROZEN = 0.5
"""Seconds by which a timer is late when the process stood still."""
CATCH_UP = 0.1
"""Seconds to read what came meanwhile."""

OUTCOMES = {
    End.DONE: "ok",
    End.FINISH_NO_DONE: "ok",
    End.TRUNCATED: "truncated",
    End.STALLED: "truncated",
    End.CLIENT_GONE: "client_gone",
    End.ERROR_EVENT: "upstream_error",
    End.DEADLINE: "truncated",
    End.CLIENT_DEADLINE: "deadline",
    End.MALFORMED: "upstream_error",
    End.RESTART: "truncated",
    # Its provider answered as it should, and is paid.
    End.REFUSED: "ok",
}
"""What an end is called in logs and in the ledger."""


class Relay:
    """Consumes the rest of a response whose gate has opened: flow control, deadlines, the end.

    Subclasses say what to do with bytes. All methods are synchronous; `done` is awaited by nobody but `respond`.
    """

    __slots__ = (
        "client",
        "done",
        "exchange",
        "first_content",
        "first_written",
        "gate",
        "last_read",
        "limit",
        "loop",
        "offset",
        "overdue",
        "paused_at",
        "paused_size",
        "reason",
        "stalled",
        "started",
        "timeouts",
        "timer",
        "transport",
        "unparsed",
        "upstream",
        "write_timeout",
    )

    def __init__(
        self, exchange: Exchange, attempt: Attempt, client: ClientConnection, write_timeout: float
    ) -> None:
        self.exchange = exchange
        self.gate: Gate = attempt.gate
        self.client = client
        self.upstream: UpstreamConnection = attempt.upstream
        self.transport = exchange.transport
        self.loop = attempt.gate.done.get_loop()
        self.done: asyncio.Future[None] = self.loop.create_future()
        self.unparsed: Callable[[bytes], bool] | None = None
        self.reason = End.TRUNCATED
        self.timeouts: Timeouts = attempt.candidate.deployment.timeouts
        self.timer: asyncio.TimerHandle | None = None
        self.write_timeout = write_timeout
        self.paused_at = 0.0
        self.paused_size = 0
        self.stalled = False
        """The client was there but took nothing for too long."""
        self.offset = exchange.bytes_out
        """Bytes that came before it: from others, whose answer it goes on with."""
        self.started = self.last_read = self.first_written = monotonic()
        self.first_content = self.started if attempt.gate.content else 0.0
        """0: none was seen so far."""
        self.limit, self.overdue = self.started + self.timeouts.total, End.DEADLINE
        """When the whole of it is overdue, and what it is then."""
        deadline = exchange.deadline
        if deadline is not None and deadline.end < self.limit:
            self.limit, self.overdue = deadline.end, End.CLIENT_DEADLINE

    # Consumer

    def head(self, status: int, headers: Headers) -> None:
        """Never called: the gate has had it."""

    def body(self, data: bytes) -> None:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError

    def lost(self, error: UpstreamError) -> None:
        """The provider's connection broke, or what came on it was no HTTP."""
        self.break_off(End.MALFORMED if error.cause is Cause.MALFORMED else End.TRUNCATED)

    # Flow: what the client's connection asks

    def pause(self) -> None:
        """The client does not keep up: stop reading from the provider."""
        self.upstream.hold()
        self.paused_at = monotonic()
        self.paused_size = self.transport.get_write_buffer_size()
        self._arm(self.write_timeout)

    def resume(self) -> None:
        """The client has caught up."""
        self.paused_at = 0.0
        self.last_read = now = monotonic()
        self.upstream.unhold()
        self._arm(self.due(now)[0] - now)

    def gone(self) -> None:
        """The client's connection is lost; the provider must stop at once, unless what it says is still wanted."""
        self.reason = End.DONE if self.is_complete() else End.CLIENT_GONE
        self._leave()

    def _leave(self) -> None:
        books = self.exchange.books
        if books is not None and self.upstream.consumer is self:
            books.linger()
        self.stop()

    def restart(self) -> None:
        """The gateway ends before this response has."""
        self.break_off(End.RESTART)

    def probe(self) -> bytes:
        """Bytes that do no harm in the middle of this response."""
        return CONTINUE if not self.exchange.head_sent else b""

    # the end

    def rest(self) -> bytes:
        """What came and has not been looked at."""
        return b""

    def is_complete(self) -> bool:
        """Whether what was relayed so far is a whole answer."""
        return False

    def begin(self, headers: Headers) -> None:
        """Write the head with all that is held, and take over the connection."""
        gate = self.gate
        exchange = self.exchange
        whole, rest = gate.held[: gate.scanned], gate.held[gate.scanned :]
        gate.held = b""
        head = b"" if exchange.head_sent else exchange.head(gate.status, headers, None)
        if not gate.ended and gate.lost_error is None:
            # Before the first write: that one may already be more than the client takes.
            self.upstream.consumer = self
            self.client.flow = self
            self._arm(self.due(self.started)[0] - self.started)
            gate.release()
            if self.client.writing_paused:  # by an answer before this one
                self.pause()
        if exchange.books is not None:
            self._foresee(len(whole))
        self.transport.write(head + exchange.frame(whole) if whole else head)
        self.first_written = monotonic()
        exchange.bytes_out += len(whole)
        if rest:
            self.body(rest)
        if not self.done.done():
            if gate.lost_error is not None:
                self.lost(gate.lost_error)
            elif gate.ended:
                self.end()

    def _foresee(self, size: int) -> None:
        """The first `size` bytes are about to be written: the end may be among them."""

    def _over(self, reason: End, more: int = 0) -> None:
        """What is written next ends the answer; `more` bytes of it are not counted yet."""
        books = self.exchange.books
        if books is not None:
            books.over(OUTCOMES[reason], more)

    def complete(self, reason: End, closing: bytes = b"") -> None:
        """End the client's response as whole."""
        self.reason = reason
        if self.exchange.books is not None:
            self._over(reason)
        self.exchange.finish(self.exchange.frame(closing) if closing else b"")
        self.stop()

    def break_off(self, reason: End) -> None:
        """End the client's response so that nobody takes it for whole."""
        self.reason = reason
        self.exchange.abandon()
        self.stop()

    def stop(self) -> None:
        """Let go of both sides."""
        self.unparsed = None  # it holds the relay
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.client.flow is self:
            self.client.flow = None
        if self.paused_at:
            # Nobody will say `resume` now, and the connection may be on its way back to the pool.
            self.paused_at = 0.0
            self.upstream.unhold()
        if self.upstream.consumer is self:
            self.upstream.cancel()
        if not self.done.done():
            self.done.set_result(None)

    # deadlines: one timer a response, moved lazily, no timer work for a chunk

    def due(self, now: float) -> tuple[float, End]:
        """When this response is overdue unless something happens, and what it is then."""
        idle = self.last_read + self.timeouts.idle
        return (idle, End.STALLED) if idle < self.limit else (self.limit, self.overdue)

    def _arm(self, delay: float) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.loop.call_later(max(delay, 0.001), self._check)

    def _check(self) -> None:
        timer, self.timer = self.timer, None
        now = monotonic()
        if timer is not None and self.loop.time() - timer.when() > FROZEN:
            # The process stood still (a paused container, a machine that slept): what was sent meanwhile is there, and
            # is read only after the timers. To cut now would cut every stream at once.
            self._arm(CATCH_UP)
            return
        if self.paused_at:
            size = self.transport.get_write_buffer_size()
            if size != self.paused_size:
                self.paused_size, self.paused_at = size, now
            if now - self.paused_at >= self.write_timeout:
                self.reason = End.CLIENT_GONE
                self.stalled = True
                self.client.flow = None
                self.transport.abort()
                self._leave()
                return
            self._arm(self.paused_at + self.write_timeout - now)
            return
        due, reason = self.due(now)
        if due > now:
            self._arm(due - now)
        elif self.is_complete():
            self.end()
        else:
            self.break_off(reason)


class BytesRelay(Relay):
    """A body that is no event stream: audio, or a JSON array that grows. Forwarded as it comes."""

    __slots__ = ("seen", "tail")

    def __init__(
        self, exchange: Exchange, attempt: Attempt, client: ClientConnection, write_timeout: float
    ) -> None:
        super().__init__(exchange, attempt, client, write_timeout)
        self.seen: Callable[[bytes], None] | None = None
        self.tail = b""

    def body(self, data: bytes) -> None:
        """One read, one write."""
        self.last_read = monotonic()
        self.tail = data[-64:]
        if self.seen is not None:
            self.seen(data)
        self.exchange.bytes_out += len(data)
        self.transport.write(self.exchange.frame(data))

    def end(self) -> None:
        """Complete as far as framing can say; a JSON array must also be closed."""
        if self.gate.array and not self.tail.rstrip().endswith(b"]"):
            self.break_off(End.TRUNCATED)
        else:
            self.complete(End.DONE)
