"""Virtual time: processes are generators that yield how many seconds pass until they go on.

Nothing waits in fact, and all chance comes from one seeded generator, so that a run can be had again, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

Steps = Iterator[float]
"""Each item is a pause in seconds."""
START = 1000.0


class Process:
    """One that was spawned."""

    __slots__ = ("pause", "steps")

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.pause = 0
        """The number of the pause it is in: one that was ended early comes to nothing."""


class Clock:
    """Runs what is due, in order."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.now = START
        self.current: Process | None = None
        self._due: list[tuple[float, int, Process, int]] = []
        self._numbers = count()

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self.now - START

    def spawn(self, steps: Steps, at: float = 0.0) -> None:
        """Begin in `at` seconds."""
        self._later(Process(steps), at)

    def waker(self) -> Callable[[], None]:
        """What ends the next pause of the process that runs now before its time."""
        process = self.current
        assert process is not None
        return lambda: self._later(process, 0.0)

    def run(self, seconds: float) -> None:
        """Until so many have passed since the beginning; what is left then is dropped."""
        end = START + seconds
        due = self._due
        while due and due[0][0] <= end:
            self.now, _, process, pause = heappop(due)
            if pause != process.pause:
                continue
            self.current = process
            wait = next(process.steps, None)
            if wait is not None:
                self._later(process, wait)
        self._due = []

    def _later(self, process: Process, wait: float) -> None:
        process.pause += 1
        heappush(self._due, (self.now + wait, next(self._numbers), process, process.pause))


def arrivals(clock: Clock, rate: Callable[[], float], begin: Callable[[], Steps]) -> Steps:
    """Begins something `rate()` times a second, as many callers who know nothing of each other do (a Poisson process)."""
    while True:
        yield clock.rng.expovariate(rate())
        clock.spawn(begin())
