"""Who leads: one at a time, another as soon as it cannot, and nobody who only thinks so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from proxy.core.clock import Hands
from proxy.store import contest
from proxy.store import postgres as _  # noqa: F401 - imported here, where it blocks no loop
from proxy.store.contest import LEASE, SILENCE, Contest
from proxy.store.opening import open_store
from tests.line.harness import until
from tests.servers.postgres import PostgresServer

Make = Callable[[str], Contest]
HOLDERS = (
    "FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = 7243392108413 % 4294967296"
)
PATIENCE = 10.0


@pytest_asyncio.fixture
async def make() -> AsyncIterator[Make]:
    """`make(url)` is a contest, begun, and closed at the end."""
    async with AsyncExitStack() as stack:

        def made(url: str) -> Contest:
            store = open_store(url)
            stack.push_async_callback(store.close)
            one = store.contend()
            assert one is not None
            stack.push_async_callback(one.close)
            one.begin()
            return one

        yield made


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contest, "BEAT", 0.02)


async def test_one_leads_and_another_as_soon_as_it_leaves(
    make: Make, postgres_url: str, quick: None
) -> None:
    one = make(postgres_url)
    await until(lambda: one.leads)
    other = make(postgres_url)
    other.begin()  # again: it changes nothing
    await asyncio.sleep(0.1)  # some tries
    assert (one.leads, other.leads) == (True, False)

    await one.close()

    assert not one.leads
    await until(lambda: other.leads)


async def test_one_that_loses_its_connection_does_not_lead_while_another_does(
    make: Make, postgres: PostgresServer, postgres_url: str, quick: None
) -> None:
    one = make(postgres_url)
    await until(lambda: one.leads)
    other = make(postgres_url)
    both = 0

    def changed() -> bool:
        nonlocal both
        both += one.leads and other.leads
        return other.leads

    # Whoever is asked to leave may be the first to come back: it goes on until the other is quicker.
    async with asyncio.timeout(PATIENCE):
        while not changed():
            database = postgres_url.rpartition("/")[2]
            await asyncio.to_thread(
                postgres.sql, f"SELECT pg_terminate_backend(pid) {HOLDERS}", database
            )
            for _ in range(50):
                await asyncio.sleep(0.002)
                changed()

    assert not both


async def test_a_host_that_is_silent_loses_the_lead(
    make: Make, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contest, "SILENCE", 0.2)
    monkeypatch.setattr(contest, "BEAT", 30.0)
    monkeypatch.setattr(contest, "LEASE", 60.0)
    one = make(postgres_url)
    await until(lambda: one.leads)
    monkeypatch.setattr(contest, "BEAT", 0.02)
    # Once it has lost it could be first again, and would not be silent any more.
    one._url = "postgresql://nobody@127.0.0.1:1/none"

    other = make(postgres_url)

    await until(lambda: other.leads)
    assert not one.leads  # the server has told it


async def test_it_stops_leading_by_its_own_clock_before_the_server_lets_another(
    make: Make, spare_postgres: PostgresServer, hands: Hands
) -> None:
    one = make(spare_postgres.url())
    await until(lambda: one.leads, PATIENCE)

    spare_postgres.freeze()
    hands.advance(LEASE)

    assert not one.leads
    assert LEASE < SILENCE
    spare_postgres.thaw()


async def test_a_database_that_comes_back_has_a_leader_again(
    make: Make, spare_postgres: PostgresServer, quick: None
) -> None:
    one = make(spare_postgres.url())
    await until(lambda: one.leads, PATIENCE)

    await asyncio.to_thread(spare_postgres.kill)
    await until(lambda: not one.leads, PATIENCE)
    await asyncio.to_thread(spare_postgres.start)

    await until(lambda: one.leads, PATIENCE)


async def test_the_others_hear_what_is_told(make: Make, postgres_url: str, quick: None) -> None:
    one, other = make(postgres_url), make(postgres_url)
    heard: list[str] = []
    one.hear = other.hear = heard.append
    await until(lambda: one.leads or other.leads)

    async with asyncio.timeout(PATIENCE):
        while len(heard) < 2:  # until both listen
            await one.tell("this")
            await asyncio.sleep(0.02)

    assert set(heard) == {"this"}
