"""Servers of tools behind the gateway: the official client and server of MCP, and a key in between."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any

import orjson
import pytest
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import Context, MCPServer
from mcp.shared._httpx_utils import create_mcp_http_client
from pydantic import Field

from tests.line.harness import KEY, Proxy, config, read_request, request, scripted, serving

pytestmark = pytest.mark.allow_blocking(
    "the server and the client of MCP build TLS contexts and models in the loop"
)
SECRET = "the-servers-own-token"


class Tools:
    """A server with two tools, and the heads it has seen."""

    def __init__(self) -> None:
        self.heads: list[tuple[str, dict[str, str]]] = []
        self.go_on = asyncio.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/mcp"
        server = MCPServer("tools")

        @server.tool()
        def add(a: int, b: int) -> int:
            """Add."""
            return a + b

        @server.tool()
        def greet(name: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Who_To"})]) -> str:
            """Say hello."""
            return f"hello {name}"

        @server.tool()
        async def slow(ctx: Context[Any, Any]) -> str:
            """Say how far it is, then wait until somebody has heard."""
            await ctx.report_progress(1, 2, "half")
            await self.go_on.wait()
            return "done"

        self._app = server.streamable_http_app()
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._seen,
                interface="asgi3",
                log_level="error",
                ws="none",
                timeout_graceful_shutdown=0,
            )
        )

    async def _seen(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            head = {name.decode(): value.decode() for name, value in scope["headers"]}
            self.heads.append((scope["method"], head))
        await self._app(scope, receive, send)

    async def __aenter__(self) -> Tools:
        self._running = asyncio.ensure_future(self._server.serve([self._socket]))
        while not self._server.started:
            await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        await self._running
        self._socket.close()


@pytest.fixture
async def tools() -> AsyncIterator[Tools]:
    async with Tools() as found:
        yield found


def settings(url: str, **changes: Any) -> dict[str, Any]:
    server = {"url": url, "credential": SECRET, "allow_private": True}
    return config(mcp={"tools": server}, **changes)


@pytest.fixture
async def proxy(tools: Tools, tmp_path: Path) -> AsyncIterator[Proxy]:
    async with serving(settings(tools.url), tmp_path) as proxy:
        yield proxy


async def client(proxy: Proxy, stack: AsyncExitStack, mode: str = "auto") -> Client:
    http = create_mcp_http_client(headers={"authorization": f"Bearer {KEY}"})
    await stack.enter_async_context(http)
    transport = streamable_http_client(f"{proxy.url}/mcp/tools", http_client=http)
    return await stack.enter_async_context(Client(transport, mode=mode))


async def test_tools_are_listed_and_called(proxy: Proxy, tools: Tools) -> None:
    async with AsyncExitStack() as stack:
        session = await client(proxy, stack)
        listed = await session.list_tools()
        answer = await session.call_tool("add", {"a": 20, "b": 22})

    assert {tool.name for tool in listed.tools} == {"add", "greet", "slow"}
    assert "42" in str(answer.content)
    assert proxy.metric("headrace_requests_total", route="/mcp/{name}", model="mcp/tools") >= 3


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_every_revision_is_spoken_through_it(proxy: Proxy, tools: Tools, mode: str) -> None:
    async with AsyncExitStack() as stack:
        session = await client(proxy, stack, mode)
        await session.list_tools()
        answer = await session.call_tool("greet", {"name": "Ann"})

    assert "hello Ann" in str(answer.content)
    said = [head for _, head in tools.heads if "mcp-param-who_to" in head]
    assert [(head["mcp-method"], head["mcp-name"]) for head in said] == (
        [] if mode == "legacy" else [("tools/call", "greet")]
    )


async def test_what_a_tool_says_meanwhile_arrives_meanwhile(proxy: Proxy, tools: Tools) -> None:
    heard: list[float] = []

    async def heard_of(
        progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        heard.append(progress)
        tools.go_on.set()  # a buffer on the way would keep it waiting for ever

    async with AsyncExitStack() as stack:
        session = await client(proxy, stack)
        answer = await session.call_tool("slow", {}, progress_callback=heard_of)

    assert heard == [1]
    assert "done" in str(answer.content)


async def test_the_server_sees_its_own_token_and_not_the_clients_key(
    proxy: Proxy, tools: Tools
) -> None:
    async with AsyncExitStack() as stack:
        session = await client(proxy, stack)
        await session.call_tool("add", {"a": 1, "b": 1})

    assert {head["authorization"] for _, head in tools.heads} == {f"Bearer {SECRET}"}
    assert any("mcp-protocol-version" in head for _, head in tools.heads)
    assert KEY not in str(tools.heads)


@pytest.mark.parametrize(
    ("method", "path", "key", "status"),
    [
        ("POST", "/mcp/tools", None, 401),
        ("POST", "/mcp/tools", "sk-another-key", 401),
        ("POST", "/mcp/others", KEY, 404),
        ("PUT", "/mcp/tools", KEY, 405),
        ("POST", "/mcp/a/b", KEY, 404),
    ],
)
async def test_who_may_not_is_told_so_in_the_words_of_rpc(
    proxy: Proxy, tools: Tools, method: str, path: str, key: str | None, status: int
) -> None:
    raw = await proxy.raw()
    raw.send(request(method, path, b"{}", None, key=key))
    answer = await raw.answer()

    assert answer.status == status
    content = orjson.loads(answer.body)
    assert content["jsonrpc"] == "2.0"
    assert content["error"]["message"]
    assert tools.heads == []


async def test_what_the_server_refuses_passes_as_it_is(proxy: Proxy, tools: Tools) -> None:
    headers = {"accept": "application/json, text/event-stream", "mcp-session-id": "no-such"}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    answer = await proxy.post("/mcp/tools", body, headers)

    assert 400 <= answer.status < 500
    assert orjson.loads(answer.body)["jsonrpc"] == "2.0"
    assert len(tools.heads) == 1


async def test_what_it_refuses_one_session_is_held_against_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    statuses = iter((403, 404, 405, 200))

    async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for status in statuses:
            await read_request(reader)
            writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\n{}" % status)

    async with (
        scripted(refuses) as url,
        serving(settings(url), tmp_path) as proxy,
    ):
        answers = [await proxy.post("/mcp/tools", {}) for _ in range(4)]

    assert [answer.status for answer in answers] == [403, 404, 405, 200]
    assert "deployment mcp/tools" not in caplog.text, "an end of a session is no mistake"


async def test_the_query_of_its_address_goes_with_every_request(tmp_path: Path) -> None:
    asked = []

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, _ = await read_request(reader)
            asked.append(head.split(b" ")[1])
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    async with (
        scripted(answers) as url,
        serving(settings(f"{url}/mcp?profile=a%20b&api_key=c"), tmp_path) as proxy,
    ):
        await proxy.post("/mcp/tools", {})
        await proxy.post("/mcp/tools?more=1", {})

    assert [sorted(one.partition(b"?")[2].split(b"&")) for one in asked] == [
        [b"api_key=c", b"profile=a+b"],
        [b"api_key=c", b"more=1", b"profile=a+b"],
    ]


async def test_a_notification_has_an_empty_answer_and_the_connection_goes_on(
    proxy: Proxy, tools: Tools
) -> None:
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        },
    }
    accept = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
    raw = await proxy.raw()
    raw.send(request("POST", "/mcp/tools", orjson.dumps(hello), accept, key=KEY))
    first = await raw.answer()
    session = first.headers["mcp-session-id"]
    ready = orjson.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"})
    headers = {**accept, "mcp-session-id": session, "mcp-protocol-version": "2025-06-18"}
    for _ in range(2):
        raw.send(request("POST", "/mcp/tools", ready, headers, key=KEY))
        empty = await raw.answer()
        assert (empty.status, empty.body) == (202, b"")
    raw.send(request("DELETE", "/mcp/tools", None, headers, key=KEY))
    gone = await raw.answer()

    assert first.status == 200
    assert gone.status in (200, 204)


async def test_a_limit_of_the_key_holds(tools: Tools, tmp_path: Path) -> None:
    content = settings(tools.url)
    content["keys"][0]["rpm"] = 1
    async with serving(content, tmp_path) as proxy:
        answers = [await proxy.post("/mcp/tools", {}) for _ in range(2)]

    assert [answer.status == 429 for answer in answers] == [False, True]
    assert len(tools.heads) == 1


async def test_a_server_that_is_away_is_a_502(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with serving(settings(f"http://127.0.0.1:{port}/mcp"), tmp_path) as proxy:
        answer = await proxy.post("/mcp/tools", {})

    assert answer.status in (502, 503)
    assert orjson.loads(answer.body)["jsonrpc"] == "2.0"
    assert str(port).encode() not in answer.body


async def test_a_key_may_be_for_other_routes_only(tools: Tools, tmp_path: Path) -> None:
    content = settings(tools.url)
    content["keys"][0]["routes"] = ["chat"]
    async with serving(content, tmp_path) as proxy:
        answer = await proxy.post("/mcp/tools", {})

    assert answer.status == 403
