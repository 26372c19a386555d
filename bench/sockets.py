"""WebSockets that are open at once, each asking now and then: what a relay adds to the time of an answer.

Three ways in turns: to the provider, through as little of aiohttp as relays a socket, and through Headrace. Provider and
asker share one core, the relay has the other.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack, contextmanager
from random import Random
from time import monotonic
from typing import TYPE_CHECKING

import aiohttp
import uvloop
from aiohttp import web
from msgspec import Struct
from msgspec.structs import replace

from bench import machine, peers
from bench.peers import KEY, running, wait_for_port, wait_for_ready, workdir
from bench.store import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.machine import Cores

SETTINGS = """\
server: {{host: 127.0.0.1, port: {port}}}
admin: {{host: 127.0.0.1, port: {admin}, token: bench-admin-token}}
store: {{url: ""}}
logging: {{level: info, requests: true}}
providers:
  lab: {{dialects: [openai.realtime], base_url: "http://127.0.0.1:{upstream}", credentials: [x], allow_private: true}}
models:
  voice: {{deployments: [{{provider: lab, model: voice}}]}}
keys:
  - {{name: bench, key: {key}}}
"""
PATH = "/v1/realtime?model=voice"
TEXT = "x" * 1024
NOT_CLOSED = -1.0


class Plan(Struct, frozen=True):
    """How much of it."""

    sockets: int = 1000
    seconds: float = 10.0
    every: float = 1.0
    """Seconds between two questions of one socket, on average."""
    rounds: int = 3


QUICK = Plan(sockets=20, seconds=0.5, every=0.1, rounds=1)


def scaled(plan: Plan, rounds: int | None, seconds: float | None) -> Plan:
    """Other rounds, of another length."""
    plan = plan if rounds is None else replace(plan, rounds=max(rounds, 1))
    return plan if seconds is None else replace(plan, seconds=seconds)


class Outcome(Struct):
    """Of one round."""

    times: list[float]
    """Milliseconds from a question to its answer."""
    wrong: int
    """Answers that were none, and ends that came without their code."""


def measure(plan: Plan, cores: Cores, say: Callable[[str], None]) -> list[Figure]:
    """Median and 99th percentile of each way, and what the relays add; the least of the rounds."""
    machine.raise_file_limit()
    with ExitStack() as stack:
        provider = stack.enter_context(_side("echo", 0, cores.load))
        bare = stack.enter_context(_side("relay", provider, cores.measured))
        ours = stack.enter_context(_headrace(provider, cores.measured))
        ways = {"direct": provider, "aiohttp": bare, "headrace": ours}
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        wrong = 0
        for turn in range(plan.rounds):
            for name, port in ways.items():
                outcome = _asked(plan, port, turn)
                wrong += outcome.wrong
                times = sorted(outcome.times)
                middle, high = times[len(times) // 2], times[len(times) * 99 // 100]
                found[name].append((middle, high))
                say(f"{turn + 1}/{plan.rounds} {name}: p50 {middle:.2f} ms, p99 {high:.2f} ms")
    figures = []
    least = {
        name: [min(column) for column in zip(*rows, strict=True)] for name, rows in found.items()
    }
    for name, (middle, high) in least.items():
        figures.append(Figure(f"sockets_{name}_p50", f"{name}: p50", middle, "ms"))
        figures.append(Figure(f"sockets_{name}_p99", f"{name}: p99", high, "ms"))
    added = least["headrace"][1] - least["aiohttp"][1]
    figures.append(Figure("sockets_added_p99", "p99 over a bare relay of aiohttp", added, "ms"))
    figures.append(Figure("sockets_wrong", "answers or ends that were wrong", wrong, ""))
    return figures


def _asked(plan: Plan, port: int, seed: int) -> Outcome:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_ask(plan, port, seed))


async def _ask(plan: Plan, port: int, seed: int) -> Outcome:
    outcome = Outcome([], 0)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        opening = asyncio.Semaphore(50)
        begun = asyncio.Event()
        waiting = plan.sockets
        end = 0.0

        async def one(random: Random) -> None:
            nonlocal waiting, end
            async with opening:
                socket = await _opened(session, f"http://127.0.0.1:{port}{PATH}")
            waiting -= 1
            if not waiting:
                end = monotonic() + plan.seconds
                begun.set()
            await begun.wait()
            await asyncio.sleep(random.uniform(0, plan.every))
            while monotonic() < end:
                before = monotonic()
                await socket.send_str(TEXT)
                answer = await socket.receive()
                outcome.times.append((monotonic() - before) * 1000)
                outcome.wrong += answer.data != TEXT
                await asyncio.sleep(random.uniform(0, 2 * plan.every))
            await socket.close(code=4001)
            outcome.wrong += socket.close_code != 4001

        await asyncio.gather(*(one(Random(f"{seed}:{n}")) for n in range(plan.sockets)))
    return outcome


async def _opened(session: aiohttp.ClientSession, url: str) -> aiohttp.ClientWebSocketResponse:
    """One that is open. Many that come at once may be told to come again."""
    while True:
        try:
            return await session.ws_connect(url, headers={"authorization": f"Bearer {KEY}"})
        except aiohttp.WSServerHandshakeError as error:
            if error.status != 503:
                raise
        await asyncio.sleep(1)


@contextmanager
def _side(kind: str, upstream: int, cores: frozenset[int]) -> Iterator[int]:
    port = peers.free_port()
    words = [sys.executable, "-m", "bench.sockets", kind, str(port), str(upstream)]
    with workdir() as folder, running(words, folder, cores) as process:
        wait_for_port(port, process, folder)
        yield port


@contextmanager
def _headrace(upstream: int, cores: frozenset[int]) -> Iterator[int]:
    port = peers.free_port()
    with workdir() as folder:
        file = folder / "headrace.yaml"
        admin = peers.free_port()
        file.write_text(SETTINGS.format(port=port, admin=admin, upstream=upstream, key=KEY))
        words = [sys.executable, "-m", "proxy", "serve", "--config", str(file)]
        with running(words, folder, cores) as process:
            wait_for_ready(port, process, folder)
            yield port


# --- the other processes ---


async def _echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(compress=False, autoclose=False)
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    await socket.close(code=socket.close_code or 1011)
    return socket


def _relay(upstream: int) -> Callable[[web.Request], object]:
    """As little as relays a socket, both ways, with the code of its end."""

    async def relay(request: web.Request) -> web.WebSocketResponse:
        client = web.WebSocketResponse(compress=False, autoclose=False)
        await client.prepare(request)
        session: aiohttp.ClientSession = request.app["session"]
        url = f"http://127.0.0.1:{upstream}{PATH}"
        provider = await session.ws_connect(url, compress=0, autoclose=False)

        async def back() -> None:
            async for message in provider:
                await client.send_str(message.data)
            await client.close(code=provider.close_code or 1011)

        task = asyncio.ensure_future(back())
        async for message in client:
            await provider.send_str(message.data)
        task.cancel()
        code = client.close_code or 1011
        await provider.close(code=code)
        await client.close(code=code)
        return client

    return relay


async def _session(app: web.Application) -> object:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        app["session"] = session
        yield


def _main(kind: str, port: int, upstream: int) -> None:
    machine.raise_file_limit()
    app = web.Application()
    app.cleanup_ctx.append(_session)  # type: ignore[arg-type]
    handler: object = _echo if kind == "echo" else _relay(upstream)
    app.router.add_get("/v1/realtime", handler)  # type: ignore[arg-type]
    loop = uvloop.new_event_loop()
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None, loop=loop)


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
