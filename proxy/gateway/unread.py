"""What a client has not taken yet: it is waited for, as long as it takes some of it.

A client that reads nothing would hold its answer in our memory for as long as it likes, also behind a close, which sends
all there is first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


class Unread:
    """Of one connection."""

    __slots__ = ("_loop", "_timeout", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        """`timeout`: seconds in which the client has to take a byte."""
        self._loop = loop
        self._timeout = timeout
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, transport: asyncio.Transport, before: int = 0) -> None:
        """Cut the client off once it takes no byte of what is unsent for that long; `before`: what was, then."""
        self.stop()
        unsent = transport.get_write_buffer_size()
        if unsent and unsent == before:
            transport.abort()
        elif unsent:
            self._timer = self._loop.call_later(self._timeout, self.watch, transport, unsent)

    def part(self, transport: asyncio.Transport) -> None:
        """Close it as soon as all is sent, if the client takes it."""
        transport.close()
        self.watch(transport)

    async def caught_up(self, transport: asyncio.Transport, taken: Awaitable[None]) -> None:
        """When the client has taken enough of its answer to be given another, which is when `taken` says so."""
        self.watch(transport)
        try:
            await taken
        finally:
            if not transport.is_closing():
                self.stop()

    def stop(self) -> None:
        """Cut nobody off."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
