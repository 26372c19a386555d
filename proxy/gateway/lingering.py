"""An answer nobody waits for any more, read on to learn what it cost: as long and as far as the configuration allows.

The connection of an answer that came to its end goes back to its pool; one that was given up is closed at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.dialects.base import CONTENT
from proxy.gateway.answer import MAX_WHOLE, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from proxy.core.errors import UpstreamError
    from proxy.gateway.attempt import Attempt
    from proxy.upstream.connection import Headers
    from proxy.wire.sse import Event


class Lingering:
    """Consumes the rest of one response in the place of whoever did before. `done` is called once, when it is over."""

    unparsed = None

    __slots__ = ("_attempt", "_done", "_gate", "_held", "_left", "_timer", "over")

    def __init__(
        self, attempt: Attempt, seconds: float, tokens: int, done: Callable[[], None]
    ) -> None:
        self._attempt = attempt
        self._gate = attempt.gate
        self._done = done
        self._left = tokens
        self._held = b""
        self.over = False
        loop = self._gate.done.get_loop()
        self._timer = loop.call_later(seconds, self.cut)

    def take(self, held: bytes) -> bool:
        """Whether there is something left to be read. `held` is what came and has not been looked at."""
        upstream = self._attempt.upstream
        if upstream.consumer is None:
            self._finish()
            return False
        upstream.consumer = self
        self._gate.release()
        if self._gate.opened and self._attempt.relay is None:
            held = self._rest()
        if held:
            self._read(held)
        return not self.over

    # Consumer

    def head(self, status: int, headers: Headers) -> None:
        self._gate.head(status, headers)

    def body(self, data: bytes) -> None:
        gate = self._gate
        was_open = gate.opened
        if was_open:
            self._read(data)
            return
        gate.body(data)
        if gate.error is not None:
            self.cut()
        elif gate.opened:  # not `done`: who waited for that is gone, and it is over for that alone
            self._read(self._rest())

    def end(self) -> None:
        gate = self._gate
        if not gate.opened:
            gate.end()
        elif self._held:
            self._see(self._gate.dialect.framing.events(self._held))
        self._finish()

    def lost(self, error: UpstreamError) -> None:
        self._finish()

    # ---

    def cut(self) -> None:
        """Read no further."""
        upstream = self._attempt.upstream
        if upstream.consumer is self:
            upstream.cancel()
        self._finish()

    def _finish(self) -> None:
        if not self.over:
            self.over = True
            self._timer.cancel()
            self._done()

    def _rest(self) -> bytes:
        """What the gate holds and has not looked at: it is open, and takes no more."""
        gate = self._gate
        held, gate.held = gate.held[gate.scanned :], b""
        self._attempt.late_bytes += gate.scanned
        gate.release()
        return held

    def _read(self, data: bytes) -> None:
        self._attempt.late_bytes += len(data)
        if self._gate.kind is not Kind.EVENTS:
            return
        framing = self._gate.dialect.framing
        data = self._held + data
        end = framing.last_boundary(data)
        self._held = data[end:]
        if end:
            self._see(framing.events(data[:end]))
        if self._left < 0 or len(self._held) > MAX_WHOLE:
            self.cut()

    def _see(self, events: Iterable[Event]) -> None:
        attempt, seen = self._attempt, self._gate.tap.event
        for event in events:
            if event.is_sse and event.data is not None and seen(event.name, event.data) & CONTENT:
                attempt.late_events += 1
                self._left -= 1
