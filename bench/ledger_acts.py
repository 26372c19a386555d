"""What is done to a running gateway, its databases, its clients and its provider: one act every few seconds, by chance."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
from time import monotonic, monotonic_ns, sleep
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urlsplit

import psutil

from bench.peers import PeerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from bench.ledger_load import Crowd

SHIPPER = "headrace-ship"
"""What the system calls the process that ships."""
CROWD = 50
"""Clients that leave, or answers that are broken off, in one act."""
START_S = 30.0


class Server(Protocol):
    """A database."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...


class Found:
    """A server of this machine that somebody else has started: it is started again as it was, and left running."""

    def __init__(self, url: str) -> None:
        """Raises PeerError where nothing listens that may be looked at."""
        self._port = urlsplit(url).port or 5432
        process = self._find()
        if process is None:
            raise PeerError(
                f"no process of this machine that may be stopped listens on port {self._port}"
            )
        self._process = process
        self._words = process.cmdline()
        self._folder = process.cwd()
        self._environment = process.environ()
        self._user = process.uids().real

    def start(self) -> None:
        subprocess.Popen(
            self._words,
            cwd=self._folder,
            env=self._environment,
            user=None if self._user == os.geteuid() else self._user,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until = monotonic() + START_S
        while (process := self._find()) is None:
            if monotonic() > until:
                raise PeerError(f"{self._words[0]} did not start again")
            sleep(0.05)
        self._process = process

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        self._gone()

    def kill(self) -> None:
        self._each(signal.SIGKILL)
        self._gone()

    def freeze(self) -> None:
        self._each(signal.SIGSTOP)

    def thaw(self) -> None:
        self._each(signal.SIGCONT)

    def _each(self, number: int) -> None:
        """The parent first, so that it makes no others."""
        for one in (self._process, *self._process.children(recursive=True)):
            try:
                one.send_signal(number)
            except psutil.NoSuchProcess:
                continue

    def _gone(self) -> None:
        until = monotonic() + START_S
        while self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE:
            if monotonic() > until:
                raise PeerError(f"{self._words[0]} does not end")
            sleep(0.02)

    def _find(self) -> psutil.Process | None:
        for one in psutil.net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr.port == self._port and one.pid:
                process = psutil.Process(one.pid)
                # Its children have the listener too.
                parent = process.parent()
                while parent is not None and parent.exe() == process.exe():
                    process, parent = parent, parent.parent()
                return process
        return None


class Act(NamedTuple):
    """One thing that was done."""

    name: str
    at: int
    """CLOCK_MONOTONIC in nanoseconds: before it was begun."""
    until: int
    """When it was over."""


class Stage:
    """Whom things are done to."""

    def __init__(
        self,
        supervisor: int,
        crowd: Crowd,
        reset: Callable[[int], Awaitable[None]],
        database: Server | None,
        cache: Server | None,
        pause: float,
        seed: int,
    ) -> None:
        """`pause`: seconds for which a database is away."""
        self.acts: list[Act] = []
        self._gateway = psutil.Process(supervisor)
        self._crowd = crowd
        self._reset = reset
        self._database = database
        self._cache = cache
        self._pause = pause
        self._random = random.Random(seed)
        self._away: dict[str, asyncio.Task[None]] = {}

    async def run(self, seconds: float, every: float) -> None:
        """Each act once, then by chance."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        due = loop.time() + every
        names = list(self._names())
        order = self._random.sample(names, len(names))
        first = True
        while due < end or first:
            await asyncio.sleep(max(due - loop.time(), 0.0))
            due += every
            if not order:
                first = False
                order = [self._random.choice(names)]
            # What is away cannot be sent away again.
            name = next((one for one in order if ACTS[one].whom not in self._away), None)
            if name is not None:
                order.remove(name)
                await self.do(name)

    async def do(self, name: str) -> None:
        """Begin it; what lasts goes on."""
        act = ACTS[name]
        began = monotonic_ns()
        work = asyncio.ensure_future(act.work(self))
        if act.whom:
            self._away[act.whom] = work
            work.add_done_callback(lambda _: self._away.pop(act.whom, None))
            work.add_done_callback(lambda _: self._note(name, began))
        else:
            await work
            self._note(name, began)

    async def settle(self) -> None:
        """Wait until everything is back."""
        while self._away:
            await asyncio.gather(*self._away.values())

    def _note(self, name: str, began: int) -> None:
        self.acts.append(Act(name, began, monotonic_ns()))

    def _names(self) -> Iterator[str]:
        for name, act in ACTS.items():
            if act.whom == "" or getattr(self, f"_{act.whom}") is not None:
                yield name

    # --- the acts ---

    async def kill_worker(self) -> None:
        self._signal(shipper=False, number=signal.SIGKILL)

    async def end_worker(self) -> None:
        self._signal(shipper=False, number=signal.SIGTERM)

    async def kill_shipper(self) -> None:
        self._signal(shipper=True, number=signal.SIGKILL)

    async def kill_database(self) -> None:
        assert self._database is not None
        await asyncio.to_thread(self._database.kill)
        await asyncio.to_thread(self._database.start)

    async def stop_database(self) -> None:
        assert self._database is not None
        await asyncio.to_thread(self._database.stop)
        await asyncio.sleep(self._pause)
        await asyncio.to_thread(self._database.start)

    async def lose_database(self, seconds: float) -> None:
        """Dead for so long."""
        assert self._database is not None
        began = monotonic_ns()
        await asyncio.to_thread(self._database.kill)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self._database.start)
        self._note("lose database", began)

    async def freeze_database(self) -> None:
        assert self._database is not None
        await self._freeze(self._database)

    async def stop_cache(self) -> None:
        assert self._cache is not None
        await asyncio.to_thread(self._cache.kill)
        await asyncio.sleep(self._pause)
        await asyncio.to_thread(self._cache.start)

    async def freeze_cache(self) -> None:
        assert self._cache is not None
        await self._freeze(self._cache)

    async def clients_leave(self) -> None:
        self._crowd.abort(CROWD)

    async def upstream_resets(self) -> None:
        await self._reset(CROWD)

    async def _freeze(self, server: Server) -> None:
        await asyncio.to_thread(server.freeze)
        try:
            await asyncio.sleep(self._pause)
        finally:
            server.thaw()

    def _signal(self, *, shipper: bool, number: int) -> None:
        found = [
            one
            for one in self._gateway.children()
            if one.status() != psutil.STATUS_ZOMBIE and (one.name() == SHIPPER) is shipper
        ]
        if found:
            self._random.choice(found).send_signal(number)


class _Kind(NamedTuple):
    work: Callable[[Stage], Awaitable[None]]
    whom: str = ""
    """Who is away meanwhile."""


ACTS: dict[str, _Kind] = {
    "kill worker": _Kind(Stage.kill_worker),
    "end worker": _Kind(Stage.end_worker),
    "kill shipper": _Kind(Stage.kill_shipper),
    "kill database": _Kind(Stage.kill_database, "database"),
    "stop database": _Kind(Stage.stop_database, "database"),
    "freeze database": _Kind(Stage.freeze_database, "database"),
    "stop cache": _Kind(Stage.stop_cache, "cache"),
    "freeze cache": _Kind(Stage.freeze_cache, "cache"),
    "clients leave": _Kind(Stage.clients_leave),
    "upstream resets": _Kind(Stage.upstream_resets),
}
