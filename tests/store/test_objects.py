"""Revisions, changes, tombstones: in both databases."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from proxy.core import clock
from proxy.core.records import Record
from proxy.store import objects
from proxy.store.base import Duplicate, Row, Session, StoreDown
from proxy.store.objects import Mark, changes, lock, mark, sweep, unlock, write
from proxy.store.opening import Database


def record(id: int, name: str = "", **fields: object) -> Record:
    return replace(Record("key", id, id, name or f"k{id}"), **fields)


async def put(store: Database, records: Iterable[Record]) -> list[Record]:
    """Write them, each with the next revision; what was written."""
    written = []
    async with store.transaction() as session:
        revision = await lock(session)
        for one in records:
            revision += 1
            made = replace(one, revision=revision, id=one.id or revision)
            await write(session, made)
            written.append(made)
        await unlock(session, revision)
    return written


def plain(records: Iterable[Record]) -> list[dict[str, object]]:
    return [asdict(one) for one in records]


async def test_an_empty_store_is_at_revision_0(store: Database) -> None:
    assert await mark(store) == Mark(0, 0)
    assert await changes(store, 0) == []


async def test_a_record_comes_back_as_it_was_written(store: Database, other: Database) -> None:
    given = Record(
        kind="credential",
        id=0,
        revision=0,
        name="größer/🌊",
        parent=7,
        spec='{"weight":2,"note":"é\\u0000"}'.encode(),
        sealed="v1.k.n.c",
        private=b'[{"id":"abc"}]',
        created=1_800_000_000.123456,
        updated=1_800_000_001.0,
    )

    [written] = await put(store, [given])

    assert plain(await changes(other, 0)) == plain([written])
    assert await mark(other) == Mark(1, 0)


async def test_changes_are_what_came_after_in_order(store: Database) -> None:
    first, second, third = await put(store, [record(0, name) for name in "abc"])
    [again] = await put(store, [replace(first, spec=b'{"rpm":1}')])

    assert plain(await changes(store, 0)) == plain([second, third, again])
    assert plain(await changes(store, second.revision)) == plain([third, again])
    assert await changes(store, again.revision) == []


async def test_a_deleted_object_is_told_to_who_knew_it(store: Database) -> None:
    first, second = await put(store, [record(0, "a", sealed="s", private=b"[1]"), record(0, "b")])
    gone = replace(first, deleted=True)

    await put(store, [gone])

    [told] = await changes(store, second.revision)
    assert told.deleted
    assert (told.id, told.name) == (first.id, "a")
    assert (told.spec, told.sealed, told.private) == (b"{}", "", b"")
    assert plain(await changes(store, 0)) == plain([second])


async def test_a_name_is_taken_once_among_the_living_of_a_kind(store: Database) -> None:
    [first] = await put(store, [record(0, "a")])

    with pytest.raises(Duplicate):
        await put(store, [record(0, "a")])
    await put(store, [replace(record(0, "a"), kind="model")])
    await put(store, [replace(first, deleted=True)])
    await put(store, [record(0, "a")])

    assert [(one.kind, one.name) for one in await changes(store, 0)] == [
        ("model", "a"),
        ("key", "a"),
    ]


async def test_objects_without_a_name_are_many(store: Database) -> None:
    await put(store, [Record("deployment", 0, 0, parent=1) for _ in range(3)])

    assert len(await changes(store, 0)) == 3


async def test_a_write_that_fails_takes_no_revision(store: Database) -> None:
    await put(store, [record(0, "a")])

    with pytest.raises(Duplicate):
        await put(store, [record(0, "b"), record(0, "a")])

    assert await mark(store) == Mark(1, 0)
    assert [one.name for one in await changes(store, 0)] == ["a"]


async def test_reading_goes_on_from_page_to_page(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PAGE", 10)
    written = await put(store, [record(0, f"k{number}") for number in range(30)])

    assert plain(await changes(store, 0)) == plain(written)
    assert plain(await changes(store, 5)) == plain(written[5:])


class Meddling:
    """A session in whose pauses somebody else writes."""

    def __init__(self, store: Database, after: int, records: list[Record]) -> None:
        self._store = store
        self._left = after
        self._records = records

    async def fetch(
        self, sql: str, *values: object, timeout: float = 2.0
    ) -> list[tuple[object, ...]]:
        rows = await self._store.fetch(sql, *values, timeout=timeout)
        self._left -= 1
        if self._left == 0:
            await put(self._store, self._records)
        return rows

    async def execute(self, sql: str, *values: object, timeout: float = 2.0) -> int:
        raise AssertionError

    async def each(self, sql: str, rows: object, *, timeout: float = 2.0) -> list[Row]:
        raise AssertionError

    async def insert(self, what: object, rows: object, *, timeout: float = 2.0) -> list[Row]:
        raise AssertionError


@pytest.mark.parametrize("after", [1, 2, 3])
@pytest.mark.parametrize("since", [0, 1])
async def test_what_is_written_between_two_pages_is_not_missed(
    store: Database, monkeypatch: pytest.MonkeyPatch, after: int, since: int
) -> None:
    monkeypatch.setattr(objects, "PAGE", 2)
    written = await put(store, [record(0, name) for name in "abcdef"])
    edits = [replace(written[2], deleted=True), replace(written[4], spec=b'{"rpm":1}')]
    session: Session = Meddling(store, after, edits)

    read = await changes(session, since)
    read += await changes(store, read[-1].revision)

    living = {one.id: one for one in read}
    assert living[written[2].id].deleted
    assert living[written[4].id].spec == b'{"rpm":1}'
    assert [a.revision < b.revision for a, b in pairwise(read)] == [True] * (len(read) - 1)


async def test_who_waited_for_the_lock_sees_what_it_waited_for(
    store: Database, other: Database
) -> None:
    seen: list[int] = []

    async def second() -> None:
        async with other.transaction() as session:
            seen.append(await lock(session))
            seen.append(len(await changes(session, 0)))

    async with store.transaction() as session:
        revision = await lock(session)
        waiting = asyncio.ensure_future(second())
        await write(session, record(revision + 1))
        await asyncio.sleep(0.05)
        assert not seen
        await unlock(session, revision + 1)
    await waiting

    assert seen == [1, 1]


async def test_no_revision_is_lost_or_seen_out_of_order(store: Database, other: Database) -> None:
    """Two processes with five writers each, and a reader that asks for what is new all the time."""
    seen: list[int] = []

    async def writer(to: Database, name: str) -> None:
        for number in range(6):
            await put(to, [record(0, f"{name}-{number}-{part}") for part in "ab"])

    async def reader() -> None:
        while len(seen) < 120:
            new = await changes(other, seen[-1] if seen else 0)
            seen.extend(one.revision for one in new)
            assert len(new) % 2 == 0, "half a transaction"

    writers = [
        writer(to, f"{index}-{n}") for index, to in enumerate((store, other)) for n in range(5)
    ]
    await asyncio.gather(reader(), *writers)

    assert seen == list(range(1, 121))
    assert await mark(store) == Mark(120, 0)


async def test_tombstones_are_swept_after_a_week_and_the_floor_says_so(
    store: Database, hands: clock.Hands
) -> None:
    old, young, alive = await put(
        store, [record(0, name, updated=clock.now()) for name in ("old", "young", "alive")]
    )
    [gone] = await put(store, [replace(old, deleted=True)])
    hands.advance(6 * 86_400)
    await put(store, [replace(young, deleted=True, updated=clock.now())])
    assert await sweep(store) == 0

    hands.advance(1 * 86_400 + 1)

    assert await sweep(store) == 1
    assert await mark(store) == Mark(5, gone.revision)
    assert [one.name for one in await changes(store, 1)] == ["alive", "young"]
    assert plain(await changes(store, 0)) == plain([alive])
    assert await sweep(store) == 0


async def test_opening_sweeps(store: Database, other: Database, hands: clock.Hands) -> None:
    [made] = await put(store, [record(0, "a")])
    await put(store, [replace(made, deleted=True, updated=clock.now())])
    hands.advance(8 * 86_400)

    await other.open()

    assert await mark(store) == Mark(2, 2)
    assert await store.fetch("SELECT count(*) FROM objects") == [(0,)]


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    name=texts, spec=texts, sealed=texts, times=st.floats(0, 1e11), parent=st.integers(0, 2**63 - 1)
)
async def test_any_text_comes_back(
    store: Database, name: str, spec: str, sealed: str, times: float, parent: int
) -> None:
    before = (await mark(store)).revision
    one = Record("signal", 0, 0, "", parent, spec.encode(), sealed, name.encode(), times, times)

    written = await put(store, [one])

    assert plain(await changes(store, before)) == plain(written)


async def test_a_store_without_its_revision_is_being_restored(store: Database) -> None:
    await store.execute("DELETE FROM revision")

    with pytest.raises(StoreDown, match="restored"):
        await mark(store)
