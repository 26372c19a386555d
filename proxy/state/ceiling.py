"""How many requests a deployment is given at once: learned, as TCP learns its window (AIMD; Chiu and Jain, 1989).

Every window's worth of requests that went well raises it by one; one that shows the deployment overloaded (a rate limit,
a 503 or 529, no first content in time) cuts it to seven tenths, once for the time an answer takes, because those that
were under way then say nothing new. It is raised only while it is used: a ceiling nobody reaches is not known to hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.state.waiting import Waiting

CUT = 0.7
_USED = 0.5
"""The share of it that has to be in flight for a success to say something."""
_LEAST_PAUSE = 0.1
"""Seconds between two cuts at least."""


class Ceiling:
    """Of one deployment, as one worker sees it. Times are monotonic seconds."""

    __slots__ = ("_cut_at", "least", "limit", "most", "waiting")

    def __init__(self, start: int, least: int, most: int) -> None:
        self.waiting: list[Waiting] = []
        """Of the models that use the deployment: who is called when a place comes free."""
        self.least = float(least)
        self.most = float(most)
        self.limit = min(max(float(start), self.least), self.most)
        """Requests at once; the whole part counts."""
        self._cut_at = -1e9

    def bound(self, least: int, most: int) -> None:
        """The configuration has changed: what was learned stays, as far as it may."""
        self.least, self.most = float(least), float(most)
        self.limit = min(max(self.limit, self.least), self.most)

    def full(self, inflight: int) -> bool:
        """One more would be too many."""
        return inflight >= int(self.limit)

    def freed(self, inflight: int) -> bool:
        """One has ended: whether it is full all the same. Else somebody who waits is called."""
        if self.full(inflight):
            return True
        for waiting in self.waiting:
            waiting.call()
        return False

    def good(self, inflight: int) -> None:
        """A request went well, of so many that were in flight."""
        if inflight >= self.limit * _USED:
            self.limit = min(self.limit + 1.0 / self.limit, self.most)

    def bad(self, now: float, pause: float) -> None:
        """A request showed that it was too many; `pause` seconds is what an answer takes, about."""
        if now - self._cut_at >= max(pause, _LEAST_PAUSE):
            self._cut_at = now
            self.limit = max(self.limit * CUT, self.least)
