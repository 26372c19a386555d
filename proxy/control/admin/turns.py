"""Going through many things on the loop, with its other work in between: clients are served before operators."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

T = TypeVar("T")
TURN = 16
"""Things between two turns of the others."""


async def turns(items: Iterable[T]) -> AsyncIterator[T]:
    """The items, one by one."""
    for number, item in enumerate(items, 1):
        yield item
        if number % TURN == 0:
            await asyncio.sleep(0)
