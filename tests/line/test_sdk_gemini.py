"""Google's own client in front, the simulated provider behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google import genai
from google.genai import errors, types

from tests.line.harness import KEY, Proxy, Simulator, config, serving

pytestmark = [
    pytest.mark.allow_blocking("client libraries build TLS contexts and models in the loop"),
    # Google's client inherits from aiohttp's session.
    pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning"),
]


@pytest.fixture
async def proxy(sim: Simulator, tmp_path: Path) -> AsyncIterator[Proxy]:
    async with serving(config(sim.url), tmp_path) as proxy:
        yield proxy


def client(proxy: Proxy, version: str = "v1beta", key: str = KEY) -> genai.Client:
    options = types.HttpOptions(base_url=proxy.url, api_version=version)
    return genai.Client(api_key=key, http_options=options)


@pytest.mark.parametrize("version", ["v1beta", "v1"])
async def test_generate_content(proxy: Proxy, version: str) -> None:
    async with client(proxy, version).aio as models:
        answer = await models.models.generate_content(model="sim-n8", contents="Hello")

    assert answer.text
    assert answer.usage_metadata is not None


@pytest.mark.parametrize("version", ["v1beta", "v1", "v1alpha"])
async def test_models(sim: Simulator, tmp_path: Path, version: str) -> None:
    named = {"m": {"deployments": [{"provider": "p0", "model": "sim"}]}}
    async with (
        serving(config(sim.url, models=named), tmp_path) as proxy,
        client(proxy, version).aio as models,
    ):
        listed = [model.name async for model in await models.models.list()]
        one = await models.models.get(model="m")

    assert listed == ["models/m"]
    assert one.name == "models/m"


async def test_generate_content_streamed(proxy: Proxy) -> None:
    async with client(proxy).aio as models:
        stream = await models.models.generate_content_stream(model="sim-n8", contents="Hello")
        pieces = [chunk.text or "" async for chunk in stream]
        whole = await models.models.generate_content(model="sim-n8", contents="Hello")

    assert len(pieces) > 1
    assert "".join(pieces) == whole.text


async def test_count_tokens(proxy: Proxy) -> None:
    async with client(proxy).aio as models:
        answer = await models.models.count_tokens(model="sim", contents="Hello")

    assert answer.total_tokens


async def test_errors_arrive_as_the_clients_own(proxy: Proxy) -> None:
    async with client(proxy, key="sk-wrong").aio as models:
        with pytest.raises(errors.ClientError) as refused:
            await models.models.generate_content(model="sim", contents="Hello")

    assert refused.value.code == 401
    assert refused.value.status == "UNAUTHENTICATED"
