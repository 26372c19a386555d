"""Google's own client: a chat whose functions are called by the client itself, and answers in JSON."""

from __future__ import annotations

from typing import Any

from tests.line.talks.common import QUESTION, Where, alone, hold, weather

alone()

from google import genai  # noqa: E402
from google.genai import types  # noqa: E402
from pydantic import BaseModel  # noqa: E402


class Weather(BaseModel):
    """An answer in JSON."""

    city: str
    degrees: int
    sunny: bool


def client(where: Where) -> genai.Client:
    return genai.Client(api_key=where.key, http_options=types.HttpOptions(base_url=where.url))


async def chat(where: Where, stream: bool) -> dict[str, Any]:
    cities: list[str] = []

    def get_weather(city: str) -> str:
        """The weather."""
        cities.append(city)
        return weather(city)

    config = types.GenerateContentConfig(
        tools=[get_weather],
        system_instruction="Be brief.",
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_level="LOW"),
    )
    async with client(where).aio as api:
        talk = api.chats.create(model=where.model, config=config)
        if stream:
            chunks = [chunk async for chunk in await talk.send_message_stream(QUESTION)]
            said = [chunk.text or "" for chunk in chunks if not chunk.function_calls]
            last = chunks[-1]
            return _told("".join(said), cities, last)
        answer = await talk.send_message(QUESTION)
        return _told(answer.text, cities, answer)


def _told(text: str, cities: list[str], last: Any) -> dict[str, Any]:
    return {
        "text": text,
        "cities": cities,
        "finish": last.candidates[0].finish_reason.value,
        "output": last.usage_metadata.candidates_token_count,
    }


async def parsed(where: Where, stream: bool) -> dict[str, Any]:
    config = types.GenerateContentConfig(
        response_mime_type="application/json", response_schema=Weather
    )
    more: Any = {"model": where.model, "contents": QUESTION, "config": config}
    async with client(where).aio as api:
        if not stream:
            answer = await api.models.generate_content(**more)
            return {"parsed": answer.parsed.model_dump()}
        chunks = await api.models.generate_content_stream(**more)
        text = "".join([chunk.text or "" async for chunk in chunks])
        return {"parsed": Weather.model_validate_json(text).model_dump()}


if __name__ == "__main__":
    hold(
        {
            "chat": (chat, "n6-tool2-think-signed-strict"),
            "parsed": (parsed, "n6-strict"),
        }
    )
