"""The official Python clients in front, a real model behind."""

from __future__ import annotations

import math
from collections.abc import Iterator

import anthropic
import openai
import pytest

from tests.line.harness import KEY
from tests.llm.asking import HELLO, PROMPT

pytestmark = [pytest.mark.llm, pytest.mark.timeout(900)]


@pytest.fixture
def client(headrace: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=KEY, base_url=headrace + "/v1", max_retries=0) as client:
        yield client


@pytest.fixture
def claude(headrace: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key=KEY, base_url=headrace, max_retries=0) as client:
        yield client


def test_chat(client: openai.OpenAI, model: str) -> None:
    whole = client.chat.completions.create(
        model=model, messages=HELLO, max_tokens=24, temperature=0, seed=1
    )
    stream = client.chat.completions.create(
        model=model,
        messages=HELLO,
        max_tokens=24,
        temperature=0,
        seed=1,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text
    assert text == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason == "length"
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens == 24


def test_completions(client: openai.OpenAI, model: str) -> None:
    whole = client.completions.create(model=model, prompt=PROMPT, max_tokens=24, temperature=0)
    stream = client.completions.create(
        model=model, prompt=PROMPT, max_tokens=24, temperature=0, stream=True
    )
    chunks = list(stream)

    text = "".join(chunk.choices[0].text for chunk in chunks)
    assert text
    assert text == whole.choices[0].text
    assert chunks[-1].choices[0].finish_reason == "length"


def test_responses(client: openai.OpenAI, model: str) -> None:
    whole = client.responses.create(model=model, input=PROMPT, max_output_tokens=24, temperature=0)
    events = list(
        client.responses.create(
            model=model, input=PROMPT, max_output_tokens=24, temperature=0, stream=True
        )
    )

    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text
    assert text == whole.output_text
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert events[-1].response.usage is not None
    assert events[-1].response.usage.output_tokens == 24


def test_embeddings(client: openai.OpenAI, model: str) -> None:
    answer = client.embeddings.create(model=model, input=["a boat", "a mill", "a boat"])

    boat, mill, again = (one.embedding for one in answer.data)
    assert len(boat) == len(mill) == 640
    # The same text twice is not the same to the last bit: what else is computed with it plays a part.
    assert math.dist(boat, again) < 0.1 < math.dist(boat, mill)


def test_messages(claude: anthropic.Anthropic, model: str) -> None:
    greedy = {"temperature": 0}  # no argument of the client any more
    whole = claude.messages.create(model=model, messages=HELLO, max_tokens=24, extra_body=greedy)
    with claude.messages.stream(
        model=model, messages=HELLO, max_tokens=24, extra_body=greedy
    ) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()

    assert text
    assert whole.content[0].type == "text"
    assert text == whole.content[0].text
    assert final.stop_reason == whole.stop_reason == "max_tokens"
    assert final.usage.output_tokens == 24


def test_count_tokens(claude: anthropic.Anthropic, model: str) -> None:
    counted = claude.messages.count_tokens(model=model, messages=HELLO).input_tokens
    usage = claude.messages.create(model=model, messages=HELLO, max_tokens=1).usage

    assert counted == usage.input_tokens + (usage.cache_read_input_tokens or 0)
