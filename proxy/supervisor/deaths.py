"""How long to wait before one that died is started anew, and whether that has become a loop.

A pause for each, which nobody else waits for: none for the first death of one that had lived, then RESPAWN_MIN and twice
as much each time, up to RESPAWN_MAX. Where MANY die within MINUTE something is wrong with all of them, a configuration or
a file that is missing: requests should go elsewhere until one has lived for STABLE seconds.
"""

from __future__ import annotations

from collections import deque
from typing import Final

RESPAWN_MIN: Final = 0.1
RESPAWN_MAX: Final = 10.0
"""Seconds."""
STABLE: Final = 10.0
MANY: Final = 10
MINUTE: Final = 60.0


class Deaths:
    """Of all workers of a supervisor. Moments are of the monotonic clock."""

    def __init__(self) -> None:
        self.looping = False
        """Too many have died, and none has lived since."""
        self._pauses: dict[str, float] = {}
        self._recent: deque[float] = deque(maxlen=MANY)

    def pause(self, who: str, lived: float, now: float, *, vacant: bool = True) -> float:
        """Somebody has died; seconds until it is started again. Not `vacant`: another serves in its place meanwhile."""
        if vacant:
            self._recent.append(now)
        if vacant and len(self._recent) == MANY and now - self._recent[0] <= MINUTE:
            self.looping = True
        if lived > STABLE:
            pause = RESPAWN_MIN
        else:
            pause = min(max(self._pauses.get(who, 0.0) * 2, RESPAWN_MIN), RESPAWN_MAX)
        self._pauses[who] = pause
        return pause

    def lived(self, seconds: float) -> None:
        """So long one of them has."""
        if self.looping and seconds > STABLE:
            self.looping = False
            self._recent.clear()
