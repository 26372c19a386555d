"""PostgreSQL: one database for workers on many hosts.

A worker has one connection for what it lives by, one that listens, and up to two for people: their transactions and
their long questions never make a poll wait.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from proxy.core.log import logger
from proxy.core.tasks import spawn
from proxy.store.base import ADMIN_TIMEOUT, CALL_TIMEOUT, Row, Session, StoreBroken, StoreDown
from proxy.store.contest import Contest
from proxy.store.pool import Connection, Pool, connect, within

if TYPE_CHECKING:
    from proxy.store.bulk import Insert

CHANNEL = "headrace"
"""What the trigger on `revision` notifies."""
OLDEST = 120_000
"""`server_version_num` of PostgreSQL 12."""
PROBE = 30.0
"""Seconds of silence after which the listening connection is asked whether it is still there."""
PAUSES = (0.1, 30.0)
"""Seconds before it listens again: the first time, and at most."""
ABANDONED = 10.0
"""Seconds a transaction may be idle: a frozen worker that holds the revision does not stop all others for longer."""


class Link:
    """One connection; a Session when it is in a transaction."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *values: Any, timeout: float = CALL_TIMEOUT) -> list[Row]:
        rows = await within(self._connection, self._connection.fetch(sql, *values), timeout)
        return [tuple(row) for row in rows]

    async def execute(self, sql: str, *values: Any, timeout: float = CALL_TIMEOUT) -> int:
        done = await within(self._connection, self._connection.execute(sql, *values), timeout)
        number = done.rpartition(" ")[2]  # `UPDATE 3`, `INSERT 0 1`, `CREATE TABLE`
        return int(number) if number.isdecimal() else 0

    async def each(
        self, sql: str, rows: Sequence[Row], *, timeout: float = CALL_TIMEOUT
    ) -> list[Row]:
        found = await within(self._connection, self._connection.fetchmany(sql, rows), timeout)
        return [tuple(row) for row in found]

    async def insert(
        self, what: Insert, rows: Sequence[Row], *, timeout: float = CALL_TIMEOUT
    ) -> list[Row]:
        if not rows:
            return []
        sql, values = what.postgresql(rows)
        return await self.fetch(sql, *values, timeout=timeout)


class Patient:
    """A Session with the server's own deadline: it gives up a statement at the same time as we do."""

    __slots__ = ("_link", "_patience")

    def __init__(self, link: Link, patience: float) -> None:
        self._link = link
        self._patience = patience

    async def fetch(self, sql: str, *values: Any, timeout: float = CALL_TIMEOUT) -> list[Row]:
        await self._allow(timeout)
        return await self._link.fetch(sql, *values, timeout=timeout)

    async def execute(self, sql: str, *values: Any, timeout: float = CALL_TIMEOUT) -> int:
        await self._allow(timeout)
        return await self._link.execute(sql, *values, timeout=timeout)

    async def each(
        self, sql: str, rows: Sequence[Row], *, timeout: float = CALL_TIMEOUT
    ) -> list[Row]:
        await self._allow(timeout)
        return await self._link.each(sql, rows, timeout=timeout)

    async def insert(
        self, what: Insert, rows: Sequence[Row], *, timeout: float = CALL_TIMEOUT
    ) -> list[Row]:
        await self._allow(timeout)
        return await self._link.insert(what, rows, timeout=timeout)

    async def _allow(self, timeout: float) -> None:
        if timeout > self._patience:
            self._patience = timeout
            await self._link.fetch(_PATIENCE, _milliseconds(timeout))


# For this transaction alone: a setting of the connection would stay behind in a pooler.
_PATIENCE = "SELECT set_config('statement_timeout', $1, true)"
_LIMITS = (
    "SELECT set_config('statement_timeout', $1, true),"
    " set_config('idle_in_transaction_session_timeout', $2, true)"
)


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))


class Postgres:
    """The back end. Not opened and not closed, it connects at the first call."""

    backend = "postgresql"

    def __init__(self, url: str) -> None:
        self._url = url
        self._own = Pool(url, 1)
        self._people = Pool(url, 2)
        self._listening: asyncio.Task[None] | None = None

    async def check(self) -> None:
        """Whether this server will do. Raises StoreBroken, StoreDown."""
        asked = (
            "SELECT current_setting('server_version_num'), current_setting('server_version'),"
            " current_setting('server_encoding')"
        )
        number, version, encoding = (await self.fetch(asked))[0]
        if int(number) < OLDEST:
            raise StoreBroken(f"PostgreSQL {version} is too old: 12 or newer is needed")
        if encoding != "UTF8":
            raise StoreBroken(f"the database has the encoding {encoding}: UTF8 is needed")

    async def fetch(self, sql: str, *values: Any, timeout: float = CALL_TIMEOUT) -> list[Row]:
        if timeout > CALL_TIMEOUT:
            async with self._begun(timeout) as session:
                return await session.fetch(sql, *values, timeout=timeout)
        async with self._own.connection(timeout) as (connection, until):
            left = until - asyncio.get_running_loop().time()
            return await Link(connection).fetch(sql, *values, timeout=left)

    async def execute(self, sql: str, *values: Any, timeout: float = CALL_TIMEOUT) -> int:
        if timeout > CALL_TIMEOUT:
            async with self._begun(timeout) as session:
                return await session.execute(sql, *values, timeout=timeout)
        async with self._own.connection(timeout) as (connection, until):
            left = until - asyncio.get_running_loop().time()
            return await Link(connection).execute(sql, *values, timeout=left)

    async def each(
        self, sql: str, rows: Sequence[Row], *, timeout: float = CALL_TIMEOUT
    ) -> list[Row]:
        async with self._begun(max(timeout, ADMIN_TIMEOUT)) as session:
            return await session.each(sql, rows, timeout=timeout)

    async def insert(
        self, what: Insert, rows: Sequence[Row], *, timeout: float = CALL_TIMEOUT
    ) -> list[Row]:
        async with self._begun(max(timeout, ADMIN_TIMEOUT)) as session:
            return await session.insert(what, rows, timeout=timeout)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        async with self._begun(ADMIN_TIMEOUT) as session:
            yield session

    @asynccontextmanager
    async def _begun(self, timeout: float) -> AsyncIterator[Session]:
        async with self._people.connection(timeout) as (connection, _):
            link = Link(connection)
            try:
                # Each statement sees what was committed before it, so who waited for the lock sees what it waited for.
                await link.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
                await link.fetch(_LIMITS, _milliseconds(timeout), _milliseconds(ABANDONED))
                yield Patient(link, timeout)
                await link.execute("COMMIT", timeout=ADMIN_TIMEOUT)
            except asyncio.CancelledError:
                connection.terminate()
                raise
            except BaseException:
                await _roll_back(connection)
                raise

    async def listen(self, wake: Callable[[], None]) -> None:
        if self._listening is None:
            self._listening = spawn(self._listen(wake), name="postgresql listen")

    async def _listen(self, wake: Callable[[], None]) -> None:
        first, most = PAUSES
        pause = first
        while True:
            try:
                connection = await connect(self._url)
                try:
                    lost = await _subscribe(connection, wake)
                    pause = first
                    wake()  # for what was said while nobody listened
                    await _until(lost, connection)
                finally:
                    connection.terminate()
            except StoreDown:
                pass
            except Exception:
                logger.exception("what the database tells cannot be heard")
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, most)

    def contend(self) -> Contest:
        async def tell(channel: str, text: str) -> None:
            await self.fetch("SELECT pg_notify($1, $2)", channel, text)

        return Contest(self._url, tell)

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            self._listening = None
        self._own.close()
        self._people.close()


async def _subscribe(connection: Connection, wake: Callable[[], None]) -> asyncio.Event:
    """Have `wake` called for every notification; the event is set when the connection is lost."""
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _: lost.set())
    await within(connection, connection.add_listener(CHANNEL, lambda *_: wake()), CALL_TIMEOUT)
    return lost


async def _until(lost: asyncio.Event, connection: Connection) -> None:
    """Return when the connection is lost, which a host that vanishes does not say. Raises StoreDown."""
    while not lost.is_set():
        try:
            async with asyncio.timeout(PROBE):
                await lost.wait()
        except TimeoutError:
            await within(connection, connection.execute("SELECT 1"), CALL_TIMEOUT)


async def _roll_back(connection: Connection) -> None:
    if connection.is_closed():
        return
    try:
        await within(connection, connection.execute("ROLLBACK"), CALL_TIMEOUT)
    except StoreDown:
        pass
