"""A fleet that is administered all the time: ten thousand writes a minute beside streams, on two workers.

What is looked at: requests that failed, how long a write takes until it is answered, and how long after that until the
other worker serves by it.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import sys
from time import perf_counter
from typing import TYPE_CHECKING

import aiohttp
import msgspec
import uvloop
from msgspec import Struct
from msgspec.structs import replace

from bench import peers
from bench.crowd import Size, fill
from bench.load import Load, Outcome
from bench.machine import pin
from bench.peers import ROOT, PeerError, running, wait_for_ready, workdir
from bench.store import Figure, settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.machine import Cores
    from bench.peers import Upstream

STREAM = "sim-n200-d20-f0-s4-t"
SHARE = re.compile(rb'^headrace_config_revision\{worker="(\d+)"\} (\d+)', re.MULTILINE)
LOOK = 0.02
"""Seconds between two looks at what a worker serves."""


class Plan(Struct, frozen=True):
    """How much of everything."""

    minutes: float = 5.0
    rate: float = 10_000 / 60
    """Writes a second."""
    streams: int = 200
    size: Size = Size(keys=1_000, deployments=100)
    workers: int = 2


QUICK = Plan(minutes=0.05, rate=20.0, streams=5, size=Size(keys=10, deployments=10))


class Seen:
    """What has happened so far."""

    def __init__(self) -> None:
        self.writes: list[float] = []
        """Seconds each."""
        self.refused: list[str] = []
        self.late = 0
        """Writes that were not begun in time, because a hundred others were not answered yet."""
        self.answered: dict[int, float] = {}
        """Revision to when the write that made it was answered."""
        self.served: dict[str, list[tuple[float, int]]] = {}
        """Worker to when which revision was seen there."""


def measure(
    plan: Plan, upstream: Upstream, cores: Cores, say: Callable[[str], None]
) -> list[Figure]:
    """Run it once."""
    with workdir() as folder:
        url = f"http://{upstream.host}:{upstream.port}"
        uvloop.run(fill(f"sqlite:///{folder}/headrace.db", plan.size, url))
        port, admin = peers.free_port(), peers.free_port()
        file = folder / "headrace.yaml"
        file.write_text(settings(folder, port, admin, plan.workers))
        words = [sys.executable, "-m", "proxy", "serve", "--config", str(file)]
        with running(words, folder, frozenset()) as process:
            wait_for_ready(port, process, folder)
            seen, outcome = uvloop.run(_soak(plan, port, admin, cores))
    figures = _figures(plan, seen, outcome)
    for figure in figures:
        say(f"{figure.label}: {figure.value:,.4g} {figure.unit}")
    for refused in seen.refused[:5]:
        say(f"WRONG {refused}")
    if outcome.first_error:
        say(f"WRONG {outcome.first_error}")
    return figures


async def _soak(plan: Plan, port: int, admin: int, cores: Cores) -> tuple[Seen, Outcome]:
    seconds = plan.minutes * 60
    seen = Seen()
    load = Load(
        model=STREAM,
        port=port,
        key=peers.KEY,
        stream=True,
        connections=plan.streams,
        seconds=seconds,
        warm=1.0,
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.load",
        msgspec.json.encode(load).decode(),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=pin(cores.load),
    )
    token = {"authorization": f"Bearer {peers.KEY}-admin"}
    connector = aiohttp.TCPConnector(limit=100)
    try:
        async with aiohttp.ClientSession(
            f"http://127.0.0.1:{admin}", headers=token, connector=connector
        ) as http:
            lookers = [
                asyncio.ensure_future(_look(one, seen)) for one in await _one_for_each(plan, port)
            ]
            await _write(plan, http, seen, seconds)
            await asyncio.sleep(2.0)
            for one in lookers:
                one.cancel()
            await asyncio.gather(*lookers, return_exceptions=True)
        stdout, _ = await process.communicate()
    finally:
        # It would go on asking for as long as it was told to.
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise PeerError(f"the load generator ended with {process.returncode}")
    return seen, msgspec.json.decode(stdout, type=Outcome)


async def _write(plan: Plan, http: aiohttp.ClientSession, seen: Seen, seconds: float) -> None:
    """Change virtual keys at a steady rate, whether those before are answered or not."""
    began = perf_counter()
    running: set[asyncio.Task[None]] = set()
    for number in itertools.count():
        due = began + number / plan.rate
        if due > began + seconds:
            break
        await asyncio.sleep(max(due - perf_counter(), 0.0))
        if len(running) >= 100:
            seen.late += 1
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        task = asyncio.ensure_future(_one(number, plan, http, seen))
        running.add(task)
        task.add_done_callback(running.discard)
    if running:
        await asyncio.wait(running)


async def _one(number: int, plan: Plan, http: aiohttp.ClientSession, seen: Seen) -> None:
    path = f"/admin/keys/key-{number % plan.size.keys}"
    began = perf_counter()
    try:
        async with http.patch(path, json={"metadata": {"turn": str(number)}}) as answer:
            raw = await answer.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        seen.refused.append(f"{type(error).__name__}: {error}")
        return
    now = perf_counter()
    if answer.status != 200:
        seen.refused.append(f"{answer.status} {raw[:200]!r}")
        return
    seen.writes.append(now - began)
    revision = answer.headers.get("etag", "").strip('"')
    if revision.isdecimal():
        seen.answered[int(revision)] = now


class _Line:
    """A connection to one worker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self) -> tuple[str, int]:
        """(worker, revision it serves)"""
        self._writer.write(b"GET /metrics/worker HTTP/1.1\r\nHost: bench\r\n\r\n")
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        body = await self._reader.readexactly(int(length[1]) if length else 0)
        found = SHARE.search(body)
        return (found[1].decode(), int(found[2])) if found else ("", 0)

    def close(self) -> None:
        self._writer.close()


async def _one_for_each(plan: Plan, port: int) -> list[_Line]:
    found: dict[str, _Line] = {}
    for _ in range(500):
        line = _Line(*await asyncio.open_connection("127.0.0.1", port))
        name, _ = await line.ask()
        if found.setdefault(name, line) is not line:
            line.close()
        if len(found) == plan.workers:
            break
        await asyncio.sleep(0.01)
    return list(found.values())


async def _look(line: _Line, seen: Seen) -> None:
    try:
        while True:
            name, revision = await line.ask()
            seen.served.setdefault(name, []).append((perf_counter(), revision))
            await asyncio.sleep(LOOK)
    finally:
        line.close()


def _figures(plan: Plan, seen: Seen, outcome: Outcome) -> list[Figure]:
    lags = sorted(_lags(seen))
    writes = sorted(seen.writes)
    return [
        Figure("soak_minutes", "length", plan.minutes, "min"),
        Figure("soak_writes", "writes", len(writes), ""),
        Figure("soak_refused", "writes that failed", len(seen.refused), ""),
        Figure("soak_late", "writes begun late", seen.late, ""),
        Figure("soak_write_p50", "write p50", _share(writes, 0.5) * 1e3, "ms"),
        Figure("soak_write_p99", "write p99", _share(writes, 0.99) * 1e3, "ms"),
        Figure("soak_lag_p50", "until all workers serve it, p50", _share(lags, 0.5) * 1e3, "ms"),
        Figure("soak_lag_max", "the same, at most", (lags or [0.0])[-1] * 1e3, "ms"),
        Figure("soak_tokens", "tokens", outcome.tokens, ""),
        Figure("soak_failed", "streams that failed", outcome.errors + outcome.truncated, ""),
        Figure("soak_delay_p99", "token delay p99", outcome.token_delay.p99 / 1e3, "ms"),
    ]


def _lags(seen: Seen) -> list[float]:
    """For each write, how long after its answer the last worker was seen to serve it."""
    ordered = sorted(seen.answered.items())
    slowest = [0.0] * len(ordered)
    for looks in seen.served.values():
        at = iter(looks)
        look = next(at, None)
        for index, (revision, answered) in enumerate(ordered):
            while look is not None and look[1] < revision:
                look = next(at, None)
            if look is None:
                slowest[index] = float("inf")
            else:
                slowest[index] = max(slowest[index], look[0] - answered)
    return [max(one, 0.0) for one in slowest]


def _share(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def scaled(plan: Plan, minutes: float | None) -> Plan:
    """Another length."""
    return plan if minutes is None else replace(plan, minutes=minutes)
