"""The OpenAI Agents SDK: an agent with a function tool, over chat and over Responses."""

from __future__ import annotations

from typing import Any

from tests.line.talks.common import QUESTION, Where, alone, hold, weather

alone()

import openai  # noqa: E402
from agents import (  # noqa: E402
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai.types.shared import Reasoning  # noqa: E402

set_tracing_disabled(True)


def _client(where: Where) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=where.url + "/v1", api_key=where.key, max_retries=0)


async def chat(where: Where, stream: bool) -> dict[str, Any]:
    async with _client(where) as client:
        model = OpenAIChatCompletionsModel(where.model, openai_client=client)
        return await _talk(model, stream, ModelSettings(include_usage=True))


async def responses(where: Where, stream: bool) -> dict[str, Any]:
    settings = ModelSettings(
        store=False,
        response_include=["reasoning.encrypted_content"],
        reasoning=Reasoning(effort="low", summary="auto"),
    )
    async with _client(where) as client:
        return await _talk(
            OpenAIResponsesModel(where.model, openai_client=client), stream, settings
        )


async def _talk(model: Any, stream: bool, settings: Any) -> dict[str, Any]:
    cities: list[str] = []

    def get_weather(city: str) -> str:
        """The weather."""
        cities.append(city)
        return weather(city)

    agent = Agent(
        name="Weather",
        instructions="Be brief.",
        model=model,
        tools=[function_tool(get_weather)],
        model_settings=settings,
    )
    if stream:
        run: Any = Runner.run_streamed(agent, QUESTION)
        async for _ in run.stream_events():
            pass
    else:
        run = await Runner.run(agent, QUESTION)
    usage = run.context_wrapper.usage
    return {"text": run.final_output, "cities": cities, "output": usage.output_tokens}


if __name__ == "__main__":
    hold(
        {
            "chat": (chat, "n6-tool2-strict"),
            "responses": (responses, "n6-tool2-signed-strict"),
        }
    )
