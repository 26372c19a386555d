"""Does it grow? Every fault of the simulator in turn, at a low rate, for as long as one likes: memory and open files.

One worker, so that nothing hides in a mean. Requests are streams and whole answers in two dialects, on kept connections and
on new ones, and one client in ten leaves before its answer has come. Of each process the resident memory and the number of
open files are taken every few seconds; what counts is the straight line (least squares) through the second half, when
caches are full and the allocator has found its size.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import uvloop
import yaml
from msgspec import Struct
from msgspec.structs import replace

from bench import peers
from bench.machine import tree
from bench.peers import running, wait_for_ready, workdir
from bench.store import Figure
from proxy.core.memory import resident
from proxy.simulator.faults import FAULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.peers import Upstream

LARGE = frozenset({"gzbomb", "event", "1xx_flood", "drip", "pings"})
"""Words left out: a few requests of them are all the memory there is, or all the time."""
WORDS = tuple(sorted(frozenset(FAULTS) - LARGE))


class Plan(Struct, frozen=True):
    """How much of everything."""

    minutes: float = 10.0
    rate: float = 50.0
    """Requests a second."""
    seed: int = 1
    look: float = 2.0
    """Seconds between two looks."""


QUICK = Plan(minutes=0.03, rate=40.0, look=0.2)


def scaled(plan: Plan, minutes: float | None, rate: float | None, seed: int | None) -> Plan:
    """Another length, rate or chance."""
    return replace(
        plan,
        minutes=plan.minutes if minutes is None else minutes,
        rate=plan.rate if rate is None else rate,
        seed=plan.seed if seed is None else seed,
    )


class Sample(Struct, frozen=True):
    """Of one process: seconds since the beginning, bytes, open files."""

    at: float
    memory: int
    files: int


def measure(plan: Plan, upstream: Upstream, say: Callable[[str], None]) -> list[Figure]:
    """Run it once."""
    with workdir() as folder:
        port = peers.free_port()
        file = folder / "headrace.yaml"
        file.write_text(yaml.safe_dump(configuration(folder, port, upstream)))
        words = [sys.executable, "-m", "proxy", "serve", "--config", str(file)]
        with running(words, folder, frozenset()) as process:
            wait_for_ready(port, process, folder)
            samples, asked = uvloop.run(_run(plan, port, process.pid))
        errors = (folder / "log").read_text(errors="replace").count("Traceback")
    return figures(plan, samples, asked, errors, say)


def configuration(folder: Path, port: int, upstream: Upstream) -> dict[str, Any]:
    """A model for each fault word, and somebody behind it who answers well."""
    url = f"http://{upstream.host}:{upstream.port}"
    provider = {
        "base_url": url,
        "allow_private": True,
        "dialects": ["openai.chat", "anthropic.messages"],
        "credentials": [peers.KEY],
    }
    return {
        "server": {"host": "127.0.0.1", "port": port},
        "admin": {"port": 0},
        "store": {"url": f"sqlite:///{folder}/headrace.db"},
        "ledger": {"path": f"{folder}/ledger"},
        "health": {"enabled": False},
        "logging": {"level": "warning", "requests": False},
        "defaults": {"timeouts": {"ttft": 1, "idle": 1, "request": 2}},
        "providers": {"bad": provider, "good": {**provider, "credentials": [peers.KEY + "2"]}},
        "models": {
            f"f-{word}": {
                "deployments": [
                    {"provider": "bad", "model": f"sim-n8-{word}".rstrip("-"), "priority": 1},
                    {"provider": "good", "model": "sim-n8", "priority": 2},
                ]
            }
            for word in WORDS
        },
        "keys": [{"name": "bench", "key": peers.KEY}],
    }


async def _run(plan: Plan, port: int, pid: int) -> tuple[dict[str, list[Sample]], int]:
    loop = asyncio.get_running_loop()
    rng = random.Random(plan.seed)
    began = loop.time()
    end = began + plan.minutes * 60
    samples: dict[str, list[Sample]] = {}
    asked = 0
    running: set[asyncio.Task[None]] = set()
    looking = asyncio.ensure_future(_look(pid, plan.look, samples))
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", timeout=timeout) as http:
        while loop.time() < end:
            task = asyncio.ensure_future(_ask(http, rng, WORDS[asked % len(WORDS)]))
            running.add(task)
            task.add_done_callback(running.discard)
            asked += 1
            await asyncio.sleep(max(began + asked / plan.rate - loop.time(), 0.0))
        if running:
            await asyncio.wait(running)
        # What was open for them may close now, and be seen to.
        await asyncio.sleep(2 * plan.look)
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    return samples, asked


async def _ask(http: aiohttp.ClientSession, rng: random.Random, word: str) -> None:
    stream = rng.random() < 0.5
    messages = [{"role": "user", "content": "hi " * rng.randrange(1, 200)}]
    content = {"model": f"f-{word}", "stream": stream, "max_tokens": 100, "messages": messages}
    path = "/v1/messages" if rng.random() < 0.5 else "/v1/chat/completions"
    headers = {"authorization": f"Bearer {peers.KEY}"}
    if rng.random() < 0.3:
        headers["connection"] = "close"
    patience = rng.uniform(0.0, 0.02) if rng.random() < 0.1 else 20.0
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with (
            asyncio.timeout(patience),
            http.post(path, json=content, headers=headers) as answer,
        ):
            await answer.read()


async def _look(pid: int, pause: float, samples: dict[str, list[Sample]]) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        for name, memory, files in await asyncio.to_thread(_taken, pid):
            samples.setdefault(name, []).append(Sample(loop.time() - began, memory, files))
        await asyncio.sleep(pause)


def _taken(pid: int) -> list[tuple[str, int, int]]:
    """(name, bytes, open files) of each process of the gateway."""
    found = []
    for one in tree(pid):
        place = Path(f"/proc/{one}")
        with contextlib.suppress(OSError):  # gone meanwhile
            name = (place / "comm").read_text().strip()
            name = "shipper" if "ship" in name else "supervisor" if one == pid else "worker"
            found.append((name, resident(place), len(os.listdir(place / "fd"))))
    return found


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the straight line nearest to (x, y), by least squares."""
    if len(points) < 2:
        return 0.0
    x = sum(one for one, _ in points) / len(points)
    y = sum(one for _, one in points) / len(points)
    across = sum((one - x) ** 2 for one, _ in points)
    return sum((one - x) * (other - y) for one, other in points) / across if across else 0.0


def figures(
    plan: Plan,
    samples: dict[str, list[Sample]],
    asked: int,
    errors: int,
    say: Callable[[str], None],
) -> list[Figure]:
    """What it comes to."""
    found = [
        Figure("leaks_minutes", "length", plan.minutes, "min"),
        Figure("leaks_requests", f"requests, over {len(WORDS)} faults", asked, ""),
        Figure("leaks_tracebacks", "tracebacks in the log", errors, ""),
    ]
    for name, all_of_it in sorted(samples.items()):
        half = all_of_it[-1].at / 2
        later = [one for one in all_of_it if one.at >= half]
        hourly = slope([(one.at, one.memory) for one in later]) * 3600
        mean = sum(one.memory for one in later) / len(later)
        found += [
            Figure(f"leaks_{name}_memory", f"{name}: memory", mean / 2**20, "MiB"),
            Figure(f"leaks_{name}_slope", "  grows", hourly / 2**20, "MiB/h"),
            Figure(
                f"leaks_{name}_files_first",
                "  open files, at the beginning",
                all_of_it[0].files,
                "",
            ),
            Figure(
                f"leaks_{name}_files_most", "  at most", max(one.files for one in all_of_it), ""
            ),
            Figure(f"leaks_{name}_files_last", "  at the end", all_of_it[-1].files, ""),
        ]
    for figure in found:
        say(f"{figure.label}: {figure.value:,.4g} {figure.unit}")
    return found
