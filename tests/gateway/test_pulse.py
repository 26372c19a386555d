"""A client that waits long for a stream hears that somebody is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.dialects import DIALECTS
from proxy.gateway import pulse as module
from proxy.gateway.connection import CONTINUE
from proxy.gateway.pulse import BEAT, Pulse
from tests.gateway.asked import CHAT, provider, raw, snapshot
from tests.gateway.rig import Rig
from tests.gateway.served import serving, whole
from tests.line.harness import read_request, scripted, until


class Timers:
    """A loop whose time passes when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, Callable[[], None]]] = []
        self.cancelled = 0

    def call_later(self, delay: float, call: Callable[[], None]) -> Any:
        self.waiting.append((delay, call))
        return self

    def cancel(self) -> None:
        self.cancelled += 1

    def tick(self) -> None:
        delay, call = self.waiting.pop(0)
        assert delay == BEAT
        call()


def begin(rig: Rig, timers: Timers) -> Pulse:
    translation = SimpleNamespace(
        content_type=b"text/event-stream", client=DIALECTS[rig.exchange.endpoint.dialect]
    )
    return Pulse(rig.exchange, cast("Any", translation), cast("Any", timers))


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.mark.parametrize(
    ("name", "query", "sign"),
    [("chat", "", b":\n\n"), ("gemini", "alt=sse", b"\n\n"), ("gemini", "", b"\n")],
)
def test_the_head_and_then_a_sign_at_every_beat(
    name: str, query: str, sign: bytes, loop: asyncio.AbstractEventLoop
) -> None:
    rig = Rig(loop, name, query=query)
    timers = Timers()
    begin(rig, timers)

    assert rig.down.written == b""
    timers.tick()
    timers.tick()

    assert rig.head.startswith(b"HTTP/1.1 200 ")
    assert b"content-type: text/event-stream" in rig.head
    body = rig.down.written.partition(b"\r\n\r\n")[2]
    assert body == 2 * (b"%x\r\n%b\r\n" % (len(sign), sign))
    rig.close()


def test_a_client_that_is_gone_is_not_written_to(loop: asyncio.AbstractEventLoop) -> None:
    rig = Rig(loop)
    timers = Timers()
    begin(rig, timers)
    rig.down.close()

    timers.tick()

    assert not rig.down.written
    assert not timers.waiting
    rig.close()


def test_it_stops(loop: asyncio.AbstractEventLoop) -> None:
    rig = Rig(loop)
    timers = Timers()
    pulse = begin(rig, timers)

    pulse.stop()

    assert timers.cancelled == 1
    rig.close()


async def test_a_client_that_has_said_all_is_asked_in_the_words_of_its_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await go_on.wait()
        writer.write(whole())
        await reader.read()

    go_on = asyncio.Event()
    monkeypatch.setattr(module, "BEAT", 0.01)
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}'
    async with scripted(script) as url, serving(snapshot(provider(url), streams=False)) as served:
        client = await served.client()
        client.send(raw("POST", CHAT, body))
        await client.reader.readuntil(b"\r\n\r\n3\r\n:\n\n\r\n")  # the head, and a sign
        monkeypatch.setattr(module, "BEAT", 60.0)
        (connection,) = served.gateway._connections()
        client.writer.write_eof()
        await until(lambda: connection.half_closed)
        go_on.set()
        received = await client.reader.read()

    assert CONTINUE not in received
    assert received.startswith(b"3\r\n:\n\n\r\n")
    assert received.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
