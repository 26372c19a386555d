"""What several workers cost because they are several, on one core and with the same load: beside one worker, and beside as
many instances of one worker, which share nothing.

Only so are they comparable: with a load for each worker, or a core for each, they also differ in how busy a core is, and
a core that is busier does a request with fewer wake-ups and warmer caches. What instances that share nothing cost more than
one worker is the processor's; what workers of one instance cost more than those would be ours: locks, shared memory, words
to each other.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from contextlib import ExitStack, contextmanager
from time import monotonic
from typing import TYPE_CHECKING

import uvloop
from msgspec import Struct

from bench import machine, peers
from bench.peers import running, wait_for_ready, workdir
from bench.restart import Connection, Refused, instance
from bench.store import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.peers import Upstream

WARM = 1.0
"""Seconds of load before anything is counted."""
PAUSE = 0.005
"""Seconds between two connections."""


class Plan(Struct, frozen=True):
    """How much of everything."""

    workers: int = 4
    clients: int = 32
    rate: float = 40.0
    """Requests a second of each client, at random moments."""
    seconds: float = 4.0
    rounds: int = 3
    """Of which the least counts."""


QUICK = Plan(workers=2, clients=4, rate=20.0, seconds=0.5, rounds=1)


class Cost(Struct, frozen=True, order=True):
    """Of a request."""

    cpu: float
    """Microseconds of the workers."""
    wakes: float
    """How often a worker slept and was woken."""


def measure(plan: Plan, upstream: Upstream, say: Callable[[str], None]) -> list[Figure]:
    """The three of them in turn, `rounds` times."""
    cores = sorted(os.sched_getaffinity(0))
    core, others = frozenset({cores[-1]}), frozenset(cores[:-1] or cores)
    shapes = {
        "one": ("1 worker", 1, 1),
        "workers": (f"{plan.workers} workers", 1, plan.workers),
        "apart": (f"{plan.workers} instances of 1 worker", plan.workers, 1),
    }
    found: dict[str, list[Cost]] = {name: [] for name in shapes}
    for _ in range(plan.rounds):
        for name, (label, instances, workers) in shapes.items():
            with ExitStack() as stack:
                each = [
                    stack.enter_context(_serving(workers, upstream, core)) for _ in range(instances)
                ]
                os.sched_setaffinity(0, others)
                try:
                    cost = uvloop.run(_cost(plan, each))
                finally:
                    os.sched_setaffinity(0, frozenset(cores))
            found[name].append(cost)
            say(f"{label} on one core: {cost.cpu:.0f} us and {cost.wakes:.2f} wake-ups a request")
    least = {name: min(costs) for name, costs in found.items()}
    figures = []
    for name, (label, _, _) in shapes.items():
        figures += [
            Figure(f"together_cpu_{name}", f"{label}, one core: CPU", least[name].cpu, "µs a request"),
            Figure(f"together_wakes_{name}", f"{label}, one core: wake-ups", least[name].wakes, "a request"),
        ]  # fmt: skip
    return figures


@contextmanager
def _serving(workers: int, upstream: Upstream, core: frozenset[int]) -> Iterator[tuple[int, int]]:
    """An instance, all of it on that core: its port, and its process."""
    with workdir() as folder:
        port, admin, ops = (peers.free_port() for _ in range(3))
        file = folder / "headrace.yaml"
        file.write_text(instance(workers, folder, port, admin, ops, upstream))
        words = [sys.executable, "-m", "proxy", "serve", "--config", str(file)]
        with running(words, folder, core) as process:
            wait_for_ready(port, process, folder)
            yield port, process.pid


async def _cost(plan: Plan, instances: Sequence[tuple[int, int]]) -> Cost:
    answered, over = 0, False

    async def ask(connection: Connection) -> None:
        nonlocal answered
        due = monotonic() + random.random() / plan.rate
        while not over:
            await asyncio.sleep(due - monotonic())
            due += random.expovariate(plan.rate)
            try:
                await connection.ask("sim", stream=False)
                answered += 1
            except Refused:  # this machine cannot keep up
                await asyncio.sleep(0.1)
        connection.close()

    async with asyncio.TaskGroup() as group:
        for number in range(plan.clients):
            # One after the other, so that each worker has its part of them.
            connection = await Connection.open(instances[number % len(instances)][0])
            group.create_task(ask(connection))
            await asyncio.sleep(PAUSE)
        await asyncio.sleep(WARM)
        workers = [pid for _, first in instances for pid in _workers(first)]
        cpu, wakes, before = machine.cpu_ns(workers), machine.wakes(workers), answered
        await asyncio.sleep(plan.seconds)
        done = max(answered - before, 1)
        cost = Cost(
            (machine.cpu_ns(workers) - cpu) / 1000 / done, (machine.wakes(workers) - wakes) / done
        )
        over = True
    return cost


def _workers(pid: int) -> list[int]:
    """Those that serve: neither the supervisor nor who ships."""
    everybody = machine.tree(pid)
    beside = machine.named("headrace-ship", everybody)
    return [one for one in everybody if one != pid and one not in beside]
