"""Workers know of each other what each has written down."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from proxy.control import fleet
from proxy.control.fleet import Fleet
from proxy.core.clock import Hands
from proxy.store.base import Store
from proxy.store.opening import open_store


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    one = open_store(store_url)
    await one.open()
    yield one
    await one.close()


def worker(pid: int, name: str = "0") -> Fleet:
    one = Fleet(name)
    one.pid = pid
    return one


async def test_what_a_worker_says_last_counts(store: Store) -> None:
    one = worker(1)

    await one.report(store, one.row(3, 1, ""))
    await one.report(store, one.row(4, 2, "models.a: odd"))

    [row] = await one.alive(store)
    assert (row["host"], row["pid"], row["name"]) == (one.host, 1, "0")
    assert (row["revision"], row["config"], row["problem"]) == (4, "2", "models.a: odd")


async def test_who_has_said_nothing_for_long_is_not_alive(store: Store, hands: Hands) -> None:
    one, other = worker(1, "0"), worker(2, "1")
    await one.report(store, one.row(1, 1, ""))
    hands.advance(fleet.ALIVE - 1)
    await other.report(store, other.row(1, 1, ""))
    assert [row["pid"] for row in await one.alive(store)] == [1, 2]

    hands.advance(2)

    assert [row["pid"] for row in await one.alive(store)] == [2]


async def test_who_leaves_takes_along_what_the_dead_have_left(store: Store, hands: Hands) -> None:
    dead, one, other = worker(1), worker(2), worker(3)
    await dead.report(store, dead.row(1, 1, ""))
    hands.advance(fleet.FORGOTTEN + 1)
    for each in (one, other):
        await each.report(store, each.row(1, 1, ""))

    await one.leave(store)

    assert await store.fetch("SELECT pid FROM workers") == [(3,)]


async def test_a_long_problem_is_cut(store: Store) -> None:
    one = worker(1)

    await one.report(store, one.row(1, 1, "x" * 100_000))

    assert len((await one.alive(store))[0]["problem"]) == fleet.PROBLEM
