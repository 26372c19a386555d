"""How several workers share what comes: connections one after the other and many at once, and what a request costs then.

Connections are of the kind that lasts, so what a worker took it keeps. The processor time of a request is that of all
processes of the instance, over the requests that were answered. Before anybody comes, what each worker has in RAM.
"""

from __future__ import annotations

import asyncio
import sys
from time import monotonic
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import orjson
import uvloop
from msgspec import Struct

from bench import machine, peers, together
from bench.chart import STYLE
from bench.peers import running, wait_for_ready, workdir
from bench.restart import Connection, Refused, instance
from bench.store import Figure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.peers import Upstream

PATIENCE = 30.0


class Plan(Struct, frozen=True):
    """How much of everything."""

    workers: tuple[int, ...] = (1, 2, 4)
    connections: int = 400
    pause: float = 0.002
    """Seconds between two connections that come one after the other."""
    clients: int = 4
    """For each worker, each with one request at a time."""
    seconds: float = 6.0
    settle: float = 5.0
    """Seconds until memory is looked at."""
    together: together.Plan = together.Plan()


QUICK = Plan(
    workers=(2,), connections=40, clients=2, seconds=0.5, settle=0.2, together=together.QUICK
)

Counts = dict[tuple[int, str], list[int]]
"""(workers, how they came) to the connections of each worker."""


def measure(
    plan: Plan, upstream: Upstream, charts: Path | None, say: Callable[[str], None]
) -> list[Figure]:
    """For each number of workers. Draws `spread.svg` into the folder `charts`."""
    figures, counts = list[Figure](), Counts()
    for workers in plan.workers:
        with workdir() as folder:
            port, admin, ops = (peers.free_port() for _ in range(3))
            file = folder / "headrace.yaml"
            file.write_text(instance(workers, folder, port, admin, ops, upstream))
            words = [sys.executable, "-m", "proxy", "serve", "--config", str(file)]
            with running(words, folder, frozenset()) as process:
                wait_for_ready(port, process, folder)
                figures += uvloop.run(_memory(plan, workers, ops, process.pid))
                found, cost = uvloop.run(_measure(plan, workers, port, ops, process.pid))
        for way, each in found.items():
            counts[workers, way] = each
            say(f"{workers} workers, {plan.connections} connections {way}: {each}")
            figures.append(
                Figure(
                    f"spread_{workers}_{way.split()[0]}",
                    f"{workers} workers, {way}: most to fewest",
                    max(each) / max(min(each), 1),
                    "",
                )
            )
        figures.append(
            Figure(f"spread_cpu_{workers}", f"{workers} workers: CPU", cost, "µs a request")
        )
    figures += together.measure(plan.together, upstream, say)
    if charts is not None:
        charts.mkdir(parents=True, exist_ok=True)
        (charts / "spread.svg").write_text(chart(counts))
    return figures


async def _memory(plan: Plan, workers: int, ops: int, pid: int) -> list[Figure]:
    """What the largest worker takes when nobody has come, and what all processes take together."""
    there = await _until(ops, lambda all_: sum(one["stage"] == "ready" for one in all_) == workers)
    await asyncio.sleep(plan.settle)
    each = [machine.memory(one["pid"]) for one in there]
    together = machine.memory_kb(machine.tree(pid)) / 1024
    mark = f"{workers} workers, idle: "
    return [
        Figure(f"spread_rss_{workers}", f"{mark}in RAM, each", max(one.rss for one in each), "MiB"),
        Figure(f"spread_pss_{workers}", f"{mark}its share of that", max(one.pss for one in each), "MiB"),
        Figure(f"spread_own_{workers}", f"{mark}its own", max(one.own for one in each), "MiB"),
        Figure(f"spread_all_{workers}", f"{mark}all processes", together, "MiB"),
    ]  # fmt: skip


async def _measure(
    plan: Plan, workers: int, port: int, ops: int, pid: int
) -> tuple[dict[str, list[int]], float]:
    await _until(ops, lambda all_: sum(one["stage"] == "ready" for one in all_) == workers)
    found = {}
    for way, pause in (("one by one", plan.pause), ("at once", 0.0)):
        opened = []
        for _ in range(plan.connections):
            opened.append(await Connection.open(port))
            if pause:
                await asyncio.sleep(pause)
        held = await _until(
            ops, lambda all_: sum(one["connections"] for one in all_) >= plan.connections
        )
        found[way] = sorted(one["connections"] for one in held)
        for connection in opened:
            connection.close()
        await _until(ops, lambda all_: not any(one["connections"] for one in all_))
    return found, await _cost(plan, workers * plan.clients, port, pid)


async def _cost(plan: Plan, clients: int, port: int, pid: int) -> float:
    """Microseconds of processor time a request."""
    answered, over = 0, asyncio.Event()

    async def ask() -> None:
        nonlocal answered
        connection = await Connection.open(port)
        while not over.is_set():
            try:
                await connection.ask("sim", stream=False)
                answered += 1
            except Refused:  # this machine cannot keep up
                await asyncio.sleep(0.1)
        connection.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(ask())
        await asyncio.sleep(plan.seconds / 4)
        begun, before = machine.cpu_ns(machine.tree(pid)), answered
        await asyncio.sleep(plan.seconds)
        spent, done = machine.cpu_ns(machine.tree(pid)) - begun, answered - before
        over.set()
    return spent / 1000 / max(done, 1)


async def _until(
    ops: int, condition: Callable[[list[dict[str, Any]]], bool]
) -> list[dict[str, Any]]:
    """The workers, once they are so."""
    deadline = monotonic() + PATIENCE
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", ops)
        writer.write(b"GET /health HTTP/1.1\r\nhost: bench\r\n\r\n")
        answer = await reader.read()
        writer.close()
        found: list[dict[str, Any]] = orjson.loads(answer.partition(b"\r\n\r\n")[2])["workers"]
        if condition(found):
            return found
        if monotonic() > deadline:
            raise peers.PeerError(f"the workers did not come so far: {found}")
        await asyncio.sleep(0.1)


WIDTH, LEFT, BAR, TOP = 760, 230, 14, 56


def chart(counts: Counts) -> str:
    """A bar for each worker, as long as it has connections."""
    most = max(max(each) for each in counts.values())
    scale = (WIDTH - LEFT - 70) / most
    title = "Connections of each worker"
    body, at, words = list[str](), TOP, list[str]()
    for (workers, way), each in counts.items():
        label = f"{workers} worker{'s' * (workers > 1)}, {way}"
        words.append(f"{label}: {', '.join(map(str, each))}")
        body.append(f'<text x="16" y="{at + BAR - 3}">{escape(label)}</text>')
        for number in each:
            body.append(
                f'<rect class="subject" x="{LEFT}" y="{at}" width="{number * scale:.1f}" '
                f'height="{BAR}" rx="2"/>'
                f'<text x="{LEFT + number * scale + 8:.1f}" y="{at + BAR - 3}">{number}</text>'
            )
            at += BAR + 3
        at += 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {at}" width="{WIDTH}" '
        f'height="{at}" role="img" aria-label="{title}">\n<title>{title}</title>\n'
        f"<desc>{escape('; '.join(words))}</desc>\n<style>{STYLE}</style>\n"
        f'<text class="title" x="16" y="24">{title}</text>\n'
        '<text class="small" x="16" y="42">All bars of a group as long as each other is best.</text>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )
