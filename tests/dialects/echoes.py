"""Answers as clients give them back: added to the conversation, the calls answered, and asked again.

Nobody but the client keeps the conversation, so whatever a provider wants back must survive this.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from openai.lib.streaming._deltas import accumulate_delta

from tests.dialects.checkers.reading import Json, events
from tests.dialects.examples import QUESTIONS

RESULT = "4 degrees"
_AGAIN = "Go on"


def again(client: str, body: bytes) -> bytes:
    """The next request of a client that was given a whole answer."""
    return orjson.dumps(_NEXT[client](orjson.loads(body)))


def again_after(client: str, raw: bytes) -> bytes:
    """The next request of a client that was given a stream, put together as its SDK does."""
    return orjson.dumps(_NEXT[client](_TOGETHER[client](_chunks(raw))))


def _chunks(raw: bytes) -> list[Json]:
    return [orjson.loads(event.data) for event in events(raw)[0] if event.data != "[DONE]"]


def _question(client: str) -> Json:
    return copy.deepcopy(QUESTIONS[client])


# --- the next request ---------------------------------------------------------------------------------------


def _chat(answer: Json) -> Json:
    message = {k: v for k, v in answer["choices"][0]["message"].items() if v is not None}
    message.setdefault("content", None)
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": RESULT}
        for call in message.get("tool_calls") or []
    ]
    asked = _question("openai.chat")
    asked["messages"] += [message, *results, {"role": "user", "content": _AGAIN}]
    return asked


def _messages(answer: Json) -> Json:
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": RESULT}
        for block in answer["content"]
        if block["type"] == "tool_use"
    ]
    asked = _question("anthropic.messages")
    asked["messages"] += [
        {"role": "assistant", "content": answer["content"]},
        {"role": "user", "content": [*results, {"type": "text", "text": _AGAIN}]},
    ]
    return asked


def _responses(answer: Json) -> Json:
    results = [
        {"type": f"{item['type']}_output", "call_id": item["call_id"], "output": RESULT}
        for item in answer["output"]
        if "call_id" in item
    ]
    said = {"role": "user", "content": _AGAIN}
    asked = _question("openai.responses")
    asked["input"] = [{"role": "user", "content": "Hi"}, *answer["output"], *results, said]
    return asked


def _gemini(answer: Json) -> Json:
    content = answer["candidates"][0]["content"]
    results = [
        {"functionResponse": {**part["functionCall"], "response": {"output": RESULT}}}
        for part in content["parts"]
        if "functionCall" in part
    ]
    for result in results:
        result["functionResponse"].pop("args", None)
    asked = _question("gemini.generate")
    asked["contents"] += [content, {"role": "user", "parts": [*results, {"text": _AGAIN}]}]
    return asked


_NEXT: Mapping[str, Callable[[Json], Json]] = {
    "openai.chat": _chat,
    "anthropic.messages": _messages,
    "openai.responses": _responses,
    "gemini.generate": _gemini,
}
CLIENTS = tuple(_NEXT)
"""Those who give an answer back. Legacy completions are never continued by their like."""


# --- a stream put together ----------------------------------------------------------------------------------


def _chat_together(chunks: list[Json]) -> Json:
    """By OpenAI's own rule, its trap included: lists are merged by position, strings one after another."""
    message: dict[Any, Any] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            if choice["index"] == 0:
                accumulate_delta(message, choice["delta"])
    for call in message.get("tool_calls") or []:
        call.pop("index")
    return {"choices": [{"message": message}]}


def _messages_together(chunks: list[Json]) -> Json:
    blocks: list[Json] = []
    arguments: dict[int, str] = {}
    for chunk in chunks:
        if chunk["type"] == "content_block_start":
            blocks.append(chunk["content_block"])
        elif chunk["type"] == "content_block_delta":
            delta, block = chunk["delta"], blocks[chunk["index"]]
            for key in ("text", "thinking"):
                if key in delta:
                    block[key] += delta[key]
            block.update({key: delta[key] for key in ("signature",) if key in delta})
            if "partial_json" in delta:
                arguments[chunk["index"]] = (
                    arguments.get(chunk["index"], "") + delta["partial_json"]
                )
    for index, text in arguments.items():
        blocks[index]["input"] = orjson.loads(text or "{}")
    return {"content": blocks}


def _responses_together(chunks: list[Json]) -> Json:
    found: Json = chunks[-1]["response"]
    return found


def _gemini_together(chunks: list[Json]) -> Json:
    """All parts in one turn, each as it came."""
    parts = [
        part
        for chunk in chunks
        for candidate in chunk.get("candidates") or []
        if candidate.get("index", 0) == 0
        for part in candidate.get("content", {}).get("parts") or []
    ]
    return {"candidates": [{"content": {"role": "model", "parts": parts}}]}


_TOGETHER: Mapping[str, Callable[[list[Json]], Json]] = {
    "openai.chat": _chat_together,
    "anthropic.messages": _messages_together,
    "openai.responses": _responses_together,
    "gemini.generate": _gemini_together,
}
