"""What workers are called: each has a number, and a number has two names, taken in turn.

One that leaves may take ten minutes over its last stream, while its successor serves already. What belongs to one of them
(a spool, a column of the limits, a seat at the board of health) goes by name, so the two never share any of it.
"""

from __future__ import annotations

NAMES = 2
"""Of each number."""


def columns(workers: int) -> int:
    """How many names there are: 0 to this, each of them a column in what is shared."""
    return NAMES * workers


def names(number: int, workers: int) -> tuple[str, ...]:
    """Those of one number, which is below `workers`."""
    return tuple(str(number + turn * workers) for turn in range(NAMES))


def number_of(name: str, workers: int) -> int:
    """The number of the worker of this name."""
    return int(name) % workers
