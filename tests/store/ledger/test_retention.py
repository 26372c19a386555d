"""What is too old goes, and nothing else."""

from __future__ import annotations

from math import inf

import pytest

from proxy.core.clock import Hands
from proxy.ledger.records import Adjust, Charged, Content
from proxy.store.ledger import retention
from proxy.store.ledger.booking import Booked, book
from proxy.store.ledger.retention import Keep, clean
from proxy.store.opening import Database
from tests.store.ledger.made import AT, CHARGES, HOST, end, everything

DAY = 86400.0
OLD = Charged("key:7", int(AT - 5 * DAY), int(AT - 4 * DAY))


async def fill(store: Database) -> None:
    """Four days, the first of them the oldest, with a request and its content each."""
    for number in range(4):
        at = AT + number * DAY
        content = Content(f"r{number}", at, "asked", "answered")
        await book(store, HOST, [end(f"r{number}", at), content])


async def left(store: Database, table: str) -> list[str]:
    return [row[0] for row in await store.fetch(f"SELECT DISTINCT rid FROM {table} ORDER BY rid")]


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_each_kind_is_kept_as_long_as_it_says(
    store: Database, hands: Hands, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SLICE", size)
    await fill(store)
    hands.advance(4 * DAY - 1)

    deleted = await clean(store, Keep(3 * DAY, 2 * DAY, 2.5 * DAY))

    assert await left(store, "requests") == await left(store, "attempts") == ["r1", "r2", "r3"]
    assert await left(store, "contents") == ["r2", "r3"]
    asked = "SELECT span, count(*) FROM statistics GROUP BY span ORDER BY span"
    assert await store.fetch(asked) == [(60, 2), (3600, 2)]
    assert (
        deleted == 3 + 2 + 2 + 2 + 1
    )  # a request of two attempts, contents, minutes, hours, a window
    assert await clean(store, Keep(3 * DAY, 2 * DAY, 2.5 * DAY)) == 0


async def test_what_is_kept_for_ever_stays(store: Database, hands: Hands) -> None:
    await fill(store)
    await book(store, HOST, [Adjust("x", AT, OLD, 1, 1, 1)])
    before = await everything(store)
    hands.advance(40_000 * DAY)

    await clean(store, Keep(inf, inf, inf))

    after = await everything(store)
    assert len(after.pop("statistics")) == 4  # minutes are not for ever
    before.pop("statistics")
    assert after == before


async def test_content_does_not_outlive_its_request(store: Database, hands: Hands) -> None:
    await fill(store)
    hands.advance(4 * DAY - 1)

    await clean(store, Keep(2 * DAY, inf, inf))

    assert await left(store, "contents") == await left(store, "requests") == ["r2", "r3"]


async def test_a_second_delivery_is_known_as_one_however_old_the_request_is(
    store: Database, hands: Hands
) -> None:
    old = end("late", AT - 90 * DAY)
    assert await book(store, HOST, [old]) == Booked(1, 0)

    await clean(store, Keep(DAY, DAY, DAY))
    assert await book(store, HOST, [old]) == Booked(0, 1)

    hands.advance(DAY + 1)
    await clean(store, Keep(DAY, DAY, DAY))
    assert await left(store, "requests") == []


async def test_counters_go_a_while_after_their_window(store: Database, hands: Hands) -> None:
    ever = Charged("key:7", 0, 0)
    await book(store, HOST, [end("a", charges=(OLD, *CHARGES, ever))])
    await book(store, HOST, [Adjust("x", AT - 5 * DAY, OLD, 1, 1, 1)])

    await clean(store, Keep(3 * DAY, DAY, DAY))

    rows = await store.fetch('SELECT "window" FROM counters ORDER BY "window"')
    assert rows == [(0,), (CHARGES[0].window,)]
    assert await left(store, "adjustments") == []


async def test_one_host_cleans_at_a_time(postgres_url: str, hands: Hands) -> None:
    from proxy.store.opening import open_store

    one, two = open_store(postgres_url), open_store(postgres_url)
    await fill(one)
    hands.advance(90 * DAY)
    async with one.transaction() as session:
        await session.fetch(retention._ALONE["postgresql"])

        assert await clean(two, Keep(DAY, DAY, DAY)) == 0

    assert await clean(two, Keep(DAY, DAY, DAY)) > 0
    await one.close()
    await two.close()
