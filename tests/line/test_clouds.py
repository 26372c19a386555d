"""Vendors' own clients in front, clouds behind that want tokens and signatures: nobody in front knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from tests.line.clouds import VERTEX, Clouds, clouds
from tests.line.harness import KEY, Proxy, Simulator, config, serving
from tests.upstream.minting.test_google import account

HELLO = [{"role": "user", "content": "Hello"}]
CLOUDS = ("azure", "vertex", "vertex-anthropic", "bedrock")

pytestmark = [
    pytest.mark.allow_blocking("client libraries build TLS contexts and models in the loop"),
    pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning"),
]


def settings(url: str) -> dict[str, Any]:
    """A model for each cloud, with the presets where they are not about the address."""
    content = config()
    content["providers"] = {
        "azure": {
            "preset": "azure-openai",
            "base_url": url + "/openai",
            "dialects": {"openai.chat": "/deployments/{model}/chat/completions"},
            "query": {"api-version": "2024-10-21"},
            "auth": "entra",
            "credentials": ["our-tenant:our-client:the-secret"],
        },
        "vertex": {
            "preset": "vertex",
            "base_url": url + VERTEX,
            "credentials": [account(url, token_uri=f"{url}/google/token")],
        },
        "vertex-anthropic": {
            "preset": "vertex-anthropic",
            "base_url": url + VERTEX,
            "credentials": [account(url, token_uri=f"{url}/google/token")],
        },
        "bedrock": {
            "preset": "bedrock",
            "base_url": url,
            "auth": "sigv4:eu-central-1",
            "credentials": ["ambient"],
        },
    }
    for provider in content["providers"].values():
        provider["allow_private"] = True
    content["models"] = {
        name: {"deployments": [{"provider": name, "model": "sim-n12"}]} for name in CLOUDS
    }
    return content


@pytest.fixture
async def sky(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Clouds]:
    for name in ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", raising=False)
    async with clouds(sim.url) as found:
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", found.url)
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", found.url)
        yield found


@pytest.fixture
async def proxy(sky: Clouds, tmp_path: Path) -> AsyncIterator[Proxy]:
    async with serving(settings(sky.url), tmp_path) as proxy:
        yield proxy


@pytest.mark.parametrize("cloud", CLOUDS)
async def test_the_client_of_openai(proxy: Proxy, cloud: str) -> None:
    async with openai.AsyncOpenAI(api_key=KEY, base_url=proxy.url + "/v1", max_retries=0) as client:
        whole = await client.chat.completions.create(model=cloud, messages=HELLO)
        stream = await client.chat.completions.create(model=cloud, messages=HELLO, stream=True)
        chunks = [chunk async for chunk in stream]

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert len(text.split()) > 3
    assert whole.usage is not None
    assert whole.usage.completion_tokens > 0


@pytest.mark.parametrize("cloud", CLOUDS)
async def test_the_client_of_anthropic(proxy: Proxy, cloud: str) -> None:
    async with anthropic.AsyncAnthropic(api_key=KEY, base_url=proxy.url, max_retries=0) as client:
        whole = await client.messages.create(model=cloud, max_tokens=64, messages=HELLO)
        async with client.messages.stream(model=cloud, max_tokens=64, messages=HELLO) as stream:
            streamed = await stream.get_final_message()

    assert whole.content[0].type == streamed.content[0].type == "text"
    assert whole.content[0].text == streamed.content[0].text
    assert streamed.usage.output_tokens > 0


@pytest.mark.parametrize("cloud", CLOUDS)
async def test_the_client_of_google(proxy: Proxy, cloud: str) -> None:
    options = types.HttpOptions(base_url=proxy.url, api_version="v1beta")
    async with genai.Client(api_key=KEY, http_options=options).aio as client:
        whole = await client.models.generate_content(model=cloud, contents="Hello")
        stream = await client.models.generate_content_stream(model=cloud, contents="Hello")
        pieces = [chunk.text or "" async for chunk in stream]

    assert "".join(pieces) == whole.text
    assert len(pieces) > 1


@pytest.mark.parametrize("cloud", CLOUDS)
async def test_one_token_is_had_for_all_who_come_at_once(
    proxy: Proxy, sky: Clouds, cloud: str
) -> None:
    answers = await asyncio.gather(*(proxy.chat(cloud, stream=False) for _ in range(20)))

    assert [answer.status for answer in answers] == [200] * 20
    assert sky.given == 1


@pytest.mark.parametrize("cloud", CLOUDS)
async def test_a_token_that_is_refused_is_had_anew(proxy: Proxy, sky: Clouds, cloud: str) -> None:
    await proxy.chat(cloud, stream=False)
    sky.expire()
    again = await proxy.chat(cloud)

    assert (again.status, sky.given) == (200, 2)
    assert proxy.metric("headrace_retries_total") == 0


async def test_whom_nobody_gives_a_token_is_told_nothing_of_it(sky: Clouds, tmp_path: Path) -> None:
    content = settings(sky.url)
    content["providers"]["azure"]["credentials"] = ["our-tenant:our-client:another-secret"]
    async with serving(content, tmp_path) as proxy:
        answer = await proxy.chat("azure", stream=False)

    assert answer.status == 502
    for secret in (b"another-secret", b"our-tenant", b"oauth2", sky.url.encode()):
        assert secret not in answer.body


async def test_another_deployment_answers_where_no_token_is_had(
    sky: Clouds, sim: Simulator, tmp_path: Path
) -> None:
    content = settings(sky.url)
    content["providers"]["azure"]["credentials"] = ["our-tenant:our-client:another-secret"]
    content["models"]["both"] = {
        "deployments": [
            {"provider": "azure", "model": "sim-n12", "priority": 1},
            {"provider": "vertex", "model": "sim-n12", "priority": 2},
        ]
    }
    async with serving(content, tmp_path) as proxy:
        answer = await proxy.chat("both", stream=False)

    assert answer.status == 200
