"""Which of many hosts does what one of them does: whoever has an advisory lock of PostgreSQL.

The lock belongs to a transaction that its holder leaves open, on a connection of its own, and says a word in each second.
So it ends with the host's process, at once; with its connection; and, where a host is frozen or its network is gone, after
the silence that the server allows a transaction (`idle_in_transaction_session_timeout`). A lock of a transaction also holds
through a pooler, which may give a session's lock to the next client. No snapshot is kept, so nothing is kept from vacuum.

The holder goes by its own clock: it leads for LEASE seconds from when it sent the last word that was answered, which is
less than SILENCE. So it knows that it does not lead any more before anybody else can; one that was frozen does not lead
for a moment when it thaws.

What the leader tells is heard by the others on the connection that they wait with (`NOTIFY`). It may be lost.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any, Final

from proxy.core.clock import monotonic
from proxy.core.log import logger
from proxy.core.tasks import spawn
from proxy.store.base import CALL_TIMEOUT, StoreDown
from proxy.store.pool import Connection, connect, within

LOCK: Final = 7243392108413
CHANNEL: Final = "headrace_told"
BEAT = 1.0
"""Seconds between two words of the leader, and between two tries of another."""
LEASE, SILENCE = 3.0, 5.0

_TRY: Final = f"SELECT pg_try_advisory_xact_lock({LOCK:d})"
_ALLOW: Final = "SELECT set_config('idle_in_transaction_session_timeout', $1, true)"


class Contest:
    """One a process. It contends from `begin` to `close`."""

    def __init__(self, url: str, tell: Callable[[str, str], Awaitable[Any]]) -> None:
        """`tell(channel, text)` notifies, on another connection: this one's transaction does not end."""
        self.hear: Callable[[str], None] = lambda _text: None
        """Called, on the loop, with each text that a leader has told, this one's too."""
        self._url = url
        self._tell = tell
        self._until = -inf
        self._task: asyncio.Task[None] | None = None

    @property
    def leads(self) -> bool:
        """Whether it does, as surely as a clock can say."""
        return monotonic() < self._until

    def begin(self) -> None:
        """Contend, until closed. May be called again."""
        if self._task is None:
            self._task = spawn(self._contend(), name="contest")

    async def close(self) -> None:
        """Let another lead. May be called again."""
        task, self._task, self._until = self._task, None, -inf
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def tell(self, text: str) -> None:
        """All who contend are told, if they listen and nothing is lost. Raises StoreDown."""
        await self._tell(CHANNEL, text)

    async def _contend(self) -> None:
        while True:
            try:
                connection = await connect(self._url)
                try:
                    await self._take_part(connection)
                finally:
                    self._until = -inf
                    connection.terminate()
            except StoreDown:
                pass
            except Exception:
                logger.exception("no host can be found to lead")
            await asyncio.sleep(BEAT * random.uniform(0.5, 1.0))

    async def _take_part(self, connection: Connection) -> None:
        """Until the connection is lost. Raises StoreDown."""

        def told(*notification: object) -> None:
            self.hear(str(notification[-1]))

        lost = asyncio.Event()

        def over(_connection: object) -> None:
            self._until = -inf
            lost.set()

        connection.add_termination_listener(over)
        await within(connection, connection.add_listener(CHANNEL, told), CALL_TIMEOUT)
        while not await self._try(connection):  # noqa: ASYNC110 - it is the database that is asked
            await asyncio.sleep(BEAT * random.uniform(0.8, 1.2))
        while not lost.is_set():
            began = monotonic()
            await within(connection, connection.execute("SELECT 1"), LEASE - BEAT)
            self._until = began + LEASE
            await _within(lost, BEAT)

    async def _try(self, connection: Connection) -> bool:
        """Whether the lock is held now, by a transaction that stays open. Raises StoreDown."""
        # One word, where another has it: this takes it for no longer than it is asked.
        if not await within(connection, connection.fetchval(_TRY), CALL_TIMEOUT):
            return False
        await within(connection, connection.execute("BEGIN"), CALL_TIMEOUT)
        silence = str(round(SILENCE * 1000))
        await within(connection, connection.execute(_ALLOW, silence), CALL_TIMEOUT)
        if await within(connection, connection.fetchval(_TRY), CALL_TIMEOUT):
            return True
        await within(connection, connection.execute("ROLLBACK"), CALL_TIMEOUT)
        return False


async def _within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
