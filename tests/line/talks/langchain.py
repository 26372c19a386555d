"""LangChain: its chat models over the three vendors' clients, with tools bound to them."""

from __future__ import annotations

from typing import Any

from tests.line.talks.common import QUESTION, Where, alone, hold, weather

alone()

from langchain_anthropic import ChatAnthropic  # noqa: E402
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage  # noqa: E402
from langchain_core.tools import tool  # noqa: E402
from langchain_google_genai import ChatGoogleGenerativeAI  # noqa: E402
from langchain_openai import ChatOpenAI  # noqa: E402


def get_weather(city: str) -> str:
    """The weather."""
    return weather(city)


def _openai(where: Where, **more: Any) -> Any:
    return ChatOpenAI(
        model=where.model, base_url=where.url + "/v1", api_key=where.key, max_retries=0, **more
    )


async def chat(where: Where, stream: bool) -> dict[str, Any]:
    return await _talk(_openai(where, use_responses_api=False, stream_usage=True), stream)


async def responses(where: Where, stream: bool) -> dict[str, Any]:
    model = _openai(
        where,
        use_responses_api=True,
        store=False,
        include=["reasoning.encrypted_content"],
        reasoning={"effort": "low", "summary": "auto"},
    )
    return await _talk(model, stream)


async def messages(where: Where, stream: bool) -> dict[str, Any]:
    model = ChatAnthropic(
        model=where.model,
        anthropic_api_url=where.url,
        api_key=where.key,
        max_retries=0,
        max_tokens=4096,
        thinking={"type": "enabled", "budget_tokens": 1024},
    )
    return await _talk(model, stream)


async def gemini(where: Where, stream: bool) -> dict[str, Any]:
    model = ChatGoogleGenerativeAI(
        model=where.model,
        base_url=where.url,
        api_key=where.key,
        max_retries=1,
        include_thoughts=True,
    )
    return await _talk(model, stream)


async def _talk(model: Any, stream: bool) -> dict[str, Any]:
    bound = model.bind_tools([tool(get_weather)])
    told: list[Any] = [SystemMessage("Be brief."), HumanMessage(QUESTION)]
    cities: list[str] = []
    while True:
        answer = await _answer(bound, told, stream)
        if not answer.tool_calls:
            usage = answer.usage_metadata or {}
            return {
                "text": answer.text if isinstance(answer.text, str) else answer.text(),
                "cities": cities,
                "output": usage.get("output_tokens", 0),
            }
        told.append(answer)
        for call in answer.tool_calls:
            cities.append(call["args"]["city"])
            told.append(ToolMessage(weather(cities[-1]), tool_call_id=call["id"]))


async def _answer(model: Any, told: list[Any], stream: bool) -> Any:
    if not stream:
        return await model.ainvoke(told)
    whole: Any = None
    async for chunk in model.astream(told):
        whole = chunk if whole is None else whole + chunk
    return whole


if __name__ == "__main__":
    hold(
        {
            "chat": (chat, "n6-tool2-strict"),
            "responses": (responses, "n6-tool2-signed-strict"),
            "messages": (messages, "n6-tool2-think-signed-strict"),
            "gemini": (gemini, "n6-tool2-think-signed-strict"),
        }
    )
