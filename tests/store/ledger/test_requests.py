"""The log of requests: filters, pages that nothing shifts, everything in a stream."""

from __future__ import annotations

import pytest

from proxy.ledger.records import Content
from proxy.store.ledger.booking import book
from proxy.store.ledger.requests import Filters, export, one, page
from proxy.store.opening import Database
from tests.store.ledger.made import AT, HOST, end, progress, start


async def fill(store: Database) -> None:
    await book(
        store,
        HOST,
        [
            end("a", AT + 1),
            end("b", AT + 2, key_id="8", key="k8", team="", model="n", deployment="lab/n"),
            end("c", AT + 2, status=503, outcome="failed", cause="no_up", owner="", provider=""),
            start("d", AT + 3, operation="embeddings"),
            progress("e", AT + 4),
        ],
    )


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (Filters(), "edcba"),
        (Filters(since=AT + 2, until=AT + 3), "cb"),
        (Filters(key_id="8"), "b"),
        (Filters(key="k7"), "dca"),
        (Filters(team="blue"), "dca"),
        (Filters(team=""), "eb"),
        (Filters(owner="otto"), "dba"),
        (Filters(operation="embeddings"), "d"),
        (Filters(asked="m", model="n"), "b"),
        (Filters(deployment="lab/m"), "dca"),
        (Filters(provider=""), "ec"),
        (Filters(status=200), "ba"),
        (Filters(status=503), "c"),
        (Filters(outcome="failed", cause="no_up"), "c"),
        (Filters(failed=True), "c"),
        (Filters(open=True), "ed"),
        (Filters(route="/nowhere"), ""),
    ],
)
async def test_filters(store: Database, filters: Filters, found: str) -> None:
    await fill(store)

    assert "".join(entry.rid for entry in await page(store, filters)) == found


async def test_what_comes_meanwhile_does_not_shift_pages(store: Database) -> None:
    await fill(store)

    first = await page(store, limit=2)
    await book(store, HOST, [end("z", AT + 9), end("d", AT + 3)])
    second = await page(store, after=(first[-1].at, first[-1].rid), limit=2)
    third = await page(store, after=(second[-1].at, second[-1].rid), limit=2)

    assert [[entry.rid for entry in some] for some in (first, second, third)] == [
        ["e", "d"],
        ["c", "b"],  # of the same moment
        ["a"],
    ]


@pytest.mark.parametrize("count", [0, 5, 6, 7])
async def test_an_export_has_all_of_them_in_pages(store: Database, count: int) -> None:
    await book(store, HOST, [end(f"{number}", AT + number // 2) for number in range(count)])

    pages = [[entry.rid for entry in some] async for some in export(store, size=3)]

    assert sorted(rid for some in pages for rid in some) == [f"{number}" for number in range(count)]
    assert all(0 < len(some) <= 3 for some in pages)


async def test_one_has_its_attempts_and_its_content(store: Database) -> None:
    await book(store, HOST, [end("a"), end("b"), Content("a", AT, "asked", "answered")])

    with_content, without = await one(store, "a"), await one(store, "b")

    assert await one(store, "none") is None
    assert with_content is not None
    assert without is not None
    assert (with_content.request, with_content.response) == ("asked", "answered")
    assert [attempt.number for attempt in with_content.attempts] == [1, 2]
    assert (without.request, without.response) == (None, None)


async def test_pages_are_found_by_an_index(store: Database) -> None:
    explain = "EXPLAIN " if store.backend == "postgresql" else "EXPLAIN QUERY PLAN "
    asked: list[str] = []

    class Explained:
        """A session that says how it would find what is asked."""

        async def fetch(self, sql: str, *values: object, timeout: float = 5.0) -> list[tuple[str]]:
            async with store.transaction() as session:
                if store.backend == "postgresql":
                    await session.execute("SET LOCAL enable_seqscan = off")
                rows = await session.fetch(explain + sql, *values, timeout=timeout)
            asked.append(" ".join(str(row) for row in rows))
            return []

    session: object = Explained()
    for filters, index in (
        (Filters(), "requests_at"),
        (Filters(key_id="7"), "requests_key"),
        (Filters(team="blue"), "requests_team"),
        (Filters(model="m"), "requests_model"),
        (Filters(failed=True), "requests_failed"),
        (Filters(open=True), "requests_open"),
    ):
        await page(session, filters, (AT, "x"))  # type: ignore[arg-type]
        assert index in asked[-1], asked[-1]
