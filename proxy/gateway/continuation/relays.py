"""Streams that may be left open when they break off, and the one that goes on with such a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.core.errors import Cause, UpstreamError
from proxy.dialects import ir
from proxy.dialects.base import BAD, ERROR, FINISH
from proxy.dialects.fold import unfold
from proxy.gateway.answer import Kind
from proxy.gateway.attempt import CUT, Attempt, End
from proxy.gateway.continuation import asking
from proxy.gateway.continuation.sent import Sent
from proxy.gateway.event_relay import EventRelay
from proxy.gateway.relay import Relay
from proxy.gateway.translating import TranslatingRelay
from proxy.gateway.translation import codec_of
from proxy.gateway.verdict import RULES, cause_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from proxy.dialects.base import Decoder
    from proxy.gateway.connection import ClientConnection
    from proxy.gateway.continuation.seam import Seam
    from proxy.gateway.exchange import Exchange
    from proxy.upstream.connection import Headers

_GOES_ON = frozenset({End.TRUNCATED, End.STALLED, End.MALFORMED, End.ERROR_EVENT})
_MARK = b": continued\n\n"


def error_of(relay: Relay) -> UpstreamError:
    """What became of a relay that broke off."""
    told = relay.gate.tap.error if relay.reason is End.ERROR_EVENT else None
    return told or UpstreamError(CUT.get(relay.reason, Cause.LOCAL))


class Unfinished:
    """What both kinds of streams have in common: to break off is to be left open, if somebody may go on."""

    __slots__ = ()

    sent: Sent
    left_open: bool

    def break_off(self: Any, reason: End) -> None:
        """Leave it open; else end it as any other."""
        self.reason = reason
        if reason in _GOES_ON and self.is_open() and self.may_go_on():
            self.left_open = True
            self.stop()
        else:
            self.give_up(reason)

    def is_open(self: Any) -> bool:
        """Something may still follow what was written."""
        return not self.is_complete() and not self.transport.is_closing()

    def may_go_on(self: Any) -> bool:
        """The answer is of a kind that can go on, and what happened is not the request's own fault."""
        return RULES[cause_of(error_of(self))].sibling and bool(self.sent.fits())

    def give_up(self, reason: End) -> None:
        """Nobody goes on: one in-band error, as without all this."""
        raise NotImplementedError


class OpenEventRelay(Unfinished, EventRelay):
    """A stream that passes as it came; what passed is remembered."""

    __slots__ = ("left_open", "sent", "withheld")

    def __init__(
        self, exchange: Exchange, attempt: Attempt, client: ClientConnection, write_timeout: float
    ) -> None:
        EventRelay.__init__(self, exchange, attempt, client, write_timeout)
        self.sent = Sent(exchange)
        self.left_open = False
        self.withheld = b""
        """The provider's own error event."""
        self.seen = self._see

    def begin(self, headers: Headers) -> None:
        gate = self.gate
        for event in gate.dialect.framing.events(gate.held[: gate.scanned]):
            if event.data is not None:
                self.sent.note(event.name, event.data)
        super().begin(headers)

    def _see(self, name: bytes, data: bytes) -> int:
        flags = self.tap.event(name, data)
        if not flags & (ERROR | BAD):
            self.sent.note(name, data)
        return flags

    def _special(
        self, data: bytes, flags: int, start: int, end: int, now: float, begin: int = 0
    ) -> int:
        if flags & ERROR and not flags & (FINISH | BAD):
            self._write(data[start:begin])
            self.withheld = data[begin:end]
            self.break_off(End.ERROR_EVENT)
            return end
        return super()._special(data, flags, start, end, now, begin)

    def stop(self) -> None:
        super().stop()
        self.seen = self.tap.event  # else it and what is its own would hold each other

    def _go_raw(self) -> None:
        self.sent.spoil()
        super()._go_raw()

    def is_open(self) -> bool:
        return not self.unaligned and super().is_open()

    def may_go_on(self) -> bool:
        if not super().may_go_on():
            return False
        encoder, number = self.sent.encoder, self.tap.sequence
        if encoder is not None and number > encoder.sequence:
            encoder.sequence = number  # it may have had less to tell than the provider
        return True

    def give_up(self, reason: End) -> None:
        self.left_open = False
        if self.withheld:
            self._write(self.withheld)
            Relay.break_off(self, reason)
        else:
            EventRelay.break_off(self, reason)


class OpenTranslatingRelay(Unfinished, TranslatingRelay):
    """A stream that is translated; what the client was told is remembered."""

    __slots__ = ("left_open", "sent", "withheld")

    def __init__(
        self, exchange: Exchange, attempt: Attempt, client: ClientConnection, write_timeout: float
    ) -> None:
        TranslatingRelay.__init__(self, exchange, attempt, client, write_timeout)
        self.sent = Sent(exchange, self.encoder)
        self.left_open = False
        self.withheld: ir.StreamError | None = None
        """The provider's own error."""
        self.decoder = _Noted(self.decoder, self.sent)
        self.feed = self.decoder.feed

    def _say(self, events: Iterable[ir.Event]) -> bytes:
        if self.withheld is not None:
            return b""
        said: list[ir.Event] = []
        for event in events:
            if isinstance(event, ir.StreamError):
                self.withheld = event
                break
            said.append(event)
        return super()._say(said)

    def _check_end(self) -> None:
        if self.withheld is not None and not self.done.done():
            self.break_off(End.ERROR_EVENT)
        else:
            super()._check_end()

    def give_up(self, reason: End) -> None:
        self.left_open = False
        if reason is End.ERROR_EVENT and self.withheld is not None:
            self._write(self.encode(self.withheld))
            Relay.break_off(self, reason)
        else:
            TranslatingRelay.break_off(self, reason)


class _Noted:
    """A decoder whose events are what the client was told."""

    __slots__ = ("_decoder", "_sent")

    def __init__(self, decoder: Decoder, sent: Sent) -> None:
        self._decoder = decoder
        self._sent = sent

    def feed(self, name: bytes, data: bytes) -> list[ir.Event]:
        events = self._decoder.feed(name, data)
        self._sent.add(events)
        return events

    def end(self) -> list[ir.Event]:
        events = self._decoder.end()
        self._sent.add(events)
        return events


class SpliceRelay(OpenTranslatingRelay):
    """Goes on with the stream that `before` left open. Until it has found the place, the client sees nothing of it."""

    __slots__ = ("seam", "translation")

    def __init__(
        self,
        before: OpenEventRelay | OpenTranslatingRelay,
        attempt: Attempt,
        sew: Callable[[Decoder], Seam],
    ) -> None:
        super().__init__(before.exchange, attempt, before.client, before.write_timeout)
        assert attempt.translation is not None
        assert before.sent.encoder is not None
        self.sent = before.sent
        self.encoder = before.sent.encoder
        self.encode = self.encoder.encode
        self.translation = attempt.translation
        self.seam = sew(attempt.translation.decoder())
        self.decoder = self.seam
        self.feed = self.seam.feed
        # The client knows of one answer: it began with the first, and has to end in its time.
        self.limit, self.overdue = before.limit, before.overdue
        self.first_written = before.first_written
        self.first_content = before.first_content

    def begin(self, headers: Headers) -> None:
        if self.gate.kind is Kind.EVENTS:
            super().begin(headers)
        else:
            self._whole()

    def _whole(self) -> None:
        """An answer that came in one piece."""
        translation = self.translation
        try:
            response = codec_of(translation.provider).parse_response(
                self.gate.held, translation.request
            )
        except ValueError:
            self.seam.missed = True
            self._check_end()
            return
        self._last(self._say(self.seam.take(unfold(response))))
        self._check_end()
        if not self.done.done():
            self.complete(End.DONE)

    def _check_end(self) -> None:
        if self.seam.missed and not self.done.done():
            self.stop()
        else:
            super()._check_end()

    def stop(self) -> None:
        super().stop()
        self.seam.let_go()

    def break_off(self, reason: End) -> None:
        if self.seam.joined:
            super().break_off(reason)
        else:
            self.reason = reason
            self.stop()


def may_leave_open(exchange: Exchange, make: type[Relay]) -> type[Relay]:
    """`make`, or what can be continued in its place."""
    return _OPEN.get(make, make) if asking.can(exchange) else make


_OPEN: dict[type[Relay], type[Relay]] = {
    EventRelay: OpenEventRelay,
    TranslatingRelay: OpenTranslatingRelay,
}


def mark(relay: Relay) -> bytes:
    """What a client may see of a seam, and no library minds: a comment, where the dialect's clients know comments.

    What passed as it came may have been cut inside of the line end behind its last event.
    """
    end = b"\n" if isinstance(relay, OpenEventRelay) else b""
    return end if relay.exchange.endpoint.family == "gemini" else end + _MARK
