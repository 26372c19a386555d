"""A host that shares limits with others: in this process, or in one of its own.

    python -m tests.limits.host '{"folder": …, "column": …, …}'

That one takes what it can until its input ends, writes a line of JSON whenever it has tried, and leaves without a word.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from time import monotonic

import msgspec

from proxy.core.model import Limits, Shared
from proxy.core.tasks import spawn
from proxy.limits import lending, shared
from proxy.limits.accounts import Accounts, Ask, Hold, Refused, Short, Used
from proxy.limits.shared import Shares
from proxy.limits.subjects import Subject, subject

NOTHING = Ask()


class Host:
    """One worker of it."""

    def __init__(
        self,
        folder: Path,
        name: str,
        url: str,
        column: int = 0,
        columns: int = 1,
        timeout: float = 1.0,  # however busy the machine is
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.accounts = Accounts.open(folder / name, column, columns)
        self.shares = Shares(Shared(url, timeout=timeout), self.accounts, name)
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.shares.start()
        self._running = spawn(self.shares.run(), name="shares")

    async def take(self, who: Subject, ask: Ask = NOTHING) -> Hold:
        """As a request does. Raises Refused."""
        while True:
            try:
                return self.accounts.admit([who], ask)
            except Short as short:
                if not await self.shares.fetch(short):
                    raise Refused(short.subject, short.what, short.wait) from None

    async def takes(self, who: Subject, times: int, ask: Ask = NOTHING) -> list[Hold]:
        """Those that were admitted, of so many at once."""
        done = await asyncio.gather(
            *(self.take(who, ask) for _ in range(times)), return_exceptions=True
        )
        for one in done:
            if isinstance(one, BaseException) and not isinstance(one, Refused):
                raise one
        return [one for one in done if isinstance(one, Hold)]

    async def close(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})
            self._running = None
        await self.shares.close()
        self.accounts.close()


PATIENCE = 15.0
"""Seconds."""


class Orders(msgspec.Struct):
    """What a process is told."""

    folder: str
    name: str
    url: str
    limits: Limits
    column: int = 0
    columns: int = 1
    ask: Ask = Ask()
    used: int = -1
    """Micro-dollars each request is settled with, at once; -1: it never ends."""
    at_once: int = 4
    seconds: float = 1.0
    to_the_end: bool = False
    """Until one is refused too, however long a busy machine takes for that: PATIENCE at most."""
    slots_last: int = 5


class Tried(msgspec.Struct):
    """What it says: how many were admitted, and in how many seconds."""

    admitted: int
    seconds: float
    up: bool


def of(limits: Limits, name: str = "k") -> Subject:
    made = subject("key", name, name, limits)
    assert made is not None
    return made


async def _main(orders: Orders) -> None:
    lending.SLOTS_LAST = orders.slots_last
    shared.SETTLES = 0.0
    host = Host(Path(orders.folder), orders.name, orders.url, orders.column, orders.columns)
    host.accounts.learned()
    await host.start()
    who, admitted = of(orders.limits), 0
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    began = monotonic()
    wants = orders.to_the_end
    while (now := monotonic()) < began + orders.seconds or (wants and now < began + PATIENCE):
        holds = await host.takes(who, orders.at_once, orders.ask)
        wants = wants and len(holds) == orders.at_once
        for hold in holds:
            admitted += 1
            if orders.used >= 0:
                host.accounts.settle(hold, Used(orders.ask.tokens, orders.used))
        await asyncio.sleep(0.001)
    said = Tried(admitted, monotonic() - began, host.shares.up)
    print(msgspec.json.encode(said).decode(), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(_main(msgspec.json.decode(sys.argv[1], type=Orders)))
