"""A whole proxy for a test: the real worker on loopback, a simulated provider in a process of its own.

Raw sockets on the client's side, so that a test sees every byte.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import aiohttp
import orjson
import yaml

from proxy.control.admin.routes import all_routes
from proxy.core.config import load
from proxy.core.errors import ERRORS
from proxy.state.snapshot import compile_snapshot
from proxy.worker import Worker, listen

all_routes()  # a worker imports them when it starts, which would block the loop of a test

ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-test-key-0001"
FAMILIES = [
    "openai.chat",
    "openai.completions",
    "openai.responses",
    "openai.embeddings",
    "openai.images",
    "openai.audio",
    "openai.moderations",
    "openai.rerank",
    "anthropic.messages",
    "gemini.generate",
]


class Simulator:
    """`headrace simulate` in a process of its own."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "proxy", "simulate", "--port", "0"],
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        found = re.search(r"listening on .*:(\d+)", line)
        assert found, f"the simulator said {line!r}"
        self.port = int(found[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()

    async def ledger(self) -> dict[str, Any]:
        """What the provider saw."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(self.url + "/ledger") as answer,
        ):
            content: dict[str, Any] = orjson.loads(await answer.read())
            return content

    async def requests(self, model: str) -> list[dict[str, Any]]:
        """The requests it saw for one model, oldest first."""
        return [one for one in (await self.ledger())["requests"] if one["model"] == model]


def config(*urls: str, **changes: Any) -> dict[str, Any]:
    """A configuration: one provider a URL, `sim*` served by all of them, one key. Nothing is recorded, unless `changes`
    name a folder for it."""
    names = [f"p{index}" for index in range(len(urls))]
    content: dict[str, Any] = {
        "server": {"host": "127.0.0.1", "port": 0},
        "ledger": {"path": ""},
        "defaults": {"retry": {"base": 0.001, "cap": 0.002}},
        "providers": {
            name: {
                "base_url": url,
                "dialects": FAMILIES,
                "credentials": [f"upstream-secret-{name}"],
                "allow_private": True,
            }
            for name, url in zip(names, urls, strict=True)
        },
        "models": {
            "sim*": {
                "deployments": [
                    {"provider": name, "model": "sim*", "priority": index}
                    for index, name in enumerate(names, 1)
                ]
            }
        },
        "keys": [{"name": "test", "key": KEY}],
    }
    return merged(content, changes)


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`changes` laid over `base`, mapping by mapping."""
    result = dict(base)
    for name, value in changes.items():
        old = result.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            value = merged(old, value)
        result[name] = value
    return result


class Proxy:
    """The worker under test."""

    def __init__(self, worker: Worker, port: int) -> None:
        self.worker = worker
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.clients: list[Raw] = []

    async def raw(self) -> Raw:
        """A raw connection to it, closed with the proxy at the latest."""
        client = await Raw.open(self.port)
        self.clients.append(client)
        return client

    async def post(
        self, path: str, body: Any, headers: dict[str, str] | None = None, *, key: str | None = KEY
    ) -> Answer:
        """One request on a connection of its own; the whole answer, as it came."""
        client = await self.raw()
        try:
            content = body if isinstance(body, bytes) else orjson.dumps(body)
            client.send(request("POST", path, content, headers, key=key))
            return await client.answer()
        finally:
            client.close()

    async def get(self, path: str, *, key: str | None = KEY, method: str = "GET") -> Answer:
        """The same without a body."""
        client = await self.raw()
        try:
            client.send(request(method, path, None, None, key=key))
            return await client.answer()
        finally:
            client.close()

    async def chat(self, model: str, *, stream: bool = True, **fields: Any) -> Answer:
        """One chat completion."""
        body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
        return await self.post("/v1/chat/completions", {**body, **fields})

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels."""
        _, _, page = self.worker._metrics()
        total = 0.0
        for line in page.decode().splitlines():
            if re.match(rf"{name}(\{{| )", line) and all(
                f'{label}="{value}"' in line for label, value in labels.items()
            ):
                total += float(line.rpartition(" ")[2])
        return total


@asynccontextmanager
async def serving(content: dict[str, Any], folder: Path) -> AsyncIterator[Proxy]:
    """A worker serving this configuration on a free port, in this event loop."""
    path = folder / "headrace.yaml"
    path.write_text(yaml.safe_dump(content))
    worker = Worker(compile_snapshot(load(path).config))
    api = listen("127.0.0.1", 0)
    await worker.start(api, None)
    proxy = Proxy(worker, api.getsockname()[1])
    try:
        yield proxy
    finally:
        for client in proxy.clients:
            client.writer.transport.abort()  # a goodbye by TLS would outlive the loop
        await worker.close(0.2)


def request(
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str] | None = None,
    *,
    key: str | None = KEY,
) -> bytes:
    """A request's bytes."""
    fields = {"host": "localhost"}
    if key is not None:
        fields["authorization"] = f"Bearer {key}"
    if body is not None:
        fields["content-type"] = "application/json"
        fields["content-length"] = str(len(body))
    fields.update(headers or {})
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + (body or b"")


class Answer:
    """A response as its bytes say: head, body, and whether the body ended as its framing promised."""

    def __init__(self, head: bytes, body: bytes, *, complete: bool) -> None:
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split(" ")[1])
        pairs = [line.split(": ", 1) for line in lines[1:] if line]
        self.headers = {name.lower(): value for name, value in pairs}
        self.body = body
        self.complete = complete

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The `data` of every event, decoded; `[DONE]` as text."""
        found = []
        for block in re.split(rb"\r\n\r\n|\n\n|\r\r", self.body):
            data = b"\n".join(
                line[5:].strip()
                for line in re.split(rb"\r\n|\n|\r", block)
                if line.startswith(b"data:")
            )
            if data:
                found.append("[DONE]" if data == b"[DONE]" else orjson.loads(data))
        return found

    @property
    def text(self) -> str:
        """The text of a streamed chat completion."""
        return "".join(
            choice["delta"].get("content") or ""
            for event in self.events
            if isinstance(event, dict)
            for choice in event.get("choices", ())
        )

    def __repr__(self) -> str:
        return f"<{self.status} {self.headers} {self.body[:2000]!r} complete={self.complete}>"


def is_shed(body: bytes) -> bool:
    """Whether it says that the gateway has too much to do. Anybody may be told so whose machine did not let it run for a
    while, before anything else is known of the request; nothing of it is booked."""
    return _SHED in body


_SHED = ERRORS["shed"].message.encode()


class Raw:
    """A raw client connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> Self:
        """Connect."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 26)
        return cls(reader, writer)

    def send(self, data: bytes) -> None:
        """Write without waiting."""
        self.writer.write(data)

    def close(self) -> None:
        """Leave."""
        self.writer.close()

    def reset(self) -> None:
        """Leave with a reset: closing with nothing to linger for sends one, whatever is unread or unsent."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def head(self) -> bytes:
        """The next response head, interim ones skipped."""
        while True:
            head = await self.reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 1"):
                return head

    async def answer(self) -> Answer:
        """The next response, read as its framing says."""
        head = await self.head()
        lowered = head.lower()
        if head.split(b" ", 2)[1] == b"204":
            return Answer(head, b"", complete=True)
        length = re.search(rb"\r\ncontent-length: (\d+)", lowered)
        try:
            if length:
                return Answer(head, await self.reader.readexactly(int(length[1])), complete=True)
            if b"\r\ntransfer-encoding: chunked" in lowered:
                body, complete = await self._chunks()
                return Answer(head, body, complete=complete)
        except asyncio.IncompleteReadError as error:
            return Answer(head, error.partial, complete=False)
        return Answer(head, await self.reader.read(), complete=True)

    async def _chunks(self) -> tuple[bytes, bool]:
        body = b""
        try:
            while True:
                size = int(await self.reader.readuntil(b"\r\n"), 16)
                chunk = await self.reader.readexactly(size + 2)
                if size == 0:
                    return body, True
                body += chunk[:-2]
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return body, False


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[str]:
    """An upstream that does exactly what `script` does with each connection; its URL."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            pass  # by us, below: asyncio's server would log it with its traceback
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=1 << 26)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """(head, body) of the next request with a content length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    return head, await reader.readexactly(int(length[1]) if length else 0)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Let the loop turn until `condition` holds; fails when it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)


def free_port() -> int:
    """A port nobody listens on."""
    with listen("127.0.0.1", 0) as one:
        port: int = one.getsockname()[1]
        return port


def children(pid: int) -> dict[int, str]:
    """What the processes call themselves that `pid` has started and that are still alive, by their ids, in the order in
    which they were begun. One that has ended itself has none."""
    found = {}
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # a thread may end as well
            for child in map(int, thread.read_text().split()):
                with suppress(OSError):
                    name, _, rest = Path(f"/proc/{child}/stat").read_text().rpartition(") ")
                    if not rest.startswith("Z"):
                        found[child] = name.partition("(")[2]
    return found


@contextmanager
def closed_port() -> Iterator[int]:
    """A port on which nobody listens, and nobody else can meanwhile."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield one.getsockname()[1]


class Process:
    """`headrace serve` as users start it: a process of its own, from a file.

    A path is a file that is there already: it is served from its folder, as it is, with these variables. `within` is a
    command that starts another one, with its arguments.
    """

    def __init__(
        self,
        content: dict[str, Any] | Path,
        folder: Path,
        *arguments: str,
        within: Sequence[str] = (),
        **variables: str,
    ) -> None:
        path = content if isinstance(content, Path) else folder / "process.yaml"
        if not isinstance(content, Path):
            content = merged({"admin": {"port": 0}}, content)
            content.setdefault("store", {"url": f"sqlite:///{folder}/headrace.db"})
            path.write_text(yaml.safe_dump(content))
        self.begin(
            [*within, sys.executable, "-m", "proxy", "serve", "--config", str(path), *arguments],
            path.parent if isinstance(content, Path) else ROOT,
            **variables,
        )

    def begin(self, command: Sequence[str], folder: Path = ROOT, **variables: str) -> None:
        """Run it, until it says where it listens."""
        self.process = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        )
        assert self.process.stderr is not None
        self.lines: list[str] = []
        for line in self.process.stderr:
            self.lines.append(line)
            found = re.search(r"listening on (https?://\S+)", line)
            if found:
                self.url = found[1]
                break
        else:
            raise AssertionError("".join(self.lines))
        # What it says from now on must not fill the pipe.
        self._drain = threading.Thread(target=self._read, daemon=True)
        self._drain.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(self.process.stderr)

    def workers(self) -> list[int]:
        """Their processes."""
        return [pid for pid, name in children(self.process.pid).items() if "ship" not in name]

    def shipping(self) -> int:
        """The process that does; 0: there is none at the moment."""
        return next((pid for pid, name in children(self.process.pid).items() if "ship" in name), 0)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        code = self.process.wait(20)
        self._drain.join(5)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code
