"""Has a configuration file read again when it has changed: `headrace serve --reload`.

Looked at once a second, by what the system says of the file and not by its content: also a link that leads elsewhere by now
(Kubernetes) is a change. One that goes on is waited out, so that no half-written file is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from proxy.core.log import logger
from proxy.core.marks import Mark, mark

PERIOD = 1.0
"""Seconds between two looks."""

M = TypeVar("M")


class Looks(Generic[M]):
    """What was seen of a file, or of several, look by look."""

    __slots__ = ("_before", "_known")

    def __init__(self, now: M | None) -> None:
        self._known = self._before = now

    def changed(self, now: M | None) -> bool:
        """Whether it is another one than was read, and the same as at the look before."""
        settled = now is not None and now != self._known and now == self._before
        self._before = now
        if settled:
            self._known = now
        return settled


async def keep(
    path: str, seen: Mark, reload: Callable[[], Awaitable[object]], period: float = PERIOD
) -> None:
    """For ever: `reload` when the file is other than it was `seen`. A ValueError is said by that; whatever else goes wrong ends
    neither this nor what runs beside it."""
    looks = Looks(seen)
    while True:
        await asyncio.sleep(period)
        if looks.changed(mark(path)):
            logger.info("%s has changed", path)
            try:
                await reload()
            except ValueError:
                pass  # said, and what there is stays
            except Exception:
                logger.exception("%s cannot be taken in", path)
