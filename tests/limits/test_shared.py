"""Hosts that hold one limit together: real memory for each, a real server between them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import monotonic

import pytest

# Imported here: it takes longer than the loop may be blocked.
import redis.asyncio  # noqa: F401

from proxy.core.model import Budget, Limits, Shared
from proxy.limits.accounts import Accounts, Ask, Hold, Refused, Used
from proxy.limits.shared import Shares
from proxy.limits.subjects import Subject, subject
from tests.servers.valkey import PASSWORD, ValkeyServer

MONTH = Budget(1.0, "total")


class Host:
    """One, with one worker."""

    def __init__(self, folder: Path, name: str, url: str) -> None:
        self.accounts = Accounts.open(folder / name, 0, 1)
        self.accounts.learned()
        self.shares = Shares(Shared(url), self.accounts, name)
        self.running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.shares.start()
        self.running = asyncio.get_running_loop().create_task(self.shares.run())

    async def take(self, who: Subject, ask: Ask = Ask()) -> Hold:
        return await self.shares.take(lambda: self.accounts.admit([who], ask))

    async def takes(self, who: Subject, times: int, ask: Ask = Ask()) -> list[Hold]:
        """Those that were admitted, of so many at once."""
        done = await asyncio.gather(
            *(self.take(who, ask) for _ in range(times)), return_exceptions=True
        )
        for one in done:
            if isinstance(one, BaseException) and not isinstance(one, Refused):
                raise one
        return [one for one in done if isinstance(one, Hold)]

    async def close(self) -> None:
        if self.running is not None:
            self.running.cancel()
            await asyncio.wait({self.running})
            self.running = None
        await self.shares.close()
        self.accounts.close()


class Hosts:
    def __init__(self, folder: Path, server: ValkeyServer) -> None:
        self.folder = folder
        self.server = server
        self.all: list[Host] = []

    async def start(self, *names: str) -> list[Host]:
        made = [Host(self.folder, name, self.server.url) for name in names]
        self.all += made
        for host in made:
            await host.start()
            assert host.shares.up
        return made


@pytest.fixture
async def hosts(tmp_path: Path, valkey: ValkeyServer) -> AsyncIterator[Hosts]:
    hosts = Hosts(tmp_path, valkey)
    yield hosts
    for host in hosts.all:
        await host.close()


async def until(done: Callable[[], bool], seconds: float = 10.0) -> None:
    end = monotonic() + seconds
    while not done():
        assert monotonic() < end
        await asyncio.sleep(0.005)


def of(limits: Limits, name: str = "k") -> Subject:
    made = subject("key", name, name, limits)
    assert made is not None
    return made


# one limit


async def test_hosts_admit_together_what_the_rate_allows(hosts: Hosts) -> None:
    a, b = await hosts.start("a", "b")
    who = of(Limits(rpm=600))
    began = monotonic()

    taken = [*await a.takes(who, 50), *await b.takes(who, 50), *await a.takes(who, 50)]

    assert 60 <= len(taken) <= 60 + (monotonic() - began) * 10 + 1


async def test_whoever_is_refused_learns_when_there_is_more(hosts: Hosts) -> None:
    a, b = await hosts.start("a", "b")
    who = of(Limits(rpm=60, burst=2))
    assert len(await a.takes(who, 5)) == 2

    with pytest.raises(Refused) as refused:
        await b.take(who)

    assert refused.value.what == "rpm"
    assert 0 < refused.value.wait <= 1


async def test_hosts_admit_together_what_the_rate_of_tokens_allows(hosts: Hosts) -> None:
    a, b = await hosts.start("a", "b")
    who = of(Limits(tpm=6_000))
    ask = Ask(tokens=100)
    began = monotonic()

    taken = [*await a.takes(who, 50, ask), *await b.takes(who, 50, ask)]

    assert 50 <= len(taken) <= 60 + (monotonic() - began) + 1
    # Estimates were twice what was used: the rest is there for those who come next, on the host that has it.
    for hold in taken[:20]:
        a.accounts.settle(hold, Used(50))
