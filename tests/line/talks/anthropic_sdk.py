"""The official Anthropic client: messages with thinking, its tool runner, and answers in JSON."""

from __future__ import annotations

from typing import Any

from tests.line.talks.common import PARAMETERS, QUESTION, Where, alone, hold, weather

alone()

import anthropic  # noqa: E402
from pydantic import BaseModel  # noqa: E402

COMMON: dict[str, Any] = {"max_tokens": 4096, "system": "Be brief."}
THINKING = {"type": "enabled", "budget_tokens": 1024}


class Weather(BaseModel):
    """An answer in JSON."""

    city: str
    degrees: int
    sunny: bool


def client(where: Where) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=where.url, api_key=where.key, max_retries=0)


async def messages(where: Where, stream: bool) -> dict[str, Any]:
    told: list[Any] = [{"role": "user", "content": QUESTION}]
    cities: list[str] = []
    tools = [{"name": "get_weather", "description": "The weather", "input_schema": PARAMETERS}]
    more: Any = {"model": where.model, "tools": tools, "thinking": THINKING, **COMMON}
    async with client(where) as api:
        while True:
            if stream:
                async with api.messages.stream(messages=told, **more) as events:
                    answer: Any = await events.get_final_message()
            else:
                answer = await api.messages.create(messages=told, **more)
            if answer.stop_reason != "tool_use":
                return {
                    "text": "".join(one.text for one in answer.content if one.type == "text"),
                    "cities": cities,
                    "finish": answer.stop_reason,
                    "output": answer.usage.output_tokens,
                }
            told.append({"role": "assistant", "content": answer.content})
            results = []
            for call in [one for one in answer.content if one.type == "tool_use"]:
                cities.append(call.input["city"])
                results.append(
                    {"type": "tool_result", "tool_use_id": call.id, "content": weather(cities[-1])}
                )
            told.append({"role": "user", "content": results})


async def runner(where: Where, stream: bool) -> dict[str, Any]:
    cities: list[str] = []

    async def get_weather(city: str) -> str:
        """The weather.

        Args:
            city: Where
        """
        cities.append(city)
        return weather(city)

    more: Any = {
        "model": where.model,
        "tools": [anthropic.beta_async_tool(get_weather)],
        "thinking": THINKING,
        **COMMON,
    }
    last: Any = None
    async with client(where) as api:
        told: Any = [{"role": "user", "content": QUESTION}]
        async for step in api.beta.messages.tool_runner(messages=told, stream=stream, **more):
            last = await step.get_final_message() if stream else step
    return {
        "text": "".join(one.text for one in last.content if one.type == "text"),
        "cities": cities,
        "finish": last.stop_reason,
        "output": last.usage.output_tokens,
    }


async def parsed(where: Where, stream: bool) -> dict[str, Any]:
    told: Any = [{"role": "user", "content": QUESTION}]
    more: Any = {"model": where.model, "messages": told, "output_format": Weather, **COMMON}
    async with client(where) as api:
        if stream:
            async with api.messages.stream(**more) as events:
                answer: Any = await events.get_final_message()
        else:
            answer = await api.messages.parse(**more)
    return {"parsed": answer.parsed_output.model_dump()}


if __name__ == "__main__":
    hold(
        {
            "messages": (messages, "n6-tool2-think-signed-strict"),
            "runner": (runner, "n6-tool-think-signed-strict"),
            "parsed": (parsed, "n6-strict"),
        }
    )
