"""Something every worker is to do once: a row of the store whose revision tells who has done it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from proxy.core.clock import monotonic, now
from proxy.core.log import logger
from proxy.core.records import Kind, Record
from proxy.store import delta, objects
from proxy.store.base import StoreDown

if TYPE_CHECKING:
    from proxy.control.fleet import Fleet
    from proxy.control.replica import Advance, Replica

PATIENCE = 5.0
"""Seconds the others have to follow."""
RECENT = 60.0
"""Seconds a signal counts as under way: clocks of two hosts differ, and to follow one twice does no harm."""
LOOK = 0.05
"""Seconds between two looks at who has."""

_FIND = "SELECT id, created FROM objects WHERE kind = $1 AND name = $2 AND deleted = 0"


class Signals:
    """Sent and followed by one worker."""

    def __init__(self, replica: Replica, fleet: Fleet) -> None:
        self._replica = replica
        self._fleet = fleet
        self._on: dict[str, list[Callable[[], None]]] = defaultdict(list)

    def on(self, name: str, do: Callable[[], None]) -> None:
        """What to do when this one comes."""
        self._on[name].append(do)

    def obey(self, name: str) -> None:
        """Do it."""
        for do in self._on.get(name, ()):
            try:
                do()
            except Exception:
                logger.exception("the signal %s could not be followed", name)

    def new(self, advance: Advance) -> list[str]:
        """Those that came with a step forward. What was there at the start is over."""
        if advance.since == delta.NEVER:
            return []
        return [
            record.name
            for record in advance.records
            if record.kind == Kind.SIGNAL and record.revision > advance.since and not record.deleted
        ]

    def is_recent(self, name: str) -> bool:
        """Whether it has been sent so lately that a worker that only begins may be meant by it."""
        record = self._replica.mirror.get(Kind.SIGNAL, name)
        return record is not None and abs(now() - record.updated) < RECENT

    async def send(self, name: str) -> int:
        """Its revision: whoever serves that has followed. Raises StoreDown."""
        store = self._replica.store
        if store is None:
            raise StoreDown("there is no database")
        async with store.transaction() as session:
            revision = await objects.lock(session) + 1
            rows = await session.fetch(_FIND, str(Kind.SIGNAL), name)
            id, created = rows[0] if rows else (revision, now())
            record = Record(Kind.SIGNAL, id, revision, name=name, created=created, updated=now())
            await objects.write(session, record)
            await objects.unlock(session, revision)
        return revision

    async def followed(self, revision: int) -> dict[str, Any]:
        """Who has, once all have, or after 5 s: {"revision", "workers", "missing"}. Raises StoreDown."""
        store = self._replica.store
        if store is None:
            raise StoreDown("there is no database")
        deadline = monotonic() + PATIENCE
        while True:
            workers = await self._fleet.alive(store)
            missing = [one for one in workers if one["revision"] < revision]
            if not missing or monotonic() >= deadline:
                done = [one for one in workers if one["revision"] >= revision]
                return {"revision": revision, "workers": done, "missing": missing}
            await asyncio.sleep(LOOK)
