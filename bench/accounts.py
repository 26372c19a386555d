"""What limits, budgets and the ledger cost a request: the same worker with and without them, in turns.

All of them run at once, so that no minute of the machine is better for one of them; only one is asked at a time. The
processes that ship to the database are stopped meanwhile: what they would still have to do for one way would fall into
the time of the next. Afterwards they go on, and what a record costs them is a figure of its own.

A second measurement needs no sockets and one thread (`line.py`), and is steadier by far: what is to be compared from one
day to the next.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import statistics
import sys
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from bench import line, machine, peers
from bench.load import Load
from bench.measure import quiet, run
from bench.peers import KEY, START_S, Peer, PeerError, running, wait_for_ready, workdir
from bench.store import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bench.load import Outcome
    from bench.machine import Cores
    from bench.peers import Upstream

SETTINGS = """\
server: {{host: 127.0.0.1, port: {port}, workers: {workers}}}
admin: {{host: 127.0.0.1, port: {admin}, token: bench-admin-token}}
store: {{url: "sqlite:///{folder}/headrace.db"}}
ledger: {{path: "{ledger}"}}
logging: {{level: info, requests: true}}
providers:
  lab:
    dialects: [openai.chat]
    base_url: "{upstream}"
    credentials: [upstream-key]
    allow_private: true
models:
  "sim*": {{deployments: [{{provider: lab, model: "sim*", price: {{input: 2, output: 8}}}}]}}
keys:
  - {{name: bench, key: {key}, models: ["*"]{limits}}}
"""
LIMITS = ", rpm: 100000000, concurrency: 100000, budget: {usd: 1000000, period: day}"


class Way(Struct, frozen=True):
    """One configuration."""

    label: str
    workers: int = 1
    records: bool = False
    limited: bool = False


WAYS: Mapping[str, Way] = {
    "off": Way("nothing"),
    "ledger": Way("ledger", records=True),
    "limits": Way("ledger, limits, budget", records=True, limited=True),
    "off2": Way("nothing, 2 workers", workers=2),
    "limits2": Way("all of it, 2 workers", workers=2, records=True, limited=True),
}
LINES = ("off", "ledger", "limits")
"""Those of one worker, which are measured without sockets too."""
DIFFERENCES = (("ledger", "off"), ("limits", "ledger"), ("limits", "off"), ("limits2", "off2"))


class Plan(Struct, frozen=True):
    """How much of everything."""

    rounds: int = 7
    attempts: int = 2
    batches: int = 600
    """Of the measurement without sockets."""
    shipping: float = 4.0
    """Seconds for which the cost of shipping is looked at."""
    request: Load = Load(model="sim-n16-d0-f0-s4", connections=16, seconds=2.5, warm=0.5)
    token: Load = Load(
        model="sim-n64-d20-f0-s4-t", stream=True, connections=100, seconds=4.0, warm=1.5
    )

    @property
    def loads(self) -> Mapping[str, Load]:
        """By what is counted."""
        return {"request": self.request, "token": self.token}


QUICK = Plan(
    rounds=1,
    attempts=1,
    batches=5,
    shipping=0.5,
    request=Load(model="sim-n16-d0-f0-s4", connections=4, seconds=0.3, warm=0.2),
    token=Load(model="sim-n16-d1-f0-s4-t", stream=True, connections=4, seconds=0.3, warm=0.2),
)

Costs = dict[str, list[float]]
"""Way to microseconds, one a round."""


def scaled(plan: Plan, rounds: int | None, seconds: float | None) -> Plan:
    """Other rounds, of another length."""
    if rounds is not None:
        plan = replace(plan, rounds=max(rounds, 1))
    if seconds is None:
        return plan
    loads = {name: replace(load, seconds=seconds) for name, load in plan.loads.items()}
    return replace(plan, **loads)


def measure(
    plan: Plan, upstream: Upstream, cores: Cores, say: Callable[[str], None]
) -> list[Figure]:
    """Every load, every round, every way, in an order in which they take turns at going first."""
    found = without_sockets(plan.batches)
    with ExitStack() as stack:
        standing = {
            name: stack.enter_context(serving(name, way, upstream, cores))
            for name, way in WAYS.items()
        }
        for what, load in plan.loads.items():
            costs: Costs = {name: [] for name in WAYS}
            for turn in range(plan.rounds):
                for name in _rotated(list(WAYS), turn):
                    once = partial(run, load, standing[name].peer, cores)
                    outcome = quiet(once, plan.attempts)
                    costs[name].append(_each(outcome, what))
                    wrong = outcome.errors + outcome.truncated
                    said = f", WRONG {wrong} failed: {outcome.first_error}" if wrong else ""
                    say(f"{what} {turn + 1}/{plan.rounds} {name}: {costs[name][-1]:.2f} µs{said}")
            found += figures(what, costs)
        for name, one in standing.items():
            if one.peer.apart:
                label = f"CPU of the shipper a request: {WAYS[name].label}"
                found.append(Figure(f"{name}_ship", label, one.shipped(plan.shipping), "µs"))
    return found


def without_sockets(batches: int) -> list[Figure]:
    """What the line itself costs in one thread: the tenth of the batches, which is the machine at rest, and the median."""
    with TemporaryDirectory(prefix="headrace-bench-") as folder:
        root = Path(folder)
        settings = {
            name: settings_of(WAYS[name], root, root / name, "http://127.0.0.1:1") for name in LINES
        }
        recorded = frozenset(name for name in LINES if WAYS[name].records)
        costs = line.measure(settings, recorded, root, batches)
        codes = line.bytecodes(settings, recorded, root)
    tenths = {name: sorted(values)[len(values) // 10] for name, values in costs.items()}
    found = [
        Figure(f"line_{name}", f"thread time of the line: {WAYS[name].label}", value, "µs")
        for name, value in tenths.items()
    ]
    for more, less in DIFFERENCES:
        if more in costs and less in costs:
            label = f"the line: {WAYS[more].label} - {WAYS[less].label}"
            turns = [one - other for one, other in zip(costs[more], costs[less], strict=True)]
            tenth, median = tenths[more] - tenths[less], statistics.median(turns)
            found.append(Figure(f"line_{more}_{less}", f"{label}, of the tenths", tenth, "µs"))
            found.append(Figure(f"line_{more}_{less}_p50", f"{label}, median", median, "µs"))
            added = codes[more] - codes[less]
            found.append(
                Figure(f"line_{more}_{less}_codes", f"{label}, counted", added, "bytecodes")
            )
    return found


def figures(what: str, costs: Costs) -> list[Figure]:
    """The least of the rounds, which is what neighbours disturbed least; and differences, within each round."""
    found = [
        Figure(f"{what}_{name}", f"CPU a {what}: {WAYS[name].label}", min(values), "µs")
        for name, values in costs.items()
    ]
    for more, less in DIFFERENCES:
        label = f"a {what}: {WAYS[more].label} - {WAYS[less].label}"
        rounds = [one - other for one, other in zip(costs[more], costs[less], strict=True)]
        least = min(costs[more]) - min(costs[less])
        found.append(Figure(f"{what}_{more}_{less}", f"{label}, of the least", least, "µs"))
        found.append(
            Figure(f"{what}_{more}_{less}_p50", f"{label}, median", statistics.median(rounds), "µs")
        )
    return found


class Standing(Struct, frozen=True):
    """One way that serves, and its folder."""

    peer: Peer
    folder: Path

    def shipped(self, seconds: float) -> float:
        """Microseconds a request that the shipper brings to the database: it goes on for so long, at what waits there."""
        for pid in self.peer.apart:
            os.kill(pid, signal.SIGCONT)
        deadline = monotonic() + START_S
        while not (before := self._booked()) and monotonic() < deadline:
            sleep(0.02)
        spent = machine.cpu_ns(list(self.peer.apart))
        sleep(seconds)
        spent = machine.cpu_ns(list(self.peer.apart)) - spent
        booked = self._booked() - before
        for pid in self.peer.apart:
            os.kill(pid, signal.SIGSTOP)
        return spent / 1e3 / max(booked, 1)

    def _booked(self) -> int:
        with closing(sqlite3.connect(self.folder / "headrace.db", timeout=START_S)) as database:
            (rows,) = database.execute("SELECT count(*) FROM requests").fetchone()
        return int(rows)


def settings_of(way: Way, folder: Path, ledger: Path, upstream: str, port: int = 8080) -> str:
    """The configuration of a way, as text."""
    return SETTINGS.format(
        port=port,
        admin=peers.free_port(),
        workers=way.workers,
        folder=folder,
        ledger=ledger if way.records else "",
        upstream=upstream,
        key=KEY,
        limits=LIMITS if way.limited else "",
    )


@contextmanager
def serving(name: str, way: Way, upstream: Upstream, cores: Cores) -> Iterator[Standing]:
    """`headrace serve`, its workers on the measured core, its shipper not, and stopped."""
    port = peers.free_port()
    with workdir() as folder:
        file = folder / "headrace.yaml"
        address = f"http://{upstream.host}:{upstream.port}"
        file.write_text(settings_of(way, folder, folder / "ledger", address, port))
        words = [sys.executable, "-m", "proxy", "serve", "--config", str(file)]
        with running(words, folder, cores.measured) as process:
            wait_for_ready(port, process, folder)
            apart = _shippers(process.pid) if way.records else []
            for pid in apart:
                machine.move(pid, cores.load)
                os.kill(pid, signal.SIGSTOP)
            try:
                peer = Peer(name, "127.0.0.1", port, process.pid, apart=tuple(apart))
                yield Standing(peer, folder)
            finally:
                for pid in apart:
                    os.kill(pid, signal.SIGCONT)


def _shippers(pid: int) -> list[int]:
    deadline = monotonic() + START_S
    while monotonic() < deadline:
        found = machine.named("headrace-ship", machine.tree(pid))
        if found:
            return found
        sleep(0.02)
    raise PeerError("nothing ships to the database")


def _each(outcome: Outcome, what: str) -> float:
    number = outcome.tokens if what == "token" else outcome.requests
    return outcome.cpu_us / max(number, 1)


def _rotated(names: Sequence[str], turn: int) -> list[str]:
    turn %= len(names)
    return [*names[turn:], *names[:turn]]
