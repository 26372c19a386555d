"""A stream of sixty tokens is cut behind every one of its bytes: the answer is exact, or there is a loud error.

This trial is not in virtual time: a whole proxy stands between a caller, a provider that cuts (here), and the simulated
provider, which goes on.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import orjson
import uvloop

from bench import peers
from bench.failover import _read
from bench.failover_judges import Answer
from bench.peers import running, wait_for_ready, workdir
from bench.trials.found import Found, Goal, Measured, Scale
from bench.trials.lines import Chart

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bench.machine import Cores
    from bench.peers import Upstream

TOKENS = 60
WAYS = {
    "match": "sim-n60",
    "anchor": "sim-n60-resume",
    "prefill": "sim-n60-resume",
    "none": "sim-n60",
}
"""How a stream may go on, and whom the simulated provider is to be for that."""
EXACT, LOUD, SILENT = "exact", "loud", "silent"
TOGETHER = 8

CONFIG = """\
server: {{host: 127.0.0.1, port: {port}, workers: 1}}
admin: {{host: 127.0.0.1, port: {admin_port}, token: bench-admin-token}}
store: {{url: "sqlite:///{folder}/headrace.db"}}
logging: {{level: error, requests: false}}
health: {{enabled: false}}
defaults: {{retry: {{budget: 10}}}}
providers:
  cutting: &local
    dialects: [openai.chat]
    base_url: "http://127.0.0.1:{wall}"
    credentials: [upstream-key]
    allow_private: true
  whole:
    <<: *local
    base_url: "http://{upstream.host}:{upstream.port}"
models:
"""
MODEL = """\
  {way}:
    continuation: {rungs}
    deployments:
      - {{provider: cutting, model: m, priority: 1}}
      - {{provider: whole, model: {other}, priority: 2, continuation: prefill}}
"""
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def run(scale: Scale, upstream: Upstream, cores: Cores) -> Found:
    """Each way, each place."""
    return uvloop.run(_run(scale, upstream, cores))


async def _run(scale: Scale, upstream: Upstream, cores: Cores) -> Found:
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        _wall(session, upstream) as (stream, wall),
    ):
        with workdir() as folder:
            port = peers.free_port()
            file = folder / "headrace.yaml"
            file.write_text(_config(folder, port, wall, upstream))
            words = [sys.executable, "-m", "proxy", "serve", "--config", str(file)]
            with running(words, folder, cores.measured) as process:
                await asyncio.to_thread(wait_for_ready, port, process, folder)
                caller = Caller(session, f"http://127.0.0.1:{port}{peers.PATH}", stream)
                found = {way: await caller.play(way, scale.step) for way in WAYS}
    return _found(found, len(stream))


def _config(folder: Path, port: int, wall: int, upstream: Upstream) -> str:
    head = CONFIG.format(
        port=port, admin_port=peers.free_port(), folder=folder, wall=wall, upstream=upstream
    )
    return head + "".join(
        MODEL.format(way=way, rungs="none" if way == "none" else f"[{way}]", other=other)
        for way, other in WAYS.items()
    )


@asynccontextmanager
async def _wall(
    session: aiohttp.ClientSession, upstream: Upstream
) -> AsyncIterator[tuple[bytes, int]]:
    """A provider that gives the simulated one's answer up to the byte that the question says; that answer, and its port."""
    body = {"model": "sim-n60", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    url = f"http://{upstream.host}:{upstream.port}{peers.PATH}"
    async with session.post(url, json=body) as response:
        stream = await response.read()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head.lower())
            asked = await reader.readexactly(int(length[1]) if length else 0)
            cut = re.search(rb"cut:(\d+)", asked)
            part = stream[: int(cut[1])] if cut else stream
            writer.write(HEAD + (b"%x\r\n%b\r\n" % (len(part), part) if part else b""))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield stream, server.sockets[0].getsockname()[1]
    finally:
        server.close()


class Caller:
    """Asks, and judges what comes."""

    def __init__(self, session: aiohttp.ClientSession, url: str, stream: bytes) -> None:
        self.session = session
        self.url = url
        self.length = len(stream)
        whole = Answer()
        for event in stream.split(b"\n\n"):
            _read(whole, event)
        self.text = whole.text

    async def play(self, way: str, step: int) -> dict[int, tuple[str, bool]]:
        """By the place of the cut: what came of it, and whether somebody went on."""
        found: dict[int, tuple[str, bool]] = {}
        places = iter(range(0, self.length, step))

        async def asking() -> None:
            for at in places:
                found[at] = await self._ask(way, at)

        await asyncio.gather(*(asking() for _ in range(TOGETHER)))
        return found

    async def _ask(self, way: str, at: int) -> tuple[str, bool]:
        body = {
            "model": way,
            "stream": True,
            "messages": [{"role": "user", "content": f"cut:{at}"}],
        }
        answer, content = Answer(), bytearray()
        try:
            async with self.session.post(self.url, data=orjson.dumps(body)) as response:
                async for piece in response.content.iter_any():
                    content += piece
        except aiohttp.ClientError as error:
            answer.broken = type(error).__name__
        for event in bytes(content).split(b"\n\n"):
            _read(answer, event)
        return self._judge(answer), b": continued" in content

    def _judge(self, answer: Answer) -> str:
        if answer.error or answer.broken:
            return LOUD if self.text.startswith(answer.text) else SILENT
        ended = answer.done and answer.finish == "stop"
        return EXACT if ended and answer.text == self.text else SILENT


def _found(found: dict[str, dict[int, tuple[str, bool]]], length: int) -> Found:
    outcomes = {way: Counter(kind for kind, _ in places.values()) for way, places in found.items()}
    figures = []
    for way, counts in outcomes.items():
        total = sum(counts.values())
        figures.append(Measured(f"exact: {way}", 100 * counts[EXACT] / total, "% of places"))
        gone_on = sum(on for _, on in found[way].values())
        figures.append(Measured(f"of them at a seam: {way}", 100 * gone_on / total, "% of places"))
    lines = []
    for way, places in found.items():
        exact, points = 0, []
        for seen, at in enumerate(sorted(places), 1):
            exact += places[at][0] == EXACT
            points.append((100 * at / length, 100 * exact / seen))
        lines.append((way, points[:: max(len(points) // 300, 1)]))
    return Found(
        [
            Goal("silent seams", sum(counts[SILENT] for counts in outcomes.values()), 0.0),
            *(
                Goal(
                    f"exact, % of places: {way}",
                    100 * counts[EXACT] / sum(counts.values()), 95.0, most=False,
                )
                for way, counts in outcomes.items()
                if way != "none"
            ),
        ],
        [Measured("places", sum(len(places) for places in found.values())), *figures],
        Chart(
            "A stream cut behind every byte: answers that are exact nevertheless",
            "the cut, % of the stream", "% of the places up to there; all others end with a loud error",
            lines, top=105.0,
        ),
    )  # fmt: skip
