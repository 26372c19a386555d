"""Whether a server that others wait for is asked at all.

    closed     asked; opens after 5 failures, or 3 timeouts, within a second; an error it returned is a failure too
    open       not asked, for a second or so
    half-open  one may ask, and what comes of that decides

No clock and no I/O of its own: moments (seconds of any clock that does not go back) come in, words come out.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from random import Random

FAILURES, TIMEOUTS, WITHIN = 5, 3, 1.0
PAUSE = 1.0
"""Seconds from opening to the next try, give or take a fifth, so that hosts do not try in step."""


class Circuit(Enum):
    """What it is."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class Breaker:
    """One for each server. Who may ask says afterwards what came of it: `succeeded` or `failed`."""

    __slots__ = ("_failures", "_random", "_timeouts", "_until", "_within", "circuit")

    def __init__(self, random: Random | None = None, within: float = WITHIN) -> None:
        self._within = within
        self.circuit = Circuit.CLOSED
        self._failures: deque[float] = deque(maxlen=FAILURES)
        self._timeouts: deque[float] = deque(maxlen=TIMEOUTS)
        self._until = 0.0
        self._random = random or Random()

    def allows(self, now: float) -> bool:
        """Whether to ask now. Where it is open, this is the one try it gets: True once, until something came of it."""
        if self.circuit is Circuit.CLOSED:
            return True
        if self.circuit is Circuit.HALF_OPEN or now < self._until:
            return False
        self.circuit = Circuit.HALF_OPEN
        return True

    def succeeded(self) -> bool:
        """It answered; True: for the first time since it was taken to be away."""
        self._failures.clear()
        self._timeouts.clear()
        was, self.circuit = self.circuit, Circuit.CLOSED
        return was is not Circuit.CLOSED

    def failed(self, now: float, *, timeout: bool = False) -> bool:
        """It did not answer in time, or with an error; True: that opened a closed circuit."""
        if self.circuit is Circuit.HALF_OPEN:
            self._open(now)
            return False
        if self.circuit is Circuit.OPEN:
            return False
        self._failures.append(now)
        if timeout:
            self._timeouts.append(now)
        since = now - self._within
        if not (_full(self._failures, since) or _full(self._timeouts, since)):
            return False
        self._open(now)
        return True

    def _open(self, now: float) -> None:
        self.circuit = Circuit.OPEN
        self._until = now + PAUSE * self._random.uniform(0.8, 1.2)


def _full(moments: deque[float], since: float) -> bool:
    return len(moments) == moments.maxlen and moments[0] >= since
