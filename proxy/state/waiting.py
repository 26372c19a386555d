"""Requests that wait until one of their model's deployments takes another: the most urgent first, then who came first.

Who waits is known by what wakes it up; waiting itself is somebody else's business.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final

SLACK: Final = 64
"""Those who left and are still kept: so many at most, and as many again as wait. To take one out is to look at all."""


class Ticket:
    """Of one that waits."""

    __slots__ = ("called", "gone", "wake")

    def __init__(self, wake: Callable[[], None]) -> None:
        self.wake = wake
        self.called = False
        self.gone = False


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
        self._heap: list[tuple[int, int, Ticket]] = []
        self._numbers = count()

    def ahead(self, urgency: int) -> bool:
        """Whether somebody waits who goes first: 0 is the most urgent."""
        self._drop_gone()
        return bool(self._heap) and self._heap[0][0] <= urgency

    def join(self, urgency: int, wake: Callable[[], None]) -> Ticket | None:
        """Wait to be called; `leave` whatever happens. None: too many wait already."""
        if self.live >= self.depth:
            return None
        ticket = Ticket(wake)
        heappush(self._heap, (urgency, next(self._numbers), ticket))
        self.live += 1
        return ticket

    def leave(self, ticket: Ticket, *, unused: bool = False) -> None:
        """It does not wait any more. `unused`: it may have been called, and does not take the place."""
        if not ticket.gone:
            ticket.gone = True
            self.live -= 1
            if unused and ticket.called:
                self.call()
            if len(self._heap) > 2 * self.live + SLACK:
                # They left below one that still waits.
                self._heap = [one for one in self._heap if not one[2].gone]
                heapify(self._heap)

    def call(self) -> None:
        """A place is free: for the first of them."""
        self._drop_gone()
        if self._heap:
            ticket = heappop(self._heap)[2]
            ticket.called = True
            ticket.wake()

    def _drop_gone(self) -> None:
        while self._heap and self._heap[0][2].gone:
            heappop(self._heap)
