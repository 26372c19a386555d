"""What clients do: leave, half-close, stop reading, dawdle."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import orjson
import pytest

from proxy.gateway.connection import ClientConnection
from proxy.gateway.relay import Relay
from tests.line.harness import (
    KEY,
    Proxy,
    Raw,
    Simulator,
    config,
    read_request,
    request,
    scripted,
    serving,
    until,
)


def chat(model: str, *, stream: bool = True) -> bytes:
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
    return request("POST", "/v1/chat/completions", orjson.dumps(body))


async def outcome(sim: Simulator, model: str) -> list[str]:
    return [one["outcome"] for one in await sim.requests(model)]


async def aborted(sim: Simulator, model: str) -> bool:
    """The provider has seen its caller leave; asks until it has."""
    async with asyncio.timeout(5):
        while "aborted" not in await outcome(sim, model):
            await asyncio.sleep(0)
    return True


# D1


async def test_a_client_gone_before_dispatch_costs_no_upstream_call(
    sim: Simulator, tmp_path: Path
) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        client = await proxy.raw()
        # Sent and closed in one go: the end of the stream is known before the handler runs.
        client.send(chat("sim-idd1a"))
        client.close()
        await until(lambda: proxy.metric("headrace_client_gone_total", stage="queued") == 1)

        assert await outcome(sim, "sim-idd1a") == []
        assert (await proxy.chat("sim-n2")).complete


# D2, D3


@pytest.mark.parametrize("leave", ["close", "reset"])
@pytest.mark.parametrize("stream", [True, False])
async def test_the_provider_stops_when_the_client_leaves_before_the_first_token(
    sim: Simulator, tmp_path: Path, leave: str, stream: bool
) -> None:
    model = f"sim-no_first-idd2{leave}{stream}"
    async with serving(config(sim.url), tmp_path) as proxy:
        client = await proxy.raw()
        client.send(chat(model, stream=stream))
        async with asyncio.timeout(5):
            while not await sim.requests(model):
                await asyncio.sleep(0)
        getattr(client, leave)()

        assert await aborted(sim, model)
        await until(lambda: proxy.metric("headrace_requests_total", status="499") == 1)
        assert proxy.metric("headrace_client_gone_total", stage="waiting") == 1


@pytest.mark.parametrize("leave", ["close", "reset"])
async def test_the_provider_stops_when_the_client_leaves_mid_stream(
    sim: Simulator, tmp_path: Path, leave: str
) -> None:
    model = f"sim-n100000-d2-idd3{leave}"
    async with serving(config(sim.url), tmp_path) as proxy:
        client = await proxy.raw()
        client.send(chat(model))
        await client.head()
        await client.reader.readuntil(b"delta")
        getattr(client, leave)()

        assert await aborted(sim, model)
        await until(lambda: proxy.metric("headrace_requests_total", status="499") == 1)
        assert proxy.metric("headrace_stream_terminations_total", reason="client_gone") == 1


async def test_no_upstream_request_outlives_its_client(sim: Simulator, tmp_path: Path) -> None:
    model = "sim-n100000-d5-idd3many"
    async with serving(config(sim.url), tmp_path) as proxy:
        clients = [await proxy.raw() for _ in range(50)]
        for client in clients:
            client.send(chat(model))
        for client in clients:
            await client.head()
        for client in clients:
            client.reset()

        async with asyncio.timeout(5):
            while (await outcome(sim, model)).count("aborted") < 50:
                await asyncio.sleep(0)
        await until(lambda: proxy.metric("headrace_inflight_requests") == 0)
        assert proxy.metric("headrace_target_inflight") == 0


# D4


async def test_leaving_after_the_terminal_event_is_success(tmp_path: Path) -> None:
    held = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        event = (
            b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}\n\n'
        )
        usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}\n\n'
        body = event + usage + b"data: [DONE]\n\n"
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(body), body)
        )
        await held.wait()

    async with scripted(script) as url, serving(config(url), tmp_path) as proxy:
        client = await proxy.raw()
        client.send(chat("sim"))
        await client.reader.readuntil(b"[DONE]")
        client.close()
        await until(lambda: proxy.metric("headrace_requests_total") == 1)
        held.set()

        assert proxy.metric("headrace_requests_total", status="200") == 1
        assert proxy.metric("headrace_tokens_total", type="output") == 5
        assert proxy.metric("headrace_client_gone_total") == 0


# D5


@pytest.mark.parametrize("stream", [True, False])
async def test_a_half_closed_client_is_still_served(
    sim: Simulator, tmp_path: Path, stream: bool
) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        client = await proxy.raw()
        client.send(chat("sim-n8-d2-f300", stream=stream))
        client.writer.write_eof()
        answer = await client.answer()

        assert answer.status == 200
        assert answer.complete
        if stream:
            assert answer.events[-1] == "[DONE]"
        assert await client.reader.read() == b"", "the connection ends with its last answer"


# D6, D7


def relays(proxy: Proxy) -> list[Relay]:
    """The streams being relayed."""
    connections = proxy.worker.gateway._server.connections
    flows = [c.flow for c in connections if isinstance(c, ClientConnection)]
    return [flow for flow in flows if isinstance(flow, Relay)]


async def slow_reader(proxy: Proxy, model: str, context: ssl.SSLContext | None = None) -> Raw:
    """A client with a small receive buffer that does not read. With a context it speaks TLS."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", proxy.port))
    host = None if context is None else "127.0.0.1"
    reader, writer = await asyncio.open_connection(
        sock=sock, limit=4096, ssl=context, server_hostname=host
    )
    client = Raw(reader, writer)
    client.send(chat(model))
    proxy.clients.append(client)
    return client


async def assert_held_back(
    folder: Path, context: ssl.SSLContext | None = None, **changes: Any
) -> None:
    """A provider waits for a client that does not keep up, little is in memory meanwhile, and the client gets all of it."""
    event = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"x" * 4000)
    total = 20_000_000 // len(event)
    sent = 0
    blocked = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        writer.transport.set_write_buffer_limits(high=0)
        while sent < total:
            writer.write(event)
            sent += 1
            if writer.transport.get_write_buffer_size():
                blocked.set()
            await writer.drain()
        writer.write(b"data: [DONE]\n\n")

    async with scripted(script) as url, serving(config(url, **changes), folder) as proxy:
        client = await slow_reader(proxy, "sim", context)
        await blocked.wait()
        await until(lambda: any(relay.paused_at for relay in relays(proxy)))

        relay = relays(proxy)[0]
        buffered = relay.transport.get_write_buffer_size()
        assert buffered < 384 * 1024
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            part = await client.reader.read(1 << 20)
            assert part
            received = (received + part)[-64:]
        assert sent == total
        client.close()


async def test_a_client_that_does_not_keep_up_holds_the_provider_back(tmp_path: Path) -> None:
    await assert_held_back(tmp_path)


async def test_a_client_that_stops_reading_is_cut_off(tmp_path: Path) -> None:
    closed = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        event = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"x" * 60_000)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        try:
            while True:
                writer.write(event)
                await writer.drain()
        finally:
            closed.set()

    changes: dict[str, Any] = {"server": {"write_timeout": 0.2}}
    async with scripted(script) as url, serving(config(url, **changes), tmp_path) as proxy:
        client = await slow_reader(proxy, "sim")
        await closed.wait()
        await until(lambda: proxy.metric("headrace_requests_total", status="499") == 1)

        assert proxy.metric("headrace_client_gone_total", stage="write_stall") == 1
        client.close()


# D8


@pytest.mark.parametrize(
    "sent", [b"", b"POST /v1/mess", b"POST /v1/messages HTTP/1.1\r\nhost: x\r\n"]
)
async def test_a_head_that_does_not_come_is_refused(
    sim: Simulator, tmp_path: Path, sent: bytes
) -> None:
    async with serving(config(sim.url, server={"head_timeout": 0.1}), tmp_path) as proxy:
        client = await proxy.raw()
        client.send(sent)
        answer = await client.answer()

        assert answer.status == 408
        assert answer.headers["connection"] == "close"
        assert answer.json["error"]["type"] == "timeout_error"
        assert await client.reader.read() == b""


async def test_the_next_head_on_a_connection_has_its_own_deadline(
    sim: Simulator, tmp_path: Path
) -> None:
    async with serving(config(sim.url, server={"head_timeout": 0.2}), tmp_path) as proxy:
        client = await proxy.raw()
        client.send(chat("sim-n2"))
        assert (await client.answer()).status == 200
        client.send(b"POST /v1/chat/comp")

        assert (await client.answer()).status == 408


async def test_a_slow_answer_is_not_a_slow_head(sim: Simulator, tmp_path: Path) -> None:
    async with serving(config(sim.url, server={"head_timeout": 0.1}), tmp_path) as proxy:
        client = await proxy.raw()
        client.send(chat("sim-n2-f400"))

        assert (await client.answer()).complete


# D9


async def test_a_body_that_does_not_come_is_refused(sim: Simulator, tmp_path: Path) -> None:
    async with serving(config(sim.url, server={"body_idle_timeout": 0.1}), tmp_path) as proxy:
        client = await proxy.raw()
        client.send(chat("sim")[:-10])
        answer = await client.answer()

        assert answer.status == 408
        assert answer.headers["connection"] == "close"


# D12


@pytest.mark.parametrize(
    ("key", "length", "status"), [("sk-wrong", 100_000_000, 401), (KEY, 100_000_000, 413)]
)
async def test_a_body_is_not_asked_for_in_vain(
    sim: Simulator, tmp_path: Path, key: str, length: int, status: int
) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        client = await proxy.raw()
        client.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n"
            b"authorization: Bearer %b\r\ncontent-length: %d\r\n\r\n" % (key.encode(), length)
        )
        head = await client.reader.readuntil(b"\r\n")

        assert head.startswith(b"HTTP/1.1 %d" % status)


async def test_a_good_request_is_told_to_continue(sim: Simulator, tmp_path: Path) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        client = await proxy.raw()
        head, _, body = chat("sim-n2").partition(b"\r\n\r\n")
        client.send(head + b"\r\nexpect: 100-continue\r\n\r\n")
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(body)

        assert (await client.answer()).complete


# D14


async def test_disconnects_leave_no_traceback_in_the_log(
    sim: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        for number in range(100):
            client = await proxy.raw()
            client.send(chat("sim-no_first") if number % 2 else chat("sim")[:-5])
            client.reset()
        await until(lambda: proxy.worker.gateway.connections == 0)

    assert caplog.text == ""


# the other side of leaving: we do


async def test_a_stream_that_outlives_the_drain_is_told_of_the_restart(
    sim: Simulator, tmp_path: Path
) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        client = await proxy.raw()
        client.send(chat("sim-n100000-d2"))
        await client.reader.readuntil(b"delta")
        await proxy.worker.close(0.1)
        rest = await client.reader.read()

        assert b"gateway_restart" in rest
        assert b"[DONE]" not in rest
        assert not rest.endswith(b"0\r\n\r\n")
        assert proxy.metric("headrace_stream_terminations_total", reason="restart") == 1


async def test_who_waits_for_an_answer_when_the_drain_ends_gets_an_error(
    sim: Simulator, tmp_path: Path
) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        client = await proxy.raw()
        client.send(chat("sim-no_first-iddrain", stream=False))
        async with asyncio.timeout(5):
            while not await sim.requests("sim-no_first-iddrain"):
                await asyncio.sleep(0)
        await proxy.worker.close(0.1)
        answer = await client.answer()

        assert answer.status == 503
        assert answer.json["error"]["code"] == "gateway_draining"
        assert answer.headers["connection"] == "close"
