"""The official Anthropic client in front, the simulated provider behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anthropic
import pytest

from tests.line.harness import KEY, Proxy, Simulator, config, serving

HELLO = [{"role": "user", "content": "Hello"}]
TOOLS = [{"name": "get_weather", "input_schema": {"type": "object", "properties": {}}}]

pytestmark = pytest.mark.allow_blocking(
    "client libraries build TLS contexts and models in the loop"
)


@pytest.fixture
async def proxy(sim: Simulator, tmp_path: Path) -> AsyncIterator[Proxy]:
    async with serving(config(sim.url), tmp_path) as proxy:
        yield proxy


@pytest.fixture(params=["", "/anthropic"])
async def client(
    proxy: Proxy, request: pytest.FixtureRequest
) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        api_key=KEY, base_url=proxy.url + request.param, max_retries=0
    ) as client:
        yield client


async def test_messages(client: anthropic.AsyncAnthropic) -> None:
    answer = await client.messages.create(model="sim-n8", max_tokens=64, messages=HELLO)

    assert answer.content[0].type == "text"
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens > 0


async def test_messages_streamed_with_the_helper(client: anthropic.AsyncAnthropic) -> None:
    async with client.messages.stream(
        model="sim-n8",
        max_tokens=64,
        messages=HELLO,
    ) as stream:
        pieces = [piece async for piece in stream.text_stream]
        final = await stream.get_final_message()

    assert final.content[0].type == "text"
    assert "".join(pieces) == final.content[0].text
    assert final.stop_reason == "end_turn"


async def test_raw_events(client: anthropic.AsyncAnthropic) -> None:
    stream = await client.messages.create(
        model="sim-n8",
        max_tokens=64,
        messages=HELLO,
        stream=True,
    )
    kinds = [event.type async for event in stream]

    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"


async def test_tools(client: anthropic.AsyncAnthropic) -> None:
    async with client.messages.stream(
        model="sim-tool2",
        max_tokens=64,
        messages=HELLO,
        tools=TOOLS,
    ) as stream:
        final = await stream.get_final_message()

    assert [block.type for block in final.content].count("tool_use") == 2
    assert final.stop_reason == "tool_use"


async def test_thinking(client: anthropic.AsyncAnthropic) -> None:
    answer = await client.messages.create(
        model="sim-n8",
        max_tokens=2048,
        messages=HELLO,
        thinking={"type": "enabled", "budget_tokens": 1024},
    )

    assert answer.content[0].type == "thinking"
    assert answer.content[0].signature


async def test_count_tokens(client: anthropic.AsyncAnthropic) -> None:
    answer = await client.messages.count_tokens(model="sim", messages=HELLO)

    assert answer.input_tokens > 0


async def test_errors_arrive_as_the_clients_own(proxy: Proxy) -> None:
    async with anthropic.AsyncAnthropic(
        api_key="sk-wrong", base_url=proxy.url, max_retries=0
    ) as stranger:
        with pytest.raises(anthropic.AuthenticationError) as refused:
            await stranger.messages.create(model="sim", max_tokens=1, messages=HELLO)
    assert isinstance(refused.value.body, dict)
    assert refused.value.body["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("fault", ["chunk_fin", "nodone", "eof_half"])
async def test_a_stream_cut_short_raises(client: anthropic.AsyncAnthropic, fault: str) -> None:
    with pytest.raises(anthropic.APIError):
        async with client.messages.stream(
            model=f"sim-n20-d1-{fault}",
            max_tokens=64,
            messages=HELLO,
        ) as stream:
            await stream.get_final_message()


async def test_models(client: anthropic.AsyncAnthropic) -> None:
    assert [model.id async for model in client.models.list()] == []


def test_the_synchronous_client(proxy_process: str) -> None:
    with anthropic.Anthropic(api_key=KEY, base_url=proxy_process, max_retries=0) as client:
        answer = client.messages.create(model="sim-n8", max_tokens=64, messages=HELLO)

    assert answer.content
