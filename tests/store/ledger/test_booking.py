"""A record counts once: in whatever order, however often, and by however many it is delivered."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from itertools import pairwise

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.core.clock import Hands
from proxy.ledger.records import Adjust, Charged, Content, Record, Tokens
from proxy.store.base import Duplicate, StoreDown
from proxy.store.ledger import requests
from proxy.store.ledger.booking import Booked, book, is_unfit
from proxy.store.opening import Database
from tests.store.ledger.made import AT, CHARGES, HOST, counted, end, everything, progress, start


async def test_a_request_is_seen_as_far_as_it_is(store: Database) -> None:
    await book(store, HOST, [start("a")])
    begun = await requests.one(store, "a")
    await book(store, HOST, [start("a", attempt=2, deployment="lab/n"), progress("a")])
    going = await requests.one(store, "a")
    await book(store, HOST, [end("a")])
    over = await requests.one(store, "a")

    assert begun is not None
    assert going is not None
    assert over is not None
    assert (begun.entry.phase, begun.entry.attempt, begun.entry.cost) == (1, 1, None)
    assert (going.entry.phase, going.entry.attempt, going.entry.deployment) == (2, 2, "lab/n")
    assert (going.entry.output, going.entry.cost, going.entry.source) == (40, 50, "estimated")
    assert going.attempts == ()
    assert (over.entry.phase, over.entry.output, over.entry.cost) == (3, 60, 70)
    assert (over.entry.connect_ms, over.entry.estimate) == (None, None)  # never is not 0
    assert [(one.number, one.status, one.cost) for one in over.attempts] == [
        (1, 503, 45),
        (2, 200, 45),
    ]


async def test_only_ends_are_counted_and_only_once(store: Database) -> None:
    batch: list[Record] = [start("a"), progress("a"), start("b"), end("a"), progress("c")]

    first = await book(store, HOST, batch)
    again = await book(store, HOST, batch)

    assert (first, again) == (Booked(1, 0), Booked(0, 1))
    assert await counted(store) == (1, 70, 70)
    asked = "SELECT span, requests, succeeded, cost FROM statistics ORDER BY span"
    assert await store.fetch(asked) == [(60, 1, 1, 70), (3600, 1, 1, 70)]


async def test_of_what_is_known_to_be_over_nothing_is_written_but_its_end(store: Database) -> None:
    assert await book(store, HOST, [start("a"), progress("a"), start("b")], {"a"}) == Booked(0, 0)
    assert await store.fetch("SELECT rid, phase FROM requests") == [("b", 1)]

    assert await book(store, HOST, [end("a")], {"a"}) == Booked(1, 0)
    assert await store.fetch("SELECT rid, phase FROM requests ORDER BY rid") == [("a", 3), ("b", 1)]


async def test_a_price_that_is_not_known_is_no_price(store: Database, hands: Hands) -> None:
    await book(store, HOST, [end("a", cost=-1, cost_upstream=-1)])

    assert await counted(store) == (1, 70, 0)
    assert await store.fetch("SELECT cost, cost_upstream FROM requests") == [(None, None)]
    asked = "SELECT span, cost, unknown_cost, cost_upstream FROM statistics ORDER BY span"
    assert await store.fetch(asked) == [(60, 0, 1, 0), (3600, 0, 1, 0)]


async def test_what_was_reset_by_hand_is_counted_once(store: Database) -> None:
    one = Adjust("x", AT, CHARGES[0], -5, -300, -40)

    for _ in range(2):
        await book(store, HOST, [one])

    assert await counted(store) == (-5, -300, -40)
    assert await store.fetch('SELECT subject, "window", requests FROM adjustments') == [
        ("key:7", CHARGES[0].window, -5)
    ]


async def test_each_host_has_counters_of_its_own(store: Database) -> None:
    await book(store, "here", [end("a"), end("b")])
    await book(store, "there", [end("c")])

    rows = await store.fetch("SELECT host, requests FROM counters ORDER BY host")
    assert rows == [("here", 2), ("there", 1)]


async def test_what_somebody_else_chose_is_no_reason_to_lose_a_request(store: Database) -> None:
    strange = end("a", asked="m\0" + "x" * 9000, model="\0" * 9000, user_agent="größer\0")
    content = Content("a", AT, "a\0b", "c" * 100_000)

    assert await book(store, HOST, [strange, content]) == Booked(1, 0)

    found = await requests.one(store, "a")
    assert found is not None
    assert found.entry.asked.startswith("m\ufffdxxx")
    assert len(found.entry.asked) == len(found.entry.model) == 512
    assert found.entry.user_agent == "größer\ufffd"
    assert (found.request, found.response) == ("a\ufffdb", "c" * 100_000)


UNFIT = {
    "a NUL": end("b", route="/v1\0"),
    "a number of 65 bits": end("b", bytes_in=2**64),
    "no number": end("b", total_ms=float("nan")),
    "a sum that overflows": end("b", tokens=Tokens(2**63 - 1), charges=()),
}


@pytest.mark.parametrize("name", UNFIT)
async def test_a_record_that_does_not_fit_is_told_from_a_database_that_is_away(
    store: Database, name: str
) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is the database's to say
        await book(store, HOST, [end("a"), UNFIT[name], end("c", tokens=Tokens(2**63 - 1))])

    assert is_unfit(caught.value)
    assert all(not rows for rows in (await everything(store)).values())


def test_neither_a_mistake_of_ours_nor_a_database_that_is_away_is_the_records_fault() -> None:
    undefined = asyncpg.UndefinedColumnError("no such column")
    locked = sqlite3.OperationalError("locked")
    locked.sqlite_errorcode = sqlite3.SQLITE_BUSY

    away: list[Exception] = [StoreDown(), undefined, locked, TypeError(), RuntimeError(), OSError()]
    unfit = [Duplicate(), asyncpg.CheckViolationError("x"), asyncpg.DataError("x")]

    assert [is_unfit(error) for error in away] == [False] * len(away)
    assert [is_unfit(error) for error in unfit] == [True] * len(unfit)


async def test_shippers_that_book_the_same_at_once_book_it_once(
    store: Database, other: Database
) -> None:
    charges = tuple(Charged(f"key:{number}", 0, 0) for number in range(7))
    ends = [end(f"r{number}", charges=charges, model=f"m{number % 5}") for number in range(60)]

    async def ship(to: Database, some: Sequence[Record]) -> int:
        ended = 0
        for first in range(0, len(some), 20):
            while True:
                try:
                    ended += (await book(to, HOST, some[first : first + 20])).ended
                    break
                except StoreDown:
                    await asyncio.sleep(0.01)
        return ended

    both = await asyncio.gather(ship(store, ends), ship(other, ends[::-1]))

    assert sum(both) == 60
    for number in range(7):
        assert await counted(store, f"key:{number}") == (60, 60 * 70, 60 * 70)
    asked = "SELECT CAST(sum(requests) AS bigint) FROM statistics GROUP BY span"
    assert await store.fetch(asked) == [(60,), (60,)]


# The same requests, in other words: some have not ended, some have several attempts.
STORY: list[Record] = [
    start("a"), progress("a"), progress("a", AT + 10, 50), end("a"),
    start("b"), start("b", attempt=2, deployment="lab/n"), progress("b"),
    start("c"), progress("d"), end("e", outcome="client_gone", status=499),
    Adjust("f", AT, CHARGES[0], -1, -10, -10), Content("a", AT, "asked", "answered"),
]  # fmt: skip


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    story=st.permutations(STORY).flatmap(
        lambda order: st.tuples(
            st.just(order),
            st.lists(st.sampled_from(STORY), max_size=6),
            st.lists(st.integers(0, len(order)), max_size=4),
        )
    )
)
async def test_no_order_and_no_repetition_makes_a_difference(
    store: Database, story: tuple[list[Record], list[Record], list[int]]
) -> None:
    order, repeated, cuts = story
    delivered = [*order, *repeated]
    for table in await everything(store):
        await store.execute(f"DELETE FROM {table}")
    edges = [0, *sorted(cuts), len(delivered)]

    for first, last in pairwise(edges):
        await book(store, HOST, delivered[first:last])
    found = await everything(store)

    for table in found:
        await store.execute(f"DELETE FROM {table}")
    await book(store, HOST, STORY)
    assert found == await everything(store)
