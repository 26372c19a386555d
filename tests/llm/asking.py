"""The same question in every dialect the server speaks, and what its answers have in common."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import orjson
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from tests.line.harness import KEY, Answer, Raw, request

PROMPT = "The capital of France is"
HELLO: list[Any] = [{"role": "user", "content": PROMPT}]
LENGTH = 24

# Greedy: the same text every time.
FIXED = {"temperature": 0, "seed": 1}

# Identifiers, moments and speeds differ from one answer to the next; nothing else may.
VOLATILE = re.compile(
    rb'"timings":\{[^}]*\}|"(?:created|created_at|completed_at)":\d+|(?:chatcmpl|resp|msg)[-_]\w{20,}'
)


class Wire(Struct, frozen=True):
    """One dialect: where it is asked, how, and what a streamed answer ends with."""

    path: str
    body: dict[str, Any]
    limit: str
    last: str


WIRES = {
    "chat": Wire("/v1/chat/completions", {"messages": HELLO}, "max_tokens", "[DONE]"),
    "completions": Wire("/v1/completions", {"prompt": PROMPT}, "max_tokens", "[DONE]"),
    "responses": Wire(
        "/v1/responses", {"input": PROMPT}, "max_output_tokens", "response.completed"
    ),
    "messages": Wire("/v1/messages", {"messages": HELLO}, "max_tokens", "message_stop"),
}


def question(
    wire: Wire, model: str, *, stream: bool, length: int = LENGTH, **more: Any
) -> dict[str, Any]:
    """A body that asks for so many tokens."""
    return {"model": model, wire.limit: length, "stream": stream, **FIXED, **wire.body, **more}


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Raw]:
    """A connection of its own."""
    port = urlsplit(url).port
    assert port is not None
    client = await Raw.open(port)
    try:
        yield client
    finally:
        client.close()


@asynccontextmanager
async def asking(url: str, path: str, body: dict[str, Any]) -> AsyncIterator[Raw]:
    """A connection on which a question has been sent."""
    async with connected(url) as client:
        client.send(request("POST", path, orjson.dumps(body), key=KEY))
        yield client


async def ask(url: str, path: str, body: dict[str, Any]) -> Answer:
    """The whole answer, as it came."""
    async with asking(url, path, body) as client:
        return await client.answer()


async def read(url: str, path: str) -> Answer:
    """One page."""
    async with connected(url) as client:
        client.send(request("GET", path, None))
        return await client.answer()


async def metric(url: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples that carry these labels."""
    page = (await read(url, "/metrics")).body.decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


async def busy(url: str) -> int:
    """How many of llama.cpp's slots are at work."""
    return sum(slot["is_processing"] for slot in (await read(url, "/slots")).json)


def lasting(body: bytes) -> bytes:
    """A body without what differs from one answer to the next."""
    return VOLATILE.sub(b"~", body)


def last(answer: Answer) -> str:
    """What a stream ended with."""
    end = answer.events[-1]
    return end if isinstance(end, str) else str(end["type"])
