"""The answer on its way to the client: one write for every read, made from the upstream socket's own callback.

Streams are forwarded event by event as received. What ends well is what its protocol says has ended well; anything
else gets one in-band error, no terminal event and a socket closed without the last chunk, because a clean end is
read as success by every client.
"""

from __future__ import annotations

import asyncio
import re
from time import monotonic
from typing import TYPE_CHECKING

from proxy.core.errors import Cause, UpstreamError
from proxy.dialects.base import BAD, CONTENT, ERROR, FINISH, USAGE_ONLY
from proxy.gateway.answer import UNFRAMED, Gate
from proxy.gateway.attempt import Attempt, End
from proxy.gateway.connection import CONTINUE
from proxy.wire.sse import begins, events, last_boundary, single

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.model import Timeouts
    from proxy.gateway.connection import ClientConnection
    from proxy.gateway.exchange import Exchange
    from proxy.upstream.connection import Headers, UpstreamConnection

AFTER_FINISH = 5.0
"""Seconds a provider may take to close a stream whose terminal event it has sent."""
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")


BROKEN = {
    End.TRUNCATED: ("upstream_truncated", "The provider ended the stream before it was complete."),
    End.STALLED: ("upstream_idle_timeout", "The provider stopped sending before the end."),
    End.DEADLINE: ("stream_limit", "The stream exceeded its time limit."),
    End.CLIENT_DEADLINE: ("deadline_exceeded", "The time that the request gave is over."),
    End.RESTART: ("gateway_restart", "The gateway is restarting and could not wait longer."),
    End.MALFORMED: ("upstream_bad_response", "The provider sent something that is no event."),
}
"""Code and message of the error that ends a stream."""


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
        self.timer = None
        now = monotonic()
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


class EventRelay(Relay):
    """A server-sent event stream, forwarded up to the last whole event at once.

    Only an unfinished event is held, at most UNFRAMED bytes of it; a longer one goes out raw as it comes and
    alignment returns with its end.
    """

    __slots__ = (
        "cut_tail",
        "dialect",
        "ends",
        "event_count",
        "first_content",
        "held",
        "last_content",
        "last_event",
        "max_gap",
        "seen",
        "tap",
        "unaligned",
        "unaligned_head",
    )

    def __init__(
        self, exchange: Exchange, attempt: Attempt, client: ClientConnection, write_timeout: float
    ) -> None:
        super().__init__(exchange, attempt, client, write_timeout)
        self.tap = attempt.gate.tap
        self.dialect = attempt.gate.dialect
        self.ends = self.dialect.family != "gemini"
        """An event says that it is the last. Google's reports may follow what it calls finished."""
        self.seen: Callable[[bytes, bytes], int] = self.tap.event
        self.held = b""
        self.unaligned = False
        self.unaligned_head = b""
        self.cut_tail = b""
        self.first_content = self.last_content = self.last_event = self.started
        self.event_count = 0
        self.max_gap = 0.0

    def _foresee(self, size: int) -> None:
        tap = self.tap
        if self.ends and tap.complete() and not tap.closing:
            self._over(End.ERROR_EVENT if tap.error else End.DONE, size)

    def body(self, data: bytes) -> None:
        """One read: the common case is one whole event, shown to the tap and written in one write."""
        now = monotonic()
        if now - self.last_read > self.max_gap:
            self.max_gap = now - self.last_read
        self.last_read = now
        if self.held:
            data = self.held + data
            self.held = b""
        elif self.unaligned:
            data = self._realign(data)
            if not data:
                return
        one = single(data)
        if one is not None:
            flags = self.seen(one[0], one[1])
            if flags <= CONTENT:
                self.event_count += flags
                self.last_event = now
                if flags:
                    self.last_content = now
                self.exchange.bytes_out += len(data)
                self.transport.write(
                    b"%x\r\n%b\r\n" % (len(data), data) if self.exchange.chunked else data
                )
                return
            self._special(data, flags, 0, len(data), now)
        else:
            self._several(data, now)

    def _several(self, data: bytes, now: float) -> None:
        end = last_boundary(data)
        if end < len(data):
            self.held = data[end:]
        start = 0
        for event in events(data[:end]):
            if not event.is_sse:
                self._write(data[start : event.start])
                self.break_off(End.MALFORMED)
                return
            if event.data is None:
                continue
            flags = self.seen(event.name, event.data)
            if flags > CONTENT:
                start = self._special(data, flags, start, event.end, now, event.start)
                if self.done.done():
                    return
            elif flags:
                self.event_count += 1
                self.last_content = now
        if end:
            self.last_event = now
            self._write(data[start:end])
        if len(self.held) > UNFRAMED:
            self._go_raw()

    def _special(
        self, data: bytes, flags: int, start: int, end: int, now: float, begin: int = 0
    ) -> int:
        """An event that is more than content: writes or drops `data[start:end]` as it must; the next start.

        `begin` is where the event itself starts: what lies between `start` and it has been approved already.
        """
        if flags & BAD:
            self._write(data[start:begin])
            self.break_off(End.MALFORMED)
            return end
        self.last_event = now
        if flags & CONTENT:
            self.last_content = now
            self.event_count += 1
        if flags & USAGE_ONLY and self.gate.hide_usage:
            self._write(data[start:begin])
            return end
        if flags & FINISH and self.ends:
            self._over(End.ERROR_EVENT if flags & ERROR else End.DONE, end - start)
        self._write(data[start:end])
        if flags & ERROR and not flags & FINISH:
            # The client has its error event, in the provider's own words. Whatever follows could only
            # make the stream look whole.
            self.reason = End.ERROR_EVENT
            self.exchange.abandon()
            self.stop()
        elif flags & FINISH and self.timer is not None:
            self._arm(AFTER_FINISH)
        return end

    def _write(self, data: bytes) -> None:
        if data:
            self.exchange.bytes_out += len(data)
            self.transport.write(self.exchange.frame(data))

    def _go_raw(self) -> None:
        """Too long to hold: forward the unfinished event as it comes."""
        if not begins(self.held):
            self.break_off(End.MALFORMED)
            return
        self.unaligned = True
        self.unaligned_head = self.held[:UNFRAMED]
        self.cut_tail = self.held[-UNFRAMED:]
        self._write(self.held)
        self.held = b""

    def _realign(self, data: bytes) -> bytes:
        """Forward the raw event up to its end; what follows it is whole events again."""
        # A blank line may be split between two reads, so the search begins in the bytes already sent.
        context = self.cut_tail[-3:]
        end = _first_boundary(context + data) - len(context)
        if end <= 0:
            self._write(data)
            self.cut_tail = (self.cut_tail + data)[-UNFRAMED:]
            return b""
        tail = (self.cut_tail + data[:end])[-UNFRAMED:]
        flags = self.tap.oversized(self.unaligned_head, tail)
        if flags & FINISH and self.ends:
            self._over(End.ERROR_EVENT if flags & ERROR else End.DONE, end)
        self._write(data[:end])
        self.unaligned = False
        self.unaligned_head = self.cut_tail = b""
        self.last_event = self.last_content = self.last_read
        if flags & FINISH:
            self._arm(AFTER_FINISH)
        return data[end:]

    def end(self) -> None:
        """The message ended: whole if the protocol said so, with the terminal event added if only that is missing."""
        if self.held:
            self._end_of_held()
            if self.done.done():
                return
        if not self.is_complete():
            self.break_off(End.TRUNCATED)
            return
        closing = self.tap.closing
        reason = End.ERROR_EVENT if self.tap.error else End.FINISH_NO_DONE if closing else End.DONE
        self.complete(reason, closing)

    def lost(self, error: UpstreamError) -> None:
        """Broken framing behind the terminal event takes nothing from the answer."""
        if self.is_complete() and not self.tap.closing:
            self.end()
        else:
            super().lost(error)

    def _end_of_held(self) -> None:
        """A last event without its blank line: forwarded if the answer is whole with it, else half of one."""
        held, self.held = self.held, b""
        flags = 0
        for event in events(held):
            if not event.is_sse or not event.data or not event.data.strip():
                return
            flags |= self.seen(event.name, event.data)
        if flags & BAD or (flags & USAGE_ONLY and self.gate.hide_usage):
            return
        if flags & ERROR and not flags & FINISH:
            self._special(held + b"\n\n", flags, 0, len(held) + 2, self.last_read)
        elif self.tap.complete():
            # Our own terminal event, if one is due, must not be glued to it.
            if not self.tap.closing:
                self._over(End.DONE, len(held))
            self._write(held + b"\n\n" if self.tap.closing else held)

    def resume(self) -> None:
        # What the provider could not send while it was held is not held against it.
        self.last_event = self.last_content = monotonic()
        super().resume()

    def rest(self) -> bytes:
        return self.held

    def is_complete(self) -> bool:
        return not self.unaligned and self.tap.complete()

    def break_off(self, reason: End) -> None:
        """One in-band error in the client's dialect, then a close that cannot be mistaken for the end."""
        code, message = BROKEN[reason]
        event = self.dialect.render_stream_error(code, message, self.exchange.id, self.tap.sequence)
        self._write(b"\n\n" + event if self.unaligned else event)
        super().break_off(reason)

    def probe(self) -> bytes:
        return b"" if self.unaligned else self.exchange.frame(self.dialect.silence)

    def due(self, now: float) -> tuple[float, End]:
        timeouts = self.timeouts
        if self.tap.complete() and not self.unaligned:
            return self.last_read + min(AFTER_FINISH, timeouts.idle), End.STALLED
        quiet = min(
            self.last_read + timeouts.idle,
            self.last_event + timeouts.event,
            self.last_content + timeouts.content,
        )
        return (quiet, End.STALLED) if quiet < self.limit else (self.limit, self.overdue)


def _first_boundary(data: bytes) -> int:
    """Index just past the first blank line in `data`; 0 when there is none."""
    match = _BLANK_LINE.search(data)
    return match.end() if match else 0
