"""Tasks nobody waits for, without losing them.

The event loop keeps only weak references to tasks: one that nobody holds can be collected in the middle of its work,
and its exception is shown, if at all, when that happens. `spawn` holds a task until it is done and logs its failure.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine
from typing import Any, TypeVar

log = logging.getLogger("headrace.tasks")

T = TypeVar("T")

_APART = 0.0137
"""Seconds between the beats of two processes that were started one after the other."""

_running: set[asyncio.Task[Any]] = set()


def spawn(work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
    """Start `work` in the running loop. A failure is logged under `name`; a cancellation is not a failure."""
    task = asyncio.get_running_loop().create_task(work, name=name)
    _running.add(task)
    task.add_done_callback(_done)
    return task


def until_beat(period: float) -> float:
    """Seconds until the next beat, an eighth of a period at least. What beats in a process does so together: it is woken once for all,
    and not with the processes beside it."""
    left = period - (asyncio.get_running_loop().time() + os.getpid() * _APART) % period
    return left if left > period / 8 else left + period


def running() -> frozenset[asyncio.Task[Any]]:
    """The spawned tasks that are not done."""
    return frozenset(_running)


def _done(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if task.cancelled():
        return
    failure = task.exception()
    if failure is not None:
        log.error("task %s failed", task.get_name(), exc_info=failure)
