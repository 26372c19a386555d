"""Connections to PostgreSQL that are never waited for longer than a deadline.

A statement that is late costs its connection: the socket is dropped, at once. To cancel it politely one would have
to ask the server, which may be the one that does not answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias, TypeVar

import asyncpg

from proxy.store.base import CALL_TIMEOUT, Duplicate, StoreDown, Unusable

T = TypeVar("T")
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_UNIQUE = "23505"
_REFUSED = {"42501": "grant it to the user of the URL, or make that user the owner of the schema"}

# SQLSTATE, or its first two characters, of what passes by itself or by somebody's doing elsewhere.
_PASSING: Final = (
    "08",  # connection
    "25006",  # read-only: a standby, or about to become one
    "25P03",  # idle in a transaction for too long
    "28",  # login: a password is being changed
    "3D000",  # no such database: being restored
    "3F000",  # no such schema, for the same reason
    "40",  # serialization, deadlock
    "42P01",  # no such table, for the same reason
    "53",  # out of connections, memory, disk
    "55P03",  # lock not available
    "57",  # cancelled, shut down, starting up
    "58",  # the system under it
)


def translate(error: BaseException) -> BaseException:
    """What an error means to a caller; itself where it is a mistake of ours."""
    if isinstance(error, asyncpg.PostgresError):
        state, message = error.sqlstate or "", error.args[0]
        if state == _UNIQUE:
            return Duplicate("a row with this name or key is there already")
        if state in _REFUSED:
            return Unusable(f"PostgreSQL: {message}: {_REFUSED[state]}")
        return StoreDown(f"PostgreSQL: {message}") if state.startswith(_PASSING) else error
    if isinstance(error, asyncpg.DataError):  # a value of ours
        return error
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError):
        return StoreDown("PostgreSQL: the connection was lost")
    if isinstance(error, TimeoutError):
        return StoreDown("PostgreSQL: no connection in time")
    if isinstance(error, OSError):
        return StoreDown(f"PostgreSQL: {error.strerror or error}")
    return error


async def within(connection: Connection, work: Coroutine[Any, Any, T], seconds: float) -> T:
    """The result of `work` on a connection, which is lost if it is late, cancelled or failing.

    Raises StoreDown, Duplicate.
    """
    late = False

    def drop() -> None:
        nonlocal late
        late = True
        connection.terminate()

    alarm = asyncio.get_running_loop().call_later(max(seconds, 0.0), drop)
    try:
        return await work
    except asyncio.CancelledError:
        connection.terminate()
        raise
    except Exception as error:
        if late:
            raise StoreDown("PostgreSQL: no answer in time") from None
        means = translate(error)
        if isinstance(means, StoreDown):
            connection.terminate()
        # Without its cause, whose details are values of the row.
        raise means from None
    finally:
        alarm.cancel()


class Pool:
    """Up to `size` connections, made when they are needed."""

    __slots__ = ("_free", "_idle", "_url")

    def __init__(self, url: str, size: int) -> None:
        self._url = url
        self._free = asyncio.Semaphore(size)
        self._idle: list[Connection] = []

    @asynccontextmanager
    async def connection(self, seconds: float) -> AsyncIterator[tuple[Connection, float]]:
        """A connection for this block alone, and the time (of the loop) at which `seconds` are over.

        Raises StoreDown.
        """
        clock = asyncio.get_running_loop().time
        until = clock() + seconds
        try:
            async with asyncio.timeout_at(until):
                await self._free.acquire()
        except TimeoutError:
            raise StoreDown("PostgreSQL: all connections are busy") from None
        try:
            connection = self._living() or await connect(self._url, until - clock())
            try:
                yield connection, until
            finally:
                if not connection.is_closed():
                    self._idle.append(connection)
        finally:
            self._free.release()

    def _living(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None

    def close(self) -> None:
        """Drop what is idle. What is in use is dropped by its user, or kept for the next one."""
        while self._idle:
            self._idle.pop().terminate()


async def connect(url: str, seconds: float = CALL_TIMEOUT) -> Connection:
    """A new connection. Raises StoreDown."""
    try:
        return await asyncpg.connect(
            url,
            timeout=max(min(seconds, CALL_TIMEOUT), 0.001),
            # Prepared statements outlive a transaction, and a pooler in between may change servers by then.
            statement_cache_size=0,
            server_settings={"application_name": "headrace"},
        )
    except OSError as error:  # a certificate that is refused is a ValueError, too
        raise translate(error) from None
    except ValueError:  # whose text may hold the password
        raise Unusable(
            "PostgreSQL: the store's URL cannot be read; a user, a password or a name in it is percent-encoded"
        ) from None
    except Exception as error:
        raise translate(error) from None
