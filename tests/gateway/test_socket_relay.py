"""Both sides of a socket, and what either does when the other does not keep up. The whole of it is in tests/line."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson

from tests.line.harness import KEY, Raw, config, read_request, request, scripted, serving

HANDSHAKE = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"


def settings(url: str) -> dict[str, object]:
    content = config(url)
    content["providers"]["p0"]["dialects"] = ["openai.realtime"]
    return content


async def opened(client: Raw) -> bytes:
    client.send(request("GET", "/v1/realtime?model=sim", None, HANDSHAKE, key=KEY))
    return await client.reader.readuntil(b"\r\n\r\n")


async def test_what_comes_with_the_head_is_passed_on(tmp_path: Path) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(SWITCHED + b"\x81\x02hi")
        await reader.readexactly(4)
        writer.write(b"\x88\x02\x03\xe8")
        writer.close()

    async with scripted(script) as url, serving(settings(url), tmp_path) as proxy:
        client = await proxy.raw()
        head = await opened(client)
        first = await client.reader.readexactly(4)
        client.send(b"\x81\x82\x00\x00")
        rest = await client.reader.read()

    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
    assert first == b"\x81\x02hi"
    assert rest == b"\x88\x02\x03\xe8"


async def test_a_provider_that_only_closes_is_answered_for(tmp_path: Path) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(SWITCHED)
        await writer.drain()
        writer.close()

    async with scripted(script) as url, serving(settings(url), tmp_path) as proxy:
        client = await proxy.raw()
        await opened(client)
        rest = await client.reader.read()

    assert rest == b"\x88\x02\x03\xf3"  # 1011


async def test_a_switch_that_nobody_asked_for_is_none(tmp_path: Path) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(SWITCHED)

    async with scripted(script) as url, serving(config(url), tmp_path) as proxy:
        answer = await proxy.chat("sim", stream=False)

    assert answer.status >= 500
    assert orjson.loads(answer.body)["error"]


async def test_nobody_goes_on_with_the_session_of_a_client_that_takes_nothing(
    tmp_path: Path,
) -> None:
    ended = asyncio.Event()

    async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(SWITCHED)
        try:
            while True:
                writer.write(b"\x82\x7f" + (1 << 20).to_bytes(8, "big") + bytes(1 << 20))
                await writer.drain()
        finally:
            ended.set()

    async with scripted(floods) as url:
        content = settings(url)
        content["server"] = {"host": "127.0.0.1", "port": 0, "write_timeout": 1}
        content["ledger"] = {
            "path": str(tmp_path / "ledger"),
            "client_gone": "drain",
            "drain_seconds": 300,
        }
        async with serving(content, tmp_path) as proxy:
            client = await proxy.raw()
            await opened(client)
            client.reader._transport.pause_reading()  # type: ignore[attr-defined]
            async with asyncio.timeout(15):
                await ended.wait()
            client.close()
