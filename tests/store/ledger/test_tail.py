"""The end of the log of requests as it grows: each that is over is found once, whenever it came and in whatever order."""

from __future__ import annotations

import random
from typing import Any, cast

import pytest

from proxy.store.base import Row, Session
from proxy.store.ledger import tail as module
from proxy.store.ledger.booking import book
from proxy.store.ledger.requests import Filters
from proxy.store.ledger.tail import Asked, Found, Tail
from proxy.store.opening import Database
from tests.store.ledger.made import AT, HOST, end, progress, start

RID = ("rid",)
ALL = Asked(columns=RID)
ONCE_MORE = Asked(Filters(route="/v1/chat/completions"), RID)
"""All as well, but each has to be looked at."""


def rids(said: Found) -> list[str]:
    return [rid for (rid,) in said.rows]


async def found(tail: Tail, store: Database, asked: Asked = ALL) -> str:
    return "".join(rids((await tail.next(store, [asked])).get(asked, Found())))


@pytest.fixture
async def tail(store: Database) -> Tail:
    await book(store, HOST, [end("x", AT), start("a", AT - 500), start("b", AT - 1)])
    one = Tail()
    await one.begin(store)
    return one


async def test_what_was_there_is_not_new(store: Database, tail: Tail) -> None:
    assert await found(tail, store) == ""


async def test_what_is_over_is_found_once(store: Database, tail: Tail) -> None:
    await book(store, HOST, [end("c", AT + 1), start("d", AT + 2), end("e", AT + 3)])
    assert await found(tail, store) == "ec"
    assert await found(tail, store) == ""

    await book(store, HOST, [progress("d", AT + 4), end("f", AT + 2.5)])
    assert await found(tail, store) == "f"

    await book(store, HOST, [end("d", AT + 2)])
    assert await found(tail, store) == "d"
    assert await found(tail, store) == ""


async def test_what_could_not_be_read_is_found_the_next_time(store: Database, tail: Tail) -> None:
    asked = Asked(Filters(), ("rid", "model"))
    await book(store, HOST, [end("c", AT + 1), end("a", AT - 500)])
    await store.execute("ALTER TABLE requests RENAME COLUMN model TO gone")
    with pytest.raises(Exception, match="model"):
        await tail.next(store, [ALL, asked])
    await store.execute("ALTER TABLE requests RENAME COLUMN gone TO model")

    said = await tail.next(store, [ALL, asked])

    assert (rids(said[ALL]), [rid for rid, _ in said[asked].rows]) == (["c", "a"], ["c", "a"])
    assert await found(tail, store) == ""


async def test_one_that_took_long_is_found_when_it_ends(store: Database, tail: Tail) -> None:
    await book(store, HOST, [end("c", AT + 900)])
    await found(tail, store)
    await book(store, HOST, [end("a", AT - 500)])

    assert await found(tail, store) == "a"


async def test_one_that_is_later_in_the_database_is_found(store: Database, tail: Tail) -> None:
    await book(store, HOST, [end("c", AT + 9)])
    await found(tail, store)
    await book(store, HOST, [end("d", AT + 9 - module.OVERLAP / 2)])

    assert await found(tail, store) == "d"


async def test_an_empty_log_has_a_first_one(store: Database) -> None:
    tail = Tail()
    await tail.begin(store)
    await book(store, HOST, [end("a", AT)])

    assert await found(tail, store) == "a"


async def test_each_is_told_what_it_asked_for(store: Database, tail: Tail) -> None:
    red = Asked(Filters(team="red"), RID)
    failed = Asked(Filters(failed=True, whose="blue"), ("status", "rid", "phase"))
    await book(
        store,
        HOST,
        [end("c", AT + 1, team="red"), end("d", AT + 2, status=503), end("e", AT + 3)],
    )
    said = await tail.next(store, [red, failed, ALL])

    assert (rids(said[red]), rids(said[ALL])) == (["c"], ["e", "d", "c"])
    assert said[failed].rows == [(503, "d", 3)]


@pytest.mark.parametrize("asked", [ALL, ONCE_MORE])
async def test_what_is_too_much_is_counted(
    store: Database, tail: Tail, monkeypatch: pytest.MonkeyPatch, asked: Asked
) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    monkeypatch.setattr(module, "SOME", 2)
    await book(store, HOST, [end(f"r{number}", AT + number / 100) for number in range(8)])
    said = (await tail.next(store, [asked]))[asked]

    assert rids(said) == ["r7", "r6", "r5"]
    assert said.more == 5
    assert await found(tail, store, asked) == ""


async def test_the_newest_are_found_also_of_those_that_took_long(
    store: Database, tail: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    await book(store, HOST, [end("a", AT - 500), end("b", AT - 1), end("c", AT + 1)])
    said = (await tail.next(store, [ALL]))[ALL]

    assert (rids(said), said.more) == (["c", "b"], 1)


async def test_what_is_not_over_is_none_where_too_many_are_under_way(
    store: Database, tail: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OPEN", 2)
    await book(store, HOST, [*(start(f"s{n}", AT + n) for n in range(4)), end("c", AT + 5)])
    said = (await tail.next(store, [ALL]))[ALL]

    assert (rids(said), said.more) == (["c"], 0)


async def test_what_was_read_is_only_counted(store: Database, tail: Tail) -> None:
    await book(store, HOST, [end(f"r{number}", AT + 5 + number / 10) for number in range(21)])
    await found(tail, store)
    read: list[int] = []

    class Counting:
        async def fetch(self, sql: str, *values: Any, timeout: float = 2.0) -> list[Row]:
            rows = await store.fetch(sql, *values, timeout=timeout)
            read.append(len(rows))
            return rows

    await tail.next(cast("Session", Counting()), [ALL])
    # The number of the others, those of the last half second, and the two that are under way.
    assert read == [1, 6, 2]


async def test_it_looks_at_no_more_than_some(
    store: Database, tail: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ARRIVED", 4)
    await book(store, HOST, [end(f"r{number}", AT + number / 100) for number in range(8)])
    assert await found(tail, store) == "r7r6r5r4"
    assert await found(tail, store) == ""
    await book(store, HOST, [end("s", AT + 1)])
    assert await found(tail, store) == "s"


@pytest.mark.parametrize("seed", range(3))
async def test_in_whatever_order_each_is_found_once(store: Database, tail: Tail, seed: int) -> None:
    chance = random.Random(seed)
    names = [f"n{number:02}" for number in range(30)]
    came = {rid: AT + 1 + number / 20 for number, rid in enumerate(names)}
    records = [(start(rid, came[rid]), end(rid, came[rid])) for rid in names]
    waiting = [one for pair in records for one in pair]
    seen: list[str] = []
    while waiting:
        some = [waiting.pop(0) for _ in range(min(chance.randrange(1, 6), len(waiting)))]
        chance.shuffle(some)
        await book(store, HOST, some)
        seen += rids((await tail.next(store, [ALL])).get(ALL, Found()))

    assert sorted(seen) == names
