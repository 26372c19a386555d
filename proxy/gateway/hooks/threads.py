"""Threads for code that may take long, and may never come back.

Nobody can end a thread. One whose caller has given up is left alone, and another takes its place. There are at most
MOST that are waited for, and about STUCK that are not; then a call waits for a thread as for its result. All are
daemons, so none of them holds up the end of the process, as those of `concurrent.futures` would.
"""

from __future__ import annotations

import asyncio
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 8
STUCK = 32


class Work:
    """One call."""

    __slots__ = ("arguments", "begun", "function", "future", "given_up", "loop", "stuck")

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.function = function
        self.arguments = arguments
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.begun = False
        self.given_up = False
        """Nobody waits for it."""
        self.stuck = False
        """… though it is under way."""


class Threads:
    """See the module. The figures are kept by the loop: of threads there are, and of those that nobody waits for."""

    __slots__ = ("_queue", "alive", "calls", "stuck")

    def __init__(self) -> None:
        self._queue: SimpleQueue[Work] = SimpleQueue()
        self.alive = self.calls = self.stuck = 0

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the function returns or raises, from another thread. Cancelled, it is not waited for. RuntimeError also where
        no thread is to be had."""
        work = Work(function, arguments)
        self.calls += 1
        if self.calls > self.alive and self.alive - self.stuck < MOST and self.stuck <= STUCK:
            self._begin()
        self._queue.put(work)
        try:
            return await work.future
        except asyncio.CancelledError:
            work.given_up = True
            if work.begun:
                work.stuck = True
                self.stuck += 1
            raise

    def _begin(self) -> None:
        """One thread more. Raises RuntimeError where the machine has none, and nobody else would do the work."""
        try:
            threading.Thread(target=self._serve, name="hook", daemon=True).start()
        except RuntimeError:
            if self.alive == self.stuck:
                self.calls -= 1
                raise
        else:
            self.alive += 1

    # --- in the thread ---

    def _serve(self) -> None:
        while True:
            work = self._queue.get()
            if work.loop.is_closed():
                continue
            work.begun = True
            result: Any = None
            failure: BaseException | None = None
            if not work.given_up:
                try:
                    result = work.function(*work.arguments)
                except StopIteration as error:  # no future takes that
                    failure = RuntimeError(repr(error))
                except BaseException as error:
                    failure = error
            try:
                work.loop.call_soon_threadsafe(self._done, work, result, failure)
            except RuntimeError:  # the loop has been closed meanwhile
                continue

    # --- in the loop ---

    def _done(self, work: Work, result: Any, failure: BaseException | None) -> None:
        self.calls -= 1
        self.stuck -= work.stuck
        if work.future.done():
            return
        if failure is None:
            work.future.set_result(result)
        else:
            work.future.set_exception(failure)
