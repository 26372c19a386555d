"""pydantic-ai: an agent with a tool, over each of its model classes."""

from __future__ import annotations

from typing import Any

from tests.line.talks.common import QUESTION, Where, alone, hold, weather

alone()

from pydantic_ai import Agent  # noqa: E402
from pydantic_ai.models.anthropic import AnthropicModel  # noqa: E402
from pydantic_ai.models.google import GoogleModel  # noqa: E402
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel  # noqa: E402
from pydantic_ai.profiles.openai import OpenAIModelProfile  # noqa: E402
from pydantic_ai.providers.anthropic import AnthropicProvider  # noqa: E402
from pydantic_ai.providers.google import GoogleProvider  # noqa: E402
from pydantic_ai.providers.openai import OpenAIProvider  # noqa: E402


def _openai(where: Where) -> Any:
    return OpenAIProvider(base_url=where.url + "/v1", api_key=where.key)


async def chat(where: Where, stream: bool) -> dict[str, Any]:
    return await _talk(OpenAIChatModel(where.model, provider=_openai(where)), stream)


async def responses(where: Where, stream: bool) -> dict[str, Any]:
    settings = {
        "openai_reasoning_effort": "low",
        "openai_reasoning_summary": "auto",
        "openai_store": False,
    }
    # As the library knows of models it has heard of.
    profile = OpenAIModelProfile(openai_supports_encrypted_reasoning_content=True)
    model = OpenAIResponsesModel(where.model, provider=_openai(where), profile=profile)
    return await _talk(model, stream, settings)


async def messages(where: Where, stream: bool) -> dict[str, Any]:
    provider = AnthropicProvider(base_url=where.url, api_key=where.key)
    thinking = {"type": "enabled", "budget_tokens": 1024}
    settings = {"max_tokens": 4096, "anthropic_thinking": thinking}
    return await _talk(AnthropicModel(where.model, provider=provider), stream, settings)


async def gemini(where: Where, stream: bool) -> dict[str, Any]:
    provider = GoogleProvider(base_url=where.url, api_key=where.key)
    settings = {"google_thinking_config": {"include_thoughts": True}}
    return await _talk(GoogleModel(where.model, provider=provider), stream, settings)


async def _talk(model: Any, stream: bool, settings: Any = None) -> dict[str, Any]:
    cities: list[str] = []

    def get_weather(city: str) -> str:
        """The weather."""
        cities.append(city)
        return weather(city)

    agent = Agent(
        model, instructions="Be brief.", model_settings=settings, retries=0, tools=[get_weather]
    )
    if not stream:
        answer = await agent.run(QUESTION)
        return {"text": answer.output, "cities": cities, "output": answer.usage.output_tokens}
    async with agent.run_stream(QUESTION) as run:
        text = await run.get_output()
        return {"text": text, "cities": cities, "output": run.usage.output_tokens}


if __name__ == "__main__":
    hold(
        {
            "chat": (chat, "n6-tool2-think-strict"),
            "responses": (responses, "n6-tool2-signed-strict"),
            "messages": (messages, "n6-tool2-think-signed-strict"),
            "gemini": (gemini, "n6-tool2-think-signed-strict"),
        }
    )
