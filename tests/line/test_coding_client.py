"""An agentic coding client's traffic: the Anthropic client, as such programs use it, and a provider that only speaks chat.

Long system prompt with cache marks, thirty tools, thinking, several rounds of parallel calls whose results come back
with text, a picture and an error among them, token counts in between; all of it streamed. What the provider was
asked is read from its ledger.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import orjson
import pytest

from proxy.simulator.openai_other import PNG
from tests.line.harness import KEY, Proxy, Simulator, config, serving

pytestmark = pytest.mark.allow_blocking(
    "client libraries build TLS contexts and models in the loop"
)

MODEL = "sim-n5-tool2-rounds3-think-signed-strict-look"
RULES = "You are a careful programmer. " * 400
SYSTEM: Any = [
    {"type": "text", "text": RULES},
    {"type": "text", "text": "The project is in /src.", "cache_control": {"type": "ephemeral"}},
]
THINKING: Any = {"type": "enabled", "budget_tokens": 4096}
PICTURE: Any = {
    "type": "image",
    "source": {
        "type": "base64",
        "media_type": "image/png",
        "data": base64.b64encode(PNG).decode(),
    },
}


def tools() -> Any:
    """Thirty of them, the last one marked for the cache as such clients do."""
    offered: list[dict[str, Any]] = [
        {
            "name": f"{verb}_{thing}",
            "description": f"{verb.title()} a {thing}. " * 20,
            "input_schema": {
                "type": "object",
                "properties": {
                    "path": {"type": "string", "description": "Where"},
                    "limit": {"type": "integer", "minimum": 1},
                    "options": {"type": "array", "items": {"enum": ["fast", "deep"]}},
                },
                "required": ["path", "limit"],
                "additionalProperties": False,
                "$schema": "http://json-schema.org/draft-07/schema#",
            },
        }
        for verb in ("read", "write", "search", "run", "list", "move")
        for thing in ("file", "folder", "test", "task", "page")
    ]
    offered[-1]["cache_control"] = {"type": "ephemeral"}
    return offered


RESULTS: list[list[Any]] = [
    # The rounds: what each of the two calls of a round gets back.
    [{"content": "def main(): ..."}, {"content": [{"type": "text", "text": "2 passed"}]}],
    [
        {"content": [{"type": "text", "text": "a screenshot"}, PICTURE]},
        {"content": "no such file", "is_error": True},
    ],
    [{"content": "done", "cache_control": {"type": "ephemeral"}}, {"content": ""}],
]


@pytest.fixture
async def proxy(sim: Simulator, tmp_path: Path) -> AsyncIterator[Proxy]:
    content = config(sim.url)
    content["providers"]["p0"]["dialects"] = ["openai.chat"]
    content["models"] = {"claude-*": {"deployments": [{"provider": "p0", "model": "*"}]}}
    async with serving(content, tmp_path) as proxy:
        yield proxy


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(api_key=KEY, base_url=proxy.url, max_retries=0) as client:
        yield client


class Session:
    """One working session."""

    def __init__(self, client: anthropic.AsyncAnthropic, model: str) -> None:
        self.client = client
        self.common: Any = {
            "model": f"claude-{model}",
            "system": SYSTEM,
            "tools": tools(),
            "thinking": THINKING,
            "extra_headers": {
                "anthropic-beta": "interleaved-thinking-2025-05-14,fine-grained-tool-streaming-2025-05-14"
            },
        }
        self.told: list[Any] = [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "<reminder>Today is Friday.</reminder>"},
                    {"type": "text", "text": "Fix it.", "cache_control": {"type": "ephemeral"}},
                ],
            }
        ]
        self.answers: list[Any] = []
        self.counts: list[int] = []

    async def work(self) -> Any:
        """Until the model has nothing left to call."""
        for results in [*RESULTS, []]:
            counted = await self.client.messages.count_tokens(messages=self.told, **self.common)
            self.counts.append(counted.input_tokens)
            async with self.client.messages.stream(
                messages=self.told, max_tokens=16000, metadata={"user_id": "someone"}, **self.common
            ) as stream:
                answer: Any = await stream.get_final_message()
            self.answers.append(answer)
            if answer.stop_reason != "tool_use":
                return answer
            # As these programs do it: what came goes back, as it came.
            self.told.append({"role": "assistant", "content": answer.content})
            calls = [block for block in answer.content if block.type == "tool_use"]
            self.told.append(
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": call.id, **result}
                        for call, result in zip(calls, results, strict=True)
                    ],
                }
            )
        raise AssertionError("it never came to an end")


async def asked(sim: Simulator, model: str) -> list[dict[str, Any]]:
    """The chat completions the provider was asked for."""
    return [
        orjson.loads(base64.b64decode(one["body"]))
        for one in await sim.requests(model)
        if one["target"].endswith("/chat/completions")
    ]


async def test_a_session_of_several_rounds_comes_to_its_end(
    client: anthropic.AsyncAnthropic,
) -> None:
    session = Session(client, f"{MODEL}-idend")

    answer = await session.work()

    text = answer.content[-1].text
    assert text.startswith("The tools said: ")
    assert "I see 1 image." in text
    assert answer.stop_reason == "end_turn"
    assert [one.stop_reason for one in session.answers] == ["tool_use"] * 3 + ["end_turn"]
    for one in session.answers[:3]:
        assert [block.type for block in one.content] == ["thinking", "tool_use", "tool_use"]
        assert one.content[0].thinking
        assert one.content[1].input["limit"] == 1
        assert one.content[1].id != one.content[2].id
    assert all(one.usage.output_tokens > 0 for one in session.answers)


async def test_tokens_are_counted_although_the_provider_cannot(
    client: anthropic.AsyncAnthropic,
) -> None:
    session = Session(client, f"{MODEL}-idcount")

    await session.work()

    assert session.counts == sorted(session.counts)
    assert session.counts[0] > 2000


async def test_the_provider_is_asked_as_a_chat_provider_is(
    client: anthropic.AsyncAnthropic, sim: Simulator
) -> None:
    model = f"{MODEL}-idasked"
    await Session(client, model).work()

    *_, body = await asked(sim, model)

    system, user, *_ = body["messages"]
    assert body["model"] == model
    assert body["stream_options"] == {"include_usage": True}
    assert system["role"] in ("system", "developer")
    assert RULES in str(system["content"])
    assert "The project is in /src." in str(system["content"])
    assert user["role"] == "user"
    assert "Fix it." in str(user["content"])
    assert len(body["tools"]) == 30
    assert {tool["type"] for tool in body["tools"]} == {"function"}
    assert body["tools"][0]["function"]["parameters"]["required"] == ["path", "limit"]


async def test_every_call_is_followed_by_its_result(
    client: anthropic.AsyncAnthropic, sim: Simulator
) -> None:
    model = f"{MODEL}-idresults"
    await Session(client, model).work()

    *_, body = await asked(sim, model)

    rounds = [message for message in body["messages"] if message.get("tool_calls")]
    results = {
        message["tool_call_id"]: message["content"]
        for message in body["messages"]
        if message["role"] == "tool"
    }
    assert len(rounds) == 3
    said = [str(results.pop(call["id"])) for one in rounds for call in one["tool_calls"]]
    assert not results
    for found, wanted in zip(
        said, ["main()", "2 passed", "screenshot", "no such file", "done", ""], strict=True
    ):
        assert wanted in found
    assert all(one["reasoning_content"] for one in rounds), "thoughts go back to who thought them"


async def test_a_picture_in_a_result_reaches_the_provider(
    client: anthropic.AsyncAnthropic, sim: Simulator
) -> None:
    model = f"{MODEL}-idpicture"
    await Session(client, model).work()

    *_, body = await asked(sim, model)

    places = [
        (index, part)
        for index, message in enumerate(body["messages"])
        if isinstance(message["content"], list)
        for part in message["content"]
        if part["type"] == "image_url"
    ]
    [(index, picture)] = places
    assert picture["image_url"]["url"].endswith(PICTURE["source"]["data"])
    assert body["messages"][index]["role"] == "user"
    assert body["messages"][index - 1]["role"] == "tool"


async def test_the_beginning_of_a_conversation_stays_the_same(
    client: anthropic.AsyncAnthropic, sim: Simulator
) -> None:
    model = f"{MODEL}-idprefix"
    await Session(client, model).work()

    bodies = await asked(sim, model)

    for before, after in itertools.pairwise(bodies):
        assert after["messages"][: len(before["messages"])] == before["messages"]
        assert after["tools"] == before["tools"], "a provider's cache lives on this"


@pytest.mark.parametrize("fault", ["529", "context", "policy"])
async def test_a_providers_refusal_arrives_as_the_clients_own(
    client: anthropic.AsyncAnthropic, fault: str
) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        await Session(client, f"sim-{fault}-idrefused").work()

    assert isinstance(caught.value.body, dict)
    assert caught.value.body["type"] == "error"
    assert caught.value.body["error"]["message"]
