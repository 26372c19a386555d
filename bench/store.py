"""What the store costs: building what is served, swapping it under streams, looking a key up, reading everything.

These are figures of one process beside nothing else; they are not compared with another proxy.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import statistics
import sys
from contextlib import ExitStack, asynccontextmanager, contextmanager
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec
import uvloop
from msgspec import Struct
from msgspec.structs import replace

from bench import peers
from bench.crowd import MASTER, Size, crowd, fill
from bench.load import Load
from bench.machine import pin
from bench.measure import run
from bench.peers import ROOT, Peer, running, wait_for_ready, workdir
from proxy.control.sync import ConfigFile
from proxy.core.config import parse
from proxy.core.records import Kind, Record
from proxy.core.secret import Secret
from proxy.core.vault import Vault
from proxy.core.virtual_key import Pepper, digest
from proxy.state.compiler import Compiler
from proxy.state.mirror import Mirror
from proxy.state.snapshot import compile_snapshot
from proxy.store import objects
from proxy.store.delta import NEVER
from proxy.store.opening import open_store
from proxy.worker import Worker, listen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from bench.machine import Cores
    from bench.peers import Upstream
    from proxy.core.config.schema import Config
    from proxy.core.model import Snapshot

TICK = 0.005
STREAMS = 200
STREAM = "sim-n2000-d20-f0-s4-t"
REQUEST = Load(model="sim-n16-d0-f0-s4", connections=16)


class Figure(Struct, frozen=True):
    """One number."""

    name: str
    label: str
    value: float
    unit: str


class Plan(Struct, frozen=True):
    """How much of everything."""

    size: Size = Size()
    rounds: int = 5
    lookups: int = 200_000
    streams: int = STREAMS
    swaps: int = 5
    load: Load = REQUEST


QUICK = Plan(
    size=Size(keys=500, deployments=50),
    rounds=1,
    lookups=2_000,
    streams=5,
    swaps=1,
    load=replace(REQUEST, seconds=0.3, warm=0.2),
)


def measure(
    plan: Plan, upstream: Upstream, cores: Cores, postgres: str | None, say: Callable[[str], None]
) -> list[Figure]:
    """Every figure. `postgres`: the URL of an empty database, if there is one."""
    found: list[Figure] = []

    def note(figures: Iterator[Figure] | Sequence[Figure]) -> None:
        for figure in figures:
            say(f"{figure.label}: {figure.value:,.4g} {figure.unit}")
            found.append(figure)

    url = f"http://{upstream.host}:{upstream.port}"
    note(building(plan, url))
    note(looking_up(plan))
    with workdir() as folder:
        sqlite = f"sqlite:///{folder}/headrace.db"
        made = uvloop.run(fill(sqlite, plan.size, url))
        note(uvloop.run(reading(plan, sqlite, "SQLite")))
        if postgres is not None:
            uvloop.run(fill(postgres, plan.size, url))
            note(uvloop.run(reading(plan, postgres, "PostgreSQL")))
        note(uvloop.run(swapping(plan, folder, cores)))
        note(asking(plan, upstream, cores, folder, made.keys[-1]))
    return found


# --- in memory ---


def building(plan: Plan, upstream: str) -> Iterator[Figure]:
    """A whole snapshot, and what one change costs."""
    vault, pepper = Vault([Secret(MASTER)]), Pepper("bench", b"0" * 32)
    records = crowd(plan.size, vault, pepper, upstream).records
    config = parse("{}").config
    every = frozenset(str(kind) for kind in Kind)

    def whole() -> None:
        mirror = Mirror()
        mirror.replace(records)
        Compiler().compile(config, mirror, every, vault, (pepper,))

    yield Figure("build", "full build", _seconds(whole, plan.rounds), "s")
    mirror, compiler = Mirror(), Compiler()
    mirror.replace(records)
    compiler.compile(config, mirror, every, vault, (pepper,))
    for kind in (Kind.KEY, Kind.DEPLOYMENT):
        last = [record for record in records if record.kind == kind]

        def change(kind: Kind = kind, last: list[Record] = last) -> None:
            one = replace(last[len(last) // 2], revision=mirror.revision + 1, updated=1.0)
            compiler.compile(config, mirror, mirror.apply([one]), vault, (pepper,))

        value = _seconds(change, plan.rounds * 4) * 1e3
        yield Figure(f"delta_{kind}", f"one {kind} changed", value, "ms")


def looking_up(plan: Plan) -> Iterator[Figure]:
    """From what a client presents to what it may do."""
    pepper = Pepper("bench", b"0" * 32)
    made = crowd(replace(plan.size, deployments=0), Vault([Secret(MASTER)]), pepper, "http://x")
    table = {digest(key, pepper): key for key in made.keys}
    for count in (1, len(made.keys)):
        asked = list(itertools.islice(itertools.cycle(made.keys[:count]), plan.lookups))
        small = table if count > 1 else {digest(asked[0], pepper): asked[0]}

        def look(asked: list[str] = asked, small: dict[bytes, str] = small) -> None:
            for key in asked:
                small[digest(key, pepper)]

        value = _seconds(look, plan.rounds) / len(asked) * 1e9
        yield Figure(f"lookup_{count}", f"key lookup among {count:,}", value, "ns")


def _seconds(work: Callable[[], None], rounds: int) -> float:
    """The median of some rounds, each after a collection."""
    found = []
    for _ in range(rounds):
        gc.collect()
        began = perf_counter()
        work()
        found.append(perf_counter() - began)
    return statistics.median(found)


# --- from the database ---


async def reading(plan: Plan, url: str, name: str) -> list[Figure]:
    """All rows, as a worker reads them at its start."""
    found, rows = [], 0
    store = open_store(url)
    try:
        await store.open()
        for _ in range(plan.rounds):
            began = perf_counter()
            rows = len(await objects.changes(store, 0))
            found.append(perf_counter() - began)
    finally:
        await store.close()
    label = f"read of {rows:,} rows from {name}"
    return [Figure(f"read_{store.backend}", label, statistics.median(found), "s")]


# --- under streams ---


async def swapping(plan: Plan, folder: Path, cores: Cores) -> list[Figure]:
    """The longest time for which the loop did nothing else, while everything is built anew and swapped in."""
    config = parse(settings(folder)).config
    pin(cores.measured)()
    gc.collect()
    gc.freeze()  # what the figures before have left is not this worker's
    async with _worker(config) as (worker, port):
        load = Load(
            model=STREAM, port=port, stream=True, connections=plan.streams, seconds=600.0, warm=0.1
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bench.load",
            msgspec.json.encode(replace(load, key=peers.KEY)).decode(),
            cwd=ROOT,
            stdout=asyncio.subprocess.DEVNULL,
            preexec_fn=pin(cores.load),
        )
        try:
            await _under_way(worker, plan.streams)
            quiet = await _longest(asyncio.sleep(2.0))
            gaps, whole = [], []
            for _ in range(plan.swaps):
                began = perf_counter()
                gaps.append(await _longest(_anew(worker)))
                whole.append(perf_counter() - began)
        finally:
            process.kill()
            await process.wait()
            pin(cores.load | cores.simulator | cores.measured)()
    return [
        Figure("stall_quiet", f"longest stall, {plan.streams} streams", quiet * 1e3, "ms"),
        Figure("stall_swap", "the same, while all is read, built, swapped", max(gaps) * 1e3, "ms"),
        Figure("anew", "reading, building, swapping all beside them", max(whole), "s"),
    ]


async def _under_way(worker: Worker, streams: int) -> None:
    while sum(one.busy for one in worker.pool.upstreams()) < streams:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    await asyncio.sleep(1.0)


async def _anew(worker: Worker) -> None:
    """As after somebody has restored an older database: everything is read, built and swapped in."""
    assert worker.sync is not None
    worker.sync._replica.revision = NEVER
    await worker.sync.refresh()


async def _longest(work: object) -> float:
    """The longest time beyond a tick between two of them, until `work` is done."""
    task = asyncio.ensure_future(work)  # type: ignore[call-overload]
    longest, last = 0.0, perf_counter()
    while not task.done():
        await asyncio.sleep(TICK)
        now = perf_counter()
        longest, last = max(longest, now - last - TICK), now
    await task
    return longest


@asynccontextmanager
async def _worker(config: Config) -> AsyncIterator[tuple[Worker, int]]:
    def unchanged(snapshot: Snapshot) -> Snapshot:
        return snapshot

    file = ConfigFile(config, lambda: config, unchanged)
    worker = Worker(compile_snapshot(config), file=file)
    api = listen("127.0.0.1", 0)
    await worker.start(api, None)
    try:
        yield worker, api.getsockname()[1]
    finally:
        await worker.close(0.1)


# --- requests ---


def asking(plan: Plan, upstream: Upstream, cores: Cores, full: Path, key: str) -> Iterator[Figure]:
    """What a request costs the processor, with one key in the store and with all of them."""
    with ExitStack() as stack:
        empty = stack.enter_context(workdir())
        few = uvloop.run(
            fill(
                f"sqlite:///{empty}/headrace.db",
                replace(plan.size, keys=1),
                f"http://{upstream.host}:{upstream.port}",
            )
        )
        standing = {
            "1": stack.enter_context(_served(empty, cores, few.keys[0])),
            "all": stack.enter_context(_served(full, cores, key)),
        }
        costs: dict[str, list[float]] = {name: [] for name in standing}
        for turn in range(plan.rounds):
            for name in sorted(standing, reverse=turn % 2 == 1):
                outcome = run(plan.load, standing[name], cores)
                costs[name].append(outcome.cpu_us / outcome.requests)
    # Neighbours only ever add to it.
    one, many = (min(costs[name]) for name in ("1", "all"))
    yield Figure("cpu_1", "CPU a request, 1 key", one, "µs")
    yield Figure("cpu_all", f"CPU a request, {plan.size.keys:,} keys", many, "µs")
    yield Figure("cpu_ratio", "ratio of the two", many / one, "x")


@contextmanager
def _served(folder: Path, cores: Cores, key: str) -> Iterator[Peer]:
    port = peers.free_port()
    file = folder / "headrace.yaml"
    file.write_text(settings(folder, port, peers.free_port()))
    words = [sys.executable, "-m", "proxy", "serve", "--config", str(file)]
    with running(words, folder, cores.measured) as process:
        wait_for_ready(port, process, folder)
        yield Peer("headrace", "127.0.0.1", port, process.pid, key)


@contextmanager
def crowded(upstream: Upstream, cores: Cores) -> Iterator[Peer]:
    """Headrace with 100,000 keys and 1,000 deployments in its store, asked with one of the keys."""
    with workdir() as folder:
        url = f"http://{upstream.host}:{upstream.port}"
        made = uvloop.run(fill(f"sqlite:///{folder}/headrace.db", Size(), url))
        with _served(folder, cores, made.keys[-1]) as peer:
            yield replace(peer, name="many")


def settings(folder: Path, port: int = 0, admin: int = 0, workers: int = 1) -> str:
    """A configuration of which everything that is served is in the store, but one key to ask with."""
    return (
        f"server: {{host: 127.0.0.1, port: {port}, workers: {workers}}}\n"
        f"admin: {{port: {admin}, token: {peers.KEY}-admin}}\n"
        f'store: {{url: "sqlite:///{folder}/headrace.db"}}\n'
        f"secrets: {{keys: [{MASTER}]}}\n"
        f"keys: [{{name: bench, key: {peers.KEY}}}]\n"
    )
