"""The client receives the provider's bytes, wherever they were cut and however the events are written (C11, C12, C13).

tests/gateway/test_relay.py tries the same, and more cuts at once, on the relay itself; here the streams go over sockets.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from hashlib import sha256
from itertools import repeat
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from tests.line.asking import CHAT, DIALECTS, Dialect, fleet
from tests.line.harness import (
    Answer,
    Process,
    Proxy,
    Raw,
    Simulator,
    config,
    read_request,
    request,
    scripted,
    serving,
)
from tests.line.streams import CHAT as CHAT_STREAM
from tests.line.streams import CHUNKED, LAST_CHUNK, STREAMS, WRITINGS, chunk

every_dialect = pytest.mark.parametrize("name", DIALECTS)

EXACT = {"defaults__force_usage": False}
TURNS = 3
"""Turns of the loop in which what one side has written has been read by the other."""


class Cutter:
    """A provider that answers the next request with these parts, each of them a write and a chunk of its own."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    async def play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            parts = self.parts
            writer.write(CHUNKED + chunk(parts[0]))
            for part in parts[1:]:
                for _ in range(TURNS):
                    await asyncio.sleep(0)
                writer.write(chunk(part))
            writer.write(LAST_CHUNK)


def question(dialect: Dialect, **fields: Any) -> bytes:
    """The bytes of a streaming request."""
    body = dialect.body | fields
    if dialect.family != "gemini":
        body |= {"model": "m", "stream": True}
    return request("POST", dialect.stream_path.format(model="m"), orjson.dumps(body))


@asynccontextmanager
async def line(folder: Path, **changes: Any) -> AsyncIterator[tuple[Cutter, Proxy, Raw]]:
    """The provider, a proxy, and one client connection that is used again and again."""
    cutter = Cutter()
    async with (
        scripted(cutter.play) as url,
        serving(fleet((url, "m"), **changes), folder) as proxy,
    ):
        client = await proxy.raw()
        try:
            yield cutter, proxy, client
        finally:
            client.close()


async def through(cutter: Cutter, client: Raw, asked: bytes, *parts: bytes) -> Answer:
    """The answer to one request whose response comes in these parts."""
    cutter.parts = list(parts)
    client.send(asked)
    answer = await client.answer()
    assert answer.status == 200, answer
    assert answer.complete, answer
    return answer


# C11: characters of several bytes, split at every offset


@every_dialect
@pytest.mark.parametrize("step", range(4))
async def test_c11_no_cut_changes_a_byte(tmp_path: Path, name: str, step: int) -> None:
    stream = STREAMS[name].whole
    cuts = range(1 + step, len(stream), 4)
    asked = question(DIALECTS[name])
    async with line(tmp_path, **EXACT) as (cutter, proxy, client):
        for at in cuts:
            answer = await through(cutter, client, asked, stream[:at], stream[at:])
            assert answer.body == stream, at

        done = proxy.metric("headrace_stream_terminations_total", reason="done")
        assert done == len(cuts)
        assert proxy.worker.pool.upstreams()[0].opened == 1


@every_dialect
async def test_c11_single_bytes_make_the_same_stream(tmp_path: Path, name: str) -> None:
    stream = STREAMS[name].whole
    parts = [stream[at : at + 1] for at in range(len(stream))]
    async with line(tmp_path, **EXACT) as (cutter, _, client):
        answer = await through(cutter, client, question(DIALECTS[name]), *parts)

        assert answer.body == stream


@every_dialect
async def test_c11_while_another_candidate_is_left_too(tmp_path: Path, name: str) -> None:
    stream = STREAMS[name].whole
    cutter = Cutter()
    async with (
        scripted(cutter.play) as url,
        serving(fleet((url, "m"), (url, "n"), **EXACT), tmp_path) as proxy,
    ):
        client = await proxy.raw()
        for at in range(1, len(stream), 11):
            answer = await through(
                cutter, client, question(DIALECTS[name]), stream[:at], stream[at:]
            )
            assert answer.body == stream, at
        client.close()


# C12: all that an event stream may look like


@every_dialect
@pytest.mark.parametrize("writing", WRITINGS)
async def test_c12_however_it_is_written(tmp_path: Path, name: str, writing: str) -> None:
    stream = WRITINGS[writing](STREAMS[name].whole)
    asked = question(DIALECTS[name])
    async with line(tmp_path, **EXACT) as (cutter, proxy, client):
        for size in (len(stream), 61, 7):
            parts = [stream[at : at + size] for at in range(0, len(stream), size)]
            answer = await through(cutter, client, asked, *parts)
            assert answer.body == stream, size

        usage = proxy.metric("headrace_tokens_total", type="output", source="reported")
        assert usage == (0 if name == "chat" else 18)


async def test_nothing_is_added_to_or_taken_from_the_head_of_a_body(tmp_path: Path) -> None:
    async with line(tmp_path, **EXACT) as (cutter, _, client):
        answer = await through(cutter, client, question(CHAT), CHAT_STREAM.whole)

    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-accel-buffering"] == "no"
    assert "content-length" not in answer.headers
    assert "content-encoding" not in answer.headers


# The usage that nobody but us asked for

WITH_USAGE = CHAT_STREAM.begun + CHAT_STREAM.rest.replace(
    CHAT_STREAM.end, CHAT_STREAM.usage + CHAT_STREAM.end
)


@pytest.mark.parametrize("step", range(4))
async def test_hidden_usage_is_the_only_thing_missing(tmp_path: Path, step: int) -> None:
    cuts = range(1 + step, len(WITH_USAGE), 4)
    async with line(tmp_path) as (cutter, proxy, client):
        for at in cuts:
            answer = await through(cutter, client, question(CHAT), WITH_USAGE[:at], WITH_USAGE[at:])
            assert answer.body == CHAT_STREAM.whole, at

        count = len(cuts)
        assert proxy.metric("headrace_tokens_total", type="output", source="reported") == 6 * count
        assert proxy.metric("headrace_tokens_total", type="input") == 7 * count


@pytest.mark.parametrize("writing", ["crlf", "cr", "no space", "two lines", "byte order mark"])
async def test_usage_is_hidden_however_it_is_written(tmp_path: Path, writing: str) -> None:
    write = WRITINGS[writing]
    async with line(tmp_path) as (cutter, proxy, client):
        answer = await through(cutter, client, question(CHAT), write(WITH_USAGE))

        assert answer.body == write(CHAT_STREAM.whole)
        assert proxy.metric("headrace_tokens_total", type="output", source="reported") == 6


@pytest.mark.parametrize(
    ("asked", "changes"),
    [({"stream_options": {"include_usage": True}}, {}), ({}, EXACT)],
    ids=["the client asked", "nobody asked"],
)
async def test_usage_is_shown(
    tmp_path: Path, asked: dict[str, Any], changes: dict[str, Any]
) -> None:
    async with line(tmp_path, **changes) as (cutter, proxy, client):
        answer = await through(cutter, client, question(CHAT, **asked), WITH_USAGE)

        assert answer.body == WITH_USAGE
        assert proxy.metric("headrace_tokens_total", type="output", source="reported") == 6


async def test_usage_that_comes_with_content_is_shown(tmp_path: Path) -> None:
    last = CHAT_STREAM.finish.replace(
        b'"usage":null', b'"usage":{"prompt_tokens":3,"completion_tokens":6}'
    )
    stream = CHAT_STREAM.begun + last + CHAT_STREAM.end
    async with line(tmp_path) as (cutter, proxy, client):
        answer = await through(cutter, client, question(CHAT), stream)

        assert answer.body == stream
        assert proxy.metric("headrace_tokens_total", type="output", source="reported") == 6


# C13: events of many megabytes

PIECE = os.urandom(48 * 1024).hex().encode()
"""96 KiB of text in which a byte lost, doubled or out of place is seen."""


def long_event(name: str, size: int) -> Iterator[bytes]:
    """One content event of at least `size` bytes, in pieces."""
    head, tail = STREAMS[name].content[0].split("水車".encode())
    yield head
    yield from repeat(PIECE, size // len(PIECE) + 1)
    yield tail


async def digest(client: Raw) -> tuple[str, int]:
    """(SHA-256, size) of a chunked body, which must be complete and is not kept."""
    found, size = sha256(), 0
    await client.head()
    while length := int(await client.reader.readuntil(b"\r\n"), 16):
        size += length
        while length:
            piece = await client.reader.read(min(length, 65536))
            assert piece, "the body is cut"
            found.update(piece)
            length -= len(piece)
        assert await client.reader.readexactly(2) == b"\r\n"
    return found.hexdigest(), size


@every_dialect
async def test_c13_ten_megabytes_in_one_event(tmp_path: Path, name: str) -> None:
    stream = STREAMS[name]

    def parts() -> Iterator[bytes]:
        yield stream.begun
        yield from long_event(name, 10 << 20)
        yield stream.rest

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED)
        for part in parts():
            writer.write(chunk(part))
            await writer.drain()
        writer.write(LAST_CHUNK)
        await reader.read()

    expected = sha256(b"".join(parts()))
    async with scripted(script) as url, serving(fleet((url, "m"), **EXACT), tmp_path) as proxy:
        client = await proxy.raw()
        client.send(question(DIALECTS[name]))
        found, size = await digest(client)
        client.close()

        assert size == sum(map(len, parts())) > 10 << 20
        assert found == expected.hexdigest()
        assert proxy.metric("headrace_stream_terminations_total", reason="done") == 1
        assert (
            proxy.metric("headrace_tokens_total", type="output", source="reported")
            == (name != "chat") * 6
        )


@pytest.fixture(scope="module")
def process(sim: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A proxy whose memory is its own."""
    process = Process(config(sim.url), tmp_path_factory.mktemp("memory"))
    yield process
    assert process.stop() == 0


def memory(process: Process, field: str) -> int:
    """A line of /proc/PID/status, in KiB."""
    found = re.search(rf"{field}:\s+(\d+)", _of(process, "status").read_text())
    assert found is not None
    return int(found[1])


def _of(process: Process, name: str) -> Path:
    """Of the one worker, below the supervisor."""
    above = process.process.pid
    [worker] = Path(f"/proc/{above}/task/{above}/children").read_text().split()
    return Path(f"/proc/{worker}/{name}")


async def tokens_of(process: Process) -> float:
    """Output tokens counted so far."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(process.url + "/metrics") as page,
    ):
        lines = (await page.text()).splitlines()
    found = [one for one in lines if one.startswith("headrace_tokens_total") and '"output"' in one]
    return sum(float(one.rpartition(" ")[2]) for one in found)


BOUND = 2048
"""KiB. Twice 64 KiB are held, a read is at most 256 KiB, it is copied once to be framed, and the client's transport
takes 64 KiB and one such write: less than 1 MiB. The other one is for the allocator."""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs /proc of Linux")
@every_dialect
async def test_c13_long_events_take_no_memory(process: Process, name: str) -> None:
    port = int(process.url.rpartition(":")[2])

    async def stream(megabytes: int) -> None:
        dialect = DIALECTS[name]
        model = f"sim-n4-event{megabytes}M"
        body = dialect.body | ({} if name == "gemini" else {"model": model, "stream": True})
        client = await Raw.open(port)
        client.send(request("POST", dialect.stream_path.format(model=model), orjson.dumps(body)))
        _, size = await digest(client)
        client.close()
        assert size > megabytes << 20

    await stream(10)  # whatever is made once is made now
    before, counted = memory(process, "VmRSS"), await tokens_of(process)
    _of(process, "clear_refs").write_text("5")  # the high-water mark begins anew
    await stream(10)
    await stream(50)

    assert memory(process, "VmHWM") - before <= BOUND
    assert await tokens_of(process) - counted == 8, "usage behind a long event was not found"
