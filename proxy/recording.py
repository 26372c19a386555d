"""What one worker counts and writes down: opened before it serves, looked after once a second, closed when it has drained.

Without a folder for the ledger limits are counted in this process alone, and nothing is recorded. A process of its own
ships what is written down; while there is none, one of the workers stands in for it, in small portions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from proxy.core import berths, tasks
from proxy.core.log import logger
from proxy.gateway import booking
from proxy.ledger.folder import CONTENT, TABLE, Lock, host_id
from proxy.ledger.spool import Spool
from proxy.limits.accounts import Accounts, column_of

if TYPE_CHECKING:
    from proxy.core.model import Snapshot
    from proxy.limits.shared import Shares
    from proxy.state.state import State
    from proxy.store.base import Store

TICK = 1.0
"""Seconds between two looks at what is under way: streams that last, room on the disk."""
PATIENCE = 10.0
"""Seconds without anybody who ships, after which a worker does."""
PORTION = 50
"""Records it ships at once: requests wait meanwhile."""
CONTENT_SIZE = 256 << 20
CONTENT_SYNC = 10.0


class Recording:
    """One a worker. What it opens is in its state, where requests find it."""

    def __init__(self, state: State, name: str, table: Path | None = None) -> None:
        """`table` is where workers count together when nothing is recorded."""
        self._state = state
        self._table = table
        self._name = name
        self._shares: Shares | None = None
        self._running: list[asyncio.Task[None]] = []

    async def start(self, store: Store | None) -> None:
        """Raises OSError when the folder cannot be used, ValueError when limits cannot be shared as configured."""
        state, snapshot = self._state, self._state.snapshot
        host = uuid4().hex  # without a folder each worker counts for itself
        if snapshot.ledger.path:
            # Files are made of their full size.
            host = await asyncio.to_thread(self._open, snapshot)
            if store is not None:
                self._go(self._stand_in(Path(snapshot.ledger.path), host, store), "stand in")
        elif self._table is not None:
            state.accounts = self._count_in(self._table)
            host = self._table.parent.name
        else:
            state.accounts = Accounts.memory()
        if snapshot.shared.url:
            from proxy.limits.shared import Shares  # brings a client for Redis with it

            assert state.accounts is not None
            shares = self._shares = state.shares = Shares(snapshot.shared, state.accounts, host)
            state.metrics.shared_up.watch(lambda: [((), int(shares.up))])
            state.metrics.shared_operations.watch(shares.operations)
            await shares.start()
            self._go(shares.run(), "shares")
        self._go(self._tick(), "tick")

    async def close(self) -> None:
        """After the last request has ended."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
        state = self._state
        if self._shares is not None:
            await self._shares.close()
        for spool in (state.spool, state.contents):
            if spool is not None:
                await asyncio.to_thread(spool.close)  # waits for the disk
        if state.accounts is not None:
            state.accounts.close()
        state.spool = state.contents = state.accounts = state.shares = None

    def _open(self, snapshot: Snapshot) -> str:
        """The name of this host."""
        state, settings = self._state, snapshot.ledger
        folder = Path(settings.path)
        content = folder / CONTENT
        host = host_id(folder)
        state.accounts = self._count_in(folder / TABLE)
        state.spool = Spool(
            folder, self._name, size=settings.size, sync=settings.sync, spare=content
        )
        state.contents = Spool(
            content, self._name, size=CONTENT_SIZE, sync=CONTENT_SYNC, emergency=0
        )
        return host

    def _count_in(self, table: Path) -> Accounts:
        columns = berths.columns(self._state.snapshot.server.workers)
        return Accounts.open(table, column_of(self._name, columns), columns)

    def _go(self, work: Coroutine[None, None, None], name: str) -> None:
        self._running.append(tasks.spawn(work, name=name))

    async def _tick(self) -> None:
        state = self._state
        while True:
            await asyncio.sleep(tasks.until_beat(TICK))
            booking.tick(state)
            if state.accounts is not None:
                state.accounts.tick()
            for spool in (state.spool, state.contents):
                if spool is not None and spool.full:
                    spool.wake()

    async def _stand_in(self, folder: Path, host: str, store: Store) -> None:
        """Ship, whenever nobody does."""
        lock = Lock(folder, "shipper")
        while True:
            await asyncio.sleep(PATIENCE)
            if not _take(lock):
                continue
            try:
                await self._ship(folder, host, store)
            except Exception:
                logger.exception("worker %s ships no more, and looks again", self._name)
            finally:
                lock.release()

    async def _ship(self, folder: Path, host: str, store: Store) -> None:
        """Until one of both fails: none goes on when the lock is free again."""
        from proxy.control.shipper import Shipper
        from proxy.ledger.deadletters import bury
        from proxy.ledger.reading import Reader

        logger.warning("no process ships what is recorded: worker %s does", self._name)
        aside = partial(bury, folder)
        with closing(Reader(folder)) as requests, closing(Reader(folder / CONTENT)) as contents:
            shippers = [
                Shipper(store, requests, host, None, aside, self._state.accounts, most=PORTION),
                Shipper(store, contents, host, None, aside, most=PORTION),
            ]
            async with asyncio.TaskGroup() as group:
                for each in shippers:
                    group.create_task(each.run(), name="ship")


def _take(lock: Lock) -> bool:
    """Whether it is ours now."""
    try:
        return lock.take()
    except OSError as error:
        logger.error("whether a process ships what is recorded is not known: %s", error.strerror)
        return False
