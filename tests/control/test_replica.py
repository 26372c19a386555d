"""What a worker has of its store: nothing that is gone, everything that came, and only what its keys open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.control.replica import Replica
from proxy.core.records import Kind
from proxy.core.secret import Secret
from proxy.core.vault import Vault
from proxy.core.virtual_key import kept, mint, private
from proxy.store import delta, objects, peppers
from proxy.store.base import Store, StoreDown
from tests.control.syncing import (
    KEY,
    Place,
    Worker,
    copied,
    find,
    lose,
    model,
    opened,
    put,
    put_in,
    until,
    working,
)

OTHER = "aZ3xC6vB9nM2qW5eR8tY1uI4oP7sD0fG"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A file, and a store in SQLite."""
    return Place(tmp_path)


async def test_much_at_once_is_taken_in(place: Place) -> None:
    async with working(place) as worker, opened(place) as store:
        assert worker.sync.vault is not None
        digest = private([kept(mint(), worker.sync.peppers[0])])
        async with store.transaction() as session:
            revision = await objects.lock(session)
            for number in range(1500):
                revision += 1
                await session.execute(
                    "INSERT INTO objects (kind, id, revision, name, private, created, updated)"
                    " VALUES ('key', $1, $1, $2, $3, 0, 0)",
                    revision,
                    f"key {number}",
                    digest.decode(),
                )
            await objects.unlock(session, revision)
        await until(lambda: worker.sync.revision == revision)

        assert len(worker.sync.mirror.records[Kind.KEY]) == 1500
        assert worker.models == {"filed"}


async def test_a_worker_that_was_away_too_long_reads_everything(place: Place) -> None:
    worker = Worker(place)
    async with opened(place) as store:
        gone = await put(store, Kind.MODEL, "gone")
        await put(store, Kind.DEPLOYMENT, "", {"provider": "lab"}, parent=gone)
        await worker.start()
        assert "gone" in worker.models
        await put(store, Kind.MODEL, "gone", id=gone, deleted=True)
        revision = await model(store, "stored")
        await store.execute("DELETE FROM objects WHERE deleted = 1")
        await store.execute("UPDATE revision SET floor = $1", revision - 1)

        await worker.sync.refresh()

    assert worker.models == {"filed", "stored"}
    assert worker.sync.mirror.get(Kind.MODEL, "gone") is None
    await worker.sync.close()


async def test_what_a_restored_backup_counts_again_is_read_again(place: Place) -> None:
    """Numbers that were given before mean something else in it, however often that happens."""
    worker = Worker(place)
    async with opened(place) as store:
        backup = await put(store, Kind.MODEL, "kept")
        await worker.start()
        for created, name in enumerate(("one", "two", "three"), start=1):
            async with store.transaction() as session:
                await session.execute("DELETE FROM objects WHERE revision > $1", backup)
                await session.execute("UPDATE revision SET revision = $1", backup)
                spec = {"provider": "lab", "model": name}
                await put_in(
                    session, Kind.DEPLOYMENT, "", spec, parent=backup, created=float(created)
                )

            await worker.sync.refresh()

            ((deployment,),) = worker.state.snapshot.models["kept"].tiers
            assert deployment.model == name
    await worker.sync.close()


@pytest.fixture
async def replica(place: Place) -> AsyncIterator[Replica]:
    one = Replica(place.read())
    yield one
    assert one.store is not None
    await one.store.close()


async def test_a_step_says_what_changed(replica: Replica, place: Place) -> None:
    config = place.read()
    async with opened(place) as store:
        await replica.load(config)
        began = replica.revision
        revision = await model(store, "stored")

        step = await replica.advance(config)

    assert (began, step.since, replica.revision) == (0, 0, revision)
    assert {Kind.MODEL, Kind.DEPLOYMENT} <= step.kinds
    assert (await replica.advance(config)).kinds == frozenset()


async def test_a_step_that_fails_half_way_loses_nothing(replica: Replica, place: Place) -> None:
    config = place.read()
    async with opened(place) as store:
        await model(store, "before")
        await replica.load(config)
        revision = await model(store, "stored")
        await store.execute("ALTER TABLE peppers RENAME TO hidden")
        with pytest.raises(StoreDown):
            await replica.advance(config)
        await store.execute("ALTER TABLE hidden RENAME TO peppers")

        step = await replica.advance(config)

    assert {Kind.MODEL, Kind.DEPLOYMENT} <= step.kinds
    assert (replica.revision, replica.up) == (revision, True)


async def test_an_empty_store_that_comes_back_is_known_to_be_empty(place: Place) -> None:
    async with opened(place):
        pass
    lose(place)
    async with working(place) as worker:
        before = worker.state.snapshot
        assert (before.complete, before.require_auth) == (False, True)  # it may have keys

        find(place)
        await until(lambda: worker.state.snapshot.complete)

        assert worker.state.snapshot.require_auth is False
        assert worker.state.snapshot.peppers == worker.sync.peppers


async def test_peppers_that_are_newer_than_the_copy_make_other_keys(
    replica: Replica, place: Place
) -> None:
    config = place.read()
    await copied(place)
    async with opened(place) as store:
        await replica.restore(config)
        await another_pepper(store)

        step = await replica.advance(config)

    assert replica.peppers[0].id == "new"
    assert Kind.KEY in step.kinds


async def test_what_is_gone_is_gone(replica: Replica, place: Place) -> None:
    config = place.read()
    async with opened(place) as store:
        id = await put(store, Kind.MODEL, "stored")
        await replica.load(config)
        assert replica.mirror.get(Kind.MODEL, "stored") is not None

        await put(store, Kind.MODEL, "stored", id=id, deleted=True)
        step = await replica.advance(config)

    assert step.kinds == {Kind.MODEL}
    assert replica.mirror.get(Kind.MODEL, "stored") is None


async def test_before_it_was_read_it_is_not_complete(replica: Replica, place: Place) -> None:
    assert (replica.complete, replica.revision, replica.up) == (False, delta.NEVER, False)

    await replica.load(place.read())

    assert (replica.complete, replica.source, replica.up) == (True, "store", True)


async def test_without_a_store_everything_is_known(place: Place) -> None:
    place.url = ""
    place.write()
    replica = Replica(place.read())

    assert (replica.complete, replica.age, replica.source) == (True, 0.0, "")
    with pytest.raises(StoreDown):
        await replica.advance(place.read())


async def test_peppers_that_are_sealed_anew_are_no_news(replica: Replica, place: Place) -> None:
    config = place.read()
    await replica.load(config)
    before = replica.peppers
    async with opened(place) as store:
        [row] = await peppers.rows(store)
        vault = Vault([Secret(KEY)])
        again = vault.seal(vault.open(row.sealed, peppers.place(row.id)), peppers.place(row.id))
        await store.execute("UPDATE peppers SET sealed = $1", again)
        await store.execute("UPDATE revision SET revision = revision + 1")

        step = await replica.advance(config)

    assert (replica.peppers, step.kinds) == (before, frozenset())
    assert replica.pepper_rows[0].sealed == again


async def another_pepper(store: Store) -> None:
    sealed = Vault([Secret(KEY)]).seal(b"x" * 32, peppers.place("new"))
    await store.execute(
        "INSERT INTO peppers (id, sealed, created) VALUES ('new', $1, 9e12)", sealed
    )
    await store.execute("UPDATE revision SET revision = revision + 1")


async def test_a_pepper_that_is_new_makes_other_keys(replica: Replica, place: Place) -> None:
    config = place.read()
    await replica.load(config)
    async with opened(place) as store:
        await another_pepper(store)

        step = await replica.advance(config)

    assert step.kinds == {Kind.KEY}
    assert replica.peppers[0].id == "new"


async def test_keys_that_open_nothing_are_not_taken(replica: Replica, place: Place) -> None:
    await replica.load(place.read())
    before = replica.vault, replica.peppers

    for vault in (None, Vault([Secret(OTHER)])):
        with pytest.raises(ValueError, match="none of the master keys"):
            replica.rekey(vault)

    assert (replica.vault, replica.peppers) == before
