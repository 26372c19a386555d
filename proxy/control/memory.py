"""Looks at this worker's memory a few times a second, and says what is given up for it (`state.memory`)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.core import memory
from proxy.core.clock import monotonic
from proxy.core.log import logger
from proxy.core.tasks import until_beat
from proxy.state.memory import ENOUGH, FULL, TICK

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.memory import Limit
    from proxy.core.model import Server
    from proxy.state.state import State

FOLLOW = 1.0
"""Seconds until a limit is noticed where there was none."""
GIVE_BACK = 2.0
"""Seconds between two times at which the C library is asked for what it keeps."""
QUIET = 10.0
"""Seconds without a large body after which it is asked too: it keeps what those took (`core.memory.share_heap`)."""
MUCH = 4 * 1024 * 1024
"""Bytes of bodies, those apart that come at once, for which it is worth it."""
_WORDS = ("enough again", "large bodies are refused", "every new request is refused")


def limit_of(server: Server) -> Limit | None:
    """What holds for one worker; None: nobody set a limit."""
    if server.memory_limit is not None:
        return memory.configured(server.memory_limit, server.workers)
    return memory.of_container()


async def keep(state: State, idle: Callable[[], bool]) -> None:
    """Until cancelled. `idle`: no request is under way."""
    watcher = Watcher(state, idle)
    while True:
        if watcher.look(monotonic()):
            await asyncio.to_thread(memory.give_back)
        await asyncio.sleep(until_beat(TICK if state.memory.size else FOLLOW))


class Watcher:
    """Follows the configuration, and the level."""

    __slots__ = ("_idle", "_limit", "_read", "_server", "_since", "_state", "_trimmed")

    def __init__(self, state: State, idle: Callable[[], bool]) -> None:
        self._state = state
        self._idle = idle
        self._server: Server | None = None
        self._limit: Limit | None = None
        self._trimmed = 0.0
        self._read = 0
        """Bytes of bodies that were read since something was given back."""
        self._since = 0.0
        """When the last of them was seen."""

    def look(self, now: float) -> bool:
        """Look once. True: what was freed should be given back to the system."""
        state, level = self._state, self._state.memory
        if state.snapshot.server is not self._server:
            self._server = state.snapshot.server
            self._limit = limit_of(self._server)
            level.size = 0 if self._limit is None else self._limit.size
            level.level = ENOUGH
        quiet = self._has_become_quiet(now)
        if self._limit is None:
            return quiet
        if level.tick(self._limit.used(), self._idle):
            logger.warning(
                "memory: %d of %d MiB are used: %s",
                level.used >> 20,
                level.size >> 20,
                _WORDS[level.level],
            )
        if level.level == ENOUGH:
            return quiet
        if now - self._trimmed < GIVE_BACK:
            return False
        self._trimmed = now
        if level.level == FULL:
            state.replies.clear()
        return True

    def _has_become_quiet(self, now: float) -> bool:
        """Whether MUCH was read, the last of it QUIET seconds ago, and that was not said yet."""
        level = self._state.memory
        if level.fresh:
            self._read, self._since, level.fresh = self._read + level.fresh, now, 0
        elif self._read >= MUCH and now - self._since >= QUIET and self._idle():
            self._read = 0
            return True
        return False
