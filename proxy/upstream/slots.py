"""Places for connections to a provider that may have only so many at once. Who finds none waits in line, for a while."""

from __future__ import annotations

import asyncio
from collections import deque

LONGEST = 2.0
"""Seconds to wait for a place: after that another deployment is the better hope, or the client's own later try."""


class Slots:
    """One for each provider with a limit."""

    __slots__ = ("_limit", "_line", "taken")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._line: deque[asyncio.Future[None]] = deque()
        self.taken = 0

    async def take(self, timeout: float) -> None:
        """Raises TimeoutError. What was taken is to be given back."""
        if self.taken < self._limit:
            self.taken += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            async with asyncio.timeout(min(timeout, LONGEST)):
                await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.give()  # handed over at the last moment
            elif turn in self._line:  # else it has been passed over since
                self._line.remove(turn)
            raise

    def give(self) -> None:
        """A place is free: for who has waited longest, if anybody does."""
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.taken -= 1
