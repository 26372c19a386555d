"""Master keys are replaced under traffic: killed in the middle, run again, and nobody who asks notices."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import yaml

from proxy.control.replica import Replica
from proxy.core.config import load
from proxy.core.records import Kind, Record
from proxy.core.secret import Secret
from proxy.core.tasks import spawn
from proxy.core.vault import Vault
from proxy.store import keys, objects, rotation
from proxy.store.base import Store
from proxy.store.opening import open_store
from tests.line.harness import ROOT, Process, Simulator

OLD, NEW = "r8Kq2mZx0VbTn4Wc7LpYs1HdJf6GuAeE", "Zt5wQ9oXk3NvR7yBc1MhL8sDfP0aGj2U"
SPARE = 1500
"""Credentials that nobody uses, so that there are thirty steps to be killed in."""


def content(folder: Path, *master: str) -> dict[str, Any]:
    """A configuration of which everything but the master keys is in the store."""
    return {
        "server": {"host": "127.0.0.1", "port": 0, "workers": 2},
        "admin": {"port": 0},
        "store": {"url": f"sqlite:///{folder}/headrace.db", "snapshot": f"{folder}/copy"},
        "secrets": {"keys": list(master)},
    }


async def fill(store: Store, url: str, vault: Vault) -> None:
    """A provider that is asked, one that has many credentials, and a model."""
    spec = {"base_url": url, "dialects": ["openai.chat"], "allow_private": True}
    made: list[tuple[str, str, int, dict[str, Any], dict[str, str]]] = [
        (Kind.PROVIDER, "lab", 0, spec, {}),
        (Kind.CREDENTIAL, "", 1, {}, {"key": "upstream-secret-lab"}),
        (Kind.MODEL, "sim-n1", 0, {}, {}),
        (Kind.DEPLOYMENT, "", 3, {"provider": "lab"}, {}),
        (Kind.PROVIDER, "spare", 0, spec | {"enabled": False}, {}),
    ]
    made += [(Kind.CREDENTIAL, "", 5, {}, {"key": f"spare-{n}"}) for n in range(SPARE)]
    async with store.transaction() as session:
        assert await objects.lock(session) == 0
        for id, (kind, name, parent, fields, secrets) in enumerate(made, 1):
            sealed = vault.seal(orjson.dumps(secrets), f"{kind}/{id}") if secrets else ""
            record = Record(kind, id, id, name, parent, orjson.dumps(fields), sealed)
            await objects.write(session, record)
        await objects.unlock(session, len(made))


class Asking:
    """Somebody who asks again and again."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key
        self.statuses: list[int] = []

    async def __call__(self, http: aiohttp.ClientSession) -> None:
        body = {"model": "sim-n1", "messages": [{"role": "user", "content": "hi"}]}
        headers = {"authorization": f"Bearer {self._key}"}
        while True:
            async with http.post(
                f"{self._url}/v1/chat/completions", json=body, headers=headers
            ) as answer:
                await answer.read()
                self.statuses.append(answer.status)
            await asyncio.sleep(0.01)

    async def some_more(self) -> None:
        """Wait until requests that begin now have been answered."""
        enough = len(self.statuses) + 10
        await until(lambda: len(self.statuses) >= enough)


async def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def asking(url: str, key: str) -> Any:
    async with aiohttp.ClientSession() as http:
        one = Asking(url, key)
        task = spawn(one(http), name="asking")
        try:
            yield one
        finally:
            task.cancel()
            await asyncio.wait({task})


def rotate(config: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "proxy", "secrets", "rotate", "--config", str(config), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def killed_on_the_way(config: Path) -> None:
    """A rotation that is killed after its third step."""
    process = rotate(config)
    assert process.stderr is not None
    steps = 0
    for line in process.stderr:
        steps += "sealed again" in line
        if steps == 3:
            process.kill()
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL


async def reloaded(process: Process, store: Store, version: str) -> None:
    """Have all workers read the file, and wait until they have."""
    process.process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(15):
        while True:
            rows = await store.fetch("SELECT config, problem FROM workers")
            if len(rows) == 2 and all(config == version for config, _ in rows):
                assert [problem for _, problem in rows] == ["", ""]
                return
            await asyncio.sleep(0.05)


async def caught_up(store: Store) -> None:
    """Wait until all workers serve the last revision."""
    last = (await objects.mark(store)).revision
    async with asyncio.timeout(15):
        while any(
            revision < last for (revision,) in await store.fetch("SELECT revision FROM workers")
        ):
            await asyncio.sleep(0.05)


@pytest.mark.timeout(90)
async def test_a_master_key_is_replaced_while_requests_are_served(
    sim: Simulator, tmp_path: Path
) -> None:
    old, new = (Vault([Secret(key)]) for key in (OLD, NEW))
    file = tmp_path / "process.yaml"
    file.write_text(yaml.safe_dump(content(tmp_path, OLD)))
    store = open_store(f"sqlite:///{tmp_path}/headrace.db")
    await store.open()
    await fill(store, sim.url, old)
    made = await keys.create(store, old, load(file, {}).config, "app", {})
    process = await asyncio.to_thread(Process, content(tmp_path, OLD), tmp_path)
    try:
        async with asking(process.url, made.key.reveal()) as somebody:
            await somebody.some_more()

            file.write_text(yaml.safe_dump(content(tmp_path, NEW, OLD)))
            await reloaded(process, store, "2")
            await asyncio.to_thread(killed_on_the_way, file)
            left = await rotation.left(store)
            assert left[old.kids[0]] > 0
            assert left[new.kids[0]] > 0
            await caught_up(store)
            await somebody.some_more()

            again = rotate(file, "--json")
            out, _ = await asyncio.to_thread(again.communicate)
            assert again.returncode == 0
            assert orjson.loads(out)["left"] == {}
            assert orjson.loads(out)["resealed"] == left[old.kids[0]]
            assert set(await rotation.left(store)) == {new.kids[0]}
            await caught_up(store)
            await somebody.some_more()

            file.write_text(yaml.safe_dump(content(tmp_path, NEW)))
            await reloaded(process, store, "3")
            await somebody.some_more()

            assert set(somebody.statuses) == {200}
    finally:
        code = await asyncio.to_thread(process.stop)
        await store.close()
    assert code == 0


async def test_a_worker_reads_peppers_again_when_nothing_else_was_sealed(tmp_path: Path) -> None:
    """It could not open them any more once the old key is taken out, and would know no virtual key."""
    file = tmp_path / "headrace.yaml"
    file.write_text(yaml.safe_dump(content(tmp_path, NEW, OLD)))
    config = load(file, {}).config
    store = open_store(config.store.url)
    await keys.create(store, Vault([Secret(OLD)]), config, "app", {})
    replica = Replica(config)
    await replica.load(config)
    before = replica.peppers

    done = await rotation.rotate(store, Vault([Secret(NEW), Secret(OLD)]))
    await replica.advance(config)
    replica.rekey(Vault([Secret(NEW)]))

    assert done.resealed == 1
    assert replica.peppers == before
    assert len(before) == 1
    assert replica.store is not None
    await replica.store.close()
    await store.close()
