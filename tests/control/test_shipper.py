"""Whatever becomes of the shipper and the database, what was written down is booked, and once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from proxy.control import shipper as module
from proxy.core.clock import now
from proxy.core.metrics_beside import Shipping
from proxy.core.model import Budget, Limits
from proxy.ledger.deadletters import dead_letters
from proxy.ledger.records import Charged, Content, Tokens
from proxy.ledger.spool import Spool
from proxy.limits.accounts import Accounts, Ask, Used
from proxy.limits.subjects import Subject, subject
from proxy.store import postgres, sqlite  # noqa: F401 - imported here, where it blocks no loop
from proxy.store.base import StoreDown
from proxy.store.ledger.booking import book
from proxy.store.ledger.retention import Keep
from proxy.store.opening import Database, open_store
from tests.control.ledgers import FOR_EVER, number, ship, shipper, spool, until, write
from tests.servers.postgres import PostgresServer
from tests.store.ledger.made import AT, counted, end, progress, start

ENDED = "SELECT count(*) FROM requests WHERE phase = 3"


@pytest_asyncio.fixture
async def store(store_url: str) -> AsyncIterator[Database]:
    store = open_store(store_url)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


@pytest.fixture
def wal(folder: Path) -> Iterator[Spool]:
    one = spool(folder)
    yield one
    one.close()


@asynccontextmanager
async def shipping(
    store: Database, folder: Path, **options: object
) -> AsyncIterator[module.Shipper]:
    """While the block lasts."""
    one = shipper(store, folder, **options)
    task = asyncio.get_running_loop().create_task(one.run())
    try:
        yield one
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_what_several_workers_wrote_is_booked_and_gone_from_the_disk(
    store: Database, folder: Path, wal: Spool
) -> None:
    other = spool(folder, "1")
    for n in range(300):
        write(wal, start(f"a{n}"), end(f"a{n}"))
        write(other, start(f"b{n}"), progress(f"b{n}"), end(f"b{n}"))
    other.close()

    first = await ship(store, folder, most=100)
    again = await ship(store, folder)

    assert (first.ended, first.repeated, first.aside) == (600, 0, 0)
    assert (again.ended, again.repeated) == (0, 0)
    assert await counted(store) == (600, 600 * 70, 600 * 70)


async def test_of_a_request_whose_end_waits_nothing_else_is_written(
    store: Database, folder: Path, wal: Spool
) -> None:
    """As is seen where the end, which is in another batch, cannot be."""
    write(wal, start("a"), end("a", route="/v1\0"), start("b"))

    shipped = await ship(store, folder, most=1)

    assert shipped.aside == 1
    assert await store.fetch("SELECT rid FROM requests") == [("b",)]


async def test_what_waits_and_what_became_of_it_is_counted(
    store: Database, folder: Path, wal: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MEASURE", 0.02)
    monkeypatch.setattr(module, "RETRY_MIN", 0.01)
    away = True

    async def booking(*arguments: Any) -> Any:
        if away:
            raise StoreDown("it is away")
        return await book(*arguments)

    monkeypatch.setattr(module, "book", booking)
    metrics = Shipping().of("requests")
    write(wal, start("a"), end("a", now() - 60), start("b"), end("b", route="/v1\0"))

    async with shipping(store, folder, metrics=metrics) as one:
        await until(lambda: metrics.backlog.value > 100 and metrics.failures.value >= 2)
        assert 60 <= one.behind < 3600
        up = [one.up]
        away = False
        await until(lambda: metrics.dead_letters.value == 1)
        await until(lambda: metrics.backlog.value == 0)

        up.append(one.up)
        assert up == [False, True]
        assert one.behind == 0
    assert metrics.batches.value >= 1
    assert metrics.seconds.count == metrics.batches.value
    assert metrics.damaged.value == 0


@pytest.mark.parametrize("seconds", [0.01, 100.0])
def test_transactions_last_as_long_as_they_should(
    store_url: str, folder: Path, seconds: float
) -> None:
    one = shipper(open_store(store_url), folder)
    sizes = []
    for _ in range(20):
        one._learn(one._size, seconds)
        sizes.append(one._size)
    small = one._size
    one._learn(small // 2, 0.0)  # fewer than it might have been say nothing

    assert sizes[-1] == (module.MOST if seconds < 1 else module.FIRST)
    assert one._size == small


def test_little_again_and_again_is_waited_for_longer_and_longer() -> None:
    assert module.pause_after(0.7, module.FEW, busy=True) == module.PAUSE
    assert module.pause_after(0.7, 1, busy=False) == module.PAUSE, "it comes after a silence"
    pauses = [module.PAUSE]
    for records in (1, module.FEW - 1, 1, 0, 0, 0, 1, 1, 0):
        pauses.append(module.pause_after(pauses[-1], records, busy=True))
    assert pauses == sorted(pauses)
    assert pauses[-1] == module.REST


async def test_what_is_written_while_it_ships_is_soon_booked(
    store: Database, folder: Path, wal: Spool
) -> None:
    async with shipping(store, folder) as one:
        for n in range(5):
            write(wal, start(f"{n}"), end(f"{n}"))
            await until(partial(_ended, one, n + 1))


async def test_a_batch_that_was_booked_and_not_acknowledged_counts_once(
    store: Database, folder: Path, wal: Spool
) -> None:
    records = [one for n in range(50) for one in (start(f"{n}"), end(f"{n}"))]
    write(wal, *records)
    await book(store, "here", records)  # and then it was killed

    shipped = await ship(store, folder)

    assert (shipped.ended, shipped.repeated) == (0, 50)
    assert await counted(store) == (50, 50 * 70, 50 * 70)


async def test_a_record_that_fits_nowhere_is_put_aside_and_all_others_are_booked(
    store: Database, folder: Path, wal: Spool
) -> None:
    poison = [end("nul", route="/v1\0"), end("long", bytes_in=2**64 - 1)]
    huge = end("huge", tokens=Tokens(2**62), charges=(Charged("key:7", 0, 0),))
    good = [end(f"{n}") for n in range(40)]
    write(wal, *good[:7], poison[0], *good[7:20], huge, poison[1], *good[20:], progress("p"))
    write(wal, end("too much", tokens=Tokens(2**62), charges=(Charged("key:7", 0, 0),)))

    shipped = await ship(store, folder)

    assert (shipped.ended, shipped.aside) == (41, 3)
    aside = {letter.record.rid: letter.reason for letter in dead_letters(folder)}
    assert aside.keys() == {"nul", "long", "too much"}
    assert all(aside.values())
    assert await number(store, ENDED) == 41
    assert await number(store, "SELECT count(*) FROM requests WHERE phase = 2") == 1


async def test_much_content_is_written_in_several_transactions(
    store: Database, folder: Path, wal: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TEXT", 5_000)
    write(wal, *(Content(f"{n}", AT, "x" * 2_000, "y" * 2_000) for n in range(8)))

    await ship(store, folder)

    assert await number(store, "SELECT count(*) FROM contents") == 8


async def test_it_ships_what_is_there_before_it_leaves(
    store: Database, folder: Path, wal: Spool
) -> None:
    one = shipper(store, folder)
    task = asyncio.get_running_loop().create_task(one.run())
    write(wal, end("a"))
    await until(lambda: one.ended == 1)

    write(wal, *(end(f"{n}") for n in range(700)))
    one.leave()
    await asyncio.wait_for(task, 10)

    assert one.ended == 701


async def test_what_is_too_old_is_deleted(store: Database, folder: Path) -> None:
    long_ago = 1_000_000_000.0
    await book(store, "here", [Content("a", long_ago, "asked", "answered")])

    async with shipping(store, folder) as one:
        assert one.keep is FOR_EVER
    async with shipping(store, folder) as one:
        one.keep = Keep(86400.0, 86400.0, 86400.0)
        await until(lambda: _is(store, "SELECT count(*) FROM contents", 0))


# --- the database ---------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def away(spare_postgres: PostgresServer) -> AsyncIterator[Database]:
    """A store in the server that is to fail."""
    url = await asyncio.to_thread(spare_postgres.empty_schema)
    store = open_store(url)
    await store.open()
    yield store
    await store.close()


Act = Callable[[PostgresServer], None]


def kill(server: PostgresServer) -> None:
    server.kill()
    server.start()


def freeze(server: PostgresServer) -> None:
    server.freeze()
    time.sleep(3)  # longer than the deadline of a statement
    server.thaw()


def stand_by(server: PostgresServer) -> None:
    for state in ("on", "off"):
        server.sql(f"ALTER SYSTEM SET default_transaction_read_only = {state}")
        server.sql("SELECT pg_reload_conf()")
        time.sleep(0.3)


def terminate(server: PostgresServer) -> None:
    for _ in range(6):
        server.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'headrace'"
        )


@pytest.mark.parametrize("act", [kill, freeze, stand_by, terminate])
async def test_everything_is_booked_once_the_database_is_back(
    away: Database, spare_postgres: PostgresServer, folder: Path, wal: Spool, act: Act
) -> None:
    written = 0

    def add() -> None:
        nonlocal written
        for _ in range(20):
            written += 1
            write(wal, start(f"{written}"), end(f"{written}"))

    async with shipping(away, folder, most=40) as one:
        add()
        await until(lambda: one.ended)
        failing = asyncio.get_running_loop().run_in_executor(None, act, spare_postgres)
        while not failing.done():
            add()
            await asyncio.sleep(0.02)
        await failing
        add()
        await until(lambda: one.ended + one.repeated >= written)
        assert one.up

    assert await number(away, ENDED) == written
    assert await counted(away) == (written, written * 70, written * 70)
    assert list(dead_letters(folder)) == []


# --- the shipper ----------------------------------------------------------------------------------------------------


def forked(url: str, folder: Path) -> int:
    """Another process that ships, in small batches, until it is killed."""
    pid = os.fork()
    if pid:
        return pid

    async def main() -> None:
        store = open_store(url)
        await shipper(store, folder, most=8).run()

    try:
        asyncio.run(main())
    finally:
        os._exit(1)


@pytest.mark.allow_blocking("forks, and each process has a loop of its own")
def test_a_shipper_that_is_killed_at_any_moment_neither_loses_nor_doubles(
    store_url: str, folder: Path, wal: Spool
) -> None:
    written = 0

    acknowledged = folder / "offsets"
    for _ in range(10):
        for _ in range(60):
            written += 1
            write(wal, start(f"{written}"), progress(f"{written}"), end(f"{written}"))
        before = _text(acknowledged)
        pid = forked(store_url, folder)
        late = time.monotonic() + 10
        while _text(acknowledged) == before and time.monotonic() < late:
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.02))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert _text(acknowledged)

    async def finish() -> tuple[int, tuple[int, int, int]]:
        store = open_store(store_url)
        try:
            await ship(store, folder)
            return await number(store, ENDED), await counted(store)
        finally:
            await store.close()

    assert asyncio.run(finish()) == (written, (written, written * 70, written * 70))


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


# --- limits ---------------------------------------------------------------------------------------------------------


def budgeted(id: str) -> Subject:
    made = subject("key", id, id, Limits(budget=Budget(1.0, "total")))
    assert made is not None
    return made


KEY = budgeted("7")
EVER = (Charged("key:7", 0, 0),)


@pytest.fixture
def accounts(folder: Path) -> Iterator[Accounts]:
    folder.mkdir(parents=True, exist_ok=True)
    one = Accounts.open(folder / "limits.shm", 0, 1)
    yield one
    one.close()


def spent(accounts: Accounts) -> int:
    return accounts.view(KEY).spent


async def test_limits_learn_what_was_spent_before_and_nothing_of_it_twice(
    store: Database, folder: Path, wal: Spool, accounts: Accounts
) -> None:
    before, after = accounts.created - 60, accounts.created + 1
    await book(store, "here", [end("booked", before, cost=1, charges=EVER)])
    await book(store, "there", [end("elsewhere", before, cost=10, charges=EVER)])
    write(wal, end("waiting", before, cost=100, charges=EVER))
    # This one is known already: it was settled here.
    hold = accounts.admit((KEY,), Ask(1, 1, 1))
    accounts.settle(hold, Used(1, 1000))
    write(wal, end("settled", after, cost=1000, charges=EVER))
    known = [accounts.known]

    await ship(store, folder, accounts=accounts)

    known.append(accounts.known)
    assert known == [False, True]
    assert spent(accounts) == 1111
    assert (await counted(store))[2] == 1111


async def test_limits_are_not_known_before_everything_older_is_booked(
    store: Database, folder: Path, wal: Spool, accounts: Accounts
) -> None:
    before = accounts.created - 60
    write(wal, *(end(f"{n}", before, cost=1, charges=EVER) for n in range(95)))
    write(wal, *(end(f"n{n}", accounts.created + 1, cost=1, charges=EVER) for n in range(10)))

    await ship(store, folder, accounts=accounts, most=10)

    assert accounts.known
    assert spent(accounts) == 95  # the others were settled by nobody
    assert (await counted(store))[2] == 105


async def test_limits_are_known_at_once_where_nothing_was_spent(
    store: Database, folder: Path, accounts: Accounts
) -> None:
    async with shipping(store, folder, accounts=accounts):
        await until(lambda: accounts.known)

    assert spent(accounts) == 0


async def test_limits_are_known_once_a_database_that_is_not_as_it_should_be_is_put_right(
    store: Database, folder: Path, accounts: Accounts
) -> None:
    """As one whose migrations are under way."""
    await store.execute("ALTER TABLE counters RENAME COLUMN micro TO gone")
    async with shipping(store, folder, accounts=accounts) as one:
        await until(lambda: not one.up)
        await store.execute("ALTER TABLE counters RENAME COLUMN gone TO micro")

        await until(lambda: accounts.known)


async def test_limits_follow_what_other_hosts_spend(
    store: Database, folder: Path, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FOLLOW", 0.05)
    async with shipping(store, folder, accounts=accounts):
        for n in range(1, 4):
            await book(store, "there", [end(f"{n}", cost=5, charges=EVER)])
            await until(partial(_spent, accounts, 5 * n))


def _ended(one: module.Shipper, count: int) -> bool:
    return one.ended == count


def _spent(accounts: Accounts, micro: int) -> bool:
    return spent(accounts) == micro


async def _is(store: Database, sql: str, value: int) -> bool:
    return await number(store, sql) == value
