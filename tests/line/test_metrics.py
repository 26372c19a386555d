"""The metrics of a whole instance: every worker in one page, which a death does not make fall, and nothing can fill."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import string
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest

from proxy.core.metrics import Metrics
from tests.line.harness import KEY, Process, Raw, Simulator, config, request, serving, until

PATIENCE = 20.0


def total(page: bytes, name: str, **labels: str) -> float:
    """The sum of the samples with these labels."""
    return sum(
        float(line.rpartition(" ")[2])
        for line in page.decode().splitlines()
        if re.match(rf"{name}(\{{| )", line)
        and all(f'{label}="{value}"' in line for label, value in labels.items())
    )


class Instance(Process):
    """Two workers, a shipper and the supervisor."""

    def __init__(self, url: str, folder: Path) -> None:
        ledger = {"path": str(folder / "ledger")}
        server = {"workers": 2, "ops": {"port": 0}}
        super().__init__(config(url, server=server, ledger=ledger), folder)

    def port(self, name: str) -> int:
        """Where it listens, once it has said so; 0: it has not."""
        found = re.search(rf"{name} on http://[^:]+:(\d+)", "".join(self.lines))
        return int(found[1]) if found else 0

    @property
    def token(self) -> str:
        """For the admin port; empty: not said yet."""
        found = re.search(r"admin token, for this run only: (\S+)", "".join(self.lines))
        return found[1] if found else ""

    def workers(self) -> list[int]:
        """Processes that serve: their loops are named as threads are."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
                name = (stat.parent / "comm").read_text().strip()
            except OSError:
                continue
            if int(fields[1]) == self.process.pid and name != "headrace-ship":
                found.append(int(stat.parent.name))
        return found


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    with ExitStack() as stack:
        simulator = Simulator()
        stack.callback(simulator.stop)
        one = Instance(simulator.url, tmp_path)
        stack.callback(one.stop)
        yield one


async def get(port: int, path: str, key: str = "") -> bytes:
    client = await Raw.open(port)
    try:
        client.send(request("GET", path, None, key=key or None))
        answer = await client.answer()
    finally:
        client.close()
    assert answer.status == 200, answer
    return answer.body


SHIPS = b'process_open_fds{process="shipper"}'


async def shows(port: int, number: float, name: str, **labels: str) -> bytes:
    """The page, as soon as it says so. (A busy machine may let a worker answer too late for the first.)"""
    async with asyncio.timeout(PATIENCE):
        while True:
            page = await get(port, "/metrics")
            if total(page, name, **labels) == number:
                return page
            await asyncio.sleep(0.01)


async def chat(port: int, number: int) -> None:
    """So many requests, each on a connection of its own."""
    body = orjson.dumps({"model": "sim", "messages": [{"role": "user", "content": "hi"}]})
    for _ in range(number):
        client = await Raw.open(port)
        client.send(request("POST", "/v1/chat/completions", body, key=KEY))
        assert (await client.answer()).status == 200
        client.close()


async def test_one_page_for_all_whoever_is_asked(instance: Instance) -> None:
    await until(lambda: bool(instance.port("ops") and instance.token), PATIENCE)
    api, ops = instance.port("listening"), instance.port("ops")
    await shows(ops, 2, "headrace_worker_up")
    await chat(api, 12)
    await shows(ops, 12, "headrace_requests_total", status="200")
    async with asyncio.timeout(PATIENCE):  # the one that ships may begin last
        while SHIPS not in await get(ops, "/metrics"):
            await asyncio.sleep(0.01)

    pages = [
        await get(api, "/metrics"),
        await get(instance.port("admin"), "/metrics", instance.token),
        await get(ops, "/metrics"),
    ]

    for page in pages:
        assert total(page, "headrace_requests_total", status="200") == 12
        assert total(page, "headrace_worker_up") == 2
        assert SHIPS in page
        assert b'process_open_fds{process="supervisor"}' in page

    health = orjson.loads(await get(instance.port("admin"), "/health", instance.token))
    assert health["stats"]["requests"] == 12
    assert [worker["stage"] for worker in health["workers"]] == ["ready", "ready"]
    alone = [await get(api, "/metrics/worker") for _ in range(2)]
    assert all(total(page, "headrace_worker_up") == 1 for page in alone)

    # One worker is killed: what it had counted stays.
    first, *_ = instance.workers()
    os.kill(first, signal.SIGKILL)
    page = await shows(ops, 1, "headrace_process_ends_total", reason="crash")
    assert total(page, "headrace_requests_total", status="200") == 12
    await shows(ops, 2, "headrace_worker_up")
    await chat(api, 4)
    page = await shows(ops, 16, "headrace_requests_total", status="200")

    # Another hangs: the page is there all the same, with what it said last.
    before = total(page, "headrace_metrics_stale_total")
    stuck = instance.workers()[0]
    os.kill(stuck, signal.SIGSTOP)
    try:
        async with asyncio.timeout(PATIENCE):
            while total(page, "headrace_metrics_stale_total") == before:
                page = await get(ops, "/metrics")
    finally:
        os.kill(stuck, signal.SIGCONT)
    assert total(page, "headrace_requests_total", status="200") == 16

    # And what was booked is told by who books.
    page = await shows(ops, 16, "headrace_ledger_requests_total", state="booked")
    assert total(page, "headrace_ledger_up") == 1


async def test_without_a_supervisor_a_worker_says_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(config("http://127.0.0.1:9"), tmp_path) as proxy:
        proxy.worker._ops = tmp_path / "ops.sock"  # as of one that is gone

        answer = await proxy.get("/metrics")

        assert answer.status == 200
        assert total(answer.body, "headrace_worker_up") == 1
        assert any("metrics of this worker alone" in one.message for one in caplog.records)


async def test_metrics_that_are_switched_off_are_not_there(tmp_path: Path) -> None:
    async with serving(config("http://127.0.0.1:9", server={"metrics": False}), tmp_path) as proxy:
        for path in ("/metrics", "/metrics/worker"):
            assert (await proxy.get(path)).status == 404


WORDS = string.ascii_letters + string.digits + "-_./:*\"'{}\\ \u00fc\u4e2d"


async def test_nothing_a_client_sends_makes_another_series(tmp_path: Path) -> None:
    chance = random.Random(7)

    def word() -> str:
        return "".join(chance.choices(WORDS, k=chance.randrange(1, 60)))

    def path() -> str:
        return "".join(chance.choices(string.ascii_letters + string.digits + "/-_.%", k=20))

    async with serving(config("http://127.0.0.1:9"), tmp_path) as proxy:

        async def throw(count: int) -> int:
            for _ in range(count):
                key = KEY if chance.random() < 0.5 else "sk-" + path().replace("%", "")
                headers = {"x-headrace-tag": "v" + path(), "user-agent": "v" + path()}
                model = word() if chance.random() < 0.5 else "sim-" + path()
                body = {"model": model, "messages": [{"role": "user", "content": "x"}], word(): 1}
                kind = chance.randrange(4)
                if kind == 0:
                    await proxy.get("/" + path(), key=key)
                elif kind == 1:
                    await proxy.post("/v1/" + path(), body, headers, key=key)
                elif kind == 2:
                    await proxy.post(f"/v1beta/models/{path()}:generateContent", body, key=key)
                else:
                    await proxy.post("/v1/chat/completions", body, headers, key=key)
            _, _, page = proxy.worker._metrics()
            return page.count(b"\n")

        few = await throw(150)
        many = await throw(150)
        page = proxy.worker._metrics()[2].decode()

    assert many - few < 60, "300 random names are not 300 series"
    for name in ("model", "provider", "target", "key", "user"):
        values = set(re.findall(rf'[{{,]{name}="([^"]*)"', page))
        assert values <= {"", "other", "sim*", "sim*/0:p0", "p0"}
    assert set(re.findall(r'\bworker="([^"]*)"', page)) == {"0"}


def test_labels_are_of_few_kinds() -> None:
    allowed = {
        "route", "model", "shadow", "provider", "target", "status", "stream", "reason", "stage", "scope", "kind", "result",
        "outcome", "type", "source", "state", "rung", "from", "to", "field", "worker", "process", "family", "version",
        "python", "aiohttp", "hook", "point", "listener",
    }  # fmt: skip

    labels = {label for one in Metrics().registry.families.values() for label in one.labels}

    assert labels <= allowed
