"""How long answers take, a stretch of them at a time: the geometric mean, because times of answers are spread by factors.

Answers of several kinds (streams and whole answers, short prompts and long ones) go into one stretch. What is usual for
a kind is taken off each of them, so that a run of long prompts does not look as if everything had become slower.
"""

from __future__ import annotations

from math import exp, log, sqrt

LEAST = 16
"""Answers in a stretch."""
_QUICK, _STEADY = 0.1, 0.02
"""By which part an answer moves the level of all, and what its kind differs from it, at least."""
_INSTANT = 1e-4
"""Seconds; less is not told apart."""


class Kinds:
    """By which factor answers of a kind take longer than all do at the time. Of one deployment."""

    __slots__ = ("_found", "_level")

    def __init__(self) -> None:
        self._found: dict[int, list[float]] = {}
        """What a kind differs by, and of how many answers that is known."""
        self._level: float | None = None

    def level(self, kind: int, seconds: float) -> float:
        """The natural logarithm of the seconds, less what is usual for the kind."""
        value = log(max(seconds, _INSTANT))
        if self._level is None:
            self._level = value
        found = self._found.get(kind)
        if found is None:
            found = self._found[kind] = [value - self._level, 0.0]
        found[1] += 1.0
        value -= found[0]
        found[0] += (value - self._level) * max(1.0 / found[1], _STEADY)
        self._level += (value - self._level) * _QUICK
        return value


class Stretch:
    """Answers that follow each other."""

    __slots__ = ("_inflight", "_squares", "_sum", "count")

    def __init__(self) -> None:
        self.count = 0
        self._inflight = 0
        self._sum = self._squares = 0.0

    def add(self, level: float, inflight: int) -> None:
        """An answer, and how many were in flight then."""
        self.count += 1
        self._inflight += inflight
        self._sum += level
        self._squares += level * level

    def over(self, times: int = 1) -> bool:
        """It has as many answers as were in flight, so many times, and enough of them."""
        count = self.count
        return count >= LEAST * times and count * count >= self._inflight * times

    @property
    def inflight(self) -> float:
        """How many there were on the average."""
        return self._inflight / self.count

    @property
    def mean(self) -> float:
        """Of the levels."""
        return self._sum / self.count

    @property
    def long(self) -> float:
        """Seconds in which all but a few of 100 answers have come."""
        mean = self.mean
        return exp(mean + 2.0 * sqrt(max(self._squares / self.count - mean * mean, 0.0)))

    @property
    def doubt(self) -> float:
        """The square of the standard error of the mean."""
        mean = self.mean
        return max(self._squares / self.count - mean * mean, 0.0) / self.count
