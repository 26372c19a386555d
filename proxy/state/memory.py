"""How short of memory this worker is, and what is given up because of it.

    TIGHT   85 %: large bodies are refused, nothing of what is asked and answered is kept
    FULL    92 %: every new request is refused, and answers that were kept are forgotten

Bodies that take a while to come are counted before they are here: many large ones could begin between two looks, each
within what there is, and be too much together.

What is under way is finished. A level is left when use has fallen by SLACK below where it began.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from proxy.core.errors import ProxyError

TICK = 0.25
"""Seconds between two looks: a gigabyte a second of requests moves the level by less than what is above FULL."""
ENOUGH, TIGHT, FULL = 0, 1, 2
_FROM = {TIGHT: 0.85, FULL: 0.92}
SLACK = 0.03
WEIGHT = 2
"""What a byte of a body takes while it is read and sent on: its pieces and the whole, then the whole and what is not sent yet."""
AGAIN = (1.0, 3.0)
"""Seconds after which somebody who was refused may come again, at random."""


class Memory:
    """Of one worker. `turned_away` is called for each request that is refused."""

    __slots__ = ("_rng", "_turned_away", "coming", "fresh", "level", "size", "used")

    def __init__(
        self, rng: Random | None = None, turned_away: Callable[[], None] = lambda: None
    ) -> None:
        self._rng = rng or Random()
        self._turned_away = turned_away
        self.level = ENOUGH
        self.size = 0
        """Bytes there may be; 0: nobody set a limit."""
        self.used = 0
        self.coming = 0
        """Bytes of bodies that are being read: promised, where their length is known, and not all used yet."""
        self.fresh = 0
        """Bytes of bodies read since the last look."""

    def begin(self, size: int) -> None:
        """So many bytes of a body are to be read. Raises ProxyError shed where there is no room for them."""
        if self.size:
            wanted = self.used + WEIGHT * (self.coming + self.fresh + size)
            if wanted > _FROM[FULL] * self.size:
                raise self.refusal()
        self.coming += size

    def end(self, size: int) -> None:
        """They have come, or will not."""
        self.coming -= size
        self.fresh += size

    def refusal(self) -> ProxyError:
        """To be raised."""
        self._turned_away()
        return ProxyError("shed", retry_after=self._rng.uniform(*AGAIN))

    def tick(self, used: int, idle: Callable[[], bool]) -> bool:
        """So many bytes are used; whether the level is another now. `idle`: nothing is under way.

        Then nothing is freed by refusing requests either, and small ones are taken however much is used.
        """
        share, before = used / self.size, self.level
        self.used, level, self.fresh = used, before, 0
        if share >= _FROM[FULL]:
            level = FULL
        elif share >= _FROM[TIGHT]:
            level = max(level, TIGHT)
        while level and share < _FROM[level] - SLACK:
            level -= 1
        self.level = TIGHT if level == FULL and idle() else level
        return self.level != before
