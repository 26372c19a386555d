"""What many watch at once: found once a second for all of them, while there are any, and sent as server-sent events.

A watcher gets what is newest when it has taken what it had: one that reads slowly misses something, and nothing waits for
it. It is sent away after a while, and comes again by itself: so nobody goes on watching who may no more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import orjson

from proxy.control.admin.web import Problem
from proxy.core import tasks
from proxy.core.clock import monotonic
from proxy.core.log import logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.state.state import State

T = TypeVar("T")

EVENTS: Final = "text/event-stream"
HEADERS: Final = {"x-accel-buffering": "no"}
"""Or nginx would collect them."""
MOST: Final = 64
"""Watchers of one feed of one worker."""
PAUSE: Final = 1.0
"""Seconds between two questions."""
TURN: Final = 0.2
"""Seconds until it is noticed that the worker leaves."""
LINGER: Final = 10.0
"""Seconds for which is gone on while nobody watches: a page that is loaded anew finds what it had."""
LIFE: Final = 600.0
"""Seconds that one may watch."""
PING: Final = 15.0
"""Seconds without an event after which one is sent that says nothing: so it is noticed that a watcher is gone."""
QUIET: Final = b":\n\n"


class Feed(Generic[T]):
    """Of one worker."""

    def __init__(
        self, name: str, state: State, ask: Callable[[], Awaitable[T | None]], keep: int = 0
    ) -> None:
        """`ask` finds what is new; None: nothing. It may raise OSError and StoreDown. `keep`: how many are kept for those who
        come later."""
        self._name = name
        self._state = state
        self._ask = ask
        self._watching = 0
        self._left = 0.0
        self._news = asyncio.Event()
        self._number = 0
        self._newest: T | None = None
        self._asking: asyncio.Task[None] | None = None
        self._failed = False
        self.kept: deque[T] = deque(maxlen=keep)
        """What was found since the first of them came, the oldest first."""

    @property
    def failed(self) -> bool:
        """The last question had no answer."""
        return self._failed

    def check(self) -> None:
        """That one more may watch. Raises Problem 429."""
        if self._watching >= MOST:
            raise Problem(
                429,
                "too_many",
                f"{MOST} are watching this already. Close a page that shows it.",
                headers={"retry-after": "10"},
            )

    async def watch(self) -> AsyncGenerator[T | None, None]:
        """What is found from now on, until this worker leaves or the watcher's time is over; None: nothing for a while, or
        it is not known any more (`failed`)."""
        with self._there():
            number, until = self._number, monotonic() + LIFE
            while monotonic() < until:
                if number == self._number:
                    try:
                        async with asyncio.timeout(PING):
                            await self._news.wait()
                    except TimeoutError:
                        pass
                if self._state.draining:
                    return
                yield None if number == self._number else self._newest
                number = self._number

    @contextmanager
    def _there(self) -> Iterator[None]:
        self._watching += 1
        if self._asking is None or self._asking.done():
            self.kept.clear()
            self._asking = tasks.spawn(self._run(), name=f"feed {self._name}")
        try:
            yield
        finally:
            self._watching -= 1
            self._left = monotonic()

    async def _run(self) -> None:
        try:
            while not self._state.draining:
                if not self._watching and monotonic() >= self._left + LINGER:
                    return
                begun = monotonic()
                found = await self._found()
                if found is not None:
                    self._newest = found
                    self._number += 1
                    self.kept.append(found)
                    self._wake()
                await self._rest(max(PAUSE - (monotonic() - begun), 0.0))
        finally:
            self._wake()

    async def _rest(self, seconds: float) -> None:
        """A worker that leaves does not wait for it."""
        while seconds > 0 and not self._state.draining:
            await asyncio.sleep(min(seconds, TURN))
            seconds -= TURN

    async def _found(self) -> T | None:
        try:
            found = await self._ask()
        except Exception as error:
            if not self._failed:
                logger.warning("what is watched (%s) is not known: %s", self._name, error)
                self._failed = True
                self._wake()
            return None
        self._failed = False
        return found

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


TROUBLE: Final = (
    b'event: trouble\ndata: {"detail":"What is watched is not known at the moment."}\n\n'
)


def event(name: str, content: Any) -> bytes:
    """One event, its data as JSON."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(content))
