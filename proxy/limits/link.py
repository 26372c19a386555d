"""One connection to the server of shared limits. What is asked in one turn of the loop goes out in one piece.

Nothing takes longer than the deadline; then, and whenever an answer is missing, the connection is dropped, since what
would come on it next belongs to nobody. It is only made anew by `connect`, which nobody waits for who serves a request.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from proxy.core.tasks import spawn
from proxy.core.url import login_encoded
from proxy.limits.scripts import Script

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

STEPS = 5
"""Of a deadline."""

Word = str | bytes | int


class Failed(Exception):
    """The server did not do it. The text is safe to print."""

    def __init__(self, text: str, *, timeout: bool = False) -> None:
        super().__init__(text)
        self.timeout = timeout


@asynccontextmanager
async def in_time(seconds: float) -> AsyncIterator[None]:
    """Raises TimeoutError, as `asyncio.timeout` does, but counts in steps: the time in which this loop itself was busy,
    or had no processor, is one step at most. A burst of requests would else look like a server that is away."""
    loop = asyncio.get_running_loop()
    left = STEPS
    timer = loop.call_later(seconds / STEPS, lambda: step())

    def step() -> None:
        nonlocal left, timer
        left -= 1
        if left:
            timer = loop.call_later(seconds / STEPS, step)
        else:
            limit.reschedule(loop.time())

    try:
        async with asyncio.timeout(None) as limit:
            yield
    finally:
        timer.cancel()


class _Call(Struct, eq=False):
    script: Script
    key: str
    words: Sequence[Word]
    answer: asyncio.Future[list[int]]


class Link:
    """For one event loop."""

    def __init__(self, url: str, timeout: float) -> None:
        """Connects to nothing yet. Raises ValueError."""
        try:
            from redis.asyncio import ConnectionPool
        except ImportError:
            raise ValueError(
                "shared.url: needs the extra 'redis': pip install 'headrace[redis]'"
            ) from None
        # redis-py does not know the names Valkey has for the same two things.
        url = re.sub(r"^valkey(s?)://", lambda found: f"redis{found[1]}://", login_encoded(url))
        try:
            self._pool = ConnectionPool.from_url(
                url, protocol=2, socket_timeout=None, socket_connect_timeout=None
            )
        except (ValueError, TypeError):
            raise ValueError("shared.url: not the URL of a Redis or Valkey server") from None
        self._timeout = timeout
        # To connect, present a password and ask how long the server has been there takes as many ways there and back.
        self._patience = 5 * timeout
        self._connection: AbstractConnection | None = None
        self._waiting: list[_Call] = []
        self._working: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether a call would be sent."""
        return self._connection is not None

    async def connect(self) -> tuple[float, str]:
        """Seconds the server has been up, and which of its runs this is; 0 and empty where it does not say.

        Takes five times the deadline at most. Raises Failed.
        """
        await self._drop()
        connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            async with in_time(self._patience):
                await connection.connect()
                (info,) = await _exchange(connection, [("INFO", "server")])
        except BaseException as error:
            await connection.disconnect(nowait=True)
            if isinstance(error, Exception):
                raise _failed(error) from None
            raise
        self._connection = connection
        text = info.decode("utf-8", "replace") if isinstance(info, bytes) else ""
        up, run = (
            re.search(rf"^{name}:(\w+)", text, re.M) for name in ("uptime_in_seconds", "run_id")
        )
        return float(up[1]) if up else 0.0, run[1] if run else ""

    def call(self, script: Script, key: str, *words: Word) -> asyncio.Future[list[int]]:
        """What the script gives. The future raises Failed."""
        call = _Call(script, key, words, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._working is None:
            # It begins in the next turn of the loop, and takes what this one has left.
            self._working = spawn(self._work(), name="shared limits")
        return call.answer

    async def close(self) -> None:
        """Disconnect."""
        if self._working is not None:
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)
        await self._drop()

    async def _work(self) -> None:
        calls: list[_Call] = []
        try:
            while self._waiting:
                calls, self._waiting = self._waiting, []
                await self._send(calls)
        finally:
            self._working = None
            for call in [*calls, *self._waiting]:
                _fail(call, Failed("closed"))
            self._waiting = []

    async def _send(self, calls: list[_Call]) -> None:
        connection = self._connection
        if connection is None:
            for call in calls:
                _fail(call, Failed("not connected"))
            return
        try:
            async with in_time(self._timeout):
                answers = await _run(connection, calls)
        except Exception as error:
            failed = _failed(error)
            await self._drop()
            for call in calls:
                _fail(call, failed)
            return
        for call, answer in zip(calls, answers, strict=True):
            if isinstance(answer, Exception):
                _fail(call, _failed(answer))
            elif not call.answer.done():
                call.answer.set_result(answer)

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


async def _run(connection: AbstractConnection, calls: list[_Call]) -> list[Any]:
    from redis.exceptions import NoScriptError

    answers = await _exchange(
        connection,
        [("EVALSHA", call.script.digest, 1, call.key, *call.words) for call in calls],
    )
    new = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    if new:
        again = [calls[place] for place in new]
        found = await _exchange(
            connection, [("EVAL", call.script.text, 1, call.key, *call.words) for call in again]
        )
        for place, answer in zip(new, found, strict=True):
            answers[place] = answer
    return answers


async def _exchange(connection: AbstractConnection, commands: list[tuple[Word, ...]]) -> list[Any]:
    """An answer, or the error the server returned, for each."""
    from redis.exceptions import ResponseError

    await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
    answers: list[Any] = []
    for _ in commands:
        try:
            answers.append(await connection.read_response())
        except ResponseError as error:
            answers.append(error)
    return answers


def _fail(call: _Call, failed: Failed) -> None:
    if not call.answer.done():
        call.answer.set_exception(failed)
        # Whoever asked may have stopped waiting.
        call.answer.exception()


def _failed(error: Exception) -> Failed:
    """In words of our own: those of a server or a client library may hold a name or an address."""
    from redis.exceptions import ResponseError
    from redis.exceptions import TimeoutError as RedisTimeout

    if isinstance(error, TimeoutError | RedisTimeout):
        return Failed("no answer in time", timeout=True)
    if isinstance(error, ResponseError):
        code = str(error).split(" ", 1)[0]
        return Failed(f"it answered {code}" if re.fullmatch(r"-?[A-Z]+", code) else "it refused")
    return Failed(_plain(error))


def _plain(error: Exception) -> str:
    from redis.exceptions import AuthenticationError, BusyLoadingError

    if isinstance(error, AuthenticationError):
        return "it does not take the password"
    if isinstance(error, BusyLoadingError):
        return "it is still loading its data"
    return "no connection"
