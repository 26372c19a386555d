"""The copy on disk is kept, by one worker of a host, and never for long."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from proxy.control.keeping import Keeper
from tests.control.syncing import KEY, Place, Worker, lose, model, opened, until, working


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A file, and a store in SQLite."""
    return Place(tmp_path)


async def test_the_copy_follows(place: Place) -> None:
    async with working(place, "0") as worker, opened(place) as store:
        await until(place.copy.exists)
        before = place.copy.read_bytes()
        await model(store, "stored")
        await until(lambda: "stored" in worker.models)
        await until(lambda: place.copy.read_bytes() != before)
    lose(place)

    async with working(place, "1") as worker:
        assert worker.models == {"filed", "stored"}


async def test_only_one_worker_of_a_host_keeps_it(place: Place) -> None:
    async with working(place, "1") as worker, opened(place) as store:
        await model(store, "stored")
        await until(lambda: "stored" in worker.models)

    assert not place.copy.exists()


async def test_where_it_cannot_be_kept_that_is_said_once(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.copy.mkdir()
    worker = Worker(place)
    await worker.start()
    keeper = Keeper(worker.sync._replica, place.copy)

    for _ in range(3):
        await keeper.keep()
    assert caplog.text.count("is not kept") == 1

    place.copy.rmdir()
    await keeper.keep()
    assert place.copy.is_file()
    await worker.sync.close()


async def test_one_that_could_not_be_written_is_written_once_it_can_be(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("proxy.control.keeping.PAUSE", 0.01)
    place.copy.mkdir()
    async with working(place, "0"):
        await until(lambda: "is not kept" in caplog.text)

        place.copy.rmdir()

        await until(place.copy.is_file)


async def test_one_that_a_rehearsal_has_kept_is_not_written_again(place: Place) -> None:
    rehearsal = Worker(place, "1")
    await rehearsal.start()
    rehearsed = await rehearsal.sync.rehearsed()
    await rehearsal.sync.close()
    place.copy.write_bytes(b"as it was")

    async with working(place, "0", rehearsed=rehearsed) as worker, opened(place) as store:
        assert worker.sync.peppers == rehearsal.sync.peppers
        await worker.sync._keeper.keep()
        assert place.copy.read_bytes() == b"as it was"
        place.copy.unlink()
        await worker.sync._keeper.keep()
        assert place.copy.exists()
        before = place.copy.read_bytes()
        await model(store, "stored")
        await until(lambda: place.copy.read_bytes() != before)


async def test_what_came_from_the_copy_does_not_become_one(place: Place) -> None:
    async with working(place, "0") as worker:
        await until(place.copy.exists)
    lose(place)
    before = place.copy.stat().st_mtime_ns
    worker = Worker(place)
    await worker.start()
    assert worker.sync.source == "disk"

    await Keeper(worker.sync._replica, place.copy).keep()

    assert place.copy.stat().st_mtime_ns == before
    await worker.sync.close()


async def test_without_a_key_nothing_is_kept(place: Place) -> None:
    worker = Worker(place)
    await worker.start()
    worker.sync._replica.vault = None

    await Keeper(worker.sync._replica, place.copy).keep()

    assert not place.copy.exists()
    await worker.sync.close()


async def test_one_that_is_still_right_is_told_so(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(place)
    await worker.start()
    keeper = Keeper(worker.sync._replica, place.copy)
    await keeper.keep()
    os.utime(place.copy, (1_000.0, 1_000.0))
    monkeypatch.setattr("proxy.control.keeping.CONFIRM", 0.01)

    running = asyncio.ensure_future(keeper.run())
    await until(lambda: place.copy.stat().st_mtime > 1_000_000)

    running.cancel()
    await asyncio.wait({running})
    await worker.sync.close()


async def test_it_opens_with_the_master_key_alone(place: Place) -> None:
    async with working(place, "0"):
        await until(place.copy.exists)

    assert KEY.encode() not in place.copy.read_bytes()
    assert b"lab" not in place.copy.read_bytes()
