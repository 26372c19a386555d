"""What changed is read whole: nothing in between is missed, and what is gone is known to be gone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.core.clock import now
from proxy.core.records import Kind, Record
from proxy.store import delta, objects
from proxy.store.base import CALL_TIMEOUT, Row, Session, Store
from proxy.store.bulk import Insert
from proxy.store.opening import open_store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    one = open_store(f"sqlite:///{tmp_path}/store.db")
    await one.open()
    yield one
    await one.close()


async def write(store: Store, name: str, *, id: int = 0, deleted: bool = False) -> int:
    """One key; its revision."""
    async with store.transaction() as session:
        revision = await objects.lock(session) + 1
        id = id or revision
        record = Record(Kind.KEY, id, revision, name=name, deleted=deleted)
        record = replace(record, created=float(id), updated=now())
        await objects.write(session, record)
        await objects.unlock(session, revision)
    return revision


def told(change: delta.Delta) -> list[tuple[int, str, bool]]:
    return [(one.id, one.name, one.deleted) for one in change.records]


async def test_at_first_everything_that_lives_is_read(store: Store) -> None:
    one = await write(store, "a")
    two = await write(store, "b")
    await write(store, "a", id=one, deleted=True)

    change = await delta.read(store, delta.NEVER)

    assert (told(change), change.revision, change.whole) == ([(two, "b", False)], 3, True)


async def test_of_an_empty_store_there_is_nothing_to_know(store: Store) -> None:
    change = await delta.read(store, delta.NEVER)

    assert (change.records, change.revision, change.whole) == ([], 0, True)
    assert told(await delta.read(store, 0)) == []


async def test_later_only_what_changed_is_read(store: Store) -> None:
    one = await write(store, "a")
    seen = (await delta.read(store, delta.NEVER)).revision
    two = await write(store, "b")
    await write(store, "a", id=one, deleted=True)

    change = await delta.read(store, seen)

    assert not change.whole
    assert told(change) == [(two, "b", False), (one, "a", True)]
    assert told(await delta.read(store, change.revision)) == []


async def test_behind_what_was_cleared_away_everything_is_read(store: Store) -> None:
    one, two = await write(store, "a"), await write(store, "b")
    await write(store, "a", id=one, deleted=True)
    await write(store, "c")
    await store.execute("DELETE FROM objects WHERE deleted = 1")
    await store.execute("UPDATE revision SET floor = 3")

    change = await delta.read(store, two)

    assert change.whole
    assert [name for _, name, _ in told(change)] == ["b", "c"]
    assert not (await delta.read(store, 3)).whole


async def test_from_an_older_store_everything_is_read(store: Store) -> None:
    await write(store, "a")

    change = await delta.read(store, 17)

    assert (change.whole, change.revision) == (True, 1)


async def restored(store: Store, before: int, after: list[str]) -> None:
    """Put an older state in its place, as a backup is, and write these since."""
    await store.execute("DELETE FROM objects WHERE revision > $1", before)
    await store.execute("UPDATE revision SET revision = $1", before)
    for name in after:
        await write(store, name)


@pytest.mark.parametrize("since", [["c"], ["c", "d"], ["c", "d", "e"]])
async def test_an_older_store_that_has_been_written_to_is_read_whole(
    store: Store, since: list[str]
) -> None:
    backup = await write(store, "a")
    await write(store, "b")
    lost = await write(store, "lost")
    seen = await delta.read(store, delta.NEVER)
    assert (seen.revision, seen.last.revision if seen.last else 0) == (lost, lost)

    await restored(store, backup, since)

    change = await delta.read(store, seen.revision, seen.last)
    assert [name for _, name, _ in told(change)] == ["a", *since]
    assert (change.whole, change.revision) == (True, backup + len(since))
    assert told(await delta.read(store, change.revision, change.last)) == []


async def test_what_was_read_last_may_have_changed_since(store: Store) -> None:
    one = await write(store, "a")
    seen = await delta.read(store, delta.NEVER)
    await write(store, "a", id=one, deleted=True)

    change = await delta.read(store, seen.revision, seen.last)
    assert (change.whole, told(change)) == (False, [(one, "a", True)])
    assert not (await delta.read(store, change.revision, change.last)).whole

    await store.execute("UPDATE revision SET revision = revision + 1")  # peppers, sealed anew
    later = await delta.read(store, change.revision, change.last)
    assert (later.whole, later.records, later.last) == (False, [], change.last)


class Interrupted:
    """A session in which somebody clears away right after the mark was read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._once = False

    async def fetch(self, sql: str, *values: Any, timeout: float = CALL_TIMEOUT) -> list[Row]:
        rows = await self._store.fetch(sql, *values, timeout=timeout)
        if "floor" in sql and not self._once:
            self._once = True
            await self._store.execute("DELETE FROM objects WHERE deleted = 1")
            await self._store.execute("UPDATE revision SET floor = revision")
        return rows

    async def execute(self, sql: str, *values: Any, timeout: float = CALL_TIMEOUT) -> int:
        return await self._store.execute(sql, *values, timeout=timeout)

    async def each(
        self, sql: str, rows: Sequence[Row], *, timeout: float = CALL_TIMEOUT
    ) -> list[Row]:
        return await self._store.each(sql, rows, timeout=timeout)

    async def insert(
        self, what: Insert, rows: Sequence[Row], *, timeout: float = CALL_TIMEOUT
    ) -> list[Row]:
        return await self._store.insert(what, rows, timeout=timeout)


async def test_what_is_cleared_away_in_between_is_not_missed(store: Store) -> None:
    one = await write(store, "a")
    await write(store, "b")
    await write(store, "a", id=one, deleted=True)
    session: Session = Interrupted(store)

    change = await delta.read(session, 2)

    assert change.whole
    assert [name for _, name, _ in told(change)] == ["b"]
