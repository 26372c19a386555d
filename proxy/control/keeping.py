"""Keeps the copy on disk as the replica is: one worker of a host does, in a thread, and never for long."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.core.clock import monotonic
from proxy.core.log import logger
from proxy.store import delta, disk

if TYPE_CHECKING:
    from proxy.control.replica import Replica

PAUSE = 2.0
"""Seconds between two copies, at least."""
SHARE = 0.05
"""Of the time, at most, is spent on them."""
CONFIRM = 30.0
"""Seconds after which a copy that is still right is told so."""


class Keeper:
    """Writes `replica` to `path` whenever `changed` was called."""

    def __init__(self, replica: Replica, path: Path, kept: int = delta.NEVER) -> None:
        self.path = path
        self.kept = kept
        """The revision that is there."""
        self._replica = replica
        self._news = asyncio.Event()
        self._failed = ""

    def changed(self) -> None:
        """There is something new to keep."""
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with asyncio.timeout(CONFIRM):
                    await self._news.wait()
            except TimeoutError:
                if self._replica.up and not self._failed:
                    await asyncio.to_thread(disk.confirm, self.path)
                continue
            self._news.clear()
            began = monotonic()
            await self.keep()
            await asyncio.sleep(max(PAUSE, (monotonic() - began) / SHARE))

    async def keep(self) -> None:
        """Write it now. What came from the disk, and what cannot be sealed, is not written."""
        replica = self._replica
        store, vault = replica.store, replica.vault
        if store is None or vault is None or replica.source != "store":
            return
        assert replica.revision != delta.NEVER
        if replica.revision == self.kept and self.path.exists():
            return
        records = [one for kind in replica.mirror.records.values() for one in kind.values()]
        copy = disk.Copy(store.url, replica.revision, records, tuple(replica.pepper_rows))
        try:
            await asyncio.to_thread(disk.write, self.path, copy, vault)
        except OSError as error:
            self._say(error.strerror or "it cannot be written")
            self._news.set()
        else:
            self._failed, self.kept = "", copy.revision

    def _say(self, reason: str) -> None:
        """Once, until it changes: this comes again every few seconds."""
        if reason != self._failed:
            self._failed = reason
            logger.error("the copy of the database in %s is not kept: %s", self.path, reason)
