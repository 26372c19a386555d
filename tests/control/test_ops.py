"""A worker gets the supervisor's page whole, or is told that there is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.control import ops
from proxy.core import unix

PAGE = b"x" * 300_000
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 300000\r\n\r\n"

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def supervisor(path: Path, script: Script) -> AsyncIterator[None]:
    """Somebody who answers at this path, once."""
    done = asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(reader, writer)
        finally:
            writer.close()
            done.set()

    server = await asyncio.start_unix_server(connected, sock=unix.listen(path))
    try:
        yield
        async with asyncio.timeout(5):
            await done.wait()
    finally:
        server.close()


def says(answer: bytes) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"GET /metrics HTTP/1.1\r\n")
        writer.write(answer)

    return script


async def test_the_page_comes_whole(tmp_path: Path) -> None:
    async with supervisor(tmp_path / "ops.sock", says(HEAD + PAGE)):
        assert await ops.ask(tmp_path / "ops.sock", "/metrics") == PAGE


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (HEAD + PAGE[:-1], "cut off"),
        (b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", "503"),
        (b"HTTP/1.1 200 OK\r\n", "none of HTTP"),
        (b"", "none of HTTP"),
        (b"200\r\n\r\n", "not to be had"),
    ],
)
async def test_what_is_no_page_is_refused(tmp_path: Path, answer: bytes, reason: str) -> None:
    async with supervisor(tmp_path / "ops.sock", says(answer)):
        with pytest.raises(OSError, match=reason):
            await ops.ask(tmp_path / "ops.sock", "/metrics")


async def test_nobody_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        await ops.ask(tmp_path / "ops.sock", "/metrics")


async def test_nobody_waits_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "PATIENCE", 0.05)

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with supervisor(tmp_path / "ops.sock", silent):
        with pytest.raises(TimeoutError):
            await ops.ask(tmp_path / "ops.sock", "/metrics")
