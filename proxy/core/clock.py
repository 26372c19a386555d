"""The two clocks, in one place, so that a test can move them.

`now` is the wall: for people, budgets and anything stored; it can jump. `monotonic` only runs forward: for waiting,
deadlines and durations. Both look their hand up at each call, so importing them by name stays replaceable.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

_now = time.time  # noqa: TID251 - this is the one place
_monotonic = time.monotonic


def now() -> float:
    """Seconds since 1970, UTC."""
    return _now()


def monotonic() -> float:
    """Seconds since some moment; never goes back."""
    return _monotonic()


class Hands:
    """Both clocks of a test: they stand still until moved."""

    __slots__ = ("_monotonic", "_now")

    def __init__(self, now: float, monotonic: float) -> None:
        self._now = now
        self._monotonic = monotonic

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        if seconds < 0:
            raise ValueError(
                "time does not run backwards; use set_wall for a step of the wall clock"
            )
        self._now += seconds
        self._monotonic += seconds

    def set_wall(self, now: float) -> None:
        """Step the wall clock alone, as a time server does. It may go back."""
        self._now = now


@contextmanager
def held(now: float = 1_800_000_000.0, monotonic: float = 1_000.0) -> Iterator[Hands]:
    """Put `Hands` in the place of both clocks, for this block. For tests."""
    global _now, _monotonic
    before = _now, _monotonic
    hands = Hands(now, monotonic)
    _now, _monotonic = hands.now, hands.monotonic
    try:
        yield hands
    finally:
        _now, _monotonic = before
