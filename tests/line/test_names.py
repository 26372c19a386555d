"""What a client called a model, in the answer; and what an installation calls itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from tests.line.harness import KEY, Proxy, Simulator, config, serving

pytestmark = pytest.mark.allow_blocking(
    "client libraries build TLS contexts and models in the loop"
)
ASK: Any = [{"role": "user", "content": "Hello"}]
ALIAS = "best model"


@pytest.fixture
async def proxy(sim: Simulator, tmp_path: Path) -> AsyncIterator[Proxy]:
    content = config(sim.url, server={"name": "mill"})
    content["models"]["sim"] = {
        "aliases": [ALIAS],
        "echo_alias": True,
        "deployments": [{"provider": "p0"}],
        "capabilities": {
            "context": 128000,
            "max_output": 4096,
            "input": ["text", "image"],
            "tools": True,
        },
    }
    # The same behind a provider that speaks one dialect alone: all others are translated.
    for number, dialect in enumerate(("openai.chat", "anthropic.messages")):
        content["providers"][f"q{number}"] = {**content["providers"]["p0"], "dialects": [dialect]}
        content["models"][f"only-{number}"] = {
            "echo_alias": True,
            "deployments": [{"provider": f"q{number}", "model": "sim"}],
        }
    async with serving(content, tmp_path) as proxy:
        yield proxy


NAMES = [ALIAS, "only-0", "only-1"]


@pytest.mark.parametrize("name", NAMES)
async def test_openai_is_told_the_name_it_asked_for(proxy: Proxy, name: str) -> None:
    async with openai.AsyncOpenAI(api_key=KEY, base_url=proxy.url + "/v1", max_retries=0) as client:
        whole = await client.chat.completions.create(model=name, messages=ASK)
        stream = await client.chat.completions.create(model=name, messages=ASK, stream=True)
        chunks = [chunk async for chunk in stream]
        response = await client.responses.create(model=name, input="Hello")
        events = [
            event
            async for event in await client.responses.create(model=name, input="Hello", stream=True)
        ]

    assert whole.model == response.model == name
    assert {chunk.model for chunk in chunks} == {name}
    told = [event.response for event in events if hasattr(event, "response")]
    assert len(told) > 1
    assert {one.model for one in told} == {name}
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@pytest.mark.parametrize("name", NAMES)
async def test_anthropic_is_told_the_name_it_asked_for(proxy: Proxy, name: str) -> None:
    async with anthropic.AsyncAnthropic(api_key=KEY, base_url=proxy.url, max_retries=0) as client:
        whole = await client.messages.create(model=name, messages=ASK, max_tokens=50)
        async with client.messages.stream(model=name, messages=ASK, max_tokens=50) as stream:
            final = await stream.get_final_message()

    assert whole.model == final.model == name


@pytest.mark.parametrize("name", ["only-0", "only-1", "sim"])
async def test_gemini_is_told_the_name_it_asked_for(proxy: Proxy, name: str) -> None:
    options = types.HttpOptions(base_url=proxy.url)
    async with genai.Client(api_key=KEY, http_options=options).aio as client:
        whole = await client.models.generate_content(model=name, contents="Hello")
        stream = await client.models.generate_content_stream(model=name, contents="Hello")
        versions = {chunk.model_version async for chunk in stream}

    assert whole.model_version == name
    assert versions == {name}


async def test_without_it_the_providers_name_stays(proxy: Proxy) -> None:
    answer = await proxy.post("/v1/chat/completions", {"model": "sim-other", "messages": ASK})

    assert answer.json["model"] == "sim-other"


async def test_an_installation_has_a_name(proxy: Proxy) -> None:
    assert (await proxy.get("/")).json["name"] == "mill"


async def test_clients_are_told_what_a_model_can(proxy: Proxy) -> None:
    async with (
        openai.AsyncOpenAI(api_key=KEY, base_url=proxy.url + "/v1", max_retries=0) as one,
        anthropic.AsyncAnthropic(api_key=KEY, base_url=proxy.url, max_retries=0) as other,
        genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=proxy.url)).aio as third,
    ):
        listed = {model.id: model async for model in await one.models.list()}
        [ours] = [model async for model in other.models.list() if model.id == ALIAS]
        all_of_them = [model async for model in await third.models.list()]
    [theirs] = [model for model in all_of_them if model.name == "models/sim"]

    extra = listed[ALIAS].model_extra or {}
    assert extra["context_length"] == 128_000
    assert extra["architecture"] == {"input_modalities": ["text", "image"]}
    assert extra["supported_parameters"] == ["tools", "tool_choice"]
    assert (ours.max_input_tokens, ours.max_tokens, ours.lifecycle) == (128_000, 4096, "active")
    assert (theirs.input_token_limit, theirs.output_token_limit) == (128_000, 4096)
