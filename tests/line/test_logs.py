"""The log of a running proxy: it holds nobody up, and follows the configuration in every worker (fault row F14)."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from proxy.core import log, model
from tests.line.harness import (
    ROOT,
    Answer,
    Process,
    Raw,
    Simulator,
    config,
    free_port,
    merged,
    request,
    serving,
)

LIST = request("GET", "/v1/models/none", None)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe nobody reads, of the smallest size."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    yield reader, writer
    for end in (reader, writer):
        try:
            os.close(end)
        except OSError:
            pass  # it was closed in the test


async def test_lines_that_nobody_takes_are_dropped_and_counted_and_requests_go_on(
    sim: Simulator, tmp_path: Path, pipe: tuple[int, int]
) -> None:
    reader, writer = pipe
    level = logging.getLogger().level
    before = log.dropped()
    async with serving(config(sim.url), tmp_path) as proxy:
        log.configure(model.Logging(format="json"), writer)
        try:
            client = await proxy.raw()
            for _ in range(115):
                client.send(LIST * 100)
                for _ in range(100):
                    await client.head()
                    await client.reader.readuntil(b"}}")
            lost = proxy.metric("headrace_log_dropped_total") - before
        finally:
            os.close(reader)  # else closing the log waits for somebody to read
            await asyncio.to_thread(log.close)
            logging.getLogger().setLevel(level)

    # 11,500 lines, of which 10,000 wait and a few are in the pipe or on their way to it.
    assert 1_000 < lost <= 1_500


class Silent:
    """`headrace serve` whose standard error nobody reads once it listens."""

    def __init__(self, content: dict[str, Any], folder: Path, pipe: tuple[int, int]) -> None:
        path = folder / "silent.yaml"
        extra = {"admin": {"port": 0}, "store": {"url": f"sqlite:///{folder}/headrace.db"}}
        path.write_text(yaml.safe_dump(merged(extra, content)))
        self._reader, writer = pipe
        self.process = subprocess.Popen(
            [sys.executable, "-m", "proxy", "serve", "--config", str(path)],
            stderr=writer,
            cwd=ROOT,
        )
        os.close(writer)
        said = b""
        while b"listening on" not in said or not said.endswith(b"\n"):
            part = os.read(self._reader, 4096)
            assert part, said
            said += part
        self.port = int(said.partition(b"listening on http://127.0.0.1:")[2].split()[0])

    def read(self, lines: int) -> list[dict[str, Any]]:
        """So many request lines, from now on."""
        found: list[dict[str, Any]] = []
        rest = b""
        while len(found) < lines:
            part = os.read(self._reader, 1 << 16)
            assert part, f"{len(found)} lines and no more"
            *whole, rest = (rest + part).split(b"\n")
            found += [orjson.loads(one) for one in whole if b'"event":"request"' in one]
        return found


async def test_a_process_whose_log_nobody_reads_answers_all_the_same(
    sim: Simulator, tmp_path: Path, pipe: tuple[int, int]
) -> None:
    silent = await asyncio.to_thread(Silent, config(sim.url), tmp_path, pipe)
    try:
        answers = await _ask(silent.port, 200)
        assert {one.status for one in answers} == {404}
        # Nothing was lost meanwhile, and all of it comes once somebody reads.
        lines = await asyncio.to_thread(silent.read, 200)
        assert {line["status"] for line in lines} == {404}

        # It can be stopped as well while nobody reads.
        await _ask(silent.port, 200)
        silent.process.terminate()
        assert await asyncio.to_thread(silent.process.wait, 20) == 0
    finally:
        silent.process.kill()
        silent.process.wait()


async def _ask(port: int, count: int) -> list[Answer]:
    """One after the other, on one connection."""
    client = await Raw.open(port)
    answers = []
    async with asyncio.timeout(20):
        for _ in range(count):
            client.send(LIST)
            answers.append(await client.answer())
    client.close()
    return answers


async def test_what_is_logged_follows_the_file_and_the_admin_api_in_every_worker(
    sim: Simulator, tmp_path: Path
) -> None:
    path, port = tmp_path / "headrace.log", free_port()
    content = config(
        sim.url,
        server={"workers": 2, "port": port},
        admin={"port": port, "anonymous": True},
        logging={"file": str(path), "level": "warning", "requests": False},
    )
    process = await asyncio.to_thread(Process, content, tmp_path)
    try:
        await _ask(port, 5)
        file = tmp_path / "process.yaml"
        content = yaml.safe_load(file.read_text())
        content["logging"]["level"] = "info"
        del content["logging"]["requests"]  # what the file says the API cannot change
        file.write_text(yaml.safe_dump(content))
        process.process.send_signal(signal.SIGHUP)

        # Each worker says so, and could not have before.
        await _until(lambda: _messages(path).count("configuration reloaded") == 2)
        await _ask(port, 3)
        await _until(lambda: len(_requests(path)) == 3)

        made = await _admin(port, "POST", "/admin/settings", {"name": "logging", "requests": False})
        assert made.status == 201, made
        revision = made.json["revision"]

        async def known() -> bool:
            workers = (await _admin(port, "GET", "/admin/status")).json["workers"]
            return len(workers) == 2 and all(one["revision"] >= revision for one in workers)

        async with asyncio.timeout(20):
            while not await known():
                await asyncio.sleep(0.05)
        await _ask(port, 5)
    finally:
        assert await asyncio.to_thread(process.stop) == 0
    assert len(_requests(path)) == 3


async def _admin(port: int, method: str, path: str, body: Any = None) -> Answer:
    client = await Raw.open(port)
    client.send(request(method, path, None if body is None else orjson.dumps(body), key=None))
    try:
        return await client.answer()
    finally:
        client.close()


def _entries(path: Path) -> list[dict[str, Any]]:
    *whole, _ = path.read_bytes().split(b"\n")
    return [orjson.loads(one) for one in whole]


def _requests(path: Path) -> list[dict[str, Any]]:
    """Those of the data plane."""
    return [one for one in _entries(path) if one.get("event") == "request"]


def _messages(path: Path) -> list[str]:
    return [one["message"] for one in _entries(path) if "message" in one]


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)
