"""A stream on its way to a client that speaks another dialect: each read is decoded, encoded, and one write.

Nothing waits for what is to come: what the events of a read mean goes out before the next read. Only an unfinished
event is held, however long it is, because half an event has no meaning.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from proxy.dialects import ir
from proxy.dialects.base import BAD, CONTENT, ERROR, FINISH, SSE
from proxy.gateway.answer import MAX_WHOLE
from proxy.gateway.attempt import Attempt, End
from proxy.gateway.event_relay import AFTER_FINISH, BROKEN, MOST, EventRelay
from proxy.gateway.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.core.errors import UpstreamError
    from proxy.gateway.connection import ClientConnection
    from proxy.gateway.exchange import Exchange
    from proxy.upstream.connection import Headers
    from proxy.wire.sse import Event

_PING = ir.Ping()


class TranslatingRelay(EventRelay):
    """Consumes a provider's stream and writes the client's."""

    __slots__ = (
        "array",
        "broken",
        "decoder",
        "encode",
        "encoder",
        "failed",
        "feed",
        "finished",
        "framing",
        "parts",
    )

    def __init__(
        self, exchange: Exchange, attempt: Attempt, client: ClientConnection, write_timeout: float
    ) -> None:
        super().__init__(exchange, attempt, client, write_timeout)
        translation = attempt.translation
        assert translation is not None
        self.dialect = translation.client
        self.framing = translation.provider.framing
        self.decoder = translation.decoder()
        self.encoder = translation.encoder()
        self.feed = self.decoder.feed
        self.encode = self.encoder.encode
        self.array = exchange.array
        self.parts: list[bytes] = []
        """Reads of one long event, joined to `held` when its end may have come."""
        self.finished = False
        """The client has its terminal event."""
        self.failed = False
        """The client has an error event: nothing may follow."""
        self.broken = False
        """The provider sent what is no event."""

    def begin(self, headers: Headers) -> None:
        """What the gate has checked is only to be decoded; what lies behind it comes as any other read."""
        gate = self.gate
        checked, rest = gate.held[: gate.scanned], gate.held[gate.scanned :]
        out = b"".join(
            self._say(self.feed(event.name, event.data))
            for event in self.framing.events(checked)
            if event.data is not None
        )
        gate.held, gate.scanned = out + rest, len(out)
        super().begin(headers)
        self._check_end()

    # --- reads ---

    def body(self, data: bytes) -> None:
        """One read, at most one write."""
        if self.exchange.bytes_out > MOST:
            self.break_off(End.DEADLINE)
            return
        now = monotonic()
        if now - self.last_read > self.max_gap:
            self.max_gap = now - self.last_read
        self.last_read = now
        if self.held:
            if self._is_middle(data):
                return
            data = b"".join((self.held, *self.parts, data))
            self.held = b""
            self.parts.clear()
        one = self.framing.single(data)
        if one is not None:
            flags = self.seen(one[0], one[1])
            if flags == CONTENT:
                # The common case, in line: this runs once a token.
                self.event_count += 1
                self.last_event = self.last_content = now
                if not self.first_content:
                    self.first_content = now
                out = b"".join([self.encode(event) for event in self.feed(one[0], one[1])])
            else:
                out = self._one(one[0], one[1], flags, now)
        else:
            out = self._many(data, now)
        if out:
            if self.finished:
                self._over(End.DONE, len(out))
            self._write(out)
        self._check_end()

    def _foresee(self, size: int) -> None:
        if self.finished:
            self._over(End.DONE, size)

    def _is_middle(self, data: bytes) -> bool:
        """More of an event that cannot have ended yet; kept aside, because joining at every read is quadratic."""
        if self.framing is not SSE or b"\n" in data or b"\r" in data:
            return False
        self.parts.append(data)
        if len(self.held) + sum(map(len, self.parts)) > MAX_WHOLE:
            self.broken = True
            self._check_end()
        return True

    def _many(self, data: bytes, now: float) -> bytes:
        """Several events, or part of one."""
        framing = self.framing
        end = framing.last_boundary(data)
        self.held = data[end:]
        if end:
            self.last_event = now  # a comment is an event that is whole, too
        if len(self.held) > MAX_WHOLE or not framing.begins(self.held or data):
            self.broken = True
        return self._events(framing.events(data[:end]), now) if end else b""

    def _events(self, events: Iterable[Event], now: float) -> bytes:
        out = []
        quiet = True
        for event in events:
            if not event.is_sse:
                self.broken = True
                break
            if event.data is None:
                continue
            quiet = False
            flags = self.seen(event.name, event.data)
            out.append(self._one(event.name, event.data, flags, now))
            if self.failed or self.broken:
                break
        return self._say([_PING]) if quiet and not self.broken else b"".join(out)

    def _one(self, name: bytes, data: bytes, flags: int, now: float) -> bytes:
        """What one event becomes, and what it does to the stream."""
        if flags & BAD:
            self.broken = True
            return b""
        self.last_event = now
        if flags & CONTENT:
            self.event_count += 1
            self.last_content = now
            if not self.first_content:
                self.first_content = now
        out = self._say(self.feed(name, data))
        if flags & ERROR and not self.failed and not self.finished:
            out += self._say([as_event(self.tap.error)])
        if flags & FINISH and self.timer is not None:
            self._arm(AFTER_FINISH)
        return out

    def _say(self, events: Iterable[ir.Event]) -> bytes:
        out = []
        for event in events:
            if self.finished or self.failed:
                break
            out.append(self.encode(event))
            kind = type(event)
            if kind is ir.ResponseEnd:
                self.finished = True
            elif kind is ir.StreamError:
                self.failed = True
        return b"".join(out)

    # --- the end ---

    def _check_end(self) -> None:
        if self.done.done():
            return
        if self.failed:
            self.reason = End.ERROR_EVENT
            self.exchange.abandon()
            self.stop()
        elif self.broken:
            self.break_off(End.MALFORMED)

    def end(self) -> None:
        """The provider's message ended: whole if its protocol said so."""
        if self.held:
            held = b"".join((self.held, *self.parts))
            self.held = b""
            self.parts.clear()
            # A last event without its blank line; half of one says nothing.
            whole = [one for one in self.framing.events(held) if one.is_sse and one.data]
            self._last(self._events(whole, self.last_read) if whole else b"")
        if not (self.failed or self.broken):
            self._last(self._say(self.decoder.end()))
        self._check_end()
        if self.done.done():
            return
        if self.finished:
            self.complete(End.FINISH_NO_DONE if self.tap.closing else End.DONE)
        else:
            self.break_off(End.TRUNCATED)

    def _last(self, out: bytes) -> None:
        if self.finished:
            self._over(End.DONE, len(out))
        self._write(out)

    def lost(self, error: UpstreamError) -> None:
        """Broken framing behind the terminal event takes nothing from the answer."""
        if self.finished:
            self.end()
        else:
            Relay.lost(self, error)

    def rest(self) -> bytes:
        return b"".join((self.held, *self.parts))

    def is_complete(self) -> bool:
        return self.finished or (not self.open_ended and self.tap.complete())

    def _said(self) -> float:
        # Behind its terminal event the client is told nothing, whatever comes.
        return self.whole_at if self.finished else super()._said()

    def break_off(self, reason: End) -> None:
        """One in-band error, unless the client has its whole answer already."""
        code, message = BROKEN[reason]
        if self.finished:
            self.complete(End.DONE)
            return
        if self.array:
            self._write(self.encode(ir.StreamError(502, message, code)))
        else:
            self._write(
                self.dialect.render_stream_error(
                    code, message, self.exchange.id, self.encoder.sequence
                )
            )
        Relay.break_off(self, reason)

    def probe(self) -> bytes:
        return self.exchange.frame(b"\n" if self.array else self.dialect.silence)


def as_event(error: UpstreamError | None) -> ir.StreamError:
    """The error of a provider that the decoder has made nothing of."""
    status = error.status if error is not None and 400 <= error.status <= 599 else 502
    return ir.StreamError(status, "The provider reported an error.", "upstream_error")
