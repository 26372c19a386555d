"""Tasks nobody waits for, without losing them.

The event loop keeps only weak references to tasks: one that nobody holds can be collected in the middle of its work,
and its exception is shown, if at all, when that happens. `spawn` holds a task until it is done and logs its failure.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

log = logging.getLogger("headrace.tasks")

T = TypeVar("T")

_running: set[asyncio.Task[Any]] = set()


def spawn(work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
    """Start `work` in the running loop. A failure is logged under `name`; a cancellation is not a failure."""
    task = asyncio.get_running_loop().create_task(work, name=name)
    _running.add(task)
    task.add_done_callback(_done)
    return task


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
