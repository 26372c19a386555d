"""What is SQLite's alone: a file that is locked, full, damaged, or left by a process that was killed."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import pytest_asyncio

from proxy.core.records import Record
from proxy.store import objects
from proxy.store.base import Duplicate, StoreBroken, StoreDamaged, StoreDown
from proxy.store.opening import Database, open_store
from proxy.store.sqlite import Busy, Damaged, Sqlite, translate

PEPPER = "INSERT INTO peppers (id, sealed, created) VALUES ($1, $2, 0)"
# Some minutes of counting, if nobody interrupts it.
SLOW = (
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000000000)"
    " SELECT count(*) FROM n"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "headrace.db"


@pytest_asyncio.fixture
async def store(path: Path) -> AsyncIterator[Database]:
    store = open_store(f"sqlite:///{path}")
    await store.open()
    yield store
    await store.close()


def write_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def read_file(path: Path) -> bytes:
    return path.read_bytes()


async def count(store: Database) -> int:
    [(number,)] = await store.fetch("SELECT count(*) FROM peppers")
    return int(number)


async def test_the_file_and_its_companions_are_for_the_owner_alone(
    store: Database, path: Path
) -> None:
    await store.execute(PEPPER, "a", "")

    assert {one.name for one in path.parent.iterdir()} == {
        "headrace.db",
        "headrace.db-wal",
        "headrace.db-shm",
    }
    assert {stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_who_is_cancelled_while_it_is_opened_leaves_no_thread(tmp_path: Path) -> None:
    def threads() -> set[threading.Thread]:
        return {one for one in threading.enumerate() if "_connection_worker" in one.name}

    before, seen = threads(), False
    for steps in range(12):
        one = open_store(f"sqlite:///{tmp_path}/{steps}.db")
        opening = asyncio.ensure_future(one.open())
        for _ in range(steps):
            await asyncio.sleep(0)
        while not opening.done() and steps % 2 and threads() == before:
            await asyncio.sleep(0)
        seen |= threads() > before and not opening.done()
        opening.cancel()
        with suppress(asyncio.CancelledError):
            await opening
        await one.close()

        assert threads() == before
    assert seen


async def test_it_writes_ahead_and_waits_for_the_disk(store: Database) -> None:
    async with store.transaction() as session:
        found = [
            (await session.fetch(f"PRAGMA {name}"))[0][0]
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]

    assert found == ["wal", 2, 1]


async def test_readers_go_on_while_another_process_writes(store: Database, path: Path) -> None:
    with sqlite3.connect(path, isolation_level=None) as another:
        another.execute("BEGIN IMMEDIATE")
        another.execute("INSERT INTO peppers VALUES ('theirs', '', 0)")
        waiting = asyncio.ensure_future(store.execute(PEPPER, "ours", ""))

        assert await count(store) == 0
        assert not waiting.done()
        another.execute("COMMIT")
        await waiting
    another.close()

    assert await count(store) == 2


async def test_a_writer_that_waits_in_vain_is_told_so_and_writes_nothing_later(
    store: Database, path: Path
) -> None:
    with sqlite3.connect(path, isolation_level=None) as another:
        another.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreDown, match="database is locked"):
            await store.execute(PEPPER, "a", "")
        another.execute("ROLLBACK")
    another.close()

    assert await count(store) == 0
    await store.execute(PEPPER, "b", "")
    assert await store.fetch("SELECT id FROM peppers") == [("b",)]


async def test_a_slow_page_is_given_up_and_delays_no_poll(store: Database) -> None:
    slow = asyncio.ensure_future(store.fetch(SLOW, timeout=2.1))
    await asyncio.sleep(0)

    for _ in range(10):
        await objects.mark(store)
    assert not slow.done()

    with pytest.raises(StoreDown, match=r"no answer within 2\.1 s"):
        await slow
    assert await store.fetch("SELECT 1", timeout=5.0) == [(1,)]


async def test_a_full_disk_is_a_store_that_is_down_until_there_is_room(store: Database) -> None:
    [(pages,)] = await store.fetch("PRAGMA page_count")
    # A limit of the connection; the next one has none.
    await store.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(StoreDown, match="full"):
        await store.execute(PEPPER, "a", "x" * 100_000)

    await store.execute(PEPPER, "a", "x" * 100_000)
    assert await count(store) == 1


async def test_a_transaction_on_a_full_disk_leaves_nothing(store: Database) -> None:
    async def fill() -> None:
        async with store.transaction() as session:
            await session.execute(PEPPER, "a", "")
            [(pages,)] = await session.fetch("PRAGMA page_count")
            await session.execute(f"PRAGMA max_page_count = {pages}")
            await session.execute(PEPPER, "b", "x" * 100_000)

    with pytest.raises(StoreDown, match="full"):
        await fill()

    assert await count(store) == 0


async def test_a_file_that_is_read_only_for_now_is_a_store_that_is_down(store: Database) -> None:
    await store.execute("PRAGMA query_only = ON")

    with pytest.raises(StoreDown, match="readonly"):
        await store.execute(PEPPER, "a", "")

    await store.execute(PEPPER, "a", "")
    assert await count(store) == 1


def remove(path: Path) -> None:
    """The file and its companions."""
    for one in (path, *path.parent.glob(f"{path.name}-*")):
        one.unlink()


def backup(path: Path) -> Path:
    """A copy of the file, made while it is in use."""
    kept = path.with_name("backup")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(kept)) as target:
        source.backup(target)
    return kept


async def test_what_is_written_after_the_file_was_deleted_is_not_lost_unnoticed(
    store: Database, path: Path
) -> None:
    await store.execute(PEPPER, "a", "")

    await asyncio.to_thread(remove, path)

    for call in (count(store), store.execute(PEPPER, "b", ""), objects.sweep(store)):
        with pytest.raises(StoreDown, match="deleted"):
            await call
    assert await asyncio.to_thread(path.exists) is False


async def test_a_file_that_was_put_in_its_place_is_the_store(store: Database, path: Path) -> None:
    await store.execute(PEPPER, "a", "")
    kept = await asyncio.to_thread(backup, path)
    await store.execute(PEPPER, "b", "")

    await asyncio.to_thread(remove, path)
    await asyncio.to_thread(kept.rename, path)
    await store.execute(PEPPER, "c", "")

    assert await store.fetch("SELECT id FROM peppers ORDER BY id") == [("a",), ("c",)]
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT count(*) FROM peppers").fetchone() == (2,)


async def test_what_another_process_writes_is_told_without_a_question(
    store: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken = asyncio.Event()
    await store.listen(woken.set)
    async with asyncio.timeout(10):
        await woken.wait()
    monkeypatch.setattr(Sqlite, "fetch", None)
    for name in "abc":
        woken.clear()
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("INSERT INTO peppers (id, sealed, created) VALUES (?, '', 0)", name)

        async with asyncio.timeout(10):
            await woken.wait()


async def test_a_file_that_was_replaced_is_told(store: Database, path: Path) -> None:
    woken = asyncio.Event()
    await store.listen(woken.set)
    async with asyncio.timeout(10):
        await woken.wait()
    kept = await asyncio.to_thread(backup, path)
    woken.clear()

    await asyncio.to_thread(remove, path)
    await asyncio.to_thread(kept.rename, path)

    async with asyncio.timeout(10):
        await woken.wait()


async def test_a_folder_that_cannot_be_made_is_a_store_that_is_down() -> None:
    with pytest.raises(StoreDown, match="/dev/null/state"):
        await open_store("sqlite:////dev/null/state/a.db").open()


@pytest.mark.parametrize("content", [b"no database " * 500, b"SQLite format 3\0" + b"\xff" * 8000])
async def test_what_is_no_database_is_damaged(path: Path, content: bytes) -> None:
    write_file(path, content)
    store = open_store(f"sqlite:///{path}")

    with pytest.raises(StoreDamaged, match="restore the file from a backup"):
        await store.open()
    await store.close()

    assert read_file(path) == content


async def test_a_damaged_page_is_found_when_the_store_is_opened(
    store: Database, path: Path
) -> None:
    await store.each(PEPPER, [(f"{number}", "x" * 200) for number in range(3000)])
    await store.close()
    content = bytearray(read_file(path))
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\xaa" * 4096
    write_file(path, bytes(content))

    again = open_store(f"sqlite:///{path}")
    with pytest.raises(StoreDamaged):
        await again.open()
    await again.close()


async def test_a_damaged_page_of_the_ledger_does_not_keep_anybody_from_being_served(
    store: Database, path: Path
) -> None:
    rows = [(f"{number}", float(number), "x" * 200) for number in range(3000)]
    await store.each("INSERT INTO contents (rid, at, request) VALUES ($1, $2, $3)", rows)
    await store.close()
    content = bytearray(read_file(path))
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\xaa" * 4096
    write_file(path, bytes(content))

    again = open_store(f"sqlite:///{path}")
    await again.open()

    assert await objects.changes(again, 0) == []
    with pytest.raises(StoreDown):
        await again.fetch("SELECT sum(length(request)) FROM contents")
    await again.close()


async def test_all_who_find_the_damage_at_the_same_time_are_told(
    store: Database, path: Path
) -> None:
    await store.each(PEPPER, [(f"{number}", "x" * 200) for number in range(3000)])
    await store.close()
    content = bytearray(read_file(path))
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\xaa" * 4096
    write_file(path, bytes(content))
    again = Sqlite(path)
    asked = [again.fetch("SELECT sum(length(sealed)) FROM peppers") for _ in range(3)]

    async with asyncio.timeout(10):
        found = await asyncio.gather(*asked, return_exceptions=True)

    assert [type(one) for one in found] == [Damaged] * 3
    await again.close()


async def test_its_library_does_not_log_values(
    store: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await store.execute(PEPPER, "a", "a-river")

    assert "a-river" not in caplog.text


UNCLOSED = """
import asyncio, sys
from proxy.store.opening import open_store

async def main():
    store = open_store(sys.argv[1])
    await store.listen(lambda: None)
    print(await store.fetch("SELECT count(*) FROM peppers"), flush=True)
    globals()["kept"] = store

asyncio.run(main())
"""


def test_a_store_that_nobody_closed_does_not_keep_a_process(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNCLOSED, f"sqlite:///{path}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )

    assert (done.returncode, done.stdout) == (0, "[(0,)]\n")


# Forks, so that two hundred lives cost two hundred forks and not as many interpreters. A dot is a commit that was
# confirmed; the first one says that the store is open.
LIVES = """
import asyncio, os, random, signal, sys, time
from proxy.core.records import Record
from proxy.store import objects, sqlite
from proxy.store.opening import open_store

async def write(told):
    store = open_store(sys.argv[1])
    await store.open()
    os.write(told, b".")
    while True:
        async with store.transaction() as session:
            last = await objects.lock(session)
            provider, credential = last + 1, last + 2
            spec = b'{"note":"' + b"x" * random.randrange(6000) + b'"}'
            await objects.write(session, Record("provider", provider, provider, f"p{provider}", 0, spec))
            await objects.write(session, Record("credential", credential, credential, "", provider, spec))
            await objects.unlock(session, credential)
        os.write(told, b".")

confirmed = 0
for life in range(int(sys.argv[2])):
    read, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            asyncio.run(write(told))
        finally:
            os._exit(1)
    os.close(told)
    assert os.read(read, 1) == b".", life
    time.sleep(random.random() * 0.02)
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    while dots := os.read(read, 4096):
        confirmed += len(dots)
    os.close(read)
print(confirmed)
"""


def live(path: Path, times: int) -> int:
    """Write, be killed, and again; how many commits were confirmed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LIVES, f"sqlite:///{path}", str(times)],
        capture_output=True,
        text=True,
        check=False,
        timeout=80,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def integrity(path: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(path)) as file:
        return file.execute("PRAGMA integrity_check").fetchall()


@pytest.mark.timeout(90)
async def test_a_process_killed_200_times_tears_nothing(path: Path) -> None:
    confirmed = await asyncio.to_thread(live, path, 200)

    assert await asyncio.to_thread(integrity, path) == [("ok",)]
    store = open_store(f"sqlite:///{path}")
    everything = await objects.changes(store, 0)
    mark = await objects.mark(store)
    await store.close()

    assert confirmed > 50
    assert confirmed <= len(everything) // 2 <= confirmed + 200
    assert [one.revision for one in everything] == list(range(1, mark.revision + 1))
    for provider, credential in zip(everything[::2], everything[1::2], strict=True):
        assert (provider.kind, credential.kind) == ("provider", "credential")
        assert (credential.parent, credential.spec) == (provider.id, provider.spec)
        assert provider.spec.endswith(b'x"}') or provider.spec == b'{"note":""}'


def sqlite_error(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("words")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "means"),
    [
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, Duplicate),
        (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, Duplicate),
        (sqlite3.SQLITE_CONSTRAINT_NOTNULL, sqlite3.OperationalError),
        (sqlite3.SQLITE_BUSY, Busy),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Busy),
        (sqlite3.SQLITE_LOCKED, Busy),
        (sqlite3.SQLITE_INTERRUPT, StoreDown),
        (sqlite3.SQLITE_FULL, StoreDown),
        (sqlite3.SQLITE_READONLY_DBMOVED, StoreDown),
        (sqlite3.SQLITE_IOERR_FSYNC, StoreDown),
        (sqlite3.SQLITE_CANTOPEN, StoreDown),
        (sqlite3.SQLITE_CORRUPT, Damaged),
        (sqlite3.SQLITE_NOTADB, Damaged),
        (sqlite3.SQLITE_ERROR, sqlite3.OperationalError),
    ],
)
def test_errors_mean_what_a_caller_does_about_them(code: int, means: type[Exception]) -> None:
    assert type(translate(sqlite_error(code))) is means


async def test_an_old_library_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))

    with pytest.raises(StoreBroken, match=r"3\.35 or newer"):
        await open_store(f"sqlite:///{path}").open()


async def test_many_processes_worth_of_stores_write_in_turn(path: Path) -> None:
    stores = [open_store(f"sqlite:///{path}") for _ in range(4)]

    async def write(store: Database) -> None:
        for _ in range(10):
            async with store.transaction() as session:
                revision = await objects.lock(session) + 1
                await objects.write(session, Record("key", revision, revision, f"k{revision}"))
                await objects.unlock(session, revision)

    await asyncio.gather(*map(write, stores))

    assert [one.revision for one in await objects.changes(stores[0], 0)] == list(range(1, 41))
    for store in stores:
        await store.close()
