"""A stream that waits for its screens: in order, held back when they are slow, ended when they are done."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.gateway.exchange import Exchange
from proxy.gateway.hooks import screened
from proxy.gateway.hooks.hooked import Hooked
from proxy.gateway.hooks.screened import ScreenedRelay
from proxy.gateway.relay import Relay
from proxy.hooks import Piece, Point, Request, Window
from proxy.hooks.chain import Hooks
from tests.gateway import asked
from tests.gateway.hooks.made import hook
from tests.gateway.served import STREAM, Served, chunk, serving
from tests.line.harness import Raw, Script, read_request, scripted, until

ASK = asked.raw("POST", asked.CHAT, b'{"model":"m","stream":true,"messages":[]}')


def said(text: str | None, finish: str | None = None) -> bytes:
    """One event of a stream."""
    fields = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": fields, "finish_reason": finish}
    return chunk(b"data: %b\n\n" % orjson.dumps({"id": "c", "choices": [choice]}))


FINISH = said(None, "stop") + chunk(b"data: [DONE]\n\n")
LAST = b"0\r\n\r\n"


@asynccontextmanager
async def behind(
    script: Script, screen: Callable[..., Any], **fields: Any
) -> AsyncIterator[Served]:
    async with scripted(script) as url:
        snapshot = asked.snapshot(asked.provider(url))
        made = Hooks([hook(Point.SCREEN, screen, **fields)])
        async with serving(replace(snapshot, hooks=made)) as served:
            yield served


def sending(*parts: bytes, after: asyncio.Event | None = None) -> Script:
    """A provider that sends a stream, what follows the first part once it may."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM + parts[0])
        if after is not None:
            await after.wait()
        for part in parts[1:]:
            writer.write(part)
        await writer.drain()
        await reader.read()

    return script


def relay_of(served: Served) -> Relay:
    """Of the one stream there is."""
    (connection,) = served.gateway._connections()
    flow = connection.flow
    assert isinstance(flow, ScreenedRelay)
    return flow


async def answer(client: Raw) -> tuple[str, bool]:
    """The text of what is left of an answer, and whether it is whole."""
    body, complete = await client._chunks()
    text = ""
    for line in body.splitlines():
        if line.startswith(b"data: {"):
            for choice in orjson.loads(line[6:]).get("choices", ()):
                text += choice["delta"].get("content") or ""
    return text, complete


class Slow:
    """A screen that waits for leave before each window but the first."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.windows: list[str] = []

    async def __call__(self, request: Request, window: Window) -> Piece:
        self.windows.append(window.text)
        if len(self.windows) > 1:
            await self.go.wait()
        return Piece(window.text)

    @property
    def screen(self) -> Callable[..., Any]:
        async def screen(request: Request, window: Window) -> Piece:
            return await self(request, window)

        return screen


async def test_what_comes_meanwhile_is_one_window() -> None:
    slow, more = Slow(), asyncio.Event()
    parts = [said("a"), said("b"), *map(said, "cdef"), FINISH, LAST]
    async with behind(sending(*parts, after=more), slow.screen, timeout=20) as served:
        client = await served.client()
        client.send(ASK)
        await client.head()
        more.set()
        await until(lambda: len(slow.windows) == 2)
        relay: Any = relay_of(served)
        await until(lambda: relay._fate is not None)  # all of it is there
        slow.go.set()

        assert await answer(client) == ("abcdef", True)

    assert "".join(slow.windows) == "abcdef"
    assert len(slow.windows) < 6


async def test_a_slow_screen_holds_its_provider_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screened, "MANY", 20)
    slow, more = Slow(), asyncio.Event()
    many = [said(f"{index:04d}" * 500) for index in range(2000)]
    async with behind(
        sending(said("a"), *many, FINISH, LAST, after=more), slow.screen, timeout=20
    ) as served:
        client = await served.client()
        client.send(ASK)
        await client.head()
        relay: Any = relay_of(served)
        more.set()
        await until(lambda: relay._clogged)
        transport = relay.upstream.transport
        assert not transport.is_reading()
        slow.go.set()
        text, complete = await answer(client)

    assert complete
    assert len(text) == 1 + 2000 * 2000


async def test_the_end_waits_for_the_screen() -> None:
    slow, more = Slow(), asyncio.Event()
    async with behind(
        sending(said("a"), said("b") + FINISH + LAST, after=more), slow.screen, timeout=20
    ) as served:
        client = await served.client()
        client.send(ASK)
        await client.head()
        relay: Any = relay_of(served)
        more.set()
        await until(lambda: relay._fate is not None)
        slow.go.set()

        assert await answer(client) == ("ab", True)


async def test_a_stream_that_breaks_off_is_told_as_far_as_it_came() -> None:
    slow, more = Slow(), asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM + said("a"))
        await more.wait()
        writer.write(said("b"))
        writer.close()

    async with behind(script, slow.screen, timeout=20) as served:
        client = await served.client()
        client.send(ASK)
        await client.head()
        relay: Any = relay_of(served)
        more.set()
        await until(lambda: relay._fate is not None)
        slow.go.set()

        body, complete = await client._chunks()

    assert not complete
    assert b'"content":"b"' in body
    assert b"upstream_truncated" in body


async def test_what_a_provider_says_of_its_failure_comes_behind_the_text() -> None:
    slow, more = Slow(), asyncio.Event()
    failure = chunk(b'data: {"error": {"message": "no more today", "type": "server_error"}}\n\n')
    parts = said("a"), said("b") + failure, LAST
    async with behind(sending(*parts, after=more), slow.screen, timeout=20) as served:
        client = await served.client()
        client.send(ASK)
        await client.head()
        more.set()
        await until(lambda: len(slow.windows) == 2)
        slow.go.set()

        body, complete = await client._chunks()

    assert not complete
    assert b'"content":"b"' in body.partition(b"no more today")[0]
    assert body.count(b'"error"') == 1


async def test_what_is_no_event_comes_behind_the_text() -> None:
    slow, more = Slow(), asyncio.Event()
    parts = said("a"), said("b") + chunk(b"data: {\n\n"), said("c")
    async with behind(sending(*parts, after=more), slow.screen, timeout=20) as served:
        client = await served.client()
        client.send(ASK)
        await client.head()
        more.set()
        await until(lambda: len(slow.windows) == 2)
        slow.go.set()

        body, complete = await client._chunks()

    assert not complete
    assert b'"content":"b"' in body.partition(b"upstream_bad_response")[0]
    assert b'"content":"c"' not in body


async def test_an_event_without_its_blank_line_is_the_last() -> None:
    tail = chunk(b"data: [DONE]")

    async def screen(request: Request, window: Window) -> Piece:
        return Piece("", window.text)

    parts = sending(said("a") + said("b", "stop") + tail + LAST)
    async with behind(parts, screen) as served:
        client = await served.client()
        client.send(ASK)
        await client.head()

        assert await answer(client) == ("ab", True)


async def test_a_mistake_of_ours_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    more = asyncio.Event()

    async def screen(request: Request, window: Window) -> None:
        """Says nothing."""

    async with behind(sending(said("a"), said("b"), after=more), screen) as served:
        client = await served.client()
        client.send(ASK)
        await client.head()
        relay: Any = relay_of(served)
        relay._screening = None
        more.set()
        body, complete = await client._chunks()

    assert not complete
    assert b"upstream_bad_response" in body


async def test_nothing_waits_for_the_garbage_collector() -> None:
    async def screen(request: Request, window: Window) -> Piece:
        return Piece(window.text)

    more = asyncio.Event()
    script = sending(said("b"), said("a"), FINISH, LAST, after=more)
    async with behind(script, screen) as served:
        gc.collect()
        gc.disable()
        try:
            client = await served.client()
            client.send(ASK)
            await client.head()
            more.set()
            await client._chunks()
            client.close()
            await until(lambda: served.gateway.connections == 0)
            await until(lambda: not alive())
        finally:
            gc.enable()


def alive() -> list[object]:
    kinds = (ScreenedRelay, Hooked, Exchange)
    return [one for one in gc.get_objects() if isinstance(one, kinds)]


async def test_the_gateway_ends_while_a_screen_works() -> None:
    slow, more = Slow(), asyncio.Event()
    async with behind(sending(said("a"), said("b"), after=more), slow.screen, timeout=20) as served:
        client = await served.client()
        client.send(ASK)
        await client.head()
        relay: Any = relay_of(served)
        more.set()
        await until(lambda: len(slow.windows) == 2)

        relay.restart()
        body, complete = await client._chunks()

        assert not complete
        assert b"gateway_restart" in body
        await until(lambda: relay._task is None)
