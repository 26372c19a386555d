"""A real model's answers come through byte for byte, streamed and whole, in every dialect its server speaks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.llm.asking import LENGTH, PROMPT, WIRES, ask, last, lasting, metric, question
from tests.llm.conftest import Start
from tests.llm.llama import Llama

pytestmark = [pytest.mark.llm, pytest.mark.timeout(900)]

ASKED_FOR_USAGE: dict[str, Any] = {"stream_options": {"include_usage": True}}
TOKENS = "headrace_tokens_total"
TOO_LONG = "word " * 9000


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", WIRES)
async def test_an_answer_is_the_servers_own(
    llama: Llama, headrace: str, model: str, name: str, stream: bool
) -> None:
    wire = WIRES[name]
    # Asked for by us, usage would come in an event of its own that the client never sees.
    more = ASKED_FOR_USAGE if stream and name == "chat" else {}
    body = question(wire, model, stream=stream, **more)

    direct = await ask(llama.url, wire.path, body)
    through = await ask(headrace, wire.path, body)

    assert direct.status == 200, direct
    assert through.status == 200, through
    assert through.complete
    assert lasting(through.body) == lasting(direct.body)
    if stream:
        assert last(through) == wire.last


async def test_usage_that_nobody_asked_for_is_hidden(
    llama: Llama, headrace: str, model: str
) -> None:
    wire = WIRES["chat"]
    body = question(wire, model, stream=True)

    direct = await ask(llama.url, wire.path, body)
    through = await ask(headrace, wire.path, body)

    assert through.text
    assert through.text == direct.text
    assert b'"usage"' not in through.body
    assert len(through.events) == len(direct.events)


async def counted(url: str, model: str) -> dict[str, float]:
    """Tokens by their kind, as the metrics have them."""
    labels = {"model": model, "provider": "local", "source": "reported"}
    kinds = ("input", "cached_input", "output")
    return {kind: await metric(url, TOKENS, type=kind, **labels) for kind in kinds}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", WIRES)
async def test_every_token_is_counted(headrace: str, model: str, name: str, stream: bool) -> None:
    wire = WIRES[name]
    before = await counted(headrace, model)

    answer = await ask(headrace, wire.path, question(wire, model, stream=stream))

    after = await counted(headrace, model)
    assert answer.complete
    assert after["output"] - before["output"] == LENGTH
    assert after["input"] - before["input"] >= len(PROMPT.split())
    assert after["cached_input"] == before["cached_input"]
    assert await metric(headrace, TOKENS, source="estimated") == 0


async def test_cached_tokens_are_counted_apart(headrace: str, model: str) -> None:
    wire = WIRES["chat"]
    body = question(wire, model, stream=True, cache_prompt=True)
    await ask(headrace, wire.path, body)
    before = await counted(headrace, model)

    await ask(headrace, wire.path, body)

    after = await counted(headrace, model)
    cached = after["cached_input"] - before["cached_input"]
    assert cached > after["input"] - before["input"] > 0


async def test_a_grammar_is_passed_on(headrace: str, model: str) -> None:
    wire = WIRES["chat"]
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
        "required": ["city"],
    }
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}

    answer = await ask(
        headrace, wire.path, question(wire, model, stream=True, length=64, response_format=form)
    )

    assert answer.text.replace(" ", "").replace("\n", "") in (
        '{"city":"Paris"}',
        '{"city":"Rome"}',
    )


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/embeddings", {"input": ["a boat", "a mill"]}),
        ("/v1/embeddings", {"input": "a boat", "encoding_format": "base64"}),
        ("/v1/messages/count_tokens", {"messages": [{"role": "user", "content": PROMPT}]}),
    ],
)
async def test_what_is_no_text_is_the_servers_own(
    llama: Llama, headrace: str, model: str, path: str, fields: dict[str, Any]
) -> None:
    direct = await ask(llama.url, path, {"model": model, **fields})
    through = await ask(headrace, path, {"model": model, **fields})

    assert direct.status == 200, direct
    assert through.status == 200, through
    assert through.body == direct.body


async def test_more_streams_than_the_server_has_slots(headrace: str, model: str) -> None:
    wire = WIRES["completions"]
    bodies = [question(wire, model, stream=True, prompt=f"{PROMPT} {n}") for n in range(6)]

    answers = await asyncio.gather(*(ask(headrace, wire.path, body) for body in bodies))

    assert [answer.status for answer in answers] == [200] * 6
    assert all(answer.complete for answer in answers)
    assert [last(answer) for answer in answers] == [wire.last] * 6


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", WIRES)
async def test_a_prompt_too_long_is_refused_in_the_servers_words(
    llama: Llama, headrace: str, model: str, name: str, stream: bool
) -> None:
    wire = WIRES[name]
    field = next(iter(wire.body))
    message = {"role": "user", "content": TOO_LONG}
    body = question(wire, model, stream=stream)
    body[field] = [message] if field == "messages" else TOO_LONG

    direct = await ask(llama.url, wire.path, body)
    through = await ask(headrace, wire.path, body)

    assert (through.status, through.body) == (400, direct.body)


@pytest.fixture
def apart(start: Start) -> str:
    """A process whose opinion of the provider may suffer."""
    return start()


async def test_an_endpoint_the_server_lacks_does_not_cost_the_others(
    apart: str, model: str
) -> None:
    wire = WIRES["chat"]
    for _ in range(3):
        refused = await ask(apart, "/v1/rerank", {"model": model, "query": "a", "documents": ["b"]})
        assert refused.status >= 400

    answer = await ask(apart, wire.path, question(wire, model, stream=True))

    assert answer.status == 200, answer
