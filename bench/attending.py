"""`python -m bench.attending FOLDER serve …`: Headrace, and beside each worker an account of the time that whoever watches it takes.

What is accounted is CPU time of threads: each step of the tasks of the admin listener's connections and of all that these begin
(feeds among them), what comes from their sockets, and what they have threads of the database do. The loop's own work between
steps is not, nor what a cache has lost by them: that is for a comparison of whole processes. A feed that nobody watches any
more ends at once here, so that such a comparison need not wait for it.

FOLDER gets a file for each worker, named by its process: nanoseconds so far and steps, two whole numbers of 64 bits.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import struct
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import thread_time_ns
from typing import TYPE_CHECKING, Any, Final

import aiosqlite
import uvloop

from proxy import cli, worker
from proxy.control import listener
from proxy.control.admin import feed

if TYPE_CHECKING:
    from contextvars import Context

LAYOUT: Final = struct.Struct("=qq")


class Account:
    """Of one process. Its loop and threads of its database write into it."""

    def __init__(self) -> None:
        self.spent = 0
        """Nanoseconds."""
        self.steps = 0
        self.charging = False
        """The loop is within a step that is accounted."""
        self._file: mmap.mmap | None = None
        self._lock = threading.Lock()

    def keep(self, path: Path) -> None:
        """Write it there from now on."""
        path.write_bytes(LAYOUT.pack(self.spent, self.steps))
        with path.open("r+b") as file:
            self._file = mmap.mmap(file.fileno(), LAYOUT.size)

    def charge(self, nanoseconds: int) -> None:
        with self._lock:
            self.spent += nanoseconds
            self.steps += 1
            if self._file is not None:
                LAYOUT.pack_into(self._file, 0, self.spent, self.steps)

    @contextmanager
    def step(self) -> Iterator[None]:
        """What the loop does within is accounted, once."""
        if self.charging:
            yield
            return
        self.charging, begun = True, thread_time_ns()
        try:
            yield
        finally:
            self.charging = False
            self.charge(thread_time_ns() - begun)


def read(path: Path) -> tuple[int, int]:
    """Nanoseconds and steps of an account."""
    spent, steps = LAYOUT.unpack(path.read_bytes())
    return int(spent), int(steps)


ACCOUNT: Final = Account()
_threads = threading.local()


class Accounted(Coroutine[Any, Any, Any]):
    """A coroutine whose steps are."""

    def __init__(self, work: Coroutine[Any, Any, Any]) -> None:
        self._work = work

    def send(self, value: Any) -> Any:
        with ACCOUNT.step():
            return self._work.send(value)

    def throw(self, *what: Any) -> Any:
        with ACCOUNT.step():
            return self._work.throw(*what)

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Any:
        return self._work.__await__()


class Connection(listener.Connection):
    """The same, accounted."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        with ACCOUNT.step():
            super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        with ACCOUNT.step():
            super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        with ACCOUNT.step():
            super().connection_lost(exc)


def task(
    loop: asyncio.AbstractEventLoop,
    work: Coroutine[Any, Any, Any],
    context: Context | None = None,
) -> asyncio.Task[Any]:
    """A task factory: what an accounted step begins is accounted."""
    if ACCOUNT.charging:
        work = Accounted(work)
    return asyncio.Task(work, loop=loop, context=context)


def threaded(work: Callable[..., Any]) -> Callable[..., Any]:
    """The same for what runs in a thread of its own, with what that did since it was accounted last: it is nobody else's."""

    def run(*arguments: Any, **named: Any) -> Any:
        try:
            return work(*arguments, **named)
        finally:
            now = thread_time_ns()
            ACCOUNT.charge(now - getattr(_threads, "accounted", 0))
            _threads.accounted = now

    return run


def install(folder: Path) -> None:
    """For the workers of this process, which are forked from it."""
    _threads_of_the_database()
    new_loop, init = uvloop.new_event_loop, worker.Worker.__init__

    def loop() -> uvloop.Loop:
        made = new_loop()
        made.set_task_factory(task)  # type: ignore[arg-type]
        return made

    def begin(self: worker.Worker, *arguments: Any, **named: Any) -> None:
        init(self, *arguments, **named)
        ACCOUNT.keep(folder / str(os.getpid()))

    setattr(uvloop, "new_event_loop", loop)  # noqa: B010
    setattr(listener, "Connection", Connection)  # noqa: B010
    setattr(worker.Worker, "__init__", begin)  # noqa: B010
    setattr(feed, "LINGER", 0.0)  # noqa: B010


def _threads_of_the_database() -> None:
    execute: Any = aiosqlite.Connection._execute

    def accounted(self: aiosqlite.Connection, work: Any, *arguments: Any, **named: Any) -> Any:
        return execute(self, threaded(work) if ACCOUNT.charging else work, *arguments, **named)

    setattr(aiosqlite.Connection, "_execute", accounted)  # noqa: B010


def main() -> int:
    install(Path(sys.argv[1]))
    return cli.main(sys.argv[2:])


if __name__ == "__main__":
    raise SystemExit(main())
