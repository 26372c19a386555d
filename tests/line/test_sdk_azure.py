"""OpenAI's client for Azure in front, the simulated provider behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest

from tests.line.harness import KEY, Proxy, Simulator, config, serving

HELLO = [{"role": "user", "content": "Hello"}]
VERSION = "2024-10-21"

pytestmark = pytest.mark.allow_blocking(
    "client libraries build TLS contexts and models in the loop"
)


@pytest.fixture
async def proxy(sim: Simulator, tmp_path: Path) -> AsyncIterator[Proxy]:
    deployments = [{"provider": "p0", "model": "sim-n8"}]
    models = {name: {"deployments": deployments} for name in ("gpt", "org/gpt 4:o")}
    async with serving(config(sim.url, models=models), tmp_path) as proxy:
        yield proxy


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[openai.AsyncAzureOpenAI]:
    async with openai.AsyncAzureOpenAI(
        azure_endpoint=proxy.url, api_version=VERSION, api_key=KEY, max_retries=0
    ) as client:
        yield client


@pytest.mark.parametrize("model", ["gpt", "org/gpt 4:o"])
async def test_chat(client: openai.AsyncAzureOpenAI, model: str) -> None:
    answer = await client.chat.completions.create(model=model, messages=HELLO)
    stream = await client.chat.completions.create(model=model, messages=HELLO, stream=True)

    text = "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])
    assert text == answer.choices[0].message.content != ""


async def test_one_deployment_may_be_the_clients(proxy: Proxy) -> None:
    async with openai.AsyncAzureOpenAI(
        azure_endpoint=proxy.url,
        azure_deployment="org/gpt 4:o",
        api_version=VERSION,
        azure_ad_token=KEY,
        max_retries=0,
    ) as client:
        answer = await client.chat.completions.create(model="whatever", messages=HELLO)
        said = await client.responses.create(model="gpt", input="Hello")

    assert answer.choices[0].message.content
    assert said.output_text


async def test_completions_and_embeddings(client: openai.AsyncAzureOpenAI) -> None:
    text = await client.completions.create(model="gpt", prompt="Once")
    vectors = await client.embeddings.create(model="org/gpt 4:o", input=["a", "b"])

    assert text.choices[0].text
    assert len(vectors.data) == 2


async def test_responses(client: openai.AsyncAzureOpenAI) -> None:
    answer = await client.responses.create(model="org/gpt 4:o", input="Hello")
    stream = await client.responses.create(model="gpt", input="Hello", stream=True)
    events = [event async for event in stream]

    assert answer.output_text
    assert events[-1].type == "response.completed"
    assert (await client.responses.retrieve(answer.id)).id == answer.id


async def test_models(client: openai.AsyncAzureOpenAI) -> None:
    listed = [model.id async for model in await client.models.list()]

    assert listed == ["gpt", "org/gpt 4:o"]
    assert (await client.models.retrieve("org/gpt 4:o")).id == "org/gpt 4:o"


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
async def test_images_and_audio(client: openai.AsyncAzureOpenAI) -> None:
    image = ("boat.png", b"\x89PNG\r\n\x1a\n-not-really", "image/png")
    file = ("a.wav", b"RIFF----WAVE", "audio/wav")

    assert (await client.images.generate(model="gpt", prompt="A boat")).data
    assert (await client.images.edit(model="gpt", prompt="Blue", image=image)).data
    assert (await client.audio.speech.create(model="gpt", voice="alloy", input="Hello")).content
    assert (await client.audio.transcriptions.create(model="gpt", file=file)).text
    assert (await client.audio.translations.create(model="gpt", file=file)).text


async def test_the_form_without_versions(proxy: Proxy) -> None:
    async with openai.AsyncOpenAI(api_key=KEY, base_url=proxy.url + "/openai/v1/") as client:
        answer = await client.chat.completions.create(model="gpt", messages=HELLO)
        said = await client.responses.create(model="gpt", input="Hello")

    assert answer.choices[0].message.content
    assert said.output_text


async def test_what_is_refused_arrives_as_the_clients_own(proxy: Proxy) -> None:
    async with openai.AsyncAzureOpenAI(
        azure_endpoint=proxy.url, api_version=VERSION, api_key="sk-wrong", max_retries=0
    ) as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.chat.completions.create(model="gpt", messages=HELLO)


async def test_the_path_alone_names_the_model_to_a_provider_of_another_dialect(
    sim: Simulator, tmp_path: Path
) -> None:
    content = config(sim.url, models={"a/b": {"deployments": [{"provider": "p0", "model": "sim"}]}})
    content["providers"]["p0"]["dialects"] = ["anthropic.messages"]
    async with (
        serving(content, tmp_path) as proxy,
        openai.AsyncAzureOpenAI(
            azure_endpoint=proxy.url, api_version=VERSION, api_key=KEY, max_retries=0
        ) as client,
    ):
        path = "/deployments/a%2Fb/chat/completions"
        bare = await client.post(path, body={"messages": HELLO}, cast_to=object)
        other = await client.post(path, body={"model": "nobody", "messages": HELLO}, cast_to=object)

    for answer in (bare, other):
        assert isinstance(answer, dict)
        assert answer["choices"][0]["message"]["content"]


def test_the_synchronous_client(proxy_process: str) -> None:
    with openai.AzureOpenAI(
        azure_endpoint=proxy_process, api_version=VERSION, api_key=KEY, max_retries=0
    ) as client:
        answer = client.chat.completions.create(model="sim-n8", messages=HELLO)

    assert answer.choices[0].message.content
