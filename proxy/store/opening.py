"""From a URL to a store.

sqlite:///state/headrace.db       a file under the working directory
sqlite:////var/lib/headrace.db    a file
postgresql://user:password@host:5432/database?sslmode=verify-full
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from proxy.core.url import login_encoded, sqlite_file
from proxy.store import bulk, migrations, objects
from proxy.store.base import CALL_TIMEOUT, Row, Session, StoreBroken, StoreDown, Unusable

if TYPE_CHECKING:
    from proxy.store.bulk import Insert
    from proxy.store.contest import Contest
    from proxy.store.migrations import Migration


class Backend(Session, Protocol):
    """What each of the two databases brings. It connects at the first call, and anew after a connection was lost."""

    backend: str

    async def check(self) -> None:
        """Whether it can be used at all. Raises StoreBroken, StoreDown."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Session]: ...

    async def listen(self, wake: Callable[[], None]) -> None: ...

    def contend(self) -> Contest | None: ...

    async def close(self) -> None: ...


def open_store(url: str) -> Database:
    """The store at `url`, not opened yet. Raises ValueError for a URL that names none."""
    scheme, _, rest = url.partition(":")
    name = scheme.partition("+")[0].lower()
    back_end: Backend
    if name == "sqlite":
        from proxy.store.sqlite import Sqlite

        back_end = Sqlite(sqlite_path(url))
    elif name in ("postgresql", "postgres"):
        from proxy.store.postgres import Postgres

        back_end = Postgres(login_encoded(f"postgresql:{rest}"))
    else:
        raise ValueError(f"a store's URL begins with sqlite: or postgresql:, not {name!r}")
    known = migrations.load(migrations.SQL / back_end.backend)
    return Database(without_password(url), back_end, known)


def sqlite_path(url: str) -> Path:
    """`sqlite:///relative`, `sqlite:////absolute`. Raises ValueError for one without a file."""
    path = sqlite_file(url)
    if not path:
        raise ValueError(
            "a store in SQLite is a file: sqlite:///relative/path or sqlite:////absolute/path"
        )
    return Path(path)


def without_password(url: str) -> str:
    """To be shown. A password that was not percent-encoded may look like any part of a URL: all of it goes."""
    scheme, _, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    place, _, query = place.partition("?")
    options = [pair for pair in query.split("&") if pair and "password" not in pair.lower()]
    shown = f"{scheme}://{login.partition(':')[0]}{at}{place}"
    return f"{shown}?{'&'.join(options)}" if options else shown


_LEAST, _MOST = -(2**63), 2**63 - 1


def check(values: tuple[Any, ...]) -> None:
    """Raises ValueError for what only one of the databases would take, before either sees it."""
    for value in values:
        # A row of the ledger has some fifty numbers: their type is asked for, which is quicker than `isinstance`.
        kind = type(value)
        if kind is int or (kind is not str and kind is not float and isinstance(value, int)):
            if not _LEAST <= value <= _MOST:
                raise ValueError("a number of more than 64 bits cannot be stored")
        elif kind is float:
            if not isfinite(value):
                raise ValueError("a number that is none, or has no end, cannot be stored")
        elif isinstance(value, str):
            if "\0" in value:
                raise ValueError("a text with a NUL character cannot be stored")
            if not value.isascii():
                value.encode()  # a lone surrogate is no UTF-8


class Transaction:
    """A Session that ends with its first error: one database would go on, the other would not commit."""

    __slots__ = ("_session", "failed")

    def __init__(self, session: Session) -> None:
        self._session = session
        self.failed = False

    async def fetch(self, sql: str, *values: Any, timeout: float = CALL_TIMEOUT) -> list[Row]:
        self._go_on(values)
        try:
            return await self._session.fetch(sql, *values, timeout=timeout)
        except BaseException:
            self.failed = True
            raise

    async def execute(self, sql: str, *values: Any, timeout: float = CALL_TIMEOUT) -> int:
        self._go_on(values)
        try:
            return await self._session.execute(sql, *values, timeout=timeout)
        except BaseException:
            self.failed = True
            raise

    async def each(
        self, sql: str, rows: Sequence[Row], *, timeout: float = CALL_TIMEOUT
    ) -> list[Row]:
        for row in rows:
            self._go_on(row)
        try:
            return await self._session.each(sql, rows, timeout=timeout)
        except BaseException:
            self.failed = True
            raise

    async def insert(
        self, what: Insert, rows: Sequence[Row], *, timeout: float = CALL_TIMEOUT
    ) -> list[Row]:
        self._go_on(())
        bulk.check(what.kinds, rows)
        try:
            return await self._session.insert(what, rows, timeout=timeout)
        except BaseException:
            self.failed = True
            raise

    def _go_on(self, values: tuple[Any, ...]) -> None:
        if self.failed:
            raise RuntimeError("a statement after an error in the same transaction")
        check(values)


class Database:
    """A Store. Before it was opened, the first call opens it, and may raise StoreBroken then."""

    def __init__(self, url: str, back_end: Backend, known: Sequence[Migration]) -> None:
        self.url = url
        self.known = known
        """The migrations that this program brings."""
        self.backend = back_end.backend
        self._back_end = back_end
        self._opening = asyncio.Lock()
        self._opened = False

    async def open(self) -> None:
        async with self._opening:
            await self._open()

    async def _open(self) -> None:
        await self._migrate(majors=False)
        self._opened = True
        try:
            await objects.sweep(self)
        except StoreDown:  # read-only for now: another time
            pass

    async def upgrade(self) -> list[Migration]:
        """Apply every migration, those to another major version too; what was. Raises StoreDown, StoreBroken."""
        return await self._migrate(majors=True)

    async def _migrate(self, *, majors: bool) -> list[Migration]:
        try:
            await self._back_end.check()
            return await migrations.migrate(self._back_end, self.known, majors=majors)
        except Unusable as error:
            raise StoreBroken(str(error)) from None

    async def state(self) -> migrations.State:
        """What is applied; changes nothing. Raises StoreDown."""
        return await migrations.state(self._back_end, self.backend)

    async def fetch(self, sql: str, *values: Any, timeout: float = CALL_TIMEOUT) -> list[Row]:
        check(values)
        await self._ready()
        return await self._back_end.fetch(sql, *values, timeout=timeout)

    async def execute(self, sql: str, *values: Any, timeout: float = CALL_TIMEOUT) -> int:
        check(values)
        await self._ready()
        return await self._back_end.execute(sql, *values, timeout=timeout)

    async def each(
        self, sql: str, rows: Sequence[Row], *, timeout: float = CALL_TIMEOUT
    ) -> list[Row]:
        for row in rows:
            check(row)
        await self._ready()
        return await self._back_end.each(sql, rows, timeout=timeout)

    async def insert(
        self, what: Insert, rows: Sequence[Row], *, timeout: float = CALL_TIMEOUT
    ) -> list[Row]:
        bulk.check(what.kinds, rows)
        await self._ready()
        return await self._back_end.insert(what, rows, timeout=timeout)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        await self._ready()
        async with self._back_end.transaction() as session:
            guarded = Transaction(session)
            yield guarded
            if guarded.failed:
                raise RuntimeError("an error in a transaction was caught within it")

    async def listen(self, wake: Callable[[], None]) -> None:
        await self._back_end.listen(wake)

    def contend(self) -> Contest | None:
        return self._back_end.contend()

    async def close(self) -> None:
        await self._back_end.close()

    async def _ready(self) -> None:
        if not self._opened:
            async with self._opening:
                if not self._opened:
                    await self._open()
