"""WebSockets through the gateway: a client and a server of the library `websockets`, and nothing of it in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.line.harness import KEY, Proxy, config, request, serving

pytestmark = pytest.mark.allow_blocking("the library builds what it needs in the loop")
Talk = Callable[[ServerConnection], Awaitable[None]]
USAGE = {
    "total_tokens": 30,
    "input_tokens": 10,
    "output_tokens": 20,
    "input_token_details": {"cached_tokens": 4, "text_tokens": 6, "audio_tokens": 4},
    "output_token_details": {"text_tokens": 5, "audio_tokens": 15},
}


class Vendor:
    """A server of the Realtime API, as far as it is talked to here."""

    def __init__(self) -> None:
        self.url = ""
        self.heads: list[tuple[str, dict[str, str]]] = []
        self.talk: Talk = echo
        self.closed: list[int | None] = []

    async def handle(self, connection: ServerConnection) -> None:
        asked = connection.request
        assert asked is not None
        self.heads.append((asked.path, {k.lower(): v for k, v in asked.headers.raw_items()}))
        try:
            await self.talk(connection)
        finally:
            await connection.wait_closed()
            self.closed.append(connection.close_code)


def _offered(_connection: ServerConnection, offered: Any) -> Any:
    return "realtime" if "realtime" in offered else None


async def echo(connection: ServerConnection) -> None:
    """Say everything again."""
    async for message in connection:
        await connection.send(message)


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    found = Vendor()
    async with serve(
        found.handle, "127.0.0.1", 0, select_subprotocol=_offered, max_size=None
    ) as server:
        (listener,) = server.sockets
        found.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        yield found


def settings(url: str, **changes: Any) -> dict[str, Any]:
    content = config(url, **changes)
    content["providers"]["p0"]["dialects"] = ["openai.chat", "openai.realtime"]
    content["models"] = {"voice": {"deployments": [{"provider": "p0", "model": "gpt-realtime"}]}}
    return content


@pytest.fixture
async def proxy(vendor: Vendor, tmp_path: Path) -> AsyncIterator[Proxy]:
    async with serving(settings(vendor.url), tmp_path) as proxy:
        yield proxy


@asynccontextmanager
async def socket(
    proxy: Proxy, query: str = "model=voice", key: str | None = KEY, **options: Any
) -> AsyncIterator[ClientConnection]:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    url = f"ws://127.0.0.1:{proxy.port}/v1/realtime?{query}"
    async with connect(
        url, additional_headers=headers, proxy=None, max_size=None, **options
    ) as found:
        yield found


async def test_messages_pass_both_ways(proxy: Proxy, vendor: Vendor) -> None:
    texts: list[str | bytes] = ["hello", "", "é" * 70_000, b"\x00\xff" * 40_000]
    async with socket(proxy) as client:
        heard = []
        for text in texts:
            await client.send(text)
            heard.append(await client.recv())

    assert heard == texts
    (path, head), *_ = vendor.heads
    assert path == "/v1/realtime?model=gpt-realtime"
    assert head["authorization"] == "Bearer upstream-secret-p0"
    assert "sec-websocket-extensions" not in head


async def test_many_at_once_and_each_has_its_own(proxy: Proxy) -> None:
    async def one(number: int) -> None:
        async with socket(proxy) as client:
            for turn in range(5):
                await client.send(f"{number}.{turn}")
                assert await client.recv() == f"{number}.{turn}"

    await asyncio.gather(*map(one, range(30)))


@pytest.mark.parametrize("code", [1000, 4001])
async def test_a_client_that_ends_is_heard_of_with_its_code(
    proxy: Proxy, vendor: Vendor, code: int
) -> None:
    async with socket(proxy) as client:
        await client.close(code, "enough")
    await _until(lambda: bool(vendor.closed))

    assert vendor.closed == [code]
    assert client.close_code == code


@pytest.mark.parametrize("code", [1000, 1013])
async def test_a_provider_that_ends_is_heard_of_with_its_code(
    proxy: Proxy, vendor: Vendor, code: int
) -> None:
    async def ends(connection: ServerConnection) -> None:
        await connection.close(code, "no more")

    vendor.talk = ends
    async with socket(proxy) as client:
        with pytest.raises(ConnectionClosed):
            await client.recv()

    assert (client.close_code, client.close_reason) == (code, "no more")


async def test_a_provider_that_vanishes_is_an_error_of_the_server(
    proxy: Proxy, vendor: Vendor
) -> None:
    async def vanishes(connection: ServerConnection) -> None:
        connection.transport.abort()

    vendor.talk = vanishes
    async with socket(proxy) as client:
        with pytest.raises(ConnectionClosed):
            await client.recv()

    assert client.close_code == 1011


async def test_a_client_that_vanishes_frees_the_provider(proxy: Proxy, vendor: Vendor) -> None:
    async with socket(proxy) as client:
        await client.send("a")
        await client.recv()
        client.transport.abort()
    await _until(lambda: bool(vendor.closed))

    assert vendor.closed == [1006]
    assert proxy.metric("headrace_inflight_requests") == 0


async def test_the_gateway_says_that_it_restarts(vendor: Vendor, tmp_path: Path) -> None:
    async with serving(settings(vendor.url), tmp_path) as proxy:
        async with socket(proxy) as client:
            await client.send("a")
            await client.recv()
            closing = asyncio.ensure_future(proxy.worker.close(0.0))
            with pytest.raises(ConnectionClosed):
                await client.recv()
        await closing

    assert client.close_code == 1012


async def test_a_slow_client_holds_the_provider_back(proxy: Proxy, vendor: Vendor) -> None:
    sent = 0
    size = 256 * 1024

    async def floods(connection: ServerConnection) -> None:
        nonlocal sent
        for _ in range(200):
            await connection.send(bytes(size))
            sent += 1

    vendor.talk = floods
    async with socket(proxy, max_queue=1, write_limit=1) as client:
        await client.recv()
        await _until(lambda: sent > 2)
        before = -1
        while before != sent:  # until it stands still
            before = sent
            for _ in range(200):
                await asyncio.sleep(0)
        assert sent < 150
        for _ in range(199):
            assert len(await client.recv()) == size


async def test_what_responses_used_is_counted(vendor: Vendor, tmp_path: Path) -> None:
    async def answers(connection: ServerConnection) -> None:
        async for _ in connection:
            event = {"type": "response.done", "response": {"status": "completed", "usage": USAGE}}
            # In pieces, as a server may send it.
            text = orjson.dumps(event).decode()
            await connection.send([text[:20], text[20:90], text[90:]])

    vendor.talk = answers
    content = settings(vendor.url)
    content["models"]["voice"]["deployments"][0]["price"] = {"input": 1, "output": 2}
    async with serving(content, tmp_path) as proxy:
        async with socket(proxy) as client:
            for _ in range(2):
                await client.send("go")
                await client.recv()
        await _until(lambda: proxy.metric("headrace_tokens_total", type="output") > 0)

        assert proxy.metric("headrace_tokens_total", type="output") == 40
        assert proxy.metric("headrace_tokens_total", type="cached_input") == 8
        assert proxy.metric("headrace_requests_total", status="101", model="voice") == 1


async def test_a_browser_has_its_key_among_the_subprotocols(proxy: Proxy, vendor: Vendor) -> None:
    offered: Any = ["realtime", f"openai-insecure-api-key.{KEY}"]
    async with socket(proxy, key=None, subprotocols=offered) as client:
        assert client.subprotocol == "realtime"

    assert vendor.heads[0][1]["sec-websocket-protocol"] == "realtime"
    assert KEY not in str(vendor.heads)


@pytest.mark.parametrize(
    ("query", "key", "status"),
    [
        ("model=voice", None, 401),
        ("model=voice", "sk-another", 401),
        ("model=nothing", KEY, 404),
        ("", KEY, 400),
    ],
)
async def test_who_may_not_is_told_so_before_anything_is_asked(
    proxy: Proxy, vendor: Vendor, query: str, key: str | None, status: int
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with socket(proxy, query, key):
            pass

    assert refused.value.response.status_code == status
    assert vendor.heads == []


async def test_a_plain_request_is_told_to_upgrade(proxy: Proxy) -> None:
    client = await proxy.raw()
    client.send(request("GET", "/v1/realtime?model=voice", None, None, key=KEY))
    answer = await client.answer()

    assert answer.status == 426
    assert b"upgrade_required" in answer.body


async def test_a_refusal_of_the_providers_passes(vendor: Vendor, tmp_path: Path) -> None:
    content = settings(vendor.url)
    content["providers"]["p0"]["dialects"] = {"openai.realtime": "/v1/realtime"}
    async with (
        serve(vendor.handle, "127.0.0.1", 0, process_request=_busy) as server,
        serving(content | {"providers": _at(content, server)}, tmp_path) as proxy,
    ):
        with pytest.raises(InvalidStatus) as refused:
            async with socket(proxy):
                pass

    assert refused.value.response.status_code == 400


def _busy(connection: ServerConnection, _request: Any) -> Any:
    return connection.respond(400, "not like this\n")


def _at(content: dict[str, Any], server: Any) -> dict[str, Any]:
    (listener,) = server.sockets
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    return {"p0": {**content["providers"]["p0"], "base_url": url}}


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0)
