"""What a worker is told: by signals, by its supervisor, and what becomes of it when nobody is left to tell it anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from proxy.tether import ALONE, GONE, HURRY, LEAVE, STOP, TOGETHER, YIELD

if TYPE_CHECKING:
    from proxy.tether import Tether

IDLE: Final = 2.0
"""Seconds a client's idle connection is left open by a worker that leaves for good: a request that is under way on it is
answered, and the answer says that it was the last."""
IDLE_REPLACED: Final = 10.0
"""The same where a successor serves already, and nobody waits."""


class Orders:
    """Of one worker."""

    def __init__(self, tether: Tether | None, alone: Callable[[bool], None]) -> None:
        """`alone` is told whether another worker has the same number."""
        self.leave = asyncio.Event()
        self.hurry = asyncio.Event()
        """Within 5 s."""
        self.replaced = False
        """A successor serves."""
        self.tether = tether
        self._alone = alone
        self._asked = False

    def signalled(self) -> None:
        """SIGTERM or SIGINT, by somebody else than the supervisor, which is asked for a successor first. Again: at once."""
        if self.tether is not None and not self._asked and not self.leave.is_set():
            self._asked = True
            self.tether.say(LEAVE)
            return
        if self._asked or self.leave.is_set():
            self.hurry.set()
        self.leave.set()

    def heard(self, word: bytes) -> None:
        """Of the supervisor."""
        if word in (ALONE, TOGETHER):
            self._alone(word == ALONE)
        elif word in (STOP, YIELD, HURRY, GONE):
            self.replaced = self.replaced or word == YIELD
            if word == HURRY:
                self.hurry.set()
            self.leave.set()

    @property
    def idle(self) -> float:
        """Seconds for which idle connections are left open."""
        return IDLE_REPLACED if self.replaced else IDLE

    async def pause(self, seconds: float) -> None:
        """So long, unless there is haste, or a successor already."""
        if seconds and not self.replaced:
            try:
                async with asyncio.timeout(seconds):
                    await self.hurry.wait()
            except TimeoutError:
                pass
