"""A client that leaves a stream frees the server's slot: nobody computes tokens that nobody reads."""

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


# Only while it streams: in mid-computation of a whole answer, the server does not look whether anybody waits.
@pytest.mark.parametrize("name", WIRES)
async def test_leaving_stops_the_server(llama: Llama, headrace: str, model: str, name: str) -> None:
    wire = WIRES[name]
    await slots(llama.url, 0)
    gone = await metric(headrace, "headrace_client_gone_total")

    body = question(wire, model, stream=True, length=LONG, ignore_eos=True)
    async with asking(headrace, wire.path, body) as client:
        await client.head()
        for _ in range(10):
            await client.reader.readuntil(b"\n\n")
        assert await busy(llama.url) == 1

    await slots(llama.url, 0)
    assert await metric(headrace, "headrace_client_gone_total") == gone + 1
