"""The official OpenAI client in front, the simulated provider behind."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest

from tests.line.harness import KEY, Proxy, Simulator, config, serving

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
HELLO = [{"role": "user", "content": "Hello"}]

pytestmark = pytest.mark.allow_blocking(
    "client libraries build TLS contexts and models in the loop"
)


@pytest.fixture
async def proxy(sim: Simulator, tmp_path: Path) -> AsyncIterator[Proxy]:
    async with serving(config(sim.url), tmp_path) as proxy:
        yield proxy


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key=KEY, base_url=proxy.url + "/v1", max_retries=0) as client:
        yield client


async def test_chat(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="sim-n8", messages=HELLO)

    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0


async def test_chat_stream(client: openai.AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="sim-n12", messages=HELLO)

    stream = await client.chat.completions.create(
        model="sim-n12",
        messages=HELLO,
        stream=True,
    )
    chunks = [chunk async for chunk in stream]

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.choices for chunk in chunks), "usage nobody asked for is hidden"


async def test_chat_stream_with_usage(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="sim-n12",
        messages=HELLO,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]

    assert chunks[-1].usage is not None
    assert chunks[-1].choices == []


async def test_tools(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="sim-tool2",
        messages=HELLO,
        tools=TOOLS,
    )

    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    assert len(calls) == 2
    assert answer.choices[0].finish_reason == "tool_calls"


async def test_tools_streamed(client: openai.AsyncOpenAI) -> None:
    async with client.chat.completions.stream(
        model="sim-tool",
        messages=HELLO,
        tools=TOOLS,
    ) as stream:
        final = await stream.get_final_completion()

    calls = final.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].function.name == "get_weather"


async def test_legacy_completions(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(model="sim-n4", prompt="Once")
    stream = await client.completions.create(model="sim-n4", prompt="Once", stream=True)

    text = "".join([chunk.choices[0].text async for chunk in stream if chunk.choices])
    assert text == answer.choices[0].text


async def test_responses(client: openai.AsyncOpenAI) -> None:
    answer = await client.responses.create(model="sim-n8", input="Hello")

    assert answer.output_text
    assert answer.usage is not None
    again = await client.responses.retrieve(answer.id)
    assert again.id == answer.id
    await client.responses.delete(answer.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(answer.id)


async def test_responses_streamed(client: openai.AsyncOpenAI) -> None:
    stream = await client.responses.create(model="sim-n8", input="Hello", stream=True)
    events = [event async for event in stream]

    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas)


@pytest.mark.parametrize("encoding", ["float", "base64"])
async def test_embeddings(client: openai.AsyncOpenAI, encoding: str) -> None:
    answer = await client.embeddings.create(
        model="sim",
        input=["a", "b"],
        encoding_format=encoding,
    )

    assert len(answer.data) == 2


async def test_models(client: openai.AsyncOpenAI, sim: Simulator, tmp_path: Path) -> None:
    content = config(
        sim.url, models={"org/a model": {"deployments": [{"provider": "p0", "model": "sim"}]}}
    )
    folder = tmp_path / "models"
    folder.mkdir()
    async with (
        serving(content, folder) as proxy,
        openai.AsyncOpenAI(api_key=KEY, base_url=proxy.url + "/v1") as client,
    ):
        listed = [model.id async for model in await client.models.list()]
        one = await client.models.retrieve("org/a model")

        assert listed == ["org/a model"]
        assert one.id == "org/a model"
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("unknown")


async def test_images(client: openai.AsyncOpenAI) -> None:
    made = await client.images.generate(model="sim", prompt="A boat")
    edited = await client.images.edit(
        model="sim", prompt="Blue", image=("boat.png", b"\x89PNG\r\n\x1a\n-not-really", "image/png")
    )

    for answer in (made, edited):
        assert answer.data
        assert base64.b64decode(answer.data[0].b64_json or "").startswith(b"\x89PNG")


async def test_speech(client: openai.AsyncOpenAI) -> None:
    answer = await client.audio.speech.create(model="sim", voice="alloy", input="Hello")

    assert answer.content


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
async def test_transcription_and_translation(client: openai.AsyncOpenAI) -> None:
    file = ("a.wav", b"RIFF----WAVE", "audio/wav")
    said = await client.audio.transcriptions.create(model="sim", file=file)
    plain = await client.audio.transcriptions.create(model="sim", file=file, response_format="text")
    translated = await client.audio.translations.create(model="sim", file=file)

    assert said.text
    assert plain
    assert translated.text


async def test_moderations(client: openai.AsyncOpenAI) -> None:
    answer = await client.moderations.create(model="sim", input="Hello")

    assert answer.results


async def test_errors_arrive_as_the_clients_own(proxy: Proxy, client: openai.AsyncOpenAI) -> None:
    async with openai.AsyncOpenAI(api_key="sk-wrong", base_url=proxy.url + "/v1") as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.chat.completions.create(model="sim", messages=HELLO)
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.create(model="unknown", messages=HELLO)
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="sim-400", messages=HELLO)


async def test_a_stream_cut_short_raises(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="sim-n20-d1-chunk_fin",
        messages=HELLO,
        stream=True,
    )

    with pytest.raises(openai.APIError):
        async for _ in stream:
            pass


def test_the_synchronous_client(proxy_process: str) -> None:
    with openai.OpenAI(api_key=KEY, base_url=proxy_process + "/v1", max_retries=0) as client:
        answer = client.chat.completions.create(model="sim-n8", messages=HELLO)
        stream = client.chat.completions.create(
            model="sim-n8",
            messages=HELLO,
            stream=True,
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    assert text == answer.choices[0].message.content
