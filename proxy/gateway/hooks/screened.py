"""A stream whose text goes through screens, in its own dialect or another: decoded, screened, encoded.

Reads come when they come, and screens take their time: so what a read means waits in a list, and one task at a time
takes what there is, has it screened, and writes. While the list is long nothing more is read from the provider. Whatever
ends the stream waits for that task; a client that leaves does not.
"""

from __future__ import annotations

import asyncio
from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from proxy.core.errors import ProxyError
from proxy.core.tasks import spawn
from proxy.dialects import ir
from proxy.dialects.base import ERROR
from proxy.gateway.attempt import End
from proxy.gateway.event_relay import EventRelay
from proxy.gateway.translating import TranslatingRelay, as_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.errors import UpstreamError
    from proxy.gateway.attempt import Attempt
    from proxy.gateway.connection import ClientConnection
    from proxy.gateway.exchange import Exchange
    from proxy.upstream.connection import Headers

MANY = 512
"""Events that wait, from which on nothing more is read."""


def _deaf(name: bytes, data: bytes) -> list[ir.Event]:
    """It is over."""
    return []


class ScreenedRelay(TranslatingRelay):
    """See the module."""

    __slots__ = (
        "_alarm",
        "_clogged",
        "_drained",
        "_fate",
        "_hooked",
        "_screening",
        "_task",
        "_waiting",
    )

    def __init__(
        self, exchange: Exchange, attempt: Attempt, client: ClientConnection, write_timeout: float
    ) -> None:
        super().__init__(exchange, attempt, client, write_timeout)
        hooked = exchange.hooks
        assert hooked is not None
        assert hooked.screening is not None
        self._hooked = hooked
        self._screening = hooked.screening
        self.decoder = hooked.decoder
        self.feed = self._feed
        self._waiting: list[ir.Event] = []
        self._task: asyncio.Task[None] | None = None
        self._fate: Callable[[], None] | None = None
        """What happens once nothing waits."""
        self._alarm: asyncio.TimerHandle | None = None
        self._clogged = False
        self._drained = False
        """The decoder has said all it has."""

    def begin(self, headers: Headers) -> None:
        """What the gate has checked has been screened."""
        gate = self.gate
        out, rest = self._say(self._hooked.first), gate.held[gate.scanned :]
        gate.held, gate.scanned = out + rest, len(out)
        EventRelay.begin(self, headers)
        self._check_end()
        if not self.done.done() and self._task is None:
            self._set_alarm()

    # --- what comes ---

    def _feed(self, name: bytes, data: bytes) -> list[ir.Event]:
        """Nothing goes out at once."""
        if self.broken:
            return []
        self._waiting += self.decoder.feed(name, data)
        self._go()
        if len(self._waiting) > MANY and not self._clogged:
            self._clogged = True
            self.upstream.hold()
        return []

    def _one(self, name: bytes, data: bytes, flags: int, now: float) -> bytes:
        out = super()._one(name, data, flags & ~ERROR, now)
        if flags & ERROR and not self.broken:  # it waits like all that came before it
            self._waiting.append(as_event(self.tap.error))
            self._go()
        return out

    def _go(self) -> None:
        if self._task is None and not self.done.done():
            self._task = spawn(self._run(), name="screens")

    async def _run(self) -> None:
        try:
            while not self.done.done() and (self._waiting or self._screening.due <= monotonic()):
                out: list[ir.Event] = []
                try:
                    if self._waiting:
                        events, self._waiting = self._waiting, []
                        await self._screening.take(events, out)
                    else:
                        await self._screening.late(monotonic(), out)
                except ProxyError as refusal:
                    self._tell(out)
                    self._refuse(refusal)
                    return
                self._tell(out)
                self._unclog()
        except Exception:
            self.break_off(End.MALFORMED)
            raise
        finally:
            self._task = None
        if self.done.done():
            return
        if self._fate is not None:
            fate, self._fate = self._fate, None
            fate()
        else:
            self._set_alarm()

    def _tell(self, events: list[ir.Event]) -> None:
        if not self.done.done():
            self._last(self._say(events))
            self._check_end()

    def _refuse(self, refusal: ProxyError) -> None:
        """The last the client hears is why."""
        if self.done.done() or self.finished:
            return
        self._hooked.refused(refusal)
        status = refusal.status or refusal.row.status
        out = self._say([ir.StreamError(status, refusal.message, refusal.code)])
        self._over(End.REFUSED, len(out))
        self._write(out)
        self.reason = End.REFUSED
        self.exchange.abandon()
        self.stop()

    # --- what is held ---

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        due = self._screening.due
        if due < inf:
            self._alarm = self.loop.call_later(max(due - monotonic(), 0.0), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self._screening.due <= monotonic():
            self._go()
        elif self._task is None:
            self._set_alarm()

    # --- flow ---

    def _unclog(self) -> None:
        if self._clogged and len(self._waiting) <= MANY:
            self._clogged = False
            if not self.paused_at:
                self.upstream.unhold()

    def resume(self) -> None:
        super().resume()
        if self._clogged:
            self.upstream.hold()

    # --- the end ---

    def _check_end(self) -> None:
        if self.broken and not self.failed and self._task is not None:
            self._fate = self._check_end  # what came before it is told first
        else:
            super()._check_end()

    def end(self) -> None:
        """The provider's message ended: what waits comes first."""
        self._let_come()
        if self._task is not None:
            self._fate = self.end
            return
        if not self._drained:
            self._drained = True
            held, self.held = b"".join((self.held, *self.parts)), b""
            self.parts.clear()
            whole = [one for one in self.framing.events(held) if one.is_sse and one.data]
            if whole:
                self._last(self._events(whole, self.last_read))
            if not (self.failed or self.broken):
                self._waiting += self.decoder.end()
            if self._waiting:
                self._fate = self.end
                self._go()
                return
        self._check_end()
        if self.done.done():
            return
        if self.finished:
            self.complete(End.FINISH_NO_DONE if self.tap.closing else End.DONE)
        else:
            self.break_off(End.TRUNCATED)

    def lost(self, error: UpstreamError) -> None:
        self._let_come()
        if self._task is not None:
            self._fate = partial(self.lost, error)
        else:
            super().lost(error)

    def stop(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        task = self._task
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        self._let_come()
        self.feed, self._fate = _deaf, None  # else it would hold itself
        super().stop()

    def _let_come(self) -> None:
        """There is nothing to hold back any more, and the connection may be on its way back to the pool."""
        if self._clogged:
            self._clogged = False
            self.upstream.unhold()
