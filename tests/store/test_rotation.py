"""Master keys are replaced while everything goes on: in steps, resumable, and what does not open is named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from proxy.core.records import Kind, Record
from proxy.core.secret import Secret
from proxy.core.vault import Vault, kid_of
from proxy.store import objects, peppers, rotation
from proxy.store.base import Store
from proxy.store.opening import open_store

OLD, NEW = Secret("r8Kq2mZx0VbTn4Wc7LpYs1HdJf6GuAeE"), Secret("Zt5wQ9oXk3NvR7yBc1MhL8sDfP0aGj2U")
OTHER = Secret("aZ3xC6vB9nM2qW5eR8tY1uI4oP7sD0fG")
BEFORE, BOTH, AFTER = Vault([OLD]), Vault([NEW, OLD]), Vault([NEW])


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    one = open_store(store_url)
    await one.open()
    yield one
    await one.close()


async def fill(store: Store, count: int, vault: Vault = BEFORE) -> None:
    """A pepper, a provider with a secret, so many credentials, and a model, which has none."""
    await peppers.ensure(store, vault)
    async with store.transaction() as session:
        revision = await objects.lock(session)
        first = revision + 1
        for number in range(count + 2):
            id = first + number
            kind = (Kind.PROVIDER, Kind.MODEL)[number] if number < 2 else Kind.CREDENTIAL
            await objects.write(
                session,
                Record(
                    kind,
                    id,
                    id,
                    name=f"{kind}-{id}" if number < 2 else "",
                    parent=first if number > 1 else 0,
                    sealed="" if number == 1 else vault.seal(b"secret %d" % id, f"{kind}/{id}"),
                ),
            )
        await objects.unlock(session, first + count + 1)


async def sealed(store: Store) -> dict[str, str]:
    """Every sealed value by its place."""
    rows = await store.fetch("SELECT kind, id, sealed FROM objects WHERE sealed <> ''")
    found = {f"{kind}/{id}": value for kind, id, value in rows}
    return found | {peppers.place(row.id): row.sealed for row in await peppers.rows(store)}


async def test_everything_is_sealed_again_and_says_the_same(store: Store) -> None:
    await fill(store, 120)
    before = await sealed(store)
    seen: list[tuple[int, int]] = []

    done = await rotation.rotate(store, BOTH, lambda *step: seen.append(step))

    after = await sealed(store)
    assert (done.kid, done.resealed, done.left, done.unopened) == (AFTER.kids[0], 122, {}, ())
    assert {kid_of(value) for value in after.values()} == {AFTER.kids[0]}
    for place, value in after.items():
        assert AFTER.open(value, place) == BEFORE.open(before[place], place)
    assert seen == [(1, 122), (51, 122), (101, 122), (122, 122)]


async def test_who_follows_the_revision_sees_every_change(store: Store) -> None:
    await fill(store, 3)
    since = (await objects.mark(store)).revision

    await rotation.rotate(store, BOTH)

    changed = await objects.changes(store, since)
    assert len(changed) == 4
    assert [record.revision for record in changed] == list(range(since + 2, since + 6))
    assert (await objects.mark(store)).revision == since + 5


async def test_a_second_run_has_nothing_to_do(store: Store) -> None:
    await fill(store, 3)
    await rotation.rotate(store, BOTH)
    revision = (await objects.mark(store)).revision

    again = await rotation.rotate(store, BOTH)

    assert (again.resealed, again.left) == (0, {})
    assert (await objects.mark(store)).revision == revision


class Enough(Exception):
    """The run ends here."""


async def test_what_was_broken_off_is_gone_on_with(store: Store) -> None:
    await fill(store, 120)

    def stop(done: int, _total: int) -> None:
        if done > 50:
            raise Enough

    with pytest.raises(Enough):
        await rotation.rotate(store, BOTH, stop)
    assert await rotation.left(store) == {BEFORE.kids[0]: 71, AFTER.kids[0]: 51}
    for place, value in (await sealed(store)).items():
        assert BOTH.open(value, place)

    done = await rotation.rotate(store, BOTH)

    assert (done.resealed, done.left) == (71, {})


async def test_two_runs_at_once_do_it_once(store: Store, store_url: str) -> None:
    await fill(store, 120)
    other = open_store(store_url)

    first, second = await asyncio.gather(rotation.rotate(store, BOTH), rotation.rotate(other, BOTH))
    await other.close()

    assert first.resealed + second.resealed == 122
    assert await rotation.left(store) == {AFTER.kids[0]: 122}


async def test_what_does_not_open_is_named_and_left_as_it_is(store: Store) -> None:
    await fill(store, 60)
    places = sorted(place for place in await sealed(store) if place.startswith("credential/"))
    changes = {
        places[0]: Vault([OTHER]).seal(b"foreign", places[0]),  # another key
        places[1]: BEFORE.seal(b"moved", places[2]),  # another place
        places[3]: "sk-written-here-by-hand",
    }
    for place, value in changes.items():
        kind, _, id = place.partition("/")
        await store.execute(
            "UPDATE objects SET sealed = $1 WHERE kind = $2 AND id = $3", value, kind, int(id)
        )

    done = await rotation.rotate(store, BOTH)

    assert done.resealed == 59
    assert done.left == {Vault([OTHER]).kids[0]: 1, BEFORE.kids[0]: 1, "": 1}
    assert [one.partition(":")[0] for one in done.unopened] == sorted(changes, key=_number)
    assert "sk-written" not in repr(done)
    after = await sealed(store)
    assert {place: after[place] for place in changes} == changes


def _number(place: str) -> int:
    return int(place.partition("/")[2])


async def test_an_empty_store_has_nothing_to_seal(store: Store) -> None:
    done = await rotation.rotate(store, BOTH)

    assert (done.resealed, done.left) == (0, {})
