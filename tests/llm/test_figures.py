"""What Headrace adds with a real model behind: measured and shown at the end of the run, never judged."""

from __future__ import annotations

from statistics import median
from time import perf_counter

import pytest

from tests.llm.asking import WIRES, Wire, ask, asking, metric, question
from tests.llm.llama import Llama

pytestmark = [pytest.mark.llm, pytest.mark.timeout(900)]

ROUNDS = 21
LONG = 128


async def first_token(url: str, wire: Wire, model: str) -> float:
    """Milliseconds from connecting to the first token."""
    began = perf_counter()
    async with asking(url, wire.path, question(wire, model, stream=True, length=2)) as client:
        await client.reader.readuntil(b'"text":"')
        took = perf_counter() - began
        await client.reader.readuntil(b"[DONE]")
    return 1000 * took


async def rate(url: str, wire: Wire, model: str) -> float:
    """Tokens a second of a longer stream."""
    began = perf_counter()
    answer = await ask(
        url, wire.path, question(wire, model, stream=True, length=LONG, ignore_eos=True)
    )
    assert answer.complete
    return LONG / (perf_counter() - began)


async def test_time_to_the_first_token(
    llama: Llama, headrace: str, model: str, figures: list[str]
) -> None:
    wire = WIRES["completions"]
    times: dict[str, list[float]] = {llama.url: [], headrace: []}
    for _ in range(ROUNDS):
        for url, taken in times.items():
            taken.append(await first_token(url, wire, model))

    direct, through = (f"{median(taken):.1f}" for taken in times.values())
    figures.append(
        f"first token, median of {ROUNDS}: {direct} ms direct, {through} ms through Headrace"
    )


async def test_tokens_a_second(llama: Llama, headrace: str, model: str, figures: list[str]) -> None:
    wire = WIRES["completions"]
    rates: dict[str, list[float]] = {llama.url: [], headrace: []}
    for _ in range(3):
        for url, found in rates.items():
            found.append(await rate(url, wire, model))

    direct, through = (f"{median(found):.1f}" for found in rates.values())
    figures.append(f"tokens a second of one stream: {direct} direct, {through} through Headrace")


async def test_what_headrace_says_of_itself(headrace: str, figures: list[str]) -> None:
    overhead = "headrace_overhead_seconds"
    count = await metric(headrace, overhead + "_count")
    total = await metric(headrace, overhead + "_sum")
    tokens = await metric(headrace, "headrace_tokens_total", type="output")

    figures.append(
        f"Headrace itself, mean of {count:.0f} requests with {tokens:.0f} tokens: "
        f"{1000 * total / count:.2f} ms a request"
    )
