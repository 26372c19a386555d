"""What an answer says, read in the client's dialect as its vendor documents it: whole, or put together from a stream.

The same `Said` for every dialect, so that a test can compare it with what the provider is known to have said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from tests.line.harness import Answer

Json = dict[str, Any]


class Called(NamedTuple):
    """A call to answer."""

    id: str
    name: str
    arguments: Json


class Used(NamedTuple):
    """Tokens, whichever way a dialect counts them."""

    input: int = 0
    """With those that were cached."""
    cached: int = 0
    output: int = 0
    """With those that were thought."""
    thought: int = 0


@dataclass
class Said:
    """An answer."""

    text: str = ""
    refusal: str = ""
    thoughts: str = ""
    calls: list[Called] = field(default_factory=list)
    finish: str = ""
    """In the client's own word."""
    stop: str = ""
    """The stop sequence that was met, where a dialect says so."""
    used: Used = field(default_factory=Used)
    echo: tuple[Json, ...] = ()
    """What a client keeps of it and gives back: messages, items, blocks or parts, as they came."""


# --- chat ---------------------------------------------------------------------------------------------------


def chat(answer: Answer, stream: bool) -> Said:
    """A chat completion."""
    if stream:
        message, finish, usage = _chat_stream(answer)
    else:
        [choice] = answer.json["choices"]
        message, finish, usage = choice["message"], choice["finish_reason"], answer.json["usage"]
    calls = [
        Called(one["id"], one["function"]["name"], orjson.loads(one["function"]["arguments"]))
        for one in message.get("tool_calls") or []
    ]
    return Said(
        text=message.get("content") or "",
        refusal=message.get("refusal") or "",
        thoughts=message.get("reasoning_content") or "",
        calls=calls,
        finish=finish,
        used=_chat_usage(usage),
        echo=({name: value for name, value in message.items() if value is not None},),
    )


def _chat_stream(answer: Answer) -> tuple[Json, str, Json]:
    message: Json = {}
    finish = ""
    usage: Json = {}
    for chunk in answer.events[:-1]:
        for choice in chunk["choices"]:
            _accumulate(message, choice["delta"])
            finish = choice["finish_reason"] or finish
        usage = chunk.get("usage") or usage
    for call in message.get("tool_calls") or []:
        del call["index"]
    return message, finish, usage


def _accumulate(into: Json, delta: Json) -> None:
    """As OpenAI's client does it: texts follow each other, lists are merged by `index`."""
    for name, value in delta.items():
        old = into.get(name)
        if old is None:
            into[name] = value
        elif isinstance(value, str):
            if name not in ("index", "type", "role"):
                into[name] = old + value
        elif isinstance(value, dict):
            _accumulate(old, value)
        elif isinstance(value, list):
            for entry in value:
                if entry["index"] < len(old):
                    _accumulate(old[entry["index"]], entry)
                else:
                    old.append(entry)


def _chat_usage(usage: Json) -> Used:
    return Used(
        usage["prompt_tokens"],
        (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
        usage["completion_tokens"],
        (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0,
    )


# --- text completions ---------------------------------------------------------------------------------------


def completions(answer: Answer, stream: bool) -> Said:
    """A text completion."""
    said = Said()
    for chunk in answer.events[:-1] if stream else [answer.json]:
        for choice in chunk["choices"]:
            said.text += choice["text"]
            said.finish = choice["finish_reason"] or said.finish
        if chunk.get("usage"):
            said.used = _chat_usage(chunk["usage"])
    return said


# --- Responses ----------------------------------------------------------------------------------------------


def responses(answer: Answer, stream: bool) -> Said:
    """A response; of a stream, its last event, which must be what the others have told."""
    events = answer.events if stream else []
    body = events[-1]["response"] if stream else answer.json
    said = Said(finish=body["status"], echo=tuple(body["output"]))
    for item in body["output"]:
        _item(said, item)
    if body["incomplete_details"]:
        said.finish = body["incomplete_details"]["reason"]
    if stream:
        told = {"response.output_text.delta": "", "response.reasoning_summary_text.delta": ""}
        for event in events:
            if event["type"] in told:
                told[event["type"]] += event["delta"]
        assert list(told.values()) == [said.text, said.thoughts]
    usage = body["usage"]
    said.used = Used(
        usage["input_tokens"],
        usage["input_tokens_details"]["cached_tokens"],
        usage["output_tokens"],
        usage["output_tokens_details"]["reasoning_tokens"],
    )
    return said


def _item(said: Said, item: Json) -> None:
    match item["type"]:
        case "message":
            for part in item["content"]:
                said.text += part.get("text", "")
                said.refusal += part.get("refusal", "")
        case "reasoning":
            said.thoughts += "".join(part["text"] for part in item["summary"])
        case "function_call":
            arguments = orjson.loads(item["arguments"])
            said.calls.append(Called(item["call_id"], item["name"], arguments))
        case _:
            pass


# --- Messages -----------------------------------------------------------------------------------------------


def messages(answer: Answer, stream: bool) -> Said:
    """A message."""
    body = _message_stream(answer) if stream else answer.json
    said = Said(finish=body["stop_reason"], stop=body["stop_sequence"] or "")
    said.echo = tuple(body["content"])
    for block in body["content"]:
        said.text += block.get("text", "")
        said.thoughts += block.get("thinking", "")
        if block["type"] == "tool_use":
            said.calls.append(Called(block["id"], block["name"], block["input"]))
    usage = body["usage"]
    cached = usage.get("cache_read_input_tokens") or 0
    said.used = Used(usage["input_tokens"] + cached, cached, usage["output_tokens"])
    return said


_DELTAS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


def _message_stream(answer: Answer) -> Json:
    """As Anthropic's client puts it together."""
    message: Json = {}
    arguments: dict[int, str] = {}
    for event in answer.events:
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                message["content"].append(event["content_block"])
            case "content_block_delta":
                block, delta = message["content"][event["index"]], event["delta"]
                if delta["type"] == "input_json_delta":
                    told = arguments.get(event["index"], "") + delta["partial_json"]
                    arguments[event["index"]] = told
                else:
                    name = _DELTAS[delta["type"]]
                    block[name] = block[name] + delta[name]
            case "message_delta":
                message |= event["delta"]
                counted = {k: v for k, v in event["usage"].items() if v is not None}
                message["usage"] |= counted
            case _:
                pass
    for index, text in arguments.items():
        message["content"][index]["input"] = orjson.loads(text or "{}")
    return message


# --- Gemini -------------------------------------------------------------------------------------------------


def gemini(answer: Answer, stream: bool) -> Said:
    """Generated content."""
    said = Said()
    for chunk in answer.events if stream else [answer.json]:
        for candidate in chunk.get("candidates") or []:
            parts = (candidate.get("content") or {}).get("parts") or []
            said.echo += tuple(parts)
            for part in parts:
                _part(said, part)
            said.finish = candidate.get("finishReason") or said.finish
        usage = chunk.get("usageMetadata") or {}
        thought = usage.get("thoughtsTokenCount") or 0
        said.used = Used(
            usage.get("promptTokenCount") or 0,
            usage.get("cachedContentTokenCount") or 0,
            (usage.get("candidatesTokenCount") or 0) + thought,
            thought,
        )
    return said


def _part(said: Said, part: Json) -> None:
    if "functionCall" in part:
        call = part["functionCall"]
        said.calls.append(Called(call["id"], call["name"], call.get("args") or {}))
    elif part.get("thought"):
        said.thoughts += part.get("text", "")
    else:
        said.text += part.get("text", "")


READERS: Mapping[str, Callable[[Answer, bool], Said]] = {
    "chat": chat,
    "responses": responses,
    "messages": messages,
    "gemini": gemini,
    "completions": completions,
}
