"""The tables' history: numbered SQL files, applied in order and once, by one process at a time.

A file is `NNNN_words.sql` in `proxy/store/sql/<backend>`. Its first line is `-- schema MAJOR.MINOR`: the version of
the schema once it is applied. A statement ends with a semicolon before an empty line.

The rule between versions is expand and contract. A minor step only adds, so programs one step apart serve from one
database, in either order. A step that takes something away is a new major version, which is applied by
`headrace db upgrade` and by nothing else; a program refuses a database of a major version it does not know.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import cache
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from proxy.core.clock import now
from proxy.store.base import BULK_TIMEOUT, Session, StoreBroken, StoreDown

SQL: Final = Path(__file__).with_name("sql")


class Version(Struct, frozen=True, order=True):
    """Of the schema."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> Version:
        """From `1.0`."""
        major, _, minor = text.partition(".")
        return cls(int(major), int(minor))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


class Migrated(Session, Protocol):
    """What `migrate` works with."""

    backend: str

    def transaction(self) -> AbstractAsyncContextManager[Session]: ...


NOTHING: Final = Version(0, 0)


class Migration(Struct, frozen=True):
    """One file."""

    number: int
    name: str
    version: Version
    """Of the schema once it is applied."""
    statements: tuple[str, ...]
    checksum: str
    """SHA-256 of its text, in hexadecimal."""


class State(Struct, frozen=True):
    """What a database has."""

    version: Version
    """NOTHING: it is empty."""
    applied: dict[int, str]
    """Number to checksum."""

    def pending(self, known: Sequence[Migration]) -> list[Migration]:
        """What is left to apply."""
        return [migration for migration in known if migration.number not in self.applied]


def load(folder: Path) -> tuple[Migration, ...]:
    """All migrations of one backend, in order."""
    return tuple(
        parse(path.stem, path.read_text("utf-8")) for path in sorted(folder.glob("[0-9]*.sql"))
    )


def parse(stem: str, text: str) -> Migration:
    """One file's. Raises ValueError for one without a version in its first line."""
    first = text.partition("\n")[0]
    if not first.startswith("-- schema "):
        raise ValueError(f"{stem}.sql: the first line is no '-- schema MAJOR.MINOR'")
    statements = (
        part.strip() for part in text.removeprefix(first).replace(";\n\n", ";\0").split("\0")
    )
    return Migration(
        number=int(stem.partition("_")[0]),
        name=stem,
        version=Version.parse(first.removeprefix("-- schema ")),
        statements=tuple(statement for statement in statements if statement),
        checksum=hashlib.sha256(text.encode()).hexdigest(),
    )


# Each answers with one row where there is such a table.
_EXISTS = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name = $1",
    "postgresql": (
        "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename = $1"
    ),
}


@cache
def tables(backend: str) -> tuple[str, ...]:
    """Names of all that migrations make."""
    text = "".join(path.read_text("utf-8") for path in (SQL / backend).glob("[0-9]*.sql"))
    return tuple(sorted(set(re.findall(r"^CREATE TABLE (\w+)", text, re.MULTILINE))))


# A transaction on SQLite is alone anyway. The number is any, and only ours.
_ALONE = {
    "sqlite": "SELECT 1",
    "postgresql": "SELECT 1 FROM (SELECT pg_advisory_xact_lock(7243392108411)) AS alone",
}


async def state(session: Session, backend: str) -> State:
    """What is applied; reads only. Raises StoreDown, and StoreBroken for a database of another program's."""
    exists = _EXISTS[backend]
    if not await session.fetch(exists, "headrace_meta"):
        taken = [name for name in tables(backend) if await session.fetch(exists, name)]
        # Asked again: a process that migrates meanwhile makes all of them at once.
        if taken and not await session.fetch(exists, "headrace_meta"):
            raise StoreBroken(
                f"the database has tables of another program that are called as ours: {', '.join(taken)};"
                " use a database of its own"
            )
        if not taken:
            return State(NOTHING, {})
    rows = await session.fetch("SELECT number, checksum FROM migrations")
    meta = await session.fetch("SELECT value FROM headrace_meta WHERE key = $1", "schema")
    if not meta:
        raise StoreDown("it is being restored: it does not say which schema it has")
    return State(Version.parse(meta[0][0]), {row[0]: row[1] for row in rows})


async def migrate(
    store: Migrated, known: Sequence[Migration], *, majors: bool = False
) -> list[Migration]:
    """Apply what is pending; what was. With `majors`, steps to another major version too.

    A database with nothing to apply is only read, so a read-only standby will do. Raises StoreDown, and StoreBroken
    for a database that this program cannot serve from.
    """
    if not _pending(await state(store, store.backend), known, majors):
        return []
    async with store.transaction() as session:
        await session.fetch(_ALONE[store.backend], timeout=BULK_TIMEOUT)
        # Whoever was first has done it.
        pending = _pending(await state(session, store.backend), known, majors)
        for migration in pending:
            await _apply(session, migration)
    return pending


def check(found: State, known: Sequence[Migration]) -> None:
    """Raises StoreBroken for a database of a later program, or of another."""
    newest = known[-1].version
    if found.version.major > newest.major:
        raise StoreBroken(
            f"the database has schema {found.version}, and this program knows up to {newest}:"
            " start the newer program that has upgraded it, or restore a backup from before"
        )
    for migration in known:
        if found.applied.get(migration.number, migration.checksum) != migration.checksum:
            raise StoreBroken(
                f"migration {migration.name} was applied with another text than this program has:"
                " the database belongs to another build; use that one, or another database"
            )


def _pending(found: State, known: Sequence[Migration], majors: bool) -> list[Migration]:
    check(found, known)
    newest = known[-1].version
    pending = found.pending(known)
    if pending and found.version != NOTHING and not majors and newest.major > found.version.major:
        raise StoreBroken(
            f"the database has schema {found.version}, and this program needs {newest}:"
            " stop all older programs, make a backup, and run 'headrace db upgrade'"
        )
    return pending


async def _apply(session: Session, migration: Migration) -> None:
    for statement in migration.statements:
        await session.execute(statement, timeout=BULK_TIMEOUT)
    await session.execute(
        "INSERT INTO migrations (number, name, checksum, applied) VALUES ($1, $2, $3, $4)",
        migration.number,
        migration.name,
        migration.checksum,
        now(),
    )
    await session.execute(
        "INSERT INTO headrace_meta (key, value) VALUES ('schema', $1)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        str(migration.version),
    )
