"""What an answer says of itself, for its span: its id, the model it is from, and where that is wanted, its text.

A witness before the one that keeps answers, if there is one. The stream is looked at until both are known, which is one
event in every dialect but Google's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, field

from proxy.gateway.capture import Capture
from proxy.gateway.event_relay import EventRelay

if TYPE_CHECKING:
    from proxy.gateway.exchange import Exchange, Witness
    from proxy.gateway.relay import Relay
    from proxy.ledger.spool import Spool

LARGEST = 1 << 20
"""Bytes of a whole answer that are looked through."""
_LOOKS = 8
"""Events that are looked at, at most."""


class _Inner(Struct, gc=False):
    id: str = ""
    model: str = ""


class _Said(Struct, gc=False):
    """An answer, or an event, of any dialect."""

    id: str = ""
    model: str = ""
    response_id: str = field(default="", name="responseId")
    model_version: str = field(default="", name="modelVersion")
    message: _Inner | None = None
    """Anthropic's first event."""
    response: _Inner | None = None
    """That of OpenAI's responses."""


_decode = msgspec.json.Decoder(_Said).decode


class Sight:
    """Of one exchange."""

    __slots__ = ("_inner", "_looks", "_text", "id", "model")

    def __init__(self, exchange: Exchange, inner: Witness | None, characters: int) -> None:
        """`inner` sees all of it too; `characters` of the text are kept."""
        self.id = self.model = ""
        self._inner = inner
        self._looks = _LOOKS
        self._text = Capture(exchange, characters, 0) if characters else None

    @property
    def text(self) -> str:
        """Of the answer; empty where it is not wanted."""
        return "" if self._text is None else self._text.text()

    def whole(self, body: bytes) -> None:
        """All of an answer."""
        for one in (self._inner, self._text):
            if one is not None:
                one.whole(body)
        if len(body) <= LARGEST:
            self._look(body)

    def watch(self, relay: Relay) -> None:
        """A relay is about to begin."""
        for one in (self._inner, self._text):
            if one is not None:
                one.watch(relay)
        if not isinstance(relay, EventRelay):
            return
        gate, seen = relay.gate, relay.seen
        for event in gate.dialect.framing.events(gate.held[: gate.scanned]):
            if event.is_sse and event.data is not None and self._looks:
                self._look(event.data)
        if not self._looks:
            return

        def see(name: bytes, data: bytes) -> int:
            self._look(data)
            if not self._looks:
                relay.seen = seen
            return seen(name, data)

        relay.seen = see

    def said(self, text: str) -> None:
        """More of the answer, in a stream that is not watched."""
        for one in (self._inner, self._text):
            if one is not None:
                one.said(text)

    def keep(self, rid: str, spool: Spool) -> None:
        """It is over, and called this in the ledger."""
        if self._inner is not None:
            self._inner.keep(rid, spool)

    def _look(self, data: bytes) -> None:
        self._looks -= 1
        try:
            said = _decode(data)
        except (ValueError, RecursionError):
            return
        inner = said.message or said.response
        self.id = self.id or said.id or said.response_id or ("" if inner is None else inner.id)
        self.model = (
            self.model or said.model or said.model_version or ("" if inner is None else inner.model)
        )
        if self.id and self.model:
            self._looks = 0
