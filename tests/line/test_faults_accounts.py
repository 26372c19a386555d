"""What limits and the ledger make of death: workers that are killed, a second gateway, many workers on one limit.

Three ledgers are compared: what clients saw, what the database has, and what workers count in the memory they share.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import pytest

from proxy.core.config import load
from proxy.limits.accounts import Accounts, View
from proxy.limits.subjects import Subject, of_deployment, of_everything, of_key, of_team
from proxy.state.snapshot import compile_snapshot
from tests.line.harness import KEY, ROOT, Process, Simulator, config, is_shed

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.allow_blocking(
        "the database and the memory of limits are read as a process beside"
    ),
]

PATIENCE = 20.0
KILLS = 6
MONEY = {"budget": {"usd": 1000, "period": "month"}}


class Gateway:
    """`headrace serve` with several workers, seen from all sides."""

    def __init__(self, folder: Path, provider: str, workers: int, **changes: Any) -> None:
        self.folder = folder
        self.workers = workers
        content = config(
            provider,
            server={"workers": workers},
            ledger={"path": str(folder / "ledger")},
            prices={"sim*": {"input": 1, "output": 2}},
            logging={"requests": False},
            **changes,
        )
        self.process = Process(content, folder)
        self.snapshot = compile_snapshot(load(folder / "process.yaml").config)
        self.session: aiohttp.ClientSession

    async def ask(self, body: dict[str, Any], name: str | None = None) -> tuple[int, str, bytes]:
        """(status, request id, body), once it has come whole."""
        headers = {"authorization": f"Bearer {KEY}"} | ({"x-request-id": name} if name else {})
        chat = {"messages": [{"role": "user", "content": "hi"}], **body}
        async with self.session.post("/v1/chat/completions", json=chat, headers=headers) as answer:
            content = await answer.read()
            if answer.status == 200 and body.get("stream") and b"[DONE]" not in content:
                raise aiohttp.ClientPayloadError("cut")
            return answer.status, answer.headers["x-request-id"], content

    async def asked(self, body: dict[str, Any], name: str | None = None) -> tuple[int, str, bytes]:
        """The same, again while the gateway has too much to do: it is not what is looked for."""
        while is_shed((answer := await self.ask(body, name))[2]):
            await asyncio.sleep(0.02)
        return answer

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """Of the database."""
        address = f"file:{self.folder}/headrace.db?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as database:
            return database.execute(sql, values).fetchall()

    def view(self, subject: Subject | None) -> View:
        """What workers count."""
        assert subject is not None
        path = self.folder / "ledger" / "limits.shm"
        with closing(Accounts.open(path, None, self.workers)) as accounts:
            return accounts.view(subject)

    def counts(self, subject: Subject, requests: int) -> bool:
        """Whether the database says so too."""
        sql = "SELECT sum(requests) FROM counters WHERE subject = ?"
        return self.rows(sql, subject.id) == [(requests,)]

    @property
    def key(self) -> Subject | None:
        return of_key(next(iter(self.snapshot.keys.values())))

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.02)

    async def booked(self, count: int) -> None:
        """So many requests are in the database, and none is under way."""
        sql = "SELECT count(*), count(*) FILTER (WHERE phase < 3) FROM requests"
        await self.until(lambda: self.rows(sql) == [(count, 0)])


@asynccontextmanager
async def gateway(
    folder: Path, sim: Simulator, workers: int, **changes: Any
) -> AsyncIterator[Gateway]:
    one = await asyncio.to_thread(Gateway, folder, sim.url, workers, **changes)
    connections = aiohttp.TCPConnector(limit=0, force_close=True)
    one.session = aiohttp.ClientSession(one.process.url, connector=connections)
    try:
        yield one
    finally:
        await one.session.close()
        code = await asyncio.to_thread(one.process.stop)
    assert code == 0, "".join(one.process.lines)


async def test_a_rate_is_one_rate_for_eight_workers(sim: Simulator, tmp_path: Path) -> None:
    keys = [{"name": "test", "key": KEY, "rpm": 100}]
    async with gateway(tmp_path, sim, 8, keys=keys) as one:
        began = monotonic()
        answers = await asyncio.gather(*(one.ask({"model": "sim-n1"}) for _ in range(500)))
        regained = (monotonic() - began) * 100 / 60

        statuses = Counter(status for status, _, _ in answers)
        # A machine that lets no worker run for a while has some refused before anybody asks for their rate.
        assert set(statuses) - {503} == {200, 429}
        assert 10 <= statuses[200] <= 10 + regained
        ended = "SELECT count(*) FROM requests WHERE status IN (200, 429) AND phase = 3"
        await one.until(lambda: one.rows(ended) == [(statuses[200] + statuses[429],)])
        assert one.rows("SELECT count(*) FROM requests WHERE status = 200") == [(statuses[200],)]


async def test_slots_of_dead_workers_are_free_again(sim: Simulator, tmp_path: Path) -> None:
    keys = [{"name": "test", "key": KEY, "concurrency": 10}]
    async with gateway(tmp_path, sim, 3, keys=keys) as one:
        long = {"model": "sim-n3000-d20", "stream": True}
        held = [asyncio.ensure_future(one.asked(long)) for _ in range(10)]
        await one.until(lambda: one.view(one.key).inflight == 10)
        assert (await one.asked({"model": "sim-n1"}))[0] == 429

        for pid in one.process.workers():
            os.kill(pid, signal.SIGKILL)
        await one.until(lambda: one.view(one.key).inflight == 0)

        assert all(
            isinstance(each, aiohttp.ClientError)
            for each in await asyncio.gather(*held, return_exceptions=True)
        )
        assert (await one.asked({"model": "sim-n1"}))[0] == 200


async def test_nothing_is_lost_and_nothing_counts_twice_while_workers_are_killed(
    sim: Simulator, tmp_path: Path
) -> None:
    keys = [{"name": "test", "key": KEY, "team": "all", "concurrency": 10_000, **MONEY}]
    async with gateway(tmp_path, sim, 3, keys=keys, teams={"all": MONEY}, limits=MONEY) as one:
        seen: list[str] = []
        over = asyncio.Event()

        async def client(number: int) -> None:
            bodies = (
                {"model": "sim-n9"},
                {"model": "sim-n9", "stream": True},
                {"model": "sim-n9-d5", "stream": True},
            )
            while not over.is_set():
                try:
                    status, rid, _ = await one.asked(
                        bodies[number % 3], "the-same" if number % 4 == 0 else None
                    )
                except (aiohttp.ClientError, ConnectionError):
                    continue
                assert status == 200
                seen.append(rid)

        clients = [asyncio.ensure_future(client(number)) for number in range(8)]
        chance = random.Random(5)
        for _ in range(KILLS):
            wanted = len(seen) + chance.randrange(10, 60)
            await one.until(lambda wanted=wanted: len(seen) >= wanted and one.process.workers())
            os.kill(chance.choice(one.process.workers()), signal.SIGKILL)
        await one.until(lambda: len(one.process.workers()) == 3)
        over.set()
        await asyncio.gather(*clients)

        def settled() -> bool:
            count = one.rows("SELECT count(*) FROM requests")[0][0]
            return count >= len(seen) and not one.rows("SELECT 1 FROM requests WHERE phase < 3")

        await one.until(settled)
        await one.until(
            lambda: _agree(
                one,
                (one.key, of_everything(one.snapshot), of_team("all", one.snapshot.teams["all"])),
            )
        )
        rows = [rid for (rid,) in one.rows("SELECT rid FROM requests")]
        mine = [rid for rid in seen if rid != "the-same"]
        assert set(mine) <= set(rows)
        assert len(set(mine)) == len(mine)
        assert sum(rid.endswith(":the-same") for rid in rows) >= seen.count("the-same")
        unknown = one.rows("SELECT count(*) FROM requests WHERE outcome = 'unknown'")[0][0]
        assert len(seen) + unknown <= len(rows) <= len(seen) + 8 * KILLS


def _agree(one: Gateway, subjects: tuple[Subject | None, ...]) -> bool:
    """The log, the counters and the memory say the same, and nothing is held."""
    log = one.rows("SELECT count(*), sum(cost) FROM requests")[0]
    for subject in subjects:
        assert subject is not None
        counted = one.rows(
            "SELECT sum(requests), sum(micro) FROM counters WHERE subject = ?", subject.id
        )[0]
        view = one.view(subject)
        if counted != log or (view.inflight, view.reserved, view.spent) != (0, 0, log[1]):
            return False
    return True


async def test_what_a_deployment_was_asked_in_vain_is_in_the_database_too(
    sim: Simulator, tmp_path: Path
) -> None:
    quota = {"requests": 1000, "cron": "0 0 * * *"}
    deployments = [
        {"provider": "p0", "model": model, "priority": at, "quota": quota}
        for at, model in enumerate(("sim-503", "sim-n2"), 1)
    ]
    async with gateway(tmp_path, sim, 1, models={"two": {"deployments": deployments}}) as one:
        for _ in range(3):
            assert (await one.asked({"model": "two"}))[0] == 200
        await one.booked(3)

        for tier in one.snapshot.models["two"].tiers:
            subject = of_deployment(tier[0])
            assert subject is not None
            counted = one.view(subject).quota_requests
            assert counted >= 1
            await one.until(partial(one.counts, subject, counted))


@pytest.fixture
def first(sim: Simulator, tmp_path: Path) -> Iterator[Process]:
    content = config(sim.url, ledger={"path": str(tmp_path / "ledger")}, server={"workers": 2})
    process = Process(content, tmp_path)
    yield process
    process.stop()


def test_two_gateways_do_not_share_a_ledger_and_a_dead_one_leaves_no_lock(
    first: Process, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "proxy", "serve", "--config", str(tmp_path / "process.yaml")]
    second = subprocess.run(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=20, check=False
    )
    assert second.returncode != 0
    assert "in use by another gateway" in second.stderr

    first.process.kill()
    first.process.wait()
    deadline = monotonic() + PATIENCE
    while not _listens(command):  # workers of the dead one have not left yet
        assert monotonic() < deadline


def _listens(command: list[str]) -> bool:
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = any("listening on" in line for line in process.stderr)
        process.terminate()
        process.stderr.read()
        return found
