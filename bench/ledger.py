"""Whether the books are right: three ledgers of one run, compared request by request.

The provider's (`ledger_upstream`), the clients' (`ledger_load`) and the database's. Meanwhile workers, the process that
ships, databases and connections are killed (`ledger_acts`). What differs is said, with its id (`ledger_audit`).
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import Counter
from contextlib import ExitStack, contextmanager
from time import monotonic, monotonic_ns
from typing import TYPE_CHECKING

import aiohttp
import msgspec
import uvloop
from msgspec import Struct
from msgspec.structs import replace

from bench import peers
from bench.ledger_acts import Found, Stage
from bench.ledger_audit import Books, audit, booked
from bench.ledger_load import OK, SECOND, Crowd
from bench.ledger_upstream import FINISHED, Served
from bench.peers import PeerError, running, wait_for_ready, workdir
from bench.store import Figure
from proxy.store.base import StoreDown
from proxy.store.opening import open_store

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from bench.ledger_acts import Act, Server

    Say = Callable[[str], None]

OWN = "own"
"""Instead of a URL: a server that is started for this run."""
KEYS = ("sk-soak-strict-0123456789", "sk-soak-soft-0123456789")
SETTINGS = """\
server: {{host: 127.0.0.1, port: {port}, workers: 2, drain: 30}}
admin: {{host: 127.0.0.1, port: {admin}, token: soak-admin-token}}
store: {{url: "{store}"}}
ledger: {{path: "{folder}/ledger"}}
{shared}
logging: {{level: warning, format: json, requests: false}}
# Answers are broken off in crowds: a circuit that opens would hide what becomes of them.
health: {{enabled: false}}
providers:
  lab:
    dialects: [openai.chat]
    base_url: "{upstream}"
    credentials: [upstream-key]
    allow_private: true
models:
  paid:
    deployments:
      - {{provider: lab, model: paid, price: {{input: 3, cached: 0.75, output: 12.5, reasoning: 17.3}}}}
keys:
  - {{name: strict, key: {strict}, models: ["*"], concurrency: 100000, budget: {{usd: 1000000, period: total, strict: true}}}}
  - {{name: soft, key: {soft}, models: ["*"], concurrency: 100000, tpm: 100000000000, budget: {{usd: 1000000, period: total}}}}
"""
LATE = 2.0
"""Seconds after its end by which a request should be booked."""
REMARKABLE = ("Traceback", "put aside", "cannot be", "lost", "damaged")
"""Of what the gateway says: what none of these acts should lead to."""
LOOK = 0.5
"""Seconds between two looks at how much is booked."""
DRAIN_S = 300.0
MOST_SAID = 50
"""Lines."""


class Plan(Struct, frozen=True):
    """How much of everything."""

    minutes: float = 10.0
    rate: float = 500.0
    """Requests a second."""
    streams: float = 0.3
    every: float = 5.0
    """Seconds between two acts."""
    pause: float = 20.0
    """Seconds for which a database is away."""
    outage: float = 0.0
    """Instead of acts: the database is dead for so many seconds."""
    seed: int = 1


QUICK = Plan(minutes=0.3, rate=60.0, every=1.3, pause=1.0)


class Run:
    """What is known when it is over."""

    def __init__(self) -> None:
        self.served: list[Served] = []
        self.acts: list[Act] = []
        self.lag = 0
        """Requests that were over and not booked, at most."""
        self.age = 0.0
        """Seconds for which the oldest of them had been over, at most."""
        self.late = 0
        """When it was last seen to be more than LATE behind: CLOCK_MONOTONIC in nanoseconds."""
        self.drained = 0.0
        """Seconds from the last request's end (and the last act's) until everything was booked."""


def measure(plan: Plan, postgres: str | None, valkey: str | None, say: Say) -> list[Figure]:
    """Run it once. Raises PeerError for a server that cannot be used."""
    if plan.outage and postgres is None:
        raise PeerError("--outage needs a database that can be stopped: --postgres")
    with ExitStack() as stack:
        folder = stack.enter_context(workdir())
        database, store = started(postgres, "postgres", stack)
        cache, shared = started(valkey, "valkey", stack)
        store = store or f"sqlite:///{folder}/headrace.db"
        words = [sys.executable, "-m", "bench.ledger_upstream", str(plan.seed)]
        upstream = stack.enter_context(_apart(words, folder / "upstream"))
        address = peers.listening_line(upstream, folder / "upstream" / "log")
        url = f"http://127.0.0.1:{address.port}"
        port = peers.free_port()
        file = folder / "headrace.yaml"
        file.write_text(
            SETTINGS.format(
                port=port, admin=peers.free_port(), store=store, folder=folder, upstream=url,
                shared=f'shared: {{url: "{shared}"}}' if shared else "", strict=KEYS[0], soft=KEYS[1],
            )
        )  # fmt: skip
        crowd = Crowd(port, KEYS, plan.streams, plan.seed)
        words = [sys.executable, "-m", "proxy", "serve", "--config", str(file)]
        with running(words, folder, frozenset()) as process:
            wait_for_ready(port, process, folder)
            run = uvloop.run(_run(plan, crowd, process.pid, url, store, database, cache, say))
        books = uvloop.run(_read(store, folder))
        said = (folder / "log").read_text(errors="replace").splitlines()
    wrong, figures = audit(crowd.asked, run.served, run.acts, books)
    for line in said:
        if any(word in line for word in REMARKABLE):
            say(f"LOG {line[:300]}")
    for line in wrong[:MOST_SAID]:
        say(f"WRONG {line}")
    return [*_figures(plan, crowd, run), *figures, Figure("ledger_wrong", "WRONG", len(wrong), "")]


def started(named: str | None, kind: str, stack: ExitStack) -> tuple[Server | None, str]:
    """What can be done to it, and its URL."""
    if named is None:
        return None, ""
    if named != OWN:
        return Found(named), named
    # They come with the dependencies of the tests.
    from tests.servers.postgres import PostgresServer
    from tests.servers.valkey import ValkeyServer

    server = PostgresServer() if kind == "postgres" else ValkeyServer()
    stack.callback(server.close)
    server.start()
    return server, server.url() if isinstance(server, PostgresServer) else server.url


@contextmanager
def _apart(words: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a folder of its own, started where this package is."""
    folder.mkdir()
    with running(words, folder, frozenset()) as process:
        yield process


async def _run(
    plan: Plan,
    crowd: Crowd,
    supervisor: int,
    upstream: str,
    store: str,
    database: Server | None,
    cache: Server | None,
    say: Say,
) -> Run:
    gc.disable()  # its own pauses would be taken for the gateway's
    run = Run()
    seconds = plan.minutes * 60
    async with aiohttp.ClientSession(upstream) as provider:

        async def reset(number: int) -> None:
            async with provider.post(f"/reset/{number}") as answer:
                await answer.read()

        stage = Stage(supervisor, crowd, reset, database, cache, plan.pause, plan.seed)
        looking = asyncio.ensure_future(_look(store, crowd, run, say))
        if plan.outage:
            seconds = plan.outage + 10.0
            acting = asyncio.ensure_future(_outage(stage, plan.outage))
        else:
            acting = asyncio.ensure_future(stage.run(seconds, plan.every))
        await crowd.run(plan.rate, seconds, acting)
        await acting
        await stage.settle()
        await crowd.end()
        over = monotonic()
        run.acts = sorted(stage.acts, key=_began)
        async with provider.get("/books") as answer:
            run.served = msgspec.msgpack.decode(await answer.read(), type=list[Served])
        say(f"{len(crowd.asked):,} requests are over; waiting until they are booked")
        begun = len({one.id for one in run.served})
        while (done := await _booked(store)) < begun and monotonic() - over < DRAIN_S:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        run.drained = monotonic() - over
        if done < begun:
            say(f"only {done:,} of {begun:,} were booked within {DRAIN_S:g} s")
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    gc.enable()
    return run


def _began(act: Act) -> int:
    return act.at


async def _outage(stage: Stage, seconds: float) -> None:
    await asyncio.sleep(2.0)
    await stage.lose_database(seconds)


async def _look(url: str, crowd: Crowd, run: Run, say: Say) -> None:
    """How far the database is behind."""
    store = open_store(url)
    said = monotonic()
    done = 0
    try:
        while True:
            try:
                done = max(done, await booked(store))
            except StoreDown:
                pass
            lag = len(crowd.finished) - done
            if lag > 0:
                run.lag = max(run.lag, lag)
                age = (monotonic_ns() - crowd.finished[done]) / SECOND
                run.age = max(run.age, age)
                if age > LATE:
                    run.late = monotonic_ns()
            if monotonic() - said > 10.0:
                said = monotonic()
                fates = ", ".join(f"{number:,} {fate}" for fate, number in crowd.fates.items())
                say(f"{len(crowd.asked):,} asked: {fates}; {done:,} booked")
            await asyncio.sleep(LOOK)
    finally:
        await store.close()


async def _booked(url: str) -> int:
    """Requests in the database that are over; -1: it cannot be asked."""
    store = open_store(url)
    try:
        return await booked(store, exactly=True)
    except StoreDown:
        return -1
    finally:
        await store.close()


async def _read(url: str, folder: Path) -> Books:
    store = open_store(url)
    try:
        return await Books.read(store, folder / "ledger")
    finally:
        await store.close()


def _figures(plan: Plan, crowd: Crowd, run: Run) -> list[Figure]:
    acts = Counter(one.name for one in run.acts)
    quiet, loud = _added(crowd, run)
    return [
        Figure("ledger_requests", "requests", len(crowd.asked), ""),
        Figure("ledger_streams", "streams", sum(one.stream for one in crowd.asked), ""),
        Figure("ledger_held_back", "moments without a free client", crowd.held_back, ""),
        *(
            Figure(f"ledger_act_{name.replace(' ', '_')}", name, number, "times")
            for name, number in sorted(acts.items())
        ),
        *(
            Figure(
                "ledger_caught_up",
                "until what waited was booked",
                max(run.late - one.until, 0) / SECOND,
                "s",
            )
            for one in run.acts
            if one.name == "lose database"
        ),
        Figure("ledger_drained", "until everything was booked", run.drained, "s"),
        Figure("ledger_lag", "behind, at most", run.lag, "requests"),
        Figure("ledger_age", "the same", run.age, "s"),
        *(
            Figure(
                f"ledger_added_{name}_{share}",
                f"added, p{share}, {when}",
                _share(some, share),
                "ms",
            )
            for name, when, some in (
                ("quiet", "quiet seconds", quiet),
                ("act", "within a second of an act", loud),
            )
            for share in (50, 99)
        ),
    ]


def _added(crowd: Crowd, run: Run) -> tuple[list[float], list[float]]:
    """Milliseconds that an answer took longer than the provider: far from acts, and beside them."""
    times = {one.id: one.ended - one.began for one in run.served if one.fate == FINISHED}
    spans = [(act.at, act.until + SECOND) for act in run.acts]
    quiet: list[float] = []
    loud: list[float] = []
    for one in crowd.asked:
        if one.fate == OK and one.id in times:
            beside = any(at <= one.ended and one.began <= until for at, until in spans)
            (loud if beside else quiet).append((one.ended - one.began - times[one.id]) / 1e6)
    return sorted(quiet), sorted(loud)


def _share(ordered: Sequence[float], share: int) -> float:
    return ordered[min(len(ordered) * share // 100, len(ordered) - 1)] if ordered else 0.0


def scaled(
    plan: Plan,
    minutes: float | None = None,
    rate: float | None = None,
    seed: int | None = None,
    outage: float | None = None,
) -> Plan:
    """With what was asked for instead."""
    given = {"minutes": minutes, "rate": rate, "seed": seed, "outage": outage}
    return replace(plan, **{name: value for name, value in given.items() if value is not None})
