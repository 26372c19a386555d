"""Does anybody notice? Rolling restarts and reloads under load: every request is answered, every stream ends as it should.

Half of the requests come on a connection of their own, half on connections that are kept alive and are left when an answer
says that it was the last. Nothing is sent twice: a connection that is closed under a request counts as a failure. Streams
go on beside them, each begun anew when it has ended.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

import orjson
import uvloop
from msgspec import Struct, field

from bench import peers
from bench.peers import KEY, PATH, running, wait_for_ready, workdir
from bench.store import Figure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from subprocess import Popen

    from bench.peers import Upstream

PATIENCE = 60.0
"""Seconds for one restart."""


class Plan(Struct, frozen=True):
    """How much of everything."""

    workers: int = 2
    rate: float = 500.0
    """Requests a second."""
    streams: int = 300
    stream: str = "sim-n40-d200"
    restarts: int = 20
    reloads: int = 60
    kept: int = 64
    """Connections that are kept alive."""


SHED = "503 gateway_overloaded"
QUICK = Plan(rate=60.0, streams=12, stream="sim-n10-d20", restarts=1, reloads=3, kept=8)


class Seen(Struct):
    """What came of it."""

    answered: int = 0
    ended: int = 0
    reused: int = 0
    """Requests on a connection that had carried one."""
    failures: Counter[str] = field(default_factory=Counter)
    """Reasons, and how often."""
    shed: int = 0
    """Refused, as this machine could not keep up: that is another matter than a restart."""
    slowest: float = 0.0
    restarts: list[float] = field(default_factory=list)
    """Seconds each took."""
    reloads: int = 0
    overlap: int = 0
    """Processes that served at the same time, at most."""


def measure(plan: Plan, upstream: Upstream, say: Callable[[str], None]) -> list[Figure]:
    """Run it once."""
    with workdir() as folder:
        port, admin, ops = (peers.free_port() for _ in range(3))
        file = folder / "headrace.yaml"
        file.write_text(instance(plan.workers, folder, port, admin, ops, upstream))
        words = [sys.executable, "-m", "proxy", "serve", "--config", str(file)]
        with running(words, folder, frozenset()) as process:
            wait_for_ready(port, process, folder)
            seen = uvloop.run(_run(plan, port, ops, process, folder, say))
    for reason, times in seen.failures.most_common(5):
        say(f"FAILED {times}: {reason}")
    return [
        Figure("restart_failed", "requests and streams that failed", seen.failures.total(), ""),
        Figure("restart_shed", "… refused for want of processors", seen.shed, ""),
        Figure("restart_requests", "requests answered", seen.answered, ""),
        Figure("restart_reused", "… on a connection that had carried one", seen.reused, ""),
        Figure("restart_streams", "streams that ended as they should", seen.ended, ""),
        Figure("restart_restarts", "rolling restarts", len(seen.restarts), ""),
        Figure("restart_seconds", "one of them, at most", max(seen.restarts, default=0.0), "s"),
        Figure("restart_reloads", "reloads", seen.reloads, ""),
        Figure("restart_processes", "workers at a time, at most", seen.overlap, ""),
        Figure("restart_slowest", "slowest answer", seen.slowest * 1000, "ms"),
    ]


def instance(
    workers: int, folder: Path, port: int, admin: int, ops: int, upstream: Upstream
) -> str:
    """A configuration with the listener of the supervisor."""
    usual = peers.HEADRACE.format(
        port=port, admin_port=admin, folder=folder, host=upstream.host,
        upstream_port=upstream.port, key=KEY, dialect="openai.chat", workers=workers,
        **peers.PLAIN,
    )  # fmt: skip
    server = f"server: {{host: 127.0.0.1, port: {port}, workers: {workers}, ops: {{port: {ops}}}}}"
    return "\n".join([server, *usual.splitlines()[1:]]) + "\n"


async def _run(
    plan: Plan,
    port: int,
    ops: int,
    process: Popen[bytes],
    folder: Path,
    say: Callable[[str], None],
) -> Seen:
    seen, over = Seen(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(plan.streams):
            group.create_task(_streams(plan, port, seen, over))
        group.create_task(_requests(plan, port, seen, over, group))
        try:
            await _disturb(plan, ops, process, folder, seen, say)
        finally:
            over.set()
    return seen


# --- what is done to it ---


async def _disturb(
    plan: Plan,
    ops: int,
    process: Popen[bytes],
    folder: Path,
    seen: Seen,
    say: Callable[[str], None],
) -> None:
    async with asyncio.TaskGroup() as group:
        restarting = asyncio.Event()
        reloads = group.create_task(_reload(plan, process, seen, restarting))
        for number in range(plan.restarts):
            begun, done = monotonic(), _said(folder, "restarted: every worker")
            process.send_signal(signal.SIGUSR2)
            while _said(folder, "restarted: every worker") == done:
                await asyncio.sleep(0.05)
                seen.overlap = max(seen.overlap, await _processes(ops))
                if monotonic() - begun > PATIENCE:
                    raise peers.PeerError("a restart does not come to an end")
            seen.restarts.append(monotonic() - begun)
            say(
                f"restart {number + 1}: {seen.restarts[-1]:.1f} s; {seen.answered} requests, "
                f"{seen.ended} streams, {seen.failures.total()} failed, {seen.shed} shed"
            )
        restarting.set()
        await reloads


async def _reload(plan: Plan, process: Popen[bytes], seen: Seen, last: asyncio.Event) -> None:
    """Spread over the restarts; what is left when they are done follows at once."""
    for _ in range(plan.reloads):
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5 if last.is_set() else 3.0):
                await asyncio.sleep(0.5) if last.is_set() else await last.wait()
        process.send_signal(signal.SIGHUP)
        seen.reloads += 1


def _said(folder: Path, words: str) -> int:
    return (folder / "log").read_text(errors="replace").count(words)


async def _processes(ops: int) -> int:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", ops)
        writer.write(b"GET /health HTTP/1.1\r\nhost: bench\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return len(orjson.loads(answer.partition(b"\r\n\r\n")[2])["workers"])
    except (OSError, orjson.JSONDecodeError):
        return 0  # it is just becoming another program


# --- the load ---


class Refused(ValueError):
    """A whole answer, with an error: its status and code."""


class Connection:
    """One client's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.used = False

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, model: str, *, stream: bool) -> bool:
        """Send one, and read all of the answer; whether the connection may carry another. Raises OSError and EOFError
        when it is closed before, ValueError for another answer than was asked for."""
        body = orjson.dumps(
            {"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
        )
        self.writer.write(
            f"POST {PATH} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {KEY}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        self.used = True
        content = b""
        if b"content-length:" in head:
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            content = await self.reader.readexactly(length)
        else:
            await self._chunks()
        if not head.startswith(b"http/1.1 200"):
            raise Refused(f"{head[9:12].decode()} {orjson.loads(content)['error']['code']}")
        return b"connection: close" not in head

    async def _chunks(self) -> None:
        last = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            last = await self.reader.readexactly(size + 2)
        await self.reader.readexactly(2)
        if b"[DONE]" not in last:
            raise ValueError(f"a stream that ends with {last[-60:]!r}")

    def close(self) -> None:
        self.writer.close()


async def _streams(plan: Plan, port: int, seen: Seen, over: asyncio.Event) -> None:
    """One after the other."""
    while not over.is_set():
        ended = seen.ended
        await _noted(seen, _stream(plan, port, seen))
        if seen.ended == ended:
            await asyncio.sleep(0.2)  # it was refused: no storm of the same


async def _stream(plan: Plan, port: int, seen: Seen) -> None:
    connection = await Connection.open(port)
    try:
        await connection.ask(plan.stream, stream=True)
        seen.ended += 1
    finally:
        connection.close()


async def _requests(
    plan: Plan, port: int, seen: Seen, over: asyncio.Event, group: asyncio.TaskGroup
) -> None:
    """At their times, whatever became of those before."""
    begun, number = monotonic(), 0
    idle: list[Connection] = []
    while not over.is_set():
        due = begun + number / plan.rate
        await asyncio.sleep(max(due - monotonic(), 0))
        kept = number % 2 == 0
        group.create_task(_noted(seen, _request(plan, port, seen, idle if kept else None)))
        number += 1
    await asyncio.sleep(1.0)
    for connection in idle:
        connection.close()


async def _request(plan: Plan, port: int, seen: Seen, idle: list[Connection] | None) -> None:
    begun = monotonic()
    connection = idle.pop(0) if idle else await Connection.open(port)
    again = False
    try:
        used = connection.used
        again = await connection.ask("sim", stream=False) and idle is not None
        seen.answered += 1
        seen.reused += used
        seen.slowest = max(seen.slowest, monotonic() - begun)
    finally:
        if again and idle is not None and len(idle) < plan.kept:
            idle.append(connection)
        else:
            connection.close()


async def _noted(seen: Seen, work: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            await work
    except (OSError, EOFError, ValueError, TimeoutError) as error:
        if str(error) == SHED:
            seen.shed += 1
        else:
            seen.failures[f"{type(error).__name__}: {error}"] += 1
