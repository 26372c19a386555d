"""How short of memory this worker is, and what is given up because of it.

    TIGHT   85 %: large bodies are refused, nothing of what is asked and answered is kept
    FULL    92 %: every new request is refused, and answers that were kept are forgotten

What is under way is finished. A level is left when use has fallen by SLACK below where it began.
"""

from __future__ import annotations

from collections.abc import Callable

TICK = 0.25
"""Seconds between two looks: a gigabyte a second of requests moves the level by less than what is above FULL."""
ENOUGH, TIGHT, FULL = 0, 1, 2
_FROM = {TIGHT: 0.85, FULL: 0.92}
SLACK = 0.03


class Memory:
    """Of one worker."""

    __slots__ = ("level", "size", "used")

    def __init__(self) -> None:
        self.level = ENOUGH
        self.size = 0
        """Bytes there may be; 0: nobody set a limit."""
        self.used = 0

    def tick(self, used: int, idle: Callable[[], bool]) -> bool:
        """So many bytes are used; whether the level is another now. `idle`: nothing is under way.

        Then nothing is freed by refusing requests either, and small ones are taken however much is used.
        """
        share, before = used / self.size, self.level
        self.used, level = used, before
        if share >= _FROM[FULL]:
            level = FULL
        elif share >= _FROM[TIGHT]:
            level = max(level, TIGHT)
        while level and share < _FROM[level] - SLACK:
            level -= 1
        self.level = TIGHT if level == FULL and idle() else level
        return self.level != before
