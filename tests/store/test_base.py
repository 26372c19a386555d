"""What every store promises, in both databases."""

from __future__ import annotations

import asyncio

import pytest

from proxy.store.base import ADMIN_TIMEOUT, CALL_TIMEOUT, Duplicate, Session, Store
from proxy.store.opening import Database, open_store

PEPPER = "INSERT INTO peppers (id, sealed, created) VALUES ($1, $2, $3)"


async def names(store: Session) -> list[str]:
    return [row[0] for row in await store.fetch("SELECT id FROM peppers ORDER BY id")]


async def both(store: Store, one: object, two: object) -> None:
    """Two rows in one transaction."""
    async with store.transaction() as session:
        await session.execute(PEPPER, one, "", 0.0)
        await session.execute(PEPPER, two, "", 0.0)


async def test_a_database_is_a_store(store: Database) -> None:
    kept: Store = store

    assert kept.backend in {"sqlite", "postgresql"}
    assert kept.url.startswith(kept.backend)
    assert "a-river" not in kept.url


async def test_rows_are_tuples_of_plain_values(store: Database) -> None:
    await store.execute(PEPPER, "a", "größer 🌊", 1.5)
    await store.execute(
        "INSERT INTO tokens (name, digest, pepper, last4, role, created) VALUES ($1, $2, $3, $4, $5, $6)",
        *("ci", "d", "a", "1234", "viewer", 2),
    )

    assert await store.fetch("SELECT id, sealed, created FROM peppers") == [("a", "größer 🌊", 1.5)]
    assert await store.fetch("SELECT created, scopes, expires, enabled FROM tokens") == [
        (2.0, None, None, 1)
    ]


async def test_execute_says_how_many_rows_it_changed(store: Database) -> None:
    changed = [await store.execute(PEPPER, name, "", 0.0) for name in "abc"]

    assert changed == [1, 1, 1]
    assert await store.execute("UPDATE peppers SET sealed = $1 WHERE id <> $2", "x", "a") == 2
    assert await store.execute("DELETE FROM peppers WHERE id = $1", "none") == 0


async def test_a_parameter_may_stand_twice_and_in_any_order(store: Database) -> None:
    await store.execute(PEPPER, "a", "x", 1.0)

    rows = await store.fetch(
        "SELECT id FROM peppers WHERE created < $2 AND id = $1 AND $2 > created", "a", 2.0
    )

    assert rows == [("a",)]


async def test_fetch_may_write(store: Database, other: Database) -> None:
    sql = PEPPER + " ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed RETURNING sealed"

    assert await store.fetch(sql, "a", "one", 1.0) == [("one",)]
    assert await store.fetch("\n  " + sql, "a", "two", 1.0) == [("two",)]
    assert await other.fetch("SELECT sealed FROM peppers") == [("two",)]


async def test_one_statement_for_many_rows_gives_what_each_returns(store: Database) -> None:
    sql = PEPPER + " ON CONFLICT (id) DO NOTHING RETURNING id, sealed"
    rows = [(name, f"seal of {name}", 0.0) for name in "cab"]

    assert await store.each(sql, rows[:2]) == [("c", "seal of c"), ("a", "seal of a")]
    async with store.transaction() as session:
        assert await session.each(sql, rows) == [("b", "seal of b")]
        assert await session.each(sql, []) == []
    assert await store.fetch("SELECT id FROM peppers ORDER BY id") == [("a",), ("b",), ("c",)]


async def test_one_statement_for_many_rows_is_all_or_nothing(store: Database) -> None:
    rows = [("a", "", 0.0), ("b", "", 0.0), ("a", "", 0.0)]

    with pytest.raises(Duplicate):
        await store.each(PEPPER, rows)
    with pytest.raises(ValueError, match="NUL"):
        await store.each(PEPPER, [("a", "", 0.0), ("b\0", "", 0.0)])

    assert await store.fetch("SELECT id FROM peppers") == []


@pytest.mark.parametrize("timeout", [CALL_TIMEOUT, ADMIN_TIMEOUT])
async def test_what_is_taken_is_a_duplicate(store: Database, timeout: float) -> None:
    await store.execute(PEPPER, "a", "", 0.0, timeout=timeout)

    with pytest.raises(Duplicate):
        await store.execute(PEPPER, "a", "", 0.0, timeout=timeout)
    with pytest.raises(Duplicate):
        await both(store, "b", "a")

    assert await names(store) == ["a"]


async def test_the_error_of_a_duplicate_shows_no_value(store: Database) -> None:
    await store.execute(PEPPER, "a-secret", "", 0.0)

    with pytest.raises(Duplicate) as caught:
        await store.execute(PEPPER, "a-secret", "", 0.0)

    assert "a-secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


async def test_a_transaction_is_seen_when_it_ends(store: Database, other: Database) -> None:
    async with store.transaction() as session:
        await session.execute(PEPPER, "a", "", 0.0)
        assert await names(session) == ["a"]
        assert await names(store) == []
        assert await names(other) == []

    assert await names(store) == await names(other) == ["a"]


async def test_a_transaction_that_fails_leaves_nothing(store: Database, other: Database) -> None:
    async def fail() -> None:
        async with store.transaction() as session:
            await session.execute(PEPPER, "a", "", 0.0)
            raise KeyError

    with pytest.raises(KeyError):
        await fail()

    assert await names(store) == await names(other) == []


async def test_a_cancelled_transaction_leaves_nothing_and_blocks_nobody(
    store: Database, other: Database
) -> None:
    inside = asyncio.Event()

    async def write() -> None:
        async with store.transaction() as session:
            await session.execute(PEPPER, "a", "", 0.0)
            await session.execute("UPDATE revision SET floor = floor")
            inside.set()
            await asyncio.Event().wait()

    writing = asyncio.ensure_future(write())
    await inside.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing

    for one in (store, other):
        async with one.transaction() as session:
            await session.execute("UPDATE revision SET floor = floor")
    assert await names(store) == []


async def test_a_call_may_be_cancelled_at_any_moment(store: Database) -> None:
    for turns in range(12):
        call = asyncio.ensure_future(store.fetch("SELECT id FROM peppers"))
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])

    assert await names(store) == []


async def test_a_transaction_may_be_cancelled_at_any_moment(store: Database) -> None:
    async def write(name: str) -> None:
        async with store.transaction() as session:
            await session.execute(PEPPER, name + "1", "", 0.0)
            await session.execute(PEPPER, name + "2", "", 0.0)

    for turns in range(0, 40, 2):
        call = asyncio.ensure_future(write(f"{turns:02}-"))
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])

    await write("last-")
    kept = await names(store)
    assert kept[-2:] == ["last-1", "last-2"]
    assert len(kept) % 2 == 0
    assert [name[:-1] for name in kept[::2]] == [name[:-1] for name in kept[1::2]]


async def test_an_error_ends_a_transaction_even_if_it_is_caught(store: Database) -> None:
    await store.execute(PEPPER, "a", "", 0.0)

    async def go_on() -> None:
        async with store.transaction() as session:
            await session.execute(PEPPER, "b", "", 0.0)
            with pytest.raises(Duplicate):
                await session.execute(PEPPER, "a", "", 0.0)
            with pytest.raises(RuntimeError, match="after an error"):
                await names(session)

    with pytest.raises(RuntimeError, match="was caught within it"):
        await go_on()

    assert await names(store) == ["a"]


async def test_many_writers_take_turns(store: Database, other: Database) -> None:
    await store.execute(PEPPER, "n", "0", 0.0)

    async def add(to: Database) -> None:
        async with to.transaction() as session:
            await session.execute("UPDATE revision SET floor = floor")
            [(number,)] = await session.fetch("SELECT sealed FROM peppers")
            await session.execute("UPDATE peppers SET sealed = $1", str(int(number) + 1))

    await asyncio.gather(*(add(to) for _ in range(20) for to in (store, other)))

    assert await store.fetch("SELECT sealed FROM peppers") == [("40",)]


@pytest.mark.parametrize("value", ["a\0b", "\ud800", 2**63, -(2**63) - 1])
async def test_what_cannot_be_stored_is_refused_before_a_database_sees_it(
    store: Database, value: object
) -> None:
    with pytest.raises(ValueError, match=r"NUL|surrogate|64 bits"):
        await store.execute(PEPPER, value, "", 0.0)
    with pytest.raises(ValueError, match=r"NUL|surrogate|64 bits"):
        await both(store, "a", value)

    assert await names(store) == []


async def test_a_mistake_of_ours_is_not_a_store_that_is_down(store: Database) -> None:
    with pytest.raises(Exception, match=r"(?i)syntax") as caught:
        await store.fetch("SELEKT")

    assert type(caught.value).__module__ in {"sqlite3", "asyncpg.exceptions"}
    assert await names(store) == []


async def test_who_listens_is_woken_by_another_connection(store: Database, other: Database) -> None:
    woken = asyncio.Event()
    await other.listen(woken.set)
    await asyncio.wait_for(woken.wait(), 10)  # for what was written before it listened
    woken.clear()

    for _ in range(2):
        async with store.transaction() as session:
            await session.execute("UPDATE revision SET revision = revision + 1")
        await asyncio.wait_for(woken.wait(), 10)
        woken.clear()


async def test_a_store_works_again_after_it_was_closed(store: Database) -> None:
    await store.execute(PEPPER, "a", "", 0.0)

    await store.close()
    await store.close()

    assert await names(store) == ["a"]


async def test_the_first_call_opens_a_store(store_url: str) -> None:
    store = open_store(store_url)

    found = await asyncio.gather(*(names(store) for _ in range(5)))
    await store.close()

    assert found == [[]] * 5


@pytest.mark.parametrize("change", ["UPDATE audit SET principal = 'nobody'", "DELETE FROM audit"])
async def test_the_audit_log_is_not_rewritten(store: Database, change: str) -> None:
    sql = "INSERT INTO audit (at, principal, action) VALUES ($1, $2, $3)"
    await store.execute(sql, 1.0, "token", "create")

    with pytest.raises(Exception, match="the audit log is not rewritten"):
        await store.execute(change)

    assert await store.fetch("SELECT principal FROM audit") == [("token",)]
