"""A worker's snapshot follows its store and its file, and survives both."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from proxy.control.sync import PAUSE_MIN, Refused, pause
from proxy.core.clock import now
from proxy.core.config.schema import Config
from proxy.core.model import Snapshot
from proxy.core.records import Kind
from proxy.core.secret import Secret
from proxy.core.vault import Vault
from proxy.store.base import StoreDown
from tests.control.syncing import (
    KEY,
    PATIENCE,
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


@pytest.fixture
def either(tmp_path: Path, store_url: str) -> Place:
    """A file, and a store in SQLite, then in PostgreSQL."""
    return Place(tmp_path, store_url)


# --- at the start ---


async def test_file_and_store_are_served_together(either: Place) -> None:
    async with opened(either) as store:
        revision = await model(store, "stored")

    async with working(either) as worker:
        assert worker.models == {"filed", "stored"}
        assert (worker.sync.source, worker.sync.up, worker.sync.revision) == (
            "store",
            True,
            revision,
        )
        assert worker.state.snapshot.complete
        assert worker.metric("headrace_store_up") == 1
        assert worker.metric("headrace_config_revision") == revision
        assert worker.metric("headrace_config_age_seconds") < 60


async def test_what_the_command_line_says_holds(place: Place) -> None:
    def adjust(snapshot: Snapshot) -> Snapshot:
        return replace(snapshot, server=replace(snapshot.server, port=1234))

    async with working(place, adjust=adjust) as worker:
        assert worker.state.snapshot.server.port == 1234
        await worker.sync.reload()
        assert worker.state.snapshot.server.port == 1234


async def test_a_file_may_have_no_store(place: Place) -> None:
    place.url = ""
    place.write()

    async with working(place) as worker:
        assert worker.models == {"filed"}
        assert worker.state.snapshot.complete
        assert (worker.sync.store, worker.sync.health, worker.sync.age) == (None, "none", 0.0)
        with pytest.raises(StoreDown):
            await worker.sync.refresh()
        done: list[str] = []
        worker.sync.on("stats.reset", lambda: done.append("reset"))
        answer = await worker.sync.signal("stats.reset")
        assert (done, answer["missing"], len(answer["workers"])) == (["reset"], [], 1)
        assert await worker.sync.reload() == 2
    assert not list(place.folder.glob("*.db"))


async def test_a_name_in_file_and_store_is_no_beginning(place: Place) -> None:
    async with opened(place) as store:
        await put(store, Kind.MODEL, "filed")
        await put(store, Kind.PROVIDER, "lab", {"base_url": "http://127.0.0.1:9"})
    worker = Worker(place)

    with pytest.raises(Refused) as error:
        await worker.start()

    assert "filed" in str(error.value)
    assert "lab" in str(error.value)


async def test_who_takes_anothers_place_leaves_out_what_clashes(place: Place) -> None:
    async with opened(place) as store:
        await put(store, Kind.MODEL, "filed")
        await model(store, "stored")
    worker = Worker(place)

    await worker.start(strict=False)

    assert worker.models == {"filed", "stored"}
    assert any("filed" in problem for problem in worker.sync.problems)
    await worker.sync.close()


@pytest.mark.parametrize(("ago", "models"), [(1.0, {"filed", "new"}), (3600.0, {"filed"})])
async def test_who_takes_anothers_place_follows_the_reload_that_is_under_way(
    place: Place, ago: float, models: set[str]
) -> None:
    worker = Worker(place)
    place.write("  new: {deployments: [{provider: lab}]}\n")
    async with opened(place) as store:
        revision = await put(store, Kind.SIGNAL, "reload", updated=now() - ago)

    await worker.start(strict=False)

    # Else its revision would say that it has followed, with the file that its supervisor read before.
    assert (worker.models, worker.sync.revision) == (models, revision)
    await worker.sync.close()


async def test_a_store_of_a_later_version_is_no_beginning(place: Place) -> None:
    async with opened(place) as store:
        await store.execute("UPDATE headrace_meta SET value = '99.0' WHERE key = 'schema'")

    with pytest.raises(Refused, match=r"99\.0"):
        await Worker(place).start()


async def test_secrets_without_their_key_are_no_beginning(place: Place) -> None:
    async with working(place):
        pass
    place.write(key=OTHER)

    with pytest.raises(Refused, match=r"none of the master keys opens"):
        await Worker(place).start()


async def test_a_second_worker_uses_the_peppers_of_the_first(either: Place) -> None:
    async with working(either, "0") as one, working(either, "1") as other:
        assert one.sync.peppers == other.sync.peppers != ()
        assert one.sync.vault is not None


# --- changes ---


async def test_a_change_is_served_soon(either: Place) -> None:
    async with working(either) as worker, opened(either) as store:
        revision = await model(store, "stored")
        await until(lambda: "stored" in worker.models)

        assert worker.sync.revision == revision
        assert worker.sync.mirror.get(Kind.MODEL, "stored") is not None
        assert worker.metric("headrace_config_revision") == revision
        assert worker.state.metrics.sync.child().count >= 1


async def test_what_is_deleted_goes(either: Place) -> None:
    async with working(either) as worker, opened(either) as store:
        id = await put(store, Kind.MODEL, "stored")
        await put(store, Kind.DEPLOYMENT, "", {"provider": "lab"}, parent=id)
        await until(lambda: "stored" in worker.models)

        await put(store, Kind.MODEL, "stored", id=id, deleted=True)
        await until(lambda: "stored" not in worker.models)


async def test_an_answer_can_wait_until_it_is_served(place: Place) -> None:
    worker = Worker(place)  # that does not follow by itself
    await worker.start()
    async with opened(place) as store:
        revision = await model(store, "stored")

        assert await worker.sync.refresh(revision) == revision
        assert "stored" in worker.models
        swaps = worker.swaps
        assert await worker.sync.refresh(revision) == revision
        assert await worker.sync.refresh() == revision
        assert worker.swaps == swaps
    await worker.sync.close()


class Refusing:
    """Uses snapshots, but the one of this number."""

    def __init__(self, worker: Worker, number: int) -> None:
        self._worker = worker
        self._left = number

    def __call__(self, snapshot: Snapshot) -> None:
        self._left -= 1
        if not self._left:
            raise OSError("no descriptor is left")
        self._worker.use(snapshot)


async def test_what_could_not_be_served_is_served_by_the_next_turn(place: Place) -> None:
    worker = Worker(place)
    await worker.start()
    done: list[str] = []
    worker.sync.on("stats.reset", lambda: done.append("reset"))
    worker.sync._use = Refusing(worker, 1)
    async with opened(place) as store:
        await model(store, "stored")
        revision = await worker.sync._signals.send("stats.reset")
        with pytest.raises(OSError, match="descriptor"):
            await worker.sync.refresh()
        assert (done, worker.sync.revision) == ([], 0)

        assert await worker.sync.refresh() == revision

    assert (done, worker.models) == (["reset"], {"filed", "stored"})
    await worker.sync.close()


async def test_a_signal_that_could_not_be_followed_is_followed_by_the_next_turn(
    place: Place,
) -> None:
    worker = Worker(place)
    await worker.start()
    worker.sync._use = Refusing(worker, 2)  # the first is of the signal's own record
    async with opened(place) as store:
        place.write("  new: {deployments: [{provider: lab}]}\n")
        await worker.sync._signals.send("reload")
        with pytest.raises(OSError, match="descriptor"):
            await worker.sync.refresh()
        assert worker.sync.version == 1
        assert worker.sync.revision == 0
        await model(store, "stored")

        await worker.sync.refresh()

    assert (worker.models, worker.sync.version) == ({"filed", "new", "stored"}, 2)
    await worker.sync.close()


async def test_what_has_begun_is_served_when_who_asked_has_left(place: Place) -> None:
    worker = Worker(place)
    await worker.start()
    async with opened(place) as store:
        revision = await model(store, "stored")
        asking = asyncio.ensure_future(worker.sync.refresh(revision))
        while worker.sync._replica.revision < revision:
            await asyncio.sleep(0)
        asking.cancel()

        await until(lambda: "stored" in worker.models)
        assert worker.sync.revision == revision
    await worker.sync.close()


async def test_who_closes_leaves_nothing_that_goes_on(place: Place) -> None:
    worker = Worker(place)
    await worker.start()
    reading = worker.sync._file.read = Reading(place)
    asking = asyncio.ensure_future(worker.sync.reload())
    await until(lambda: reading.begun == 1)
    asking.cancel()

    await worker.sync.close()
    reading.go.set()

    assert not worker.sync._under_way
    assert not worker.sync._turns.locked()


async def test_many_who_wait_share_one_compilation(place: Place) -> None:
    worker = Worker(place)
    await worker.start()
    async with opened(place) as store:

        async def write(number: int) -> None:
            await worker.sync.refresh(await model(store, f"stored-{number}"))
            assert f"stored-{number}" in worker.models

        await asyncio.gather(*map(write, range(30)))

    assert worker.swaps < 10
    await worker.sync.close()


@pytest.mark.parametrize(
    ("took", "expected"), [(0.0, 0.02), (0.001, 0.02), (0.01, 0.1), (0.1, 0.25), (1.0, 2.0)]
)
def test_compiling_takes_a_share_of_the_time(took: float, expected: float) -> None:
    assert pause(took) == pytest.approx(expected)


async def test_a_flood_of_changes_is_compiled_now_and_then(place: Place) -> None:
    async with working(place) as worker, opened(place) as store:
        began, number = time.monotonic(), 0
        while number <= 30 or time.monotonic() - began < 1.5:
            number += 1
            await put(store, Kind.MODEL, f"stored-{number}")
        await until(lambda: worker.sync.revision >= number)
        took = time.monotonic() - began

        assert worker.swaps <= took / PAUSE_MIN + 2


async def test_one_bad_row_takes_nothing_else_with_it(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    async with working(place) as worker, opened(place) as store:
        await put(store, Kind.PROVIDER, "odd", {"base_url": "http://h.test"}, sealed="v1.nonsense")
        await model(store, "stored")
        await until(lambda: "stored" in worker.models)

        assert any("odd" in problem for problem in worker.sync.problems)
        assert "odd" in caplog.text


# --- without the store ---


async def test_without_its_store_a_worker_begins_from_the_copy(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    await copied(place, "stored")
    os.utime(place.copy, (time.time() - 600,) * 2)
    lose(place)

    async with working(place) as worker:
        assert worker.models == {"filed", "stored"}
        assert (worker.sync.source, worker.sync.health) == ("disk", "degraded")
        assert worker.state.snapshot.complete
        assert 599 < worker.sync.age < 700
        assert worker.metric("headrace_store_up") == 0
        assert worker.metric("headrace_config_age_seconds") > 599
        assert "serving the copy on disk, 600 s old" in caplog.text
        with pytest.raises(StoreDown):
            await worker.sync.refresh()

        find(place)
        await until(lambda: worker.sync.up)
        assert worker.sync.source == "store"
        assert worker.sync.age < 60
        async with opened(place) as store:
            await model(store, "later")
        await until(lambda: "later" in worker.models)


async def test_without_store_and_copy_the_file_is_served_and_nobody_is_called_unknown(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(place) as store:
        await model(store, "stored")
    lose(place)

    async with working(place) as worker:
        assert worker.models == {"filed"}
        assert not worker.state.snapshot.complete
        assert worker.sync.source == ""
        assert "the configuration file alone" in caplog.text

        find(place)
        await until(lambda: worker.models == {"filed", "stored"})
        await until(lambda: worker.state.snapshot.complete)
        assert worker.sync.peppers


@pytest.mark.parametrize("damage", ["cut", "another key"])
async def test_a_copy_that_does_not_open_is_not_used(
    place: Place, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    await copied(place, "stored")
    lose(place)
    if damage == "cut":
        place.copy.write_bytes(place.copy.read_bytes()[:-10])
    else:
        place.write(key=OTHER)

    worker = Worker(place)
    await worker.start()

    assert worker.models == {"filed"}
    assert not worker.state.snapshot.complete
    assert "the copy of the database in" in caplog.text
    await worker.sync.close()


async def test_a_damaged_database_is_replaced_by_the_copy(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    await copied(place, "stored")
    for path in place.folder.glob("h.db-*"):
        path.unlink()
    database = place.folder / "h.db"
    database.write_bytes(b"no database" + bytes(8000))

    async with working(place) as worker:
        assert worker.models == {"filed", "stored"}
        assert (worker.sync.source, worker.sync.up) == ("disk", False)
        assert "serving the copy on disk" in caplog.text
        with pytest.raises(StoreDown):
            await worker.sync.refresh()
    assert database.read_bytes().startswith(b"no database")


async def test_a_damaged_database_without_a_copy_is_no_beginning(place: Place) -> None:
    (place.folder / "h.db").write_bytes(b"no database" + bytes(8000))

    with pytest.raises(Refused, match="restore the file"):
        await Worker(place).start()


# --- the file ---


async def test_a_file_that_is_read_again_is_served(place: Place) -> None:
    async with working(place) as worker:
        place.write("  new: {deployments: [{provider: lab}]}\n")

        assert await worker.sync.reload() == 2

        assert worker.models == {"filed", "new"}
        assert worker.metric("headrace_config_reloads_total", outcome="applied") == 1


BAD = {
    "no YAML": "models: [",
    "unknown key": "nonsense: 1\n",
    "missing secret": "  odd: {deployments: [{provider: ${NOT_SET}}]}\n",
    "fallbacks in a circle": (
        "  one: {fallbacks: [two], deployments: [{provider: lab}]}\n"
        "  two: {fallbacks: [one], deployments: [{provider: lab}]}\n"
    ),
    "a name twice": "  filed: {deployments: [{provider: lab}]}\n",
    "a name in the store": "  stored: {deployments: [{provider: lab}]}\n",
}


@pytest.mark.parametrize("what", BAD)
async def test_a_bad_file_never_replaces_a_good_one(
    place: Place, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(place) as store:
        await model(store, "stored")
    async with working(place) as worker:
        before, swaps = worker.state.snapshot, worker.swaps
        place.write(BAD[what])

        with pytest.raises(ValueError, match=r"."):
            await worker.sync.reload()

        assert worker.state.snapshot is before
        assert (worker.swaps, worker.sync.version) == (swaps, 1)
        assert worker.sync.problems
        assert "configuration not reloaded" in caplog.text
        assert worker.metric("headrace_config_reloads_total", outcome="rejected") == 1

        place.write()
        assert await worker.sync.reload() == 2
        assert not worker.sync.problems


async def test_another_store_takes_a_new_start(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    async with working(place) as worker:
        url = place.url
        place.url = f"sqlite:///{place.folder}/other.db"
        place.write()

        await worker.sync.reload()

        assert worker.sync.config.store.url == url
        assert "store.url was changed" in caplog.text
        assert not (place.folder / "other.db").exists()


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ("server: {port: 9000}\n", "server.port"),
        ("server: {host: 127.0.0.2}\n", "server.host"),
        ("server: {workers: 7}\n", "server.workers"),
        ("admin: {port: 9000}\n", "admin.port"),
        ("admin: {host: 127.0.0.2}\n", "admin.host"),
        ("logging: {format: json}\n", "logging.format"),
    ],
)
async def test_what_takes_a_new_start_is_said(
    place: Place, caplog: pytest.LogCaptureFixture, more: str, name: str
) -> None:
    async with working(place) as worker:
        for _ in range(2):
            caplog.clear()
            place.write(more)
            await worker.sync.reload()
            assert f"{name} was changed: that takes a new start" in caplog.text

        caplog.clear()
        place.write("server: {drain: 1s}\n")
        await worker.sync.reload()
        assert "was changed" not in caplog.text


class Reading:
    """Reads the file as slowly as it is let, and knows how many do at once."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._at_once = 0
        self.most = 0
        self.begun = 0
        self.go = threading.Event()

    def __call__(self) -> Config:
        self.begun += 1
        self._at_once += 1
        self.most = max(self.most, self._at_once)
        self.go.wait(PATIENCE)
        self._at_once -= 1
        return self._place.read()


async def test_who_leaves_stops_no_reload_and_lets_no_other_run_beside_it(place: Place) -> None:
    async with working(place) as worker:
        reading = worker.sync._file.read = Reading(place)
        first = asyncio.ensure_future(worker.sync.reload())
        await until(lambda: reading.begun == 1)
        first.cancel()
        await asyncio.wait({first})
        second = asyncio.ensure_future(worker.sync.reload())
        threading.Timer(0.1, reading.go.set).start()  # for the second to begin, if it would

        assert await second == 3
        assert (reading.begun, reading.most) == (2, 1)


async def test_without_a_store_a_signal_waits_for_a_reload_too(place: Place) -> None:
    place.url = ""
    place.write()
    async with working(place) as worker:
        reading = worker.sync._file.read = Reading(place)
        first = asyncio.ensure_future(worker.sync.reload())
        await until(lambda: reading.begun == 1)
        second = asyncio.ensure_future(worker.sync.signal("reload"))
        threading.Timer(0.1, reading.go.set).start()

        assert await first == 2
        await second
        assert (worker.sync.version, reading.most) == (3, 1)


async def test_every_problem_of_a_bad_file_is_said(place: Place) -> None:
    async with working(place) as worker:
        place.write("nonsense: 1\nserver: {port: many}\n")

        with pytest.raises(ValueError, match="nonsense") as error:
            await worker.sync.reload()
        assert "server.port" in str(error.value)


async def test_a_new_master_key_is_used_once_the_file_has_it(place: Place) -> None:
    async with working(place) as worker:
        peppers = worker.sync.peppers
        text = place.path.read_text().replace(f"keys: [{KEY}]", f"keys: [{OTHER}, {KEY}]")
        place.path.write_text(text)

        await worker.sync.reload()

        assert worker.sync.peppers == peppers
        assert worker.sync.vault is not None
        assert worker.sync.vault.kids[0] == Vault([Secret(OTHER)]).kids[0]


async def test_a_file_that_would_lock_the_store_is_not_taken(place: Place) -> None:
    async with working(place) as worker:
        vault = worker.sync.vault
        place.path.write_text(place.path.read_text().replace(KEY, OTHER))

        with pytest.raises(ValueError, match="master key"):
            await worker.sync.reload()

        assert worker.sync.vault is vault


# --- a database that is being restored ---


async def test_without_its_tables_what_is_served_goes_on(either: Place) -> None:
    async with working(either) as worker, opened(either) as store:
        await model(store, "stored")
        await until(lambda: "stored" in worker.models)

        for table in ("objects", "revision", "workers"):
            await store.execute(f"ALTER TABLE {table} RENAME TO hidden_{table}")
        await until(lambda: not worker.sync.up)
        assert (worker.models, worker.sync.health) == ({"filed", "stored"}, "degraded")

        for table in ("workers", "objects", "revision"):
            await store.execute(f"ALTER TABLE hidden_{table} RENAME TO {table}")
        await model(store, "later")
        await until(lambda: "later" in worker.models)
        assert worker.sync.health == "ok"


async def test_an_older_state_that_has_been_written_to_is_taken_whole(either: Place) -> None:
    async with opened(either) as store:
        before = await model(store, "old")
        async with working(either) as worker:
            await model(store, "lost")
            await until(lambda: "lost" in worker.models)

            async with store.transaction() as session:
                await session.execute("DELETE FROM objects WHERE revision > $1", before)
                await session.execute("UPDATE revision SET revision = $1", before)
                for name in ("new", "newer"):
                    parent = await put_in(session, Kind.MODEL, name, created=1.0)
                    spec = {"provider": "lab"}
                    await put_in(session, Kind.DEPLOYMENT, "", spec, parent=parent, created=1.0)

            await until(lambda: worker.models == {"filed", "old", "new", "newer"})


async def test_a_word_that_cannot_be_written_down_keeps_nobody_from_following(
    either: Place, caplog: pytest.LogCaptureFixture
) -> None:
    async with working(either) as worker, opened(either) as store:
        await store.execute("ALTER TABLE workers RENAME COLUMN problem TO trouble")
        worker.sync._news.set()
        await until(lambda: "written down" in caplog.text)

        await model(store, "stored")

        await until(lambda: "stored" in worker.models)


# --- all of them ---


async def test_a_worker_that_leaves_is_not_counted_any_more(place: Place) -> None:
    async with opened(place) as store:

        async def rows() -> int:
            return len(await store.fetch("SELECT 1 FROM workers"))

        async with working(place) as worker:
            await becomes(rows, 1)
            assert len(await worker.sync.workers()) == 1

        assert await rows() == 0


async def becomes(ask: Callable[[], Awaitable[int]], wanted: int) -> None:
    async with asyncio.timeout(10):
        while await ask() != wanted:
            await asyncio.sleep(0.01)
