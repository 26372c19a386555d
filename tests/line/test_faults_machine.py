"""What the machine has too little of, or takes away for a while: descriptors, memory, time (fault rows A10, F12, F15, F17)."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.core.clock import Hands
from proxy.state.health import OPEN
from tests.line.asking import CHAT, GOOD, assert_error, assert_good, fleet, replying
from tests.line.harness import (
    KEY,
    Answer,
    Process,
    Raw,
    read_request,
    request,
    scripted,
    serving,
    until,
)

ASKED = request("POST", "/v1/chat/completions", b'{"model":"m","messages":[]}')
ASKED_STREAM = request("POST", "/v1/chat/completions", b'{"model":"m","messages":[],"stream":true}')
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
TOKEN = "t" * 40
MIB = 1024**2


class Served:
    """`headrace serve` and its workers."""

    def __init__(self, content: dict[str, Any], folder: Path, *within: str) -> None:
        content["admin"] = {"port": 0, "token": TOKEN}
        self._folder = folder
        self._content = content
        self.process = Process(content, folder, within=within)
        self.port = int(self.process.url.rpartition(":")[2])

    async def admin(self) -> int:
        """The port of operators."""
        found: list[str] = []

        def said() -> bool:
            found[:] = re.findall(r"admin on http://\S+:(\d+)", "".join(self.process.lines))
            return bool(found)

        await until(said)
        return int(found[0])

    def reload(self, **server: Any) -> None:
        """Another configuration of the server, from now on."""
        self._content["server"].update(server)
        (self._folder / "process.yaml").write_text(yaml.safe_dump(self._content))
        self.process.process.send_signal(signal.SIGHUP)

    async def get(self, path: str, port: int) -> Answer:
        client = await Raw.open(port)
        try:
            client.send(request("GET", path, None, None, key=TOKEN))
            return await client.answer()
        finally:
            client.close()

    async def post(self, body: bytes) -> Answer:
        client = await Raw.open(self.port)
        try:
            client.send(request("POST", "/v1/chat/completions", body))
            return await client.answer()
        finally:
            client.close()

    async def up(self) -> None:
        """It serves."""
        async with asyncio.timeout(20):
            while True:
                try:
                    if (await self.get("/health/ready", self.port)).status == 200:
                        return
                except (ConnectionError, asyncio.IncompleteReadError):
                    pass
                await asyncio.sleep(0.01)


@asynccontextmanager
async def served(content: dict[str, Any], folder: Path, *within: str) -> AsyncIterator[Served]:
    one = await asyncio.to_thread(Served, content, folder, *within)
    try:
        await one.up()
        yield one
    finally:
        await asyncio.to_thread(one.process.stop)


class Holding:
    """A provider that keeps everybody waiting until it is told to let go."""

    def __init__(self) -> None:
        self.inside = 0
        self.go = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            self.inside += 1
            await self.go.wait()
            self.inside -= 1
            writer.write(GOOD)


@asynccontextmanager
async def held(folder: Path, *within: str, **changes: Any) -> AsyncIterator[tuple[Served, Holding]]:
    provider = Holding()
    async with scripted(provider) as url:
        content = fleet((url, "a"), health__enabled=False, **changes)
        async with served(content, folder, *within) as one:
            try:
                yield one, provider
            finally:
                provider.go.set()


# A10: no more descriptors


async def test_without_descriptors_clients_wait_and_operators_are_served(tmp_path: Path) -> None:
    async with held(tmp_path, "prlimit", "--nofile=256:256") as (one, provider):
        admin = await one.admin()
        clients = [await Raw.open(one.port) for _ in range(150)]
        for client in clients:
            client.send(ASKED)
        page = b""

        async def is_full() -> bool:
            nonlocal page
            page = (await one.get("/metrics", admin)).body
            paused = re.search(rb"\nheadrace_accept_pauses_total [1-9]", page)
            return paused is not None and provider.inside >= 64

        async with asyncio.timeout(10):
            while not await is_full():
                await asyncio.sleep(0.01)

        assert 64 <= provider.inside <= 66
        for _ in range(20):
            assert (await one.get("/health/live", admin)).status == 200
        assert b'process_max_fds{process="worker-0"} 256' in page
        provider.go.set()
        for client in clients:
            assert_good(CHAT, await client.answer())
            client.close()
        assert "takes 64 clients at once" in "".join(one.process.lines)
        assert "Traceback" not in "".join(one.process.lines)


# F12: the limit of memory


def used(worker: int) -> int:
    pages = int(Path(f"/proc/{worker}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def body(size: int) -> bytes:
    text = b'{"model":"m","messages":[{"role":"user","content":"%b"}]}'
    return text % (b"x" * (size - len(text) + 2))


async def test_when_memory_is_short_large_bodies_go_first_then_all(tmp_path: Path) -> None:
    async with held(tmp_path, server__memory_limit="4GiB") as (one, provider):
        waiting = []
        for number in range(1, 41):  # one by one, or there would be too many at once for the loop
            waiting.append(asyncio.ensure_future(one.post(body(MIB // 2))))
            await until(lambda: provider.inside == number, 20)  # noqa: B023 - at once
        [worker] = one.process.workers()

        async def level(word: str, share: float) -> None:
            mark = len(one.process.lines)
            one.reload(memory_limit=int(used(worker) / share))
            await until(lambda: any(word in line for line in one.process.lines[mark:]), 20)

        await level("large bodies are refused", 0.885)
        small = asyncio.ensure_future(one.post(body(1000)))
        await until(lambda: provider.inside == 41)
        assert_error(CHAT, await one.post(body(2 * MIB)), "shed")

        await level("every new request is refused", 1.0)
        refused = await one.post(body(1000))
        assert_error(CHAT, refused, "shed")
        assert 1 <= int(refused.headers["retry-after"]) <= 3
        assert (await one.get("/health/ready", one.port)).status == 200
        page = (await one.get("/metrics", one.port)).body
        assert b'headrace_shed_total{reason="memory"} 2' in page

        provider.go.set()
        for answer in await asyncio.gather(small, *waiting):
            assert_good(CHAT, answer)
        async with asyncio.timeout(5):
            while (await one.post(body(1000))).status != 200:
                await asyncio.sleep(0.01)


# F15: the wall clock is set


@pytest.mark.parametrize("step", [3600.0, -3600.0, 1.0, -1.0])
async def test_a_wall_clock_that_is_set_moves_no_limit_and_no_circuit(
    hands: Hands, tmp_path: Path, step: float
) -> None:
    asked: list[str] = []

    def reply(head: bytes, _body: bytes) -> bytes:
        asked.append("sick" if b"upstream-secret-p0" in head else "well")
        return b"" if asked[-1] == "sick" else GOOD

    async with scripted(replying(reply)) as url:
        content = fleet(
            (url, "a"), (url, "b"), health={"max_errors": 1, "open_base": 10, "probe": "off"}
        )
        content["ledger"]["path"] = str(tmp_path / "ledger")
        content["keys"] = [{"name": "test", "key": KEY, "rpm": 2}]
        async with serving(content, tmp_path) as proxy:
            assert_good(CHAT, await CHAT.ask(proxy))
            assert asked == ["sick", "well"]
            statuses = [(await CHAT.ask(proxy)).status for _ in range(3)]
            assert statuses[-1] == 429
            allowed = len(asked)
            sick = proxy.worker.state.live.deployments["m/0:p0"]
            until = sick.until

            hands.set_wall(hands.now() + step)
            assert (await CHAT.ask(proxy)).status == 429
            hands.advance(9)
            hands.set_wall(hands.now() - step)
            assert (await CHAT.ask(proxy)).status == 429
            assert len(asked) == allowed
            assert (sick.phase, sick.until) == (OPEN, until)

            hands.advance(60)
            assert_good(CHAT, await CHAT.ask(proxy))


async def test_a_key_expires_by_the_wall_clock_and_a_stream_does_not(
    hands: Hands, tmp_path: Path
) -> None:
    go = asyncio.Event()

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + EVENT)
        await go.wait()
        writer.write(END)

    async with scripted(stream) as url:
        content = fleet((url, "a"))
        content["keys"] = [{"name": "test", "key": KEY, "expires": "2027-01-15T09:00:00Z"}]
        async with serving(content, tmp_path) as proxy:
            client = await proxy.raw()
            client.send(ASKED_STREAM)
            head = await client.head()
            assert b" 200 " in head
            hands.set_wall(hands.now() + 3600)

            assert (await CHAT.ask(proxy)).status == 403
            go.set()
            await client.reader.readuntil(b"data: [DONE]\n\n")


# F17: everything stands still for a while

STREAMS = 20
PAUSE = 0.02


async def test_after_a_standstill_streams_go_on_and_nobody_is_killed(tmp_path: Path) -> None:
    begun = sent = 0
    thawed = asyncio.Event()

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal begun, sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + EVENT)
        begun += 1
        while not thawed.is_set():
            writer.write(EVENT)
            sent += 1
            await asyncio.sleep(PAUSE)
        writer.write(END)

    async with scripted(stream) as url:
        content = fleet((url, "a"), defaults__timeouts={"idle": 1}, server__watchdog=1.5)
        async with served(content, tmp_path) as one:
            [worker] = one.process.workers()
            asking = [
                asyncio.ensure_future(one.post(b'{"model":"m","messages":[],"stream":true}'))
                for _ in range(STREAMS)
            ]
            await until(lambda: begun == STREAMS, 20)
            everybody = [one.process.process.pid, worker]
            for pid in everybody:
                os.kill(pid, signal.SIGSTOP)
            # Longer than a stream may be silent, and a worker.
            before = sent
            await until(lambda: sent > before + STREAMS * 1.8 / PAUSE, 20)
            for pid in everybody:
                os.kill(pid, signal.SIGCONT)
            before = sent
            await until(lambda: sent > before + STREAMS * 1.2 / PAUSE, 20)
            thawed.set()

            for answer in await asyncio.gather(*asking):
                assert answer.status == 200
                assert answer.body.endswith(END), answer.body[-200:]
            assert one.process.workers() == [worker], "it was not silent, it was frozen"
            assert_good(
                CHAT, await one.post(b'{"model":"m","messages":[],"stream":true}'), stream=True
            )
