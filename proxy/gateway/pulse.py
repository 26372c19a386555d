"""A sign of life for a client that asked for a stream from a provider that gives its answer in one piece.

Balancers and browsers close what is silent for a minute. After BEAT seconds without an answer the client gets the
head of its stream and then a comment now and again; failing over goes on behind it. What is given up is the status of
an error, which then comes inside the stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from proxy.gateway.exchange import Exchange
    from proxy.gateway.translation import Translation

BEAT = 10.0
"""Seconds between two signs."""
_SPACE = b"\n"
"""What says nothing in a stream that is one JSON array."""


class Pulse:
    """Beats until it is stopped."""

    __slots__ = ("_content_type", "_exchange", "_loop", "_sign", "_timer")

    def __init__(
        self, exchange: Exchange, translation: Translation, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._exchange = exchange
        self._content_type = translation.content_type
        self._sign = _SPACE if exchange.array else translation.client.silence
        self._loop = loop
        self._timer = loop.call_later(BEAT, self._beat)

    def _beat(self) -> None:
        exchange = self._exchange
        if exchange.transport.is_closing():
            return
        head = b""
        if not exchange.head_sent:
            head = exchange.head(200, [(b"content-type", self._content_type)], None)
        exchange.sign = self._sign
        exchange.transport.write(head + exchange.frame(self._sign))
        self._timer = self._loop.call_later(BEAT, self._beat)

    def stop(self) -> None:
        """No more."""
        self._timer.cancel()
        self._exchange.sign = b""
