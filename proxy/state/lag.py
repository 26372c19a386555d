"""How far behind the event loop is, and what share of requests has to go because of it.

Sampled every TICK. While even the smallest lag of a second is above TARGET the loop has more to do than it can (the idea
of CoDel, RFC 8289: a standing queue, not a burst), and the share rises by RISE; else it falls by FALL.
"""

from __future__ import annotations

TICK = 0.1
TARGET = 0.02
WINDOW = 10
"""Samples of a second."""
RISE, FALL = 0.1, 0.05


class Lag:
    """Of one worker."""

    __slots__ = ("_count", "_due", "_smallest", "share")

    def __init__(self) -> None:
        self.share = 0.0
        """Of requests to refuse."""
        self._smallest = 0.0
        self._count = 0
        self._due: float | None = None

    def tick(self, now: float) -> float:
        """Called every TICK seconds, or as soon after as the loop can; how many seconds after it was."""
        due, self._due = self._due, now + TICK
        if due is None:
            return 0.0
        lag = max(now - due, 0.0)
        self._smallest = lag if self._count == 0 else min(self._smallest, lag)
        self._count += 1
        if self._count >= WINDOW:
            self._count = 0
            rising = self._smallest > TARGET
            self.share = min(self.share + RISE, 1.0) if rising else max(self.share - FALL, 0.0)
        return lag
