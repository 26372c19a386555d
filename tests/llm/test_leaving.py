"""A client that leaves frees the server's slot: nobody computes tokens that nobody reads."""

from __future__ import annotations

import asyncio

import pytest

from tests.llm.asking import WIRES, asking, busy, metric, question
from tests.llm.llama import Llama

pytestmark = [pytest.mark.llm, pytest.mark.timeout(900)]

# At 20 ms a token, a minute of work.
LONG = 3000


async def slots(url: str, count: int) -> None:
    """Wait until so many slots are at work."""
    async with asyncio.timeout(10):
        while await busy(url) != count:
            pass


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", WIRES)
async def test_leaving_stops_the_server(
    llama: Llama, headrace: str, model: str, name: str, stream: bool
) -> None:
    wire = WIRES[name]
    body = question(wire, model, stream=stream, length=LONG, ignore_eos=True)
    await slots(llama.url, 0)
    gone = await metric(headrace, "headrace_client_gone_total")

    async with asking(headrace, wire.path, body) as client:
        if stream:
            await client.head()
            for _ in range(10):
                await client.reader.readuntil(b"\n\n")
        await slots(llama.url, 1)

    await slots(llama.url, 0)
    assert await metric(headrace, "headrace_client_gone_total") == gone + 1
