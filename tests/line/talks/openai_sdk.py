"""The official OpenAI client: chat and Responses, whole, with the stream helpers, and into pydantic models."""

from __future__ import annotations

import json
from typing import Any

from tests.line.talks.common import PARAMETERS, QUESTION, Where, alone, hold, weather

alone()

import openai  # noqa: E402
from pydantic import BaseModel  # noqa: E402

FUNCTION = {"name": "get_weather", "description": "The weather", "parameters": PARAMETERS}


class Weather(BaseModel):
    """An answer in JSON."""

    city: str
    degrees: int
    sunny: bool


def client(where: Where) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=where.url + "/v1", api_key=where.key, max_retries=0)


async def chat(where: Where, stream: bool) -> dict[str, Any]:
    messages: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": QUESTION},
    ]
    cities: list[str] = []
    more: Any = {"model": where.model, "tools": [{"type": "function", "function": FUNCTION}]}
    async with client(where) as api:
        while True:
            answer = await _chat(api, stream, messages=messages, reasoning_effort="low", **more)
            choice = answer.choices[0]
            if choice.finish_reason != "tool_calls":
                return {
                    "text": choice.message.content,
                    "cities": cities,
                    "finish": choice.finish_reason,
                    "output": answer.usage.completion_tokens if answer.usage else 0,
                }
            messages.append(_kept(choice.message.model_dump(exclude_none=True)))
            for call in choice.message.tool_calls:
                cities.append(json.loads(call.function.arguments)["city"])
                messages.append(
                    {"role": "tool", "tool_call_id": call.id, "content": weather(cities[-1])}
                )


def _kept(message: dict[str, Any]) -> dict[str, Any]:
    """As people keep it: without what the helper has parsed out of it."""
    message.pop("parsed", None)
    message.pop("annotations", None)
    for call in message.get("tool_calls", ()):
        call.pop("index", None)
        call["function"].pop("parsed_arguments", None)
    return message


async def _chat(api: openai.AsyncOpenAI, stream: bool, **more: Any) -> Any:
    if not stream:
        return await api.chat.completions.create(**more)
    more["stream_options"] = {"include_usage": True}
    async with api.chat.completions.stream(**more) as events:
        async for _ in events:
            pass
        return await events.get_final_completion()


async def chat_parsed(where: Where, stream: bool) -> dict[str, Any]:
    more: Any = {
        "model": where.model,
        "messages": [{"role": "user", "content": QUESTION}],
        "response_format": Weather,
    }
    async with client(where) as api:
        if stream:
            answer = await _chat(api, True, **more)
        else:
            answer = await api.chat.completions.parse(**more)
    return {"parsed": answer.choices[0].message.parsed.model_dump()}


async def responses(where: Where, stream: bool) -> dict[str, Any]:
    told: list[Any] = [{"role": "user", "content": QUESTION}]
    cities: list[str] = []
    more: Any = {
        "model": where.model,
        "tools": [{"type": "function", **FUNCTION}],
        "instructions": "Be brief.",
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "reasoning": {"effort": "low", "summary": "auto"},
    }
    async with client(where) as api:
        while True:
            answer = await _respond(api, stream, input=told, **more)
            calls = [item for item in answer.output if item.type == "function_call"]
            if not calls:
                return {
                    "text": answer.output_text,
                    "cities": cities,
                    "finish": answer.status,
                    "output": answer.usage.output_tokens if answer.usage else 0,
                }
            told += [_item(item) for item in answer.output]
            for call in calls:
                cities.append(json.loads(call.arguments)["city"])
                output = weather(cities[-1])
                told.append(
                    {"type": "function_call_output", "call_id": call.call_id, "output": output}
                )


def _item(item: Any) -> dict[str, Any]:
    kept: dict[str, Any] = item.model_dump(exclude_none=True)
    kept.pop("parsed_arguments", None)
    for part in kept.get("content") or ():
        part.pop("parsed", None)
    return kept


async def _respond(api: openai.AsyncOpenAI, stream: bool, **more: Any) -> Any:
    if not stream:
        return await api.responses.create(**more)
    async with api.responses.stream(**more) as events:
        async for _ in events:
            pass
        return await events.get_final_response()


async def responses_parsed(where: Where, stream: bool) -> dict[str, Any]:
    more: Any = {"model": where.model, "input": QUESTION, "text_format": Weather, "store": False}
    async with client(where) as api:
        if stream:
            answer = await _respond(api, True, **more)
        else:
            answer = await api.responses.parse(**more)
    return {"parsed": answer.output_parsed.model_dump()}


if __name__ == "__main__":
    hold(
        {
            "chat": (chat, "n6-tool2-think-signed-strict"),
            "chat_parsed": (chat_parsed, "n6-strict"),
            "responses": (responses, "n6-tool2-signed-strict"),
            "responses_parsed": (responses_parsed, "n6-strict"),
        }
    )
