"""SQLite: one file beside the workers, for one host.

Three connections a process, each with a thread of its own: one reads what a worker lives by and is never kept
waiting (WAL), one reads pages for people, one writes and waits for the writers of other processes. Every commit is
on the disk before it counts (`synchronous=FULL`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import aiosqlite

from proxy.core.clock import monotonic
from proxy.core.tasks import spawn, until_beat
from proxy.store.base import (
    ADMIN_TIMEOUT,
    BULK_TIMEOUT,
    CALL_TIMEOUT,
    Duplicate,
    Row,
    Session,
    StoreBroken,
    StoreDamaged,
    StoreDown,
    Unusable,
)

if TYPE_CHECKING:
    from proxy.store.bulk import Insert

# At DEBUG it writes every statement with its values.
logging.getLogger("aiosqlite").setLevel(logging.WARNING)

T = TypeVar("T")

WATCH = 0.2
"""Seconds between two looks at whether the file has changed. What is committed twice within a tick of the kernel's clock may be
found by whoever asks every second anyway."""
GRACE = 0.5
"""Seconds after a deadline in which SQLite may still say itself what it waited for."""
OLDEST = (3, 35)
"""The first SQLite with RETURNING."""

_DUPLICATE = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
    sqlite3.SQLITE_CONSTRAINT_ROWID,
}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
# After these the next call opens the file anew.
_LOST = _DAMAGED | {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}

AGAIN = (0.0005, 0.003)
"""Seconds, by chance, before a writer asks again for a file another process writes to. SQLite's own waiting grows to
0.1 s a time: who has waited longest would be asking least often, and some would never get it."""


class Busy(StoreDown):
    """Another process writes."""


class Damaged(Unusable):
    """The file is no database, or not a whole one."""


def translate(error: sqlite3.Error) -> Exception:
    """What an error means to a caller; itself where it is a mistake of ours."""
    code = _code(error)
    if code in _DUPLICATE:
        return Duplicate("a row with this name or key is there already")
    primary = code & 0xFF
    if primary == sqlite3.SQLITE_ERROR and str(error).startswith("no such table"):
        # It was emptied, and is being restored.
        return StoreDown(f"SQLite: {error}")
    if primary in _DAMAGED:
        return Damaged(f"SQLite: {error}: restore the file from a backup")
    if primary in _BUSY:
        return Busy(f"SQLite: {error}")
    if primary in _LOST or primary == sqlite3.SQLITE_INTERRUPT:
        return StoreDown(f"SQLite: {error}")
    return error


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0)


def _named(values: tuple[Any, ...]) -> dict[str, Any]:
    """`$1` is a named parameter to SQLite; its name is `1`."""
    return {str(number): value for number, value in enumerate(values, 1)}


def _each(connection: aiosqlite.Connection, sql: str, rows: Sequence[Row]) -> list[Row]:
    execute = connection._conn.execute
    found: list[Row] = []
    for row in rows:
        found += execute(sql, _named(row)).fetchall()
    return found


def _insert(connection: aiosqlite.Connection, what: Insert, rows: Sequence[Row]) -> list[Row]:
    plain = connection._conn
    if not what.returns:
        plain.executemany(what.sqlite, rows)
        return []
    # To return a row takes longer than to write it. How many were written says, as nearly always, that all of them were.
    before = plain.total_changes
    plain.execute("SAVEPOINT many")
    plain.executemany(what.silent, rows)
    if plain.total_changes - before == len(rows):
        plain.execute("RELEASE many")
        return [row[:1] for row in rows]
    plain.execute("ROLLBACK TO many")
    plain.execute("RELEASE many")
    found: list[Row] = []
    for row in rows:
        found += plain.execute(what.sqlite, row).fetchall()
    return found


class Link:
    """One connection; a Session when it is in a transaction."""

    __slots__ = ("_closing", "_connection", "lost")

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._closing: asyncio.Future[None] | None = None
        self.lost = False
        """Not to be used any more."""

    async def fetch(self, sql: str, *values: Any, timeout: float = CALL_TIMEOUT) -> list[Row]:
        work = self._connection.execute_fetchall(sql, _named(values))
        return list(await self._within(work, timeout))  # type: ignore[arg-type]

    async def execute(self, sql: str, *values: Any, timeout: float = CALL_TIMEOUT) -> int:
        cursor = await self._within(self._connection.execute(sql, _named(values)), timeout)
        changed = cursor.rowcount
        await self._within(cursor.close(), timeout)
        return max(changed, 0)

    async def each(
        self, sql: str, rows: Sequence[Row], *, timeout: float = CALL_TIMEOUT
    ) -> list[Row]:
        # All of it in one visit to the thread: a visit takes longer than most statements.
        work = self._connection._execute(_each, self._connection, sql, rows)  # type: ignore[no-untyped-call]
        return await self._within(work, timeout)

    async def insert(
        self, what: Insert, rows: Sequence[Row], *, timeout: float = CALL_TIMEOUT
    ) -> list[Row]:
        work = self._connection._execute(_insert, self._connection, what, rows)  # type: ignore[no-untyped-call]
        return await self._within(work, timeout)

    async def rollback(self) -> None:
        """Undo what is not committed. Whatever is queued on the thread comes before it, even if nobody waits for it."""
        try:
            await asyncio.shield(self._within(self._connection.rollback(), ADMIN_TIMEOUT))
        except (StoreDown, sqlite3.Error):
            await self.close()

    async def close(self) -> None:
        """Once, however many find it lost: the thread ends with the first who asks, and would never answer the second."""
        self.lost = True
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        try:
            await self._connection.close()
        except (sqlite3.Error, ValueError):
            self._connection.stop()

    async def _within(self, work: Awaitable[T], timeout: float) -> T:
        try:
            async with asyncio.timeout(timeout + GRACE):
                return await work
        except TimeoutError:
            await self._connection.interrupt()
            raise StoreDown(f"SQLite: no answer within {timeout:g} s") from None
        except sqlite3.Error as error:
            if _code(error) & 0xFF in _LOST:
                await self.close()
            raise translate(error) from None
        except ValueError:
            if self.lost:
                raise StoreDown("SQLite: the connection was closed") from None
            raise


class Place:
    """Where the file is. Another may be put there, or it may be deleted, while connections hold on to the one before."""

    __slots__ = ("opened", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.opened = False
        """There was a file: if it is gone, an empty one is no substitute."""

    def make(self) -> None:
        """The file, for us alone: it holds digests and sealed secrets. SQLite gives its companions the same mode.

        Raises StoreDown for one that was deleted, OSError.
        """
        if self.path.exists():
            return
        if self.opened:
            raise StoreDown(f"SQLite: {self.path} was deleted: restore it, or start anew without")
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))

    def file(self) -> tuple[int, int] | None:
        """Which file it is; None: none."""
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def written(self) -> tuple[tuple[int, ...] | None, ...]:
        """Changes when anything is committed: its files, how long they are, and when they were last written to.

        To ask SQLite (`PRAGMA data_version`) takes a thread, which wakes up for it and has the loop wake up again.
        """
        return _traces(str(self.path)), _traces(f"{self.path}-wal")


def _traces(path: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class Line:
    """A place for one connection, made when it is needed and made anew when it is lost, or its file is another."""

    __slots__ = ("_connecting", "_file", "_link", "_place", "_setup", "turn")

    def __init__(self, place: Place, *setup: str) -> None:
        self._place = place
        self._setup = setup
        self._link: Link | None = None
        self._file: tuple[int, int] | None = None
        self._connecting = asyncio.Lock()
        self.turn = asyncio.Lock()
        """Held by whoever is alone on it."""

    async def link(self) -> Link:
        """The connection. Raises StoreDown."""
        async with self._connecting:
            link = self._link
            if link is not None and not link.lost and self._place.file() != self._file:
                # What would be written there is found by nobody.
                await link.close()
            if link is None or link.lost:
                link = self._link = await self._connect()
            return link

    async def close(self) -> None:
        async with self._connecting:
            if self._link is not None:
                await self._link.close()
                self._link = None

    async def _connect(self) -> Link:
        try:
            await asyncio.to_thread(self._place.make)
            # Asked before it is opened: if it is replaced in between, the next call opens it again.
            self._file = self._place.file()
            path = self._place.path
            # Transactions are begun and ended by name.
            opening = aiosqlite.connect(path, isolation_level=None, timeout=ADMIN_TIMEOUT)
            # A store that nobody closed does not keep the process from ending.
            opening._thread.daemon = True
            link = await _opened(opening)
        except sqlite3.Error as error:
            raise translate(error) from None
        except OSError as error:
            raise StoreDown(f"SQLite: {self._place.path}: {error.strerror}") from None
        try:
            for pragma in self._setup:
                # Going over to WAL fails at once, whatever the timeout, while another process does it.
                await _patiently(partial(link.fetch, pragma, timeout=ADMIN_TIMEOUT), ADMIN_TIMEOUT)
        except BaseException:
            await link.close()
            raise
        self._place.opened = True
        return link


async def _opened(opening: aiosqlite.Connection) -> Link:
    """The connection, once there is one. Whoever is cancelled meanwhile waits for it to be closed again: a thread that is left
    behind would tell a loop that may be closed by then."""

    async def open_() -> Link:
        return Link(await opening)

    link = asyncio.ensure_future(open_())
    try:
        return await asyncio.shield(link)
    except asyncio.CancelledError:
        await asyncio.wait([link])
        if link.exception() is None:
            await link.result().close()
        raise


async def _patiently(work: Callable[[], Awaitable[T]], timeout: float) -> T:
    """Again and again, as long as another process writes. Raises Busy once the time is over, or whatever `work` does."""
    until = monotonic() + timeout
    while True:
        try:
            return await work()
        except Busy:
            if monotonic() > until:
                raise
        await asyncio.sleep(random.uniform(*AGAIN))


_WAL = "PRAGMA journal_mode = WAL"
_FULL = "PRAGMA synchronous = FULL"
_KEYS = "PRAGMA foreign_keys = ON"
_AT_ONCE = "PRAGMA busy_timeout = 0"
_CACHE = "PRAGMA cache_size = -16384"
# Pages (16 MiB): what books thousands of rows changes the same pages of indexes again and again.
_INSIDE = "PRAGMA temp_store = MEMORY"
# What a statement would undo of itself: otherwise a file that is made and deleted in each transaction.
_RARELY = "PRAGMA wal_autocheckpoint = 4000"
# Not the ledger: it may be gigabytes, nobody is served by it, and a start does not wait for it.
_CHECKED = """
SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN
  ('requests', 'attempts', 'contents', 'counters', 'adjustments', 'statistics')
"""
_READS = ("SELECT", "WITH", "PRAGMA DATA_VERSION")


class Sqlite:
    """The back end. Not opened and not closed, it connects at the first call."""

    backend = "sqlite"

    def __init__(self, path: Path) -> None:
        self._place = place = Place(path)
        self._reader = Line(place, _WAL)
        self._pages = Line(place, _WAL)
        self._writer = Line(place, _WAL, _FULL, _KEYS, _AT_ONCE, _CACHE, _INSIDE, _RARELY)
        self._watching: asyncio.Task[None] | None = None

    async def check(self) -> None:
        """Whether the file is whole. Raises StoreBroken, StoreDown."""
        if sqlite3.sqlite_version_info < OLDEST:
            raise StoreBroken(
                f"SQLite {sqlite3.sqlite_version} is too old: 3.35 or newer is needed, or PostgreSQL"
            )
        try:
            link = await self._pages.link()
            for table in await link.fetch(_CHECKED, timeout=BULK_TIMEOUT):
                found = await link.fetch(f"PRAGMA quick_check({table[0]})", timeout=BULK_TIMEOUT)
                if found[0] != ("ok",):
                    raise StoreDamaged(f"SQLite: {found[0][0]}: restore the file from a backup")
        except Damaged as error:
            raise StoreDamaged(str(error)) from None

    async def fetch(self, sql: str, *values: Any, timeout: float = CALL_TIMEOUT) -> list[Row]:
        if not sql.lstrip()[:12].upper().startswith(_READS):
            async with self._alone(timeout) as link:
                return await _patiently(partial(link.fetch, sql, *values, timeout=timeout), timeout)
        line = self._reader if timeout <= CALL_TIMEOUT else self._pages
        return await (await line.link()).fetch(sql, *values, timeout=timeout)

    async def execute(self, sql: str, *values: Any, timeout: float = CALL_TIMEOUT) -> int:
        async with self._alone(timeout) as link:
            return await _patiently(partial(link.execute, sql, *values, timeout=timeout), timeout)

    async def each(
        self, sql: str, rows: Sequence[Row], *, timeout: float = CALL_TIMEOUT
    ) -> list[Row]:
        async with self.transaction() as session:
            return await session.each(sql, rows, timeout=timeout)

    async def insert(
        self, what: Insert, rows: Sequence[Row], *, timeout: float = CALL_TIMEOUT
    ) -> list[Row]:
        async with self.transaction() as session:
            return await session.insert(what, rows, timeout=timeout)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        async with self._alone(ADMIN_TIMEOUT) as link:
            try:
                begin = partial(link.execute, "BEGIN IMMEDIATE", timeout=ADMIN_TIMEOUT)
                await _patiently(begin, ADMIN_TIMEOUT)
                yield link
                await link.execute("COMMIT", timeout=ADMIN_TIMEOUT)
            except BaseException:
                await link.rollback()
                raise

    @asynccontextmanager
    async def _alone(self, timeout: float) -> AsyncIterator[Link]:
        """The connection that writes, and nobody else of this process on it."""
        turn = self._writer.turn
        try:
            async with asyncio.timeout(timeout):
                await turn.acquire()
        except TimeoutError:
            raise StoreDown(f"SQLite: another write took longer than {timeout:g} s") from None
        try:
            yield await self._writer.link()
        finally:
            turn.release()

    async def listen(self, wake: Callable[[], None]) -> None:
        if self._watching is None:
            self._watching = spawn(self._watch(wake), name="sqlite watch")

    def contend(self) -> None:
        """There are no other hosts."""

    async def _watch(self, wake: Callable[[], None]) -> None:
        seen: tuple[Any, ...] = ()
        while True:
            found = self._place.written()
            if found != seen:  # the first time too, for what was written before
                wake()
            seen = found
            await asyncio.sleep(until_beat(WATCH))

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        for line in (self._reader, self._pages, self._writer):
            await line.close()
