"""Several workers know together how providers are: real processes, and providers that count who asks them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.asked import CHAT, raw
from tests.gateway.served import whole
from tests.line.harness import Answer, Process, Raw, config, read_request, scripted, until

pytestmark = pytest.mark.timeout(60)

PATIENCE = 15.0
BODY = b'{"model":"sim","messages":[]}'
ASK = raw("POST", CHAT, BODY, "Authorization: Bearer sk-test-key-0001")
FAILS = whole(b'{"error":{"message":"down"}}', 500)
SICK = "sim*/0:p0"
TOKEN = "a token of the admin API for tests"


class Upstream:
    """A provider that fails until it is told otherwise, and counts."""

    def __init__(self) -> None:
        self.answer: Callable[[], Awaitable[bytes]] = self.fail
        self.begun = 0
        self.now = 0
        self.most = 0
        self.lists = 0
        """How often it was asked for its models."""

    async def fail(self) -> bytes:
        return FAILS

    async def work(self) -> bytes:
        return whole()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, _ = await read_request(reader)
            if head.startswith(b"GET "):
                self.lists += 1
                writer.write(whole(b'{"object":"list","data":[]}'))
                continue
            self.begun += 1
            self.now += 1
            self.most = max(self.most, self.now)
            left = asyncio.ensure_future(reader.read(1))
            answer = asyncio.ensure_future(self.answer())
            try:
                await asyncio.wait({left, answer}, return_when=asyncio.FIRST_COMPLETED)
                if not answer.done():
                    return  # whoever asked is gone
                writer.write(answer.result())
            finally:
                self.now -= 1
                for one in (left, answer):
                    one.cancel()
            return


class Workers:
    """`headrace serve`, and a connection to each of its workers, by name."""

    def __init__(self, process: Process, count: int) -> None:
        self.process = process
        self.count = count
        self.port = int(process.url.rpartition(":")[2])
        self.clients: dict[str, Raw] = {}

    async def connect(self) -> None:
        """Until there is one to each: the kernel chooses who takes a connection."""
        async with asyncio.timeout(PATIENCE):
            while len(self.clients) < self.count:
                client = await Raw.open(self.port)
                client.send(raw("GET", "/metrics/worker"))
                page = (await client.answer()).body.decode()
                (name,) = re.findall(r'headrace_worker_up\{worker="(\w+)"\} 1', page)
                if name in self.clients:
                    client.close()
                else:
                    self.clients[name] = client

    async def ask(self, name: str) -> Answer:
        """A completion, of this worker."""
        self.clients[name].send(ASK)
        return await self.clients[name].answer()

    async def metric(self, name: str, pattern: str) -> float:
        """What this worker says of a metric."""
        self.clients[name].send(raw("GET", "/metrics/worker"))
        page = (await self.clients[name].answer()).body.decode()
        return sum(float(value) for value in re.findall(rf"^{pattern} (\S+)$", page, re.MULTILINE))

    async def all_know(self, phase: float) -> None:
        """Until every worker says so of the circuit of the sick provider."""
        pattern = rf'headrace_circuit_state\{{target="{re.escape(SICK)}"\}}'
        async with asyncio.timeout(PATIENCE):
            for name in self.clients:
                while await self.metric(name, pattern) != phase:
                    await asyncio.sleep(0.01)

    async def page(self, path: str) -> Any:
        """What any worker answers to an operator."""
        said = "".join(self.process.lines)
        found = re.search(r"admin on http://\S+:(\d+)", said)
        assert found, said
        client = await Raw.open(int(found[1]))
        try:
            client.send(raw("GET", path, b"", f"Authorization: Bearer {TOKEN}"))
            return (await client.answer()).json
        finally:
            client.close()

    def pid(self, name: str) -> int:
        return self.process.workers()[int(name)]


@asynccontextmanager
async def workers(count: int, folder: Path, *urls: str, **health: Any) -> AsyncIterator[Workers]:
    content = config(
        *urls, server={"workers": count}, health=health, admin={"token": TOKEN, "port": 0}
    )
    content["store"] = {"url": ""}
    content["models"]["sim*"]["strategy"] = "round_robin"
    content["models"]["sim*"]["deployments"][0]["health_check"] = "masked"
    one = Workers(await asyncio.to_thread(Process, content, folder), count)
    await one.connect()
    try:
        yield one
    finally:
        for client in one.clients.values():
            client.close()
        assert await asyncio.to_thread(one.process.stop) == 0


async def test_two_workers_know_together_and_one_of_them_checks(tmp_path: Path) -> None:
    sick, well = Upstream(), Upstream()
    well.answer = well.work
    async with (
        scripted(sick) as first,
        scripted(well) as second,
        workers(2, tmp_path, first, second, open_base=20, interval=0.1) as two,
    ):
        while sick.begun < 5:
            assert (await two.ask("0")).status == 200
        begun = sick.begun

        for _ in range(5):
            assert (await two.ask("1")).status == 200

        # What is found out costs the other one attempt at most.
        assert sick.begun <= begun + 1
        await two.all_know(2)
        assert await two.metric("0", "headrace_circuit_opened_total.*") == 1
        assert await two.metric("1", "headrace_circuit_opened_total.*") == 0

        await until(lambda: well.lists > 0, PATIENCE)
        checks = {
            name: await two.metric(name, "headrace_health_checks_total.*") for name in two.clients
        }
        (leader,) = (name for name, count in checks.items() if count)
        os.kill(two.pid(leader), signal.SIGKILL)
        checked = well.lists
        await until(lambda: well.lists > checked, PATIENCE)

        one, other = (await two.page("/v1/health/models/sim"))["deployments"]
        assert (one["check"], one["status"], one["circuit"]) == ("masked", "unhealthy", "open")
        assert 0 < one["retry_in"] <= 24
        assert (other["check"], other["status"]) == ("models", "healthy")
        assert other["last_check"]["outcome"] == "ok"
        providers = (await two.page("/api/providers/health"))["providers"]
        assert {name: each["status"] for name, each in providers.items()} == {
            "p0": "unhealthy",
            "p1": "healthy",
        }
        assert providers["p0"]["last_check"] is None
        assert (sick.lists, sick.begun <= begun + 1) == (0, True)


async def test_four_workers_send_one_probe_at_a_time_and_a_killed_one_gives_its_place_back(
    tmp_path: Path,
) -> None:
    sick, well = Upstream(), Upstream()
    well.answer = well.work
    held: list[asyncio.Future[bytes]] = []

    async def hold() -> bytes:
        held.append(asyncio.get_running_loop().create_future())
        return await held[-1]

    async with (
        scripted(sick) as first,
        scripted(well) as second,
        workers(4, tmp_path, first, second, open_base=0.1, open_max=0.1, probe="off") as four,
    ):
        for name in four.clients:
            await four.ask(name)
            await four.ask(name)
        await four.all_know(2)
        await until(lambda: sick.now == 0)
        sick.answer, sick.most, begun = hold, 0, sick.begun

        asked = {name: asyncio.ensure_future(four.ask(name)) for name in four.clients}
        for name in four.clients:
            while True:
                await asyncio.wait({asked[name]}, timeout=0.05)
                if sick.begun > begun or not asked[name].done():
                    break
                asked[name] = asyncio.ensure_future(four.ask(name))
        await until(lambda: len(held) == 1)
        waiting = []
        for _ in range(10):
            waiting = [name for name, task in asked.items() if not task.done()]
            rest = [name for name in asked if name not in waiting]
            answers = await asyncio.gather(*(four.ask(name) for name in rest))
            assert {answer.status for answer in answers} == {200}
        assert (len(waiting), sick.begun - begun, sick.most) == (1, 1, 1)

        (holder,) = waiting
        os.kill(four.pid(holder), signal.SIGKILL)
        (other, *_) = (name for name in asked if name != holder)
        async with asyncio.timeout(PATIENCE):
            probe = asyncio.ensure_future(four.ask(other))
            while len(held) < 2:
                await asyncio.wait({probe}, timeout=0.05)
                if probe.done():
                    probe = asyncio.ensure_future(four.ask(other))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await asked[holder]
        held[1].set_result(whole())
        assert (await probe).status == 200
        assert sick.most == 1
