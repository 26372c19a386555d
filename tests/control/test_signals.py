"""What every worker is to do once, it does once; who has not is named."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest

from tests.control.syncing import Place, model, opened, until, working


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A file, and a store in SQLite."""
    return Place(tmp_path)


@pytest.fixture
def either(tmp_path: Path, store_url: str) -> Place:
    """A file, and a store in SQLite, then in PostgreSQL."""
    return Place(tmp_path, store_url)


async def test_a_signal_reaches_every_worker_once(either: Place) -> None:
    done: list[str] = []
    async with working(either, "0") as one, working(either, "1") as other:
        for worker in (one, other):
            name = worker.sync._fleet.name
            worker.sync.on("stats.reset", partial(done.append, name))
            await worker.sync._report()

        answer = await one.sync.signal("stats.reset")

        assert sorted(done) == ["0", "1"]
        assert (answer["missing"], [row["name"] for row in answer["workers"]]) == ([], ["0", "1"])
        await one.sync.signal("stats.reset")
        assert sorted(done) == ["0", "0", "1", "1"]
        await one.sync.signal("cache.clear")
        assert len(done) == 4


async def test_who_begins_later_has_nothing_to_do(place: Place) -> None:
    done: list[str] = []
    async with working(place) as worker:
        await worker.sync.signal("stats.reset")

    async with working(place) as late:
        late.sync.on("stats.reset", lambda: done.append("late"))
        async with opened(place) as store:
            await model(store, "stored")
        await until(lambda: "stored" in late.models)

    assert done == []


async def test_a_signal_to_reload_reports_a_bad_file(place: Place) -> None:
    async with working(place) as worker:
        place.write("nonsense: 1\n")

        answer = await worker.sync.signal("reload")

        [row] = answer["workers"]
        assert "nonsense" in row["problem"]
        assert (row["config"], row["revision"] >= answer["revision"]) == ("1", True)
        place.write()
        [row] = (await worker.sync.signal("reload"))["workers"]
        assert (row["config"], row["problem"]) == ("2", "")


async def test_one_that_does_not_follow_is_named(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.control.signals.PATIENCE", 0.2)
    async with working(place) as worker, opened(place) as store:
        await store.execute(
            "INSERT INTO workers (host, pid, name, seen) VALUES ('far', 7, '3', $1)", time.time()
        )

        answer = await worker.sync.signal("stats.reset")

        assert [row["host"] for row in answer["missing"]] == ["far"]
        assert len(answer["workers"]) == 1


async def test_one_that_fails_at_it_follows_all_the_same(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []
    async with working(place) as worker:
        worker.sync.on("cache.clear", lambda: done.remove("nothing"))
        worker.sync.on("cache.clear", lambda: done.append("cleared"))

        answer = await worker.sync.signal("cache.clear")

    assert done == ["cleared"]
    assert answer["missing"] == []
    assert "cache.clear" in caplog.text
