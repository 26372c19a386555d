"""A real Prometheus server, started on loopback to scrape what a test serves."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

READY_SECONDS = 20.0


def program(name: str) -> str:
    """Where a program of Debian's package `prometheus` is. On machines of the CI it has to be there."""
    path = shutil.which(name)
    if path is None:
        reason = f"{name} is not on PATH; it comes with Debian's package 'prometheus'"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return path


class News:
    """A page the server writes new samples to (remote write). It is not read: that it came is the news."""

    def __init__(self) -> None:
        self._arrived = asyncio.Event()

    async def page(self, request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        self._arrived.set()
        return web.Response(status=204)

    async def more(self) -> None:
        """Until new samples have been stored."""
        await self._arrived.wait()
        self._arrived.clear()


class Prometheus:
    """A running server and its HTTP API."""

    def __init__(self, session: aiohttp.ClientSession, address: str, news: News) -> None:
        self._session = session
        self._address = address
        self._news = news

    async def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series the expression gives now; ValueError when it is not understood."""
        data = await self._get("query", query=expression)
        return [(one["metric"], float(one["value"][1])) for one in data["result"]]

    async def rules(self) -> list[dict[str, Any]]:
        """Each rule it has read, as its API says it."""
        groups = (await self._get("rules"))["groups"]
        return [rule for group in groups for rule in group["rules"]]

    async def _get(self, what: str, **parameters: str) -> dict[str, Any]:
        async with self._session.get(
            f"http://{self._address}/api/v1/{what}", params=parameters
        ) as response:
            answer: dict[str, Any] = await response.json()
        if answer["status"] != "success":
            raise ValueError(answer["error"])
        data: dict[str, Any] = answer["data"]
        return data

    async def until(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """The same, as soon as it gives something."""
        async with asyncio.timeout(READY_SECONDS):
            while True:
                result = await self.query(expression)
                if result:
                    return result
                await self._news.more()


Start = Callable[..., Awaitable[Prometheus]]


@pytest.fixture
async def prometheus(tmp_path: Path) -> AsyncIterator[Start]:
    """`await prometheus("127.0.0.1:8001", token=None, rules=None)` starts a server that scrapes this address.

    It looks for its targets every five seconds, so the first scrape comes no earlier.
    """
    path = program("prometheus")
    news = News()
    async with AsyncExitStack() as stack:
        pages = await stack.enter_async_context(RawTestServer(news.page))

        async def start(
            target: str, *, token: str | None = None, rules: Path | None = None
        ) -> Prometheus:
            configuration = tmp_path / "prometheus.yml"
            configuration.write_text(_configuration(target, token, pages.port, rules))
            process = await asyncio.create_subprocess_exec(
                path,
                f"--config.file={configuration}",
                f"--storage.tsdb.path={tmp_path / 'tsdb'}",
                "--web.listen-address=127.0.0.1:0",
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
            stack.push_async_callback(_stop, process)
            address = await asyncio.wait_for(_ready(process), READY_SECONDS)
            session = await stack.enter_async_context(aiohttp.ClientSession())
            return Prometheus(session, address, news)

        yield start


def _configuration(target: str, token: str | None, news: int | None, rules: Path | None) -> str:
    lines = [
        "global: {scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 1s}",
        f"rule_files: [{'' if rules is None else rules}]",
        "remote_write:",
        f"  - url: http://127.0.0.1:{news}/",
        "    queue_config: {batch_send_deadline: 50ms}",
        "scrape_configs:",
        "  - job_name: headrace",
        f"    static_configs: [{{targets: ['{target}']}}]",
    ]
    if token is not None:
        lines.append(f"    authorization: {{credentials: '{token}'}}")
    return "\n".join(lines) + "\n"


async def _ready(process: asyncio.subprocess.Process) -> str:
    """Its address, once it says that it is ready. It chose a free port itself."""
    assert process.stderr is not None
    address = ""
    said: list[str] = []
    async for raw in process.stderr:
        line = raw.decode()
        said.append(line)
        found = re.search(r'msg="Listening on" address=(\S+)', line)
        if found:
            address = found[1]
        if "Server is ready to receive web requests" in line:
            assert address, "".join(said)
            return address
    raise RuntimeError("Prometheus ended:\n" + "".join(said))


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    # What it still says has to be read, or a full pipe would keep it from ending.
    await asyncio.wait_for(process.communicate(), READY_SECONDS)
