"""Clients that speak TLS: everything is as it is without, and certificates come and go."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import openai
import orjson
import pytest

from tests.line.harness import KEY, Proxy, Raw, Simulator, config, request, serving
from tests.upstream.certificates import Authority

pytestmark = pytest.mark.allow_blocking(
    "client libraries build TLS contexts and models in the loop"
)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def proxy(sim: Simulator, authority: Authority, tmp_path: Path) -> AsyncIterator[Proxy]:
    certificate, key = authority.issue()
    tls = {"certificate": str(certificate), "key": str(key)}
    async with serving(config(sim.url, server={"tls": tls}), tmp_path) as proxy:
        yield proxy


async def secure(proxy: Proxy, context: ssl.SSLContext) -> Raw:
    """A raw connection that speaks TLS."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", proxy.port, limit=1 << 26, ssl=context
    )
    client = Raw(reader, writer)
    proxy.clients.append(client)
    return client


async def test_the_official_client_streams(proxy: Proxy, authority: Authority) -> None:
    async with (
        httpx.AsyncClient(verify=authority.trusted()) as http,
        openai.AsyncOpenAI(
            api_key=KEY,
            base_url=f"https://127.0.0.1:{proxy.port}/v1",
            max_retries=0,
            http_client=http,
        ) as client,
    ):
        stream = await client.chat.completions.create(
            model="sim-n12", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        chunks = [chunk async for chunk in stream]

    assert chunks[-1].choices[0].finish_reason == "stop"
    assert proxy.metric("headrace_tls_handshakes_total", listener="api", result="ok") == 1


async def test_a_body_of_a_megabyte(proxy: Proxy, authority: Authority) -> None:
    client = await secure(proxy, authority.trusted())
    messages = [{"role": "user", "content": "a" * 1_000_000}]
    body = orjson.dumps({"model": "sim-n4", "messages": messages})

    for _ in range(2):
        client.send(request("POST", "/v1/chat/completions", body))
        answer = await client.answer()

        assert answer.status == 200
        assert answer.complete
