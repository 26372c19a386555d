"""Several machines on this one: each has a folder for its disk, ports of its own, and `headrace serve` while it lives.

They have a database, a server of shared limits, a simulated provider and a balancer in common.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from secrets import token_urlsafe
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from bench.balancers import nginx
from bench.peers import ROOT, START_S, PeerError, free_port, simulator
from proxy.store.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bench.balancers import Front
    from bench.machine import Cores

TOKEN = "fleet-admin-token-0123456789"
KEY = "sk-fleet-key-0123456789abcdef"
HEADS = {"Authorization": f"Bearer {KEY}"}
ADMIN = {"Authorization": f"Bearer {TOKEN}"}
SETTINGS = """\
server: {{host: 127.0.0.1, port: {port}, workers: {workers}, drain: 20}}
admin: {{host: 127.0.0.1, port: {admin}, token: {token}}}
store: {{url: "{store}", snapshot: "{folder}/copy"}}
secrets: {{keys: ["{master}"]}}
ledger: {{path: "{folder}/ledger"}}
shared: {{url: "{shared}"}}
logging: {{level: info, format: json, requests: false}}
health: {{probe: models, interval: {interval}}}
prices: {{"sim*": {{input: 1, output: 1}}}}
providers:
  lab:
    dialects: [openai.chat]
    base_url: "{upstream}"
    credentials: [upstream-key]
    allow_private: true
models:
  "sim*": {{deployments: [{{provider: lab, model: "sim*"}}]}}
keys:
  - {{name: fleet, key: {key}, models: ["*"]}}
"""
NUMBER = re.compile(r"^(\w+)(?:\{[^}]*\})? (\S+)$", re.MULTILINE)


class Host:
    """One machine."""

    def __init__(self, name: str, folder: Path, settings: Mapping[str, Any]) -> None:
        folder.mkdir()
        self.name = name
        self.folder = folder
        self.port, self.admin = free_port(), free_port()
        self.url, self.office = (f"http://127.0.0.1:{one}" for one in (self.port, self.admin))
        self.file = folder / "headrace.yaml"
        self.file.write_text(
            SETTINGS.format(
                port=self.port, admin=self.admin, folder=folder, token=TOKEN, key=KEY, **settings
            )
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Started, and not over."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """On the same ports, with the same disk. `wait` is for when it serves."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "proxy", "serve", "--config", self.file],
                cwd=self.folder,
                env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Until it is ready. Raises PeerError with what it last said, when it is not."""
        until = monotonic() + START_S
        while not self.number("headrace_worker_up"):
            if not self.alive or monotonic() > until:
                raise PeerError(f"host {self.name} is not ready:\n{self.said()[-2000:]}")
            sleep(0.02)

    def kill(self) -> None:
        """As a machine that is switched off, all of its processes at once; its disk stays. Returns when none is left."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Politely."""
        self._end(signal.SIGTERM)

    def said(self) -> str:
        """What it wrote."""
        return (self.folder / "log").read_text(errors="replace")

    def number(self, metric: str) -> float:
        """The least sample of a metric there, over its workers; 0 where there is none, or nobody answers."""
        page = _page(self.port)
        return min(
            (float(value) for name, value in NUMBER.findall(page) if name == metric), default=0.0
        )

    def _end(self, number: int) -> None:
        process = self._process
        if process is None:
            return
        if number == signal.SIGKILL:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            until = monotonic() + START_S
            while _group(process.pid) and monotonic() < until:
                process.poll()
                sleep(0.002)
        elif self.alive:
            process.send_signal(number)
        process.wait(START_S)


class Fleet:
    """All of them."""

    def __init__(self, hosts: Sequence[Host], front: Front, store: str, upstream: str) -> None:
        self.hosts = hosts
        self.front = front
        self.store = store
        self.upstream = upstream

    async def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Of the database."""
        store = open_store(self.store)
        try:
            return await store.fetch(sql, *values)
        finally:
            await store.close()

    async def create(self, host: Host, what: str, **fields: Any) -> int:
        """Make an object by the admin API of one host; the revision of the store with it. Raises PeerError."""
        async with (
            aiohttp.ClientSession(headers=ADMIN) as session,
            session.post(
                f"{host.office}/admin/{what}",
                data=msgspec.json.encode(fields),
                headers={"content-type": "application/json"},
            ) as answer,
        ):
            if answer.status >= 300:
                raise PeerError(f"{what}: {answer.status} {await answer.text()}")
            return int(answer.headers["etag"].strip('"'))


@contextmanager
def fleet(
    folder: Path,
    store: str,
    shared: str,
    cores: Cores,
    *,
    hosts: int = 2,
    workers: int = 1,
    interval: float = 300.0,
) -> Iterator[Fleet]:
    """So many hosts that serve, behind nginx. Raises PeerError."""
    with ExitStack() as stack:
        address = stack.enter_context(simulator(cores))
        upstream = f"http://127.0.0.1:{address.port}"
        settings = {
            "store": store, "shared": shared, "workers": workers, "upstream": upstream, "interval": interval,
            "master": token_urlsafe(32),
        }  # fmt: skip
        made = [Host(str(number), folder / f"host{number}", settings) for number in range(hosts)]
        front_folder = folder / "front"
        front_folder.mkdir(mode=0o755)
        front = stack.enter_context(nginx([one.port for one in made], front_folder))
        for one in made:
            stack.callback(one.kill)
            one.start()
        for one in made:
            one.wait()
        yield Fleet(made, front, store, upstream)


def _group(leader: int) -> bool:
    """Whether anybody of its process group lives: a zombie does not."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # gone meanwhile
                continue
            if int(fields[2]) == leader and fields[0] != "Z":
                return True
    return False


def _page(port: int) -> str:
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    except (OSError, HTTPException):
        return ""
    finally:
        connection.close()
