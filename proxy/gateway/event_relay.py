"""A stream of events on its way to the client, forwarded event by event as received.

What ends well is what its protocol says has ended well; anything else gets one in-band error, no terminal event and a
socket closed without the last chunk, because a clean end is read as success by every client.
"""

from __future__ import annotations

import re
from time import monotonic
from typing import TYPE_CHECKING

from proxy.dialects.base import BAD, CONTENT, ERROR, FINISH, USAGE_ONLY
from proxy.dialects.several import expect
from proxy.gateway.answer import UNFRAMED
from proxy.gateway.attempt import Attempt, End
from proxy.gateway.relay import Relay
from proxy.wire.likeness import LONGEST, Likeness, last_number, likeness
from proxy.wire.sse import begins, events, last_boundary, single

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.errors import UpstreamError
    from proxy.gateway.connection import ClientConnection
    from proxy.gateway.exchange import Exchange
    from proxy.upstream.connection import Headers

AFTER_FINISH = 5.0
"""Seconds a provider may take to close a stream whose terminal event it has sent."""
MOST = 256 * 1024 * 1024
"""Bytes of one stream: more than any model writes in the hour it may take, so what sends them is broken."""
GUESSES = 4
"""Reads in a row that were not what was expected, until nothing more is expected of the stream."""
MOST_LATE = 64 * 1024
"""Bytes behind a terminal event that are read and dropped."""
_DONE = b"data: [DONE]"
"""OpenAI's terminal event, which some send behind those of other protocols."""
_LINE_END = re.compile(rb"[\r\n]")
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")

BROKEN = {
    End.TRUNCATED: ("upstream_truncated", "The provider ended the stream before it was complete."),
    End.STALLED: ("upstream_idle_timeout", "The provider stopped sending before the end."),
    End.DEADLINE: ("stream_limit", "The stream exceeded its limit of time or of size."),
    End.CLIENT_DEADLINE: ("deadline_exceeded", "The time that the request gave is over."),
    End.RESTART: ("gateway_restart", "The gateway is restarting and could not wait longer."),
    End.MALFORMED: ("upstream_bad_response", "The provider sent something that is no event."),
}
"""Code and message of the error that ends a stream."""


class EventRelay(Relay):
    """A server-sent event stream, forwarded up to the last whole event at once.

    Only an unfinished event is held, at most UNFRAMED bytes of it; a longer one goes out raw as it comes and
    alignment returns with its end.
    """

    __slots__ = (
        "alike",
        "cut_tail",
        "dialect",
        "ends",
        "event_count",
        "guesses",
        "held",
        "last_content",
        "last_event",
        "late",
        "max_gap",
        "open_ended",
        "over",
        "seen",
        "single",
        "tap",
        "unaligned",
        "unaligned_head",
        "unread",
        "whole_at",
    )

    def __init__(
        self, exchange: Exchange, attempt: Attempt, client: ClientConnection, write_timeout: float
    ) -> None:
        super().__init__(exchange, attempt, client, write_timeout)
        self.tap = attempt.gate.tap
        self.dialect = attempt.gate.dialect
        self.open_ended = self.dialect.open_ended or (
            exchange.endpoint.operation == "images" and _may_be_several(exchange)
        )
        """Only the end of the body says that there is no more: each picture, say, is whole by itself."""
        self.ends = self.dialect.family != "gemini" and not self.open_ended
        """An event says that it is the last. Google's reports may follow what it calls finished."""
        self.seen: Callable[[bytes, bytes], int] = self.tap.event
        self.single = single if exchange.alias is None else _never
        """Finds the one event of a read, which is written as it is. Where it is to name the model, none is."""
        self.held = b""
        self.alike: Likeness | None = None
        """What the last event has in common with those that may follow; `unparsed` looks for them."""
        self.guesses = GUESSES
        self.unread = b""
        """The last of what was passed on so: one event at least, and no more memory for many who wait than is needed."""
        self.over = False
        """The terminal event has been seen: whatever follows reaches nobody."""
        self.late = 0
        """Bytes that came behind it."""
        self.unaligned = False
        self.unaligned_head = b""
        self.cut_tail = b""
        self.last_content = self.last_event = self.started
        self.event_count = 0
        self.max_gap = 0.0
        self.whole_at = 0.0
        """When it was first found to be whole; 0: it was not."""

    def begin(self, headers: Headers) -> None:
        """The gate may have seen all of it."""
        self.over = self.dialect.last and self.tap.complete() and not self.tap.closing
        super().begin(headers)

    def _foresee(self, size: int) -> None:
        tap = self.tap
        if self.ends and tap.complete() and not tap.closing:
            self._over(End.ERROR_EVENT if tap.error else End.DONE, size)

    def _forward(self, data: bytes) -> bool:
        """Chunks whose events say the same as the one before, that there is text, go to the client as they came."""
        alike = self.alike
        assert alike is not None
        events, size = 1, alike.size(data)
        if not size:
            events, size = alike.sizes(data)
        exchange = self.exchange
        if not size or exchange.bytes_out > MOST:
            self.guesses -= 1
            return False
        now = monotonic()
        if now - self.last_read > self.max_gap:
            self.max_gap = now - self.last_read
        self.last_read = self.last_event = self.last_content = now
        self.event_count += events
        self.guesses = GUESSES
        self.unread = data[-LONGEST:]
        exchange.bytes_out += size
        self.transport.write(data)
        return True

    def _expect(self, event: bytes) -> None:
        """It was text and nothing else, and all before it is written: those that follow may be like it."""
        exchange = self.exchange
        if (
            self.guesses
            and exchange.chunked
            and exchange.alias is None
            and self.seen == self.tap.event  # nobody else wants to see them
        ):
            if self.alike is None or not self.alike.fits(event):
                self.alike = likeness(event)
            if self.alike is not None:
                self.unparsed = self._forward

    def body(self, data: bytes) -> None:
        """One read: the common case is one whole event, shown to the tap and written in one write."""
        self.unparsed = None
        if self.over:
            self._behind(data)
            return
        if self.exchange.bytes_out > MOST:
            self.break_off(End.DEADLINE)
            return
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
        one = self.single(data)
        if one is not None:
            flags = self.seen(one[0], one[1])
            if flags <= CONTENT:
                self.event_count += flags
                self.last_event = now
                if flags:
                    self.last_content = now
                    if not self.first_content:
                        self.first_content = now
                self.exchange.bytes_out += len(data)
                self.transport.write(
                    b"%x\r\n%b\r\n" % (len(data), data) if self.exchange.chunked else data
                )
                if flags:
                    self._expect(data)
                return
            self._special(data, flags, 0, len(data), now)
        else:
            self._several(data, now)

    def _several(self, data: bytes, now: float) -> None:
        end = last_boundary(data)
        self.held = data[end:]
        start = flags = 0
        event = None
        for event in events(data[:end]):
            if not event.is_sse:
                self._write(data[start : event.start])
                self.break_off(End.MALFORMED)
                return
            if event.data is None:
                flags = 0
                continue
            flags = self.seen(event.name, event.data)
            if flags > CONTENT:
                start = self._special(data, flags, start, event.end, now, event.start)
                if self.over:
                    self.held = b""
                    self._behind(data[start:])
                if self.over or self.done.done():
                    return
            elif flags:
                self.event_count += 1
                self.last_content = now
                if not self.first_content:
                    self.first_content = now
        if end:
            self.last_event = now
            self._write(data[start:end])
        if len(self.held) > UNFRAMED:
            self._go_raw()
        elif event is not None and flags == CONTENT and not self.held:
            self._expect(data[event.start : end])

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
            if not self.first_content:
                self.first_content = now
            self.event_count += 1
        if flags & USAGE_ONLY and self.gate.hide_usage:
            self._write(data[start:begin])
            return end
        if flags & FINISH and self.ends:
            self.over = self.dialect.last
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
            self.over = self.dialect.last
            self._over(End.ERROR_EVENT if flags & ERROR else End.DONE, end)
        self._write(data[:end])
        self.unaligned = False
        self.unaligned_head = self.cut_tail = b""
        self.last_event = self.last_content = self.last_read
        if flags & FINISH:
            self._arm(AFTER_FINISH)
        if self.over:
            self._behind(data[end:])
            return b""
        return data[end:]

    def _behind(self, data: bytes) -> None:
        """What follows the terminal event: comments and blank lines pass; anything else reaches nobody, and whoever sends it
        is not asked again on this connection."""
        if not self.late:
            data = self.held + data
            *lines, last = _LINE_END.split(data)
            if all(not line or line.startswith(b":") or line == _DONE for line in lines) and (
                last.startswith(b":") or _DONE.startswith(last)
            ):
                self._write(data.removesuffix(last))
                self.held = last
                return
            if (
                self.upstream.consumer is self
            ):  # else it is back in the pool, having ended as it should
                self.upstream.force_close()
        self.held = b""
        self.late += len(data)
        if self.late > MOST_LATE and not self.done.done():
            self.end()

    def end(self) -> None:
        """The message ended: whole if the protocol said so, with the terminal event added if only that is missing."""
        self.open_ended = False
        expect(self.tap, 1)
        if self.held and not self.over:
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
        return not self.unaligned and not self.open_ended and self.tap.complete()

    def break_off(self, reason: End) -> None:
        """One in-band error in the client's dialect, then a close that cannot be mistaken for the end."""
        code, message = BROKEN[reason]
        number = max(self.tap.sequence, last_number(self.unread) + 1)
        event = self.dialect.render_stream_error(code, message, self.exchange.id, number)
        self._write(b"\n\n" + event if self.unaligned else event)
        super().break_off(reason)

    def probe(self) -> bytes:
        return b"" if self.unaligned else self.exchange.frame(self.dialect.silence)

    def due(self, now: float) -> tuple[float, End]:
        timeouts = self.timeouts
        if self.is_complete():
            self.whole_at = self.whole_at or self.last_read
            return min(self._said() + min(AFTER_FINISH, timeouts.idle), self.limit), End.STALLED
        quiet = min(
            self.last_read + timeouts.idle,
            self.last_event + timeouts.event,
            self.last_content + timeouts.content,
        )
        return (quiet, End.STALLED) if quiet < self.limit else (self.limit, self.overdue)

    def _said(self) -> float:
        """When an answer that is whole had its last word: Google's may go on, and signs of life are none."""
        return max(self.whole_at, self.last_content)


def _never(data: bytes) -> None:
    """Have each event looked at."""


def _may_be_several(exchange: Exchange) -> bool:
    """Whether more than one picture is asked for; so it may be with a form, which is not read."""
    envelope = exchange.envelope
    return envelope is None or (envelope.integer("n") or 1) > 1


def _first_boundary(data: bytes) -> int:
    """Index just past the first blank line in `data`; 0 when there is none."""
    match = _BLANK_LINE.search(data)
    return match.end() if match else 0
