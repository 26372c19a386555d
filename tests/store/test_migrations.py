"""Migrations are applied once, in order; versions next to each other serve from one database."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
import pytest_asyncio

from proxy.core.records import Record
from proxy.store import objects
from proxy.store.base import StoreBroken, StoreDown
from proxy.store.migrations import NOTHING, SQL, Migration, Version, load, parse, tables
from proxy.store.opening import Database, open_store

MORE = "ALTER TABLE peppers ADD COLUMN note TEXT NOT NULL DEFAULT '';\n\nCREATE INDEX more ON peppers (note);\n"
ADDED = parse("0003_note", f"-- schema 1.2\n\n{MORE}")
TAKEN_AWAY = parse("0004_no_note", "-- schema 2.0\n\nDROP INDEX more;\n")

Program = Callable[..., Database]


@pytest_asyncio.fixture
async def program(store_url: str) -> AsyncIterator[Program]:
    """Makes a program that brings further migrations, on the same database."""
    made: list[Database] = []

    def make(*more: Migration) -> Database:
        store = open_store(store_url)
        store.known = [*store.known, *more]
        made.append(store)
        return store

    yield make
    for store in made:
        await store.close()


async def applied(store: Database) -> list[str]:
    return [row[0] for row in await store.fetch("SELECT name FROM migrations ORDER BY number")]


def test_a_file_says_its_number_its_version_and_its_statements() -> None:
    found = parse("0012_two_words", "-- schema 3.14\n\nCREATE A (\n x;\n);\n\n-- why\nCREATE B;\n")

    assert (found.number, found.name, found.version) == (12, "0012_two_words", Version(3, 14))
    assert found.statements == ("CREATE A (\n x;\n);", "-- why\nCREATE B;")
    assert len(found.checksum) == 64


def test_a_file_without_a_version_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0001_x\.sql"):
        parse("0001_x", "CREATE TABLE x (y);\n")


def test_versions_are_ordered() -> None:
    assert NOTHING < Version(1, 9) < Version(1, 10) < Version(2, 0)
    assert str(Version.parse("1.10")) == "1.10"


def test_both_databases_have_the_same_history() -> None:
    one, two = load(SQL / "sqlite"), load(SQL / "postgresql")

    assert one
    assert [(m.number, m.name, m.version) for m in one] == [
        (m.number, m.name, m.version) for m in two
    ]
    assert [m.number for m in one] == list(range(1, len(one) + 1))
    assert sorted(m.version for m in one) == [m.version for m in one]


async def test_an_empty_database_gets_everything(program: Program) -> None:
    store = program(ADDED, TAKEN_AWAY)
    assert (await store.state()).version == NOTHING

    await store.open()

    assert await applied(store) == ["0001_first", "0002_ledger", "0003_note", "0004_no_note"]
    assert (await store.state()).version == Version(2, 0)


async def test_both_databases_have_the_same_tables(
    postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    columns = []
    for url, sql in (
        (
            f"sqlite:///{tmp_path_factory.mktemp('same')}/a.db",
            "SELECT t.name, c.name, c.type FROM sqlite_master t, pragma_table_info(t.name) c"
            " WHERE t.type = 'table' AND t.name <> 'sqlite_sequence'",
        ),
        (
            postgres_url,
            "SELECT table_name, column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = 'public'",
        ),
    ):
        store = open_store(url)
        columns.append({tuple(map(str, row)) for row in await store.fetch(sql)})
        await store.close()
    types = {"INTEGER": "bigint", "REAL": "double precision", "TEXT": "text"}

    assert {(table, name, types[type]) for table, name, type in columns[0]} == columns[1]


@pytest.mark.parametrize("table", ["users", "migrations"])
async def test_a_database_of_another_program_is_left_alone(
    table: str, store: Database, program: Program
) -> None:
    for name in tables(store.backend):
        await store.execute(f"DROP TABLE {name}")
    await store.execute(f"CREATE TABLE {table} (id INTEGER)")

    with pytest.raises(StoreBroken, match=f"called as ours: {table}; use a database of its own"):
        await program().open()

    assert not await store.fetch(f"SELECT id FROM {table}")


async def test_opening_again_applies_nothing(program: Program) -> None:
    store = program()
    await store.open()

    assert await store.upgrade() == []
    await store.open()

    assert await applied(store) == ["0001_first", "0002_ledger"]


async def test_one_version_and_the_next_serve_together(program: Program) -> None:
    old, new = program(), program(ADDED)
    await old.open()
    await new.open()

    for store in (old, new, old):
        async with store.transaction() as session:
            revision = await objects.lock(session) + 1
            await objects.write(session, Record("key", revision, revision, f"k{revision}"))
            await objects.unlock(session, revision)
    late = program()
    await late.open()  # the older one starts again, on the newer database

    for store in (old, new, late):
        assert [one.revision for one in await objects.changes(store, 0)] == [1, 2, 3]
    assert await applied(late) == ["0001_first", "0002_ledger", "0003_note"]
    assert await late.upgrade() == []


async def test_a_later_major_version_is_refused_and_the_text_says_what_to_do(
    program: Program,
) -> None:
    await program(ADDED, TAKEN_AWAY).open()
    old = program()

    with pytest.raises(StoreBroken, match=r"schema 2\.0.*up to 1\.1.*start the newer program"):
        await old.open()
    with pytest.raises(StoreBroken):
        await old.upgrade()


async def test_a_step_to_another_major_version_is_taken_only_when_asked_for(
    program: Program,
) -> None:
    old, new = program(ADDED), program(ADDED, TAKEN_AWAY)
    await old.open()

    with pytest.raises(StoreBroken, match=r"stop all older programs.*'headrace db upgrade'"):
        await new.open()
    assert await applied(old) == ["0001_first", "0002_ledger", "0003_note"]
    assert [migration.name for migration in await new.upgrade()] == ["0004_no_note"]
    await new.open()

    assert (await new.state()).version == Version(2, 0)


async def test_a_database_of_another_build_is_refused(program: Program) -> None:
    await program(ADDED).open()

    with pytest.raises(StoreBroken, match="0003_note was applied with another text"):
        await program(parse("0003_note", f"-- schema 1.2\n\n{MORE}-- a word more\n")).open()


async def test_a_migration_that_fails_leaves_nothing(program: Program) -> None:
    broken = parse(
        "0003_broken", "-- schema 1.2\n\nCREATE TABLE half (x int);\n\nCREATE NONSENSE;\n"
    )
    old = program()
    await old.open()

    with pytest.raises(Exception, match=r"(?i)syntax error"):
        await program(broken).open()

    assert await applied(old) == ["0001_first", "0002_ledger"]
    await program(ADDED).open()
    with pytest.raises(Exception, match="half"):
        await old.fetch("SELECT x FROM half")


async def test_the_first_to_come_migrates_and_the_others_wait(program: Program) -> None:
    many = [program(ADDED) for _ in range(6)]

    await asyncio.gather(*(store.open() for store in many))

    assert await applied(many[0]) == ["0001_first", "0002_ledger", "0003_note"]


RACE = """
import asyncio, sys
from proxy.store import postgres, sqlite
from proxy.store.opening import open_store

async def main():
    store = open_store(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.read(1)
    await store.open()
    print(await store.fetch("SELECT number, name FROM migrations"))
    await store.close()

asyncio.run(main())
"""


def race(url: str, runners: int) -> Sequence[str]:
    """What each of several processes says that opens the database at the same moment."""
    racing = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", RACE, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(runners)
    ]
    for process in racing:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in racing:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return [process.communicate(timeout=20)[0] for process in racing]


def test_processes_that_race_migrate_once(store_url: str) -> None:
    assert race(store_url, 4) == ["[(1, '0001_first'), (2, '0002_ledger')]\n"] * 4


async def test_a_store_that_does_not_say_its_schema_is_being_restored(store: Database) -> None:
    await store.execute("DELETE FROM headrace_meta")

    with pytest.raises(StoreDown, match="restored"):
        await store.state()
