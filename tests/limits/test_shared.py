"""Hosts that hold one limit together: real memory for each, a real server between them, real processes where they die."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from time import monotonic

import msgspec
import pytest

# Imported here: it takes longer than the loop may be blocked.
import redis.asyncio  # noqa: F401

from proxy.core.model import Budget, Limits
from proxy.limits import breaker, shared, tending
from proxy.limits.accounts import Ask, Hold, Refused, Used
from proxy.limits.breaker import Circuit
from proxy.limits.subjects import Subject
from tests.limits.host import NOTHING, Host, Orders, Tried, of
from tests.servers.valkey import PASSWORD, ValkeyServer

DIME = Ask(likely=100_000, worst=100_000)


class Hosts:
    def __init__(self, folder: Path, server: ValkeyServer) -> None:
        self.folder = folder
        self.server = server
        self.all: list[Host] = []

    async def start(self, *names: str, timeout: float = 1.0) -> list[Host]:
        made = [Host(self.folder, name, self.server.url, timeout=timeout) for name in names]
        self.all += made
        for host in made:
            host.accounts.learned()
            await host.start()
            await until(lambda: host.shares.up)  # noqa: B023 - called at once
        return made


@pytest.fixture
async def hosts(tmp_path: Path, valkey: ValkeyServer) -> AsyncIterator[Hosts]:
    hosts = Hosts(tmp_path, valkey)
    yield hosts
    for host in hosts.all:
        await host.close()


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to wait until every host has told a server that was just started what it holds."""
    monkeypatch.setattr(shared, "SETTLES", 0.0)


@pytest.fixture
def talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts say more often what they hold."""
    monkeypatch.setattr(tending, "SAYS", 0.25)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is back is noticed sooner."""
    monkeypatch.setattr(breaker, "PAUSE", 0.25)


async def until(done: Callable[[], bool], seconds: float = 10.0) -> None:
    end = monotonic() + seconds
    while not done():
        assert monotonic() < end
        await asyncio.sleep(0.005)


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
    who, ask = of(Limits(tpm=6_000)), Ask(tokens=100)
    began = monotonic()

    taken = [*await a.takes(who, 50, ask), *await b.takes(who, 50, ask)]

    assert 60 <= len(taken) <= 60 + (monotonic() - began) + 1


async def test_tokens_beyond_the_estimate_are_owed_to_all(hosts: Hosts) -> None:
    a, b = await hosts.start("a", "b")
    who, ask = of(Limits(tpm=6_000)), Ask(tokens=100)
    a.accounts.settle(await a.take(who, ask), Used(3_000))
    # What is owed is told with the next word.
    a.accounts.settle(await a.take(who, ask), Used(100))
    began = monotonic()

    taken = await b.takes(who, 60, ask)

    assert 20 <= len(taken) <= 29 + monotonic() - began


@pytest.mark.usefixtures("talkative")
async def test_slots_of_all_hosts_are_as_many_as_there_are(hosts: Hosts) -> None:
    a, b = await hosts.start("a", "b")
    who = of(Limits(concurrency=10))
    held = await a.takes(who, 7)

    others = await b.takes(who, 7)

    assert (len(held), len(others)) == (7, 3)
    with pytest.raises(Refused, match="concurrency"):
        await a.take(who)

    # What one gives up the other may have, as it was refused.
    for hold in held:
        a.accounts.settle(hold, Used())
    for _ in range(7):
        others.append(await patient(b, who))
    assert b.accounts.view(who).inflight == 10


async def patient(host: Host, who: Subject, ask: Ask = NOTHING) -> Hold:
    """Ask until there is one."""
    end = monotonic() + 10
    while True:
        try:
            return await host.take(who, ask)
        except Refused:
            if monotonic() > end:
                raise
        await asyncio.sleep(0.01)


@pytest.mark.usefixtures("settled")
async def test_a_strict_budget_is_not_exceeded_by_all_hosts_together(hosts: Hosts) -> None:
    a, b = await hosts.start("a", "b")
    who = of(Limits(budget=Budget(0.45, "total", strict=True)))
    ask = Ask(likely=150_000, worst=150_000)

    taken = [await a.takes(who, 1, ask), await b.takes(who, 3, ask), await a.takes(who, 3, ask)]

    assert [len(each) for each in taken] == [1, 2, 0]
    for host, holds in zip((a, b, a), taken, strict=True):
        for hold in holds:
            host.accounts.settle(hold, Used(0, 150_000))
    with pytest.raises(Refused, match="budget"):
        await b.take(who, ask)


@pytest.mark.usefixtures("settled", "talkative")
async def test_money_that_was_reserved_and_not_spent_is_there_for_other_hosts(hosts: Hosts) -> None:
    a, b = await hosts.start("a", "b")
    who = of(Limits(budget=Budget(1.0, "total", strict=True)))
    held = await a.takes(who, 10, DIME)
    assert len(held) == 10
    assert await b.takes(who, 1, DIME) == []

    for hold in held:
        a.accounts.settle(hold, Used(0, 10_000))

    for _ in range(9):
        await patient(b, who, DIME)
    assert await b.takes(who, 1, DIME) == []
    assert await a.takes(who, 1, DIME) == []


@pytest.mark.usefixtures("settled")
async def test_a_host_that_leaves_gives_back_what_it_does_not_need(hosts: Hosts) -> None:
    a, b = await hosts.start("a", "b")
    who = of(Limits(rpm=60, tpm=600, concurrency=40, budget=Budget(2.0, "total", strict=True)))
    held = [*await a.takes(who, 1, Ask(100, 1_000_000, 1_000_000))]
    a.accounts.settle(held[0], Used(50, 500_000))

    hosts.all.remove(a)
    await a.close()

    # All of the burst but one, all slots, all the money that is left.
    assert len(await b.takes(who, 7, Ask(100, 300_000, 300_000))) == 5


# a server that goes away


async def test_a_frozen_server_is_left_alone_and_comes_back(
    hosts: Hosts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "headrace")
    a, b = await hosts.start("a", "b", timeout=0.25)
    await until(lambda: a.shares.hosts == 2)
    who = of(Limits(rpm=6_000, burst=100))
    await a.take(who)
    valkey = hosts.server

    valkey.freeze()
    began, admitted = monotonic(), 0
    while a.shares.circuit is not Circuit.OPEN:
        admitted += len(await a.takes(who, 1))
        await asyncio.sleep(0.001)
        assert monotonic() < began + 10
    # Nobody asked it more often than it takes to be sure.
    assert dict(a.shares.operations())["timeout",] <= 4
    # What was leased, a slice, and 1.2 halves of the rate.
    assert admitted <= 600 + 60 * (monotonic() - began)
    valkey.thaw()
    await until(lambda: a.shares.up and b.shares.up)

    # What was taken meanwhile is owed first.
    await patient(a, who)
    said = [record.getMessage() for record in caplog.records if "shared limits" in record.msg]
    assert sum("is away" in line for line in said) <= 2
    assert sum("answers again" in line for line in said) == sum("is away" in line for line in said)
    assert PASSWORD not in caplog.text


async def test_without_the_server_each_host_holds_its_part(
    hosts: Hosts, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = await hosts.start("a", "b", timeout=0.25)
    await until(lambda: a.shares.hosts == 2)
    rated, slots = of(Limits(rpm=1_200, tpm=60_000), "r"), of(Limits(concurrency=4), "c")
    strict = of(Limits(budget=Budget(1.0, "total", strict=True)), "s")
    soft = of(Limits(budget=Budget(1.0, "total")), "o")
    began = monotonic()

    await asyncio.to_thread(hosts.server.kill)
    await until(lambda: not a.shares.up)

    # A slice of 60, and six tenths of the rate.
    taken = await a.takes(rated, 300)
    assert 1 <= len(taken) <= 60 + 12 * (monotonic() - began)
    held = await a.takes(slots, 6)
    assert len(held) == 4
    assert len(await a.takes(soft, 3, DIME)) == 3
    with pytest.raises(Refused, match="blind"):
        await a.take(strict, DIME)

    await asyncio.to_thread(hosts.server.start)
    await until(lambda: a.shares.up and b.shares.up)

    # It has lost its scripts, and what it knew; what `a` took meanwhile it says when it next has to ask.
    assert await a.takes(slots, 1) == []
    assert await b.takes(slots, 1) == []
    for hold in held[:2]:
        a.accounts.settle(hold, Used())
    assert len(await a.takes(slots, 3)) == 2
    assert "is away" not in caplog.text or "answers again" in caplog.text


async def test_a_server_that_forgot_what_was_leased_gives_no_money_until_it_was_told(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "SETTLES", 0.0)
    a, b = await hosts.start("a", "b", timeout=0.25)
    who = of(Limits(budget=Budget(1.0, "total", strict=True)))
    for hold in await a.takes(who, 6, DIME):
        a.accounts.settle(hold, Used(0, 100_000))
    assert len(await b.takes(who, 3, DIME)) == 3
    monkeypatch.setattr(shared, "SETTLES", 2.0)

    await asyncio.to_thread(hosts.server.stop)
    await until(lambda: not a.shares.up and not b.shares.up)
    await asyncio.to_thread(hosts.server.start)
    await until(lambda: b.shares.up)
    with pytest.raises(Refused, match="blind"):
        await b.take(who, Ask(likely=300_000, worst=300_000))
    await until(lambda: a.shares.up)

    await patient(b, who, DIME)
    assert await b.takes(who, 1, DIME) == []
    assert await a.takes(who, 1, DIME) == []


async def test_whoever_asks_again_meanwhile_is_not_told_that_the_budget_is_used_up(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "SETTLES", 86_400.0)
    (a,) = await hosts.start("a")
    who = of(Limits(budget=Budget(1.0, "total", strict=True)))

    for _ in range(2):
        with pytest.raises(Refused, match="blind"):
            await a.take(who, DIME)
    # Nor in the moment after it, while that refusal is remembered.
    a.shares._settled = 0.0
    with pytest.raises(Refused, match="blind"):
        await a.take(who, DIME)


async def test_while_nobody_knows_what_was_spent_strict_budgets_are_refused(
    hosts: Hosts, tmp_path: Path
) -> None:
    host = Host(tmp_path, "new", hosts.server.url)
    hosts.all.append(host)
    await host.start()

    with pytest.raises(Refused, match="blind"):
        await host.take(of(Limits(budget=Budget(1.0, "total", strict=True))), DIME)
    await host.take(of(Limits(rpm=10)))


# processes


class Processes:
    def __init__(self) -> None:
        self.all: list[subprocess.Popen[bytes]] = []

    def start(self, orders: list[Orders]) -> None:
        """Ready when it returns."""
        for each in orders:
            told = msgspec.json.encode(each).decode()
            command = [sys.executable, "-m", "tests.limits.host", told]
            self.all.append(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            )
        for process in self.all:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"

    def go(self) -> list[Tried]:
        for process in self.all:
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
        said = []
        for process in self.all:
            assert process.stdout is not None
            said.append(msgspec.json.decode(process.stdout.readline(), type=Tried))
        return said

    def close(self) -> None:
        for process in self.all:
            process.kill()
            process.communicate()


@pytest.fixture
def processes() -> Iterator[Processes]:
    processes = Processes()
    yield processes
    processes.close()


def two_by_two(folder: Path, url: str, limits: Limits, ask: Ask, used: int) -> list[Orders]:
    return [
        Orders(str(folder), name, url, limits, column, 2, ask, used, seconds=0.6, to_the_end=True)
        for name in ("a", "b")
        for column in (0, 1)
    ]


def test_workers_of_two_hosts_admit_together_what_the_rates_allow(
    tmp_path: Path, valkey: ValkeyServer, processes: Processes
) -> None:
    limits = Limits(rpm=3_000, tpm=600_000)
    processes.start(two_by_two(tmp_path, valkey.url, limits, Ask(tokens=100), 0))

    said = processes.go()

    assert all(each.up for each in said)
    seconds = max(each.seconds for each in said)
    # A burst of 300, and 50 in each second.
    assert 300 <= sum(each.admitted for each in said) <= 301 + 50 * (seconds + 0.2)
    assert min(each.admitted for each in said) > 0


def test_workers_of_two_hosts_spend_together_what_a_strict_budget_allows(
    tmp_path: Path, valkey: ValkeyServer, processes: Processes
) -> None:
    limits = Limits(budget=Budget(1.0, "total", strict=True))
    ask = Ask(likely=1_000, worst=5_000)
    processes.start(two_by_two(tmp_path, valkey.url, limits, ask, 1_000))

    said = processes.go()

    admitted = sum(each.admitted for each in said)
    assert admitted <= 1_000
    # What is left is less than hosts may keep for a while.
    assert admitted >= 850


async def test_slots_of_a_host_that_was_killed_are_free_for_the_others(
    hosts: Hosts, tmp_path: Path, processes: Processes
) -> None:
    (living,) = await hosts.start("living")
    limits = Limits(concurrency=8)
    orders = Orders(str(tmp_path), "dead", hosts.server.url, limits, seconds=0.1, slots_last=2)
    await asyncio.to_thread(processes.start, [orders])
    (said,) = await asyncio.to_thread(processes.go)
    assert (said.admitted, said.up) == (8, True)
    assert await living.takes(of(limits), 1) == []

    processes.all[0].kill()

    for _ in range(8):
        await patient(living, of(limits))
    assert await living.takes(of(limits), 1) == []
