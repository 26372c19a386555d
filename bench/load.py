"""The load generator: one process, one uvloop, bare protocols, so that its core is not what is measured.

It is started with a `Load` as JSON in its only argument and prints one `Outcome` as JSON. Three shapes:
`loop` keeps every connection busy for some seconds (closed loop), `arrive` sends one request on
each of many open connections at the same instant, `hold` opens streams and leaves them silent.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from time import monotonic_ns
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

import msgspec
import uvloop
from msgspec import Struct, field

from bench import machine
from bench.client import Client, StreamClient, Tally
from bench.histogram import Histogram
from bench.peers import anybody

if TYPE_CHECKING:
    from collections.abc import Callable

RETRY_S = 0.05
STALL_S = 60.0


class Load(Struct, frozen=True):
    """What to send, how, and whose CPU time and memory to read meanwhile."""

    model: str
    host: str = "127.0.0.1"
    port: int = 0
    path: str = "/v1/chat/completions"
    key: str = ""
    headers: list[str] = []
    """Lines of the head besides the usual ones."""
    tls: bool = False
    """Connections speak it, and do not ask with whom."""
    shape: Literal["loop", "arrive", "hold"] = "loop"
    stream: bool = False
    connections: int = 1
    seconds: float = 4.0
    warm: float = 1.0
    body_bytes: int = 250
    rate: float = 0.0
    """Of `loop`: requests a second of all connections together; 0: each sends as soon as it has its answer."""
    hold: list[int] = []
    pid: int | None = None
    apart: list[int] = []
    """Processes of its tree that are no part of what is measured; their CPU time is told by itself."""
    cores: list[int] = []


class Latency(Struct, frozen=True):
    """Microseconds."""

    p50: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    mean: float = 0.0
    maximum: float = 0.0


class Held(Struct, frozen=True):
    """Memory of the measured process tree while this many streams are open."""

    streams: int
    memory_kb: int


class Outcome(Struct, frozen=True):
    """What came back in the measured window."""

    requests: int = 0
    tokens: int = 0
    errors: int = 0
    truncated: int = 0
    reconnects: int = 0
    seconds: float = 0.0
    cpu_us: float = 0.0
    others_cpu_us: float = 0.0
    load_cpu_us: float = 0.0
    apart_cpu_us: float = 0.0
    memory_before_kb: int = 0
    memory_after_kb: int = 0
    latency: Latency = Latency()
    first_token: Latency = Latency()
    token_delay: Latency = Latency()
    held: list[Held] = field(default_factory=list)
    first_error: str = ""


class Usage(NamedTuple):
    """Counters of this machine at one instant."""

    at_ns: int
    measured_ns: int
    core_ns: int
    load_ns: int
    apart_ns: int
    memory_kb: int


class Crowd:
    """The connections of one run, and where they lead."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.request = request_bytes(load)
        self.tls = anybody() if load.tls else None
        self.tally = Tally()
        self.clients: list[Client] = []
        self.stopping = False
        self.tasks: set[asyncio.Task[None]] = set()

    async def connect(self, on_done: Callable[[Client], None]) -> Client:
        loop = asyncio.get_running_loop()
        kind = StreamClient if self.load.stream else Client

        def lost() -> None:
            if not self.stopping and self.load.shape == "loop":
                self.tally.reconnects += 1
                task = loop.create_task(self.reconnect(on_done))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)

        _, client = await loop.create_connection(
            lambda: kind(self.tally, on_done, lost), self.load.host, self.load.port, ssl=self.tls
        )
        self.clients.append(client)
        return client

    async def reconnect(self, on_done: Callable[[Client], None]) -> None:
        while not self.stopping:
            try:
                client = await self.connect(on_done)
            except OSError as error:
                self.tally.failed(f"connect: {error}")
                await asyncio.sleep(RETRY_S)
            else:
                client.send(self.request)
                return

    def stop(self) -> None:
        self.stopping = True
        for client in self.clients:
            client.close()

    def usage(self) -> Usage:
        pids = machine.tree(self.load.pid) if self.load.pid else []
        pids = [pid for pid in pids if pid not in self.load.apart]
        memory = machine.memory_kb(pids)
        return Usage(
            at_ns=monotonic_ns(),
            measured_ns=machine.cpu_ns(pids),
            core_ns=machine.busy_ns(self.load.cores),
            load_ns=machine.cpu_ns([os.getpid()]),
            apart_ns=machine.cpu_ns(self.load.apart),
            memory_kb=memory,
        )

    def outcome(self, before: Usage, after: Usage, held: list[Held] | None = None) -> Outcome:
        tally = self.tally
        measured_ns = after.measured_ns - before.measured_ns
        others_ns = after.core_ns - before.core_ns - measured_ns
        return Outcome(
            requests=tally.requests,
            tokens=tally.tokens,
            errors=tally.errors,
            truncated=tally.truncated,
            reconnects=tally.reconnects,
            seconds=(after.at_ns - before.at_ns) / 1e9,
            cpu_us=measured_ns / 1e3,
            others_cpu_us=max(others_ns, 0) / 1e3,
            load_cpu_us=(after.load_ns - before.load_ns) / 1e3,
            apart_cpu_us=(after.apart_ns - before.apart_ns) / 1e3,
            memory_before_kb=before.memory_kb,
            memory_after_kb=after.memory_kb,
            latency=latency(tally.latency),
            first_token=latency(tally.first_token),
            token_delay=latency(tally.token_delay),
            held=held or [],
            first_error=tally.first_error,
        )


def latency(histogram: Histogram) -> Latency:
    if not histogram.number:
        return Latency()
    return Latency(
        p50=histogram.quantile(0.5) / 1e3,
        p99=histogram.quantile(0.99) / 1e3,
        p999=histogram.quantile(0.999) / 1e3,
        mean=histogram.total / histogram.number / 1e3,
        maximum=histogram.maximum / 1e3,
    )


def request_bytes(load: Load) -> bytes:
    """A chat request as a common client sends it, its body padded to `body_bytes`."""
    body = {
        "model": load.model,
        "messages": [
            {"role": "system", "content": "Answer in one short paragraph."},
            {"role": "user", "content": "Why does a turbine need a headrace? "},
        ],
        "temperature": 0.7,
        "max_tokens": 256,
    }
    if load.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    padding = max(load.body_bytes - len(msgspec.json.encode(body)), 0)
    body["messages"][1]["content"] += ("water " * (padding // 6 + 1))[:padding]  # type: ignore[index]
    content = msgspec.json.encode(body)
    head = (
        f"POST {load.path} HTTP/1.1\r\nHost: {load.host}:{load.port}\r\n"
        "Accept: application/json\r\nContent-Type: application/json\r\n"
        f"User-Agent: headrace-bench\r\nAuthorization: Bearer {load.key}\r\n"
        f"Content-Length: {len(content)}\r\n"
    )
    head += "".join(line + "\r\n" for line in load.headers)
    return head.encode() + b"\r\n" + content


async def loop(load: Load) -> Outcome:
    """Every connection always has one request under way; count for `seconds` after `warm` seconds.

    With a `rate` it sends when its turn comes, and a latency begins there: what an answer that was late keeps from being
    asked waits, and is counted (Tene, "How not to measure latency").
    """
    crowd = Crowd(load)
    clock = asyncio.get_running_loop()
    step = int(1e9 * load.connections / load.rate) if load.rate else 0
    due: dict[Client, int] = {}

    def ask(client: Client) -> None:
        if crowd.stopping:
            return
        at = due.get(client, 0)
        client.send(crowd.request)
        if at:
            client.began = at

    def again(client: Client) -> None:
        if not step:
            ask(client)
            return
        due[client] = due.get(client, monotonic_ns()) + step
        wait = (due[client] - monotonic_ns()) / 1e9
        if wait > 0:
            clock.call_later(wait, ask, client)
        else:
            ask(client)

    for _ in range(load.connections):
        client = await crowd.connect(again)
        client.send(crowd.request)
        # Spread over half the warm-up: streams that start together would keep sending together,
        # and a proxy that finds a hundred tokens waiting looks cheaper than it is.
        await asyncio.sleep(load.warm / 2 / load.connections)
    await asyncio.sleep(load.warm / 2)
    before = crowd.usage()
    crowd.tally.restart()
    await asyncio.sleep(load.seconds)
    after = crowd.usage()
    outcome = crowd.outcome(before, after)
    crowd.stop()
    return outcome


async def arrive(load: Load) -> Outcome:
    """All connections send in one turn of the loop; over when every answer has ended."""
    crowd = Crowd(load)
    left = load.connections
    over = asyncio.Event()

    def ended(_: Client) -> None:
        nonlocal left
        left -= 1
        if not left:
            over.set()

    for _ in range(load.connections):
        await crowd.connect(ended)
    await asyncio.sleep(load.warm / 2)
    before = crowd.usage()
    for client in crowd.clients:
        client.send(crowd.request)
    began = crowd.clients[0].began
    for client in crowd.clients:
        client.began = began
    async with asyncio.timeout(STALL_S):
        await over.wait()
    outcome = crowd.outcome(before, crowd.usage())
    crowd.stop()
    return outcome


async def hold(load: Load) -> Outcome:
    """Open streams up to each number in `hold`, a hundred at a time, and read the memory there."""
    crowd = Crowd(load)
    before = crowd.usage()
    held: list[Held] = []
    for number in load.hold:
        while len(crowd.clients) < number:
            await _open(crowd, min(100, number - len(crowd.clients)))
        await asyncio.sleep(load.warm / 2)
        held.append(Held(streams=number, memory_kb=crowd.usage().memory_kb))
    outcome = crowd.outcome(before, crowd.usage(), held)
    crowd.stop()
    return outcome


async def _open(crowd: Crowd, number: int) -> None:
    left = number
    over = asyncio.Event()

    def arrived() -> None:
        nonlocal left
        left -= 1
        if not left:
            over.set()

    def over_before_a_token(client: Client) -> None:
        if not cast("StreamClient", client).has_token:
            arrived()

    for _ in range(number):
        client = cast("StreamClient", await crowd.connect(over_before_a_token))
        client.on_first = arrived
        client.send(crowd.request)
    async with asyncio.timeout(STALL_S):
        await over.wait()


def main() -> None:
    load = msgspec.json.decode(sys.argv[1], type=Load)
    machine.raise_file_limit()
    gc.disable()  # the run is short, and a collection would show up as latency
    run = {"loop": loop, "arrive": arrive, "hold": hold}[load.shape]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcome = runner.run(run(load))
    print(msgspec.json.encode(outcome).decode())


if __name__ == "__main__":
    main()
