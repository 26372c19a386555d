"""The end of the log of requests as it grows: each that is over is found once, whenever it came and in whatever order."""

from __future__ import annotations

import random

import pytest

from proxy.store.ledger import tail as module
from proxy.store.ledger.booking import book
from proxy.store.ledger.requests import Filters
from proxy.store.ledger.tail import Found, Tail
from proxy.store.opening import Database
from tests.store.ledger.made import AT, HOST, end, progress, start

ALL = Filters()


async def found(tail: Tail, store: Database, filters: Filters = ALL) -> str:
    said = (await tail.next(store, [filters])).get(filters, Found())
    return "".join(one.rid for one in said.entries)


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
    red, failed = Filters(team="red"), Filters(failed=True, whose="blue")
    await book(
        store,
        HOST,
        [end("c", AT + 1, team="red"), end("d", AT + 2, status=503), end("e", AT + 3)],
    )
    said = await tail.next(store, [red, failed, ALL])

    rids = {filters: "".join(entry.rid for entry in one.entries) for filters, one in said.items()}
    assert rids == {red: "c", failed: "d", ALL: "edc"}


async def test_what_is_too_much_is_counted(
    store: Database, tail: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    await book(store, HOST, [end(f"r{number}", AT + number / 100) for number in range(8)])
    said = (await tail.next(store, [ALL]))[ALL]

    assert [one.rid for one in said.entries] == ["r7", "r6", "r5"]
    assert said.more == 5
    assert await found(tail, store) == ""


async def test_it_looks_at_no_more_than_some(
    store: Database, tail: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ARRIVED", 4)
    await book(store, HOST, [end(f"r{number}", AT + number / 100) for number in range(8)])
    said = (await tail.next(store, [ALL]))[ALL]

    assert [one.rid for one in said.entries] == ["r7", "r6", "r5", "r4"]
    assert await found(tail, store) == ""
    await book(store, HOST, [end("s", AT + 1)])
    assert await found(tail, store) == "s"


@pytest.mark.parametrize("seed", range(3))
async def test_in_whatever_order_each_is_found_once(store: Database, tail: Tail, seed: int) -> None:
    chance = random.Random(seed)
    rids = [f"n{number:02}" for number in range(30)]
    came = {rid: AT + 1 + number / 20 for number, rid in enumerate(rids)}
    records = [(start(rid, came[rid]), end(rid, came[rid])) for rid in rids]
    waiting = [one for pair in records for one in pair]
    seen: list[str] = []
    while waiting:
        some = [waiting.pop(0) for _ in range(min(chance.randrange(1, 6), len(waiting)))]
        chance.shuffle(some)
        await book(store, HOST, some)
        said = (await tail.next(store, [ALL])).get(ALL, Found())
        seen += [one.rid for one in said.entries]

    assert sorted(seen) == rids
