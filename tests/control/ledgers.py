"""A ledger on disk that somebody writes to, and shippers of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

from proxy.control.shipper import Shipper
from proxy.ledger.deadletters import bury
from proxy.ledger.reading import Reader
from proxy.ledger.records import Record, frame
from proxy.ledger.spool import Spool
from proxy.store.base import Store, StoreDown
from proxy.store.ledger.retention import Keep

FOR_EVER = Keep(inf, inf, inf)
HOST = "here"
PATIENCE = 20.0


def spool(folder: Path, worker: str = "0") -> Spool:
    """Of one worker, in small segments."""
    return Spool(folder, worker, size=1 << 30, segment=64 << 10, emergency=0)


def write(to: Spool, *records: Record) -> None:
    for record in records:
        to.append(frame(record), vital=True)


def shipper(store: Store, folder: Path, **options: Any) -> Shipper:
    return Shipper(store, Reader(folder), HOST, FOR_EVER, partial(bury, folder), **options)


async def ship(store: Store, folder: Path, **options: Any) -> Shipper:
    """Everything that is there; the shipper that did it."""
    one = shipper(store, folder, **options)
    one.leave()
    await asyncio.wait_for(one.run(), PATIENCE)
    return one


async def number(store: Store, sql: str) -> int:
    """What it says; -1 while the store is down."""
    try:
        [(found,)] = await store.fetch(sql)
    except StoreDown:
        return -1
    return int(found or 0)


async def until(condition: Callable[[], Any]) -> None:
    """Wait for what a function, or what it returns an awaitable of, says."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.01)
