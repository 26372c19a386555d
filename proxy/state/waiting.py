"""Requests that wait until one of their model's deployments takes another: the most urgent first, then who came first."""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush
from itertools import count


class Waiting:
    """Of one model."""

    __slots__ = ("_heap", "_numbers", "depth", "live", "patience")

    def __init__(self, patience: float, depth: int) -> None:
        self.patience = patience
        """Seconds."""
        self.depth = depth
        """Requests at most."""
        self.live = 0
        """How many wait now."""
        self._heap: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = count()

    def ahead(self, urgency: int) -> bool:
        """Whether somebody waits who goes first: 0 is the most urgent."""
        self._drop_done()
        return bool(self._heap) and self._heap[0][0] <= urgency

    async def turn(self, urgency: int, timeout: float) -> bool:
        """Wait to be called. False: it took too long, or too many wait already."""
        if self.live >= self.depth:
            return False
        called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._heap, (urgency, next(self._numbers), called))
        self.live += 1
        try:
            async with asyncio.timeout(timeout):
                await called
        except TimeoutError:
            return called.done() and not called.cancelled()  # called at the last moment
        except asyncio.CancelledError:
            if called.done() and not called.cancelled():
                self.call()  # its place is somebody else's
            raise
        finally:
            self.live -= 1
        return True

    def call(self) -> None:
        """A place is free: for the first of them."""
        self._drop_done()
        if self._heap:
            heappop(self._heap)[2].set_result(None)

    def _drop_done(self) -> None:
        while self._heap and self._heap[0][2].done():
            heappop(self._heap)
