"""`/v1/messages`, after Anthropic's reference, its SDK and what the endpoint is known to refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_create_params import (
    MessageCreateParamsNonStreaming,
    MessageCreateParamsStreaming,
)

from tests.dialects.checkers.reading import (
    Event,
    Json,
    decode_object,
    events,
    is_base64,
    is_object,
    objects,
    twice,
    within,
)
from tests.dialects.checkers.shape import invalid, is_readable, violations

_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_THOUGHTS = ("thinking", "redacted_thinking")
# The SDK has forgotten what models before Claude 5 still take.
_SAMPLING = frozenset({"temperature", "top_p", "top_k"})
_BEYOND = {
    "MessageCreateParamsNonStreaming": _SAMPLING,
    "MessageCreateParamsStreaming": _SAMPLING,
}


# --- requests -----------------------------------------------------------------------------------------------


def check_request(body: bytes) -> list[str]:
    """Every reason for which a request would be refused."""
    request, problems = decode_object(body)
    streamed = request.get("stream") is True
    kind = MessageCreateParamsStreaming if streamed else MessageCreateParamsNonStreaming
    problems += violations(request, kind, "", _BEYOND)
    if problems:
        return problems
    return [
        *_parameters(request),
        *_thinking(request),
        *_tools(request),
        *_turns(request),
        *_caches(request),
    ]


def _parameters(request: Json) -> Iterator[str]:
    for name in _SAMPLING & request.keys():
        if not isinstance(request[name], int if name == "top_k" else int | float):
            yield f"{name}: must be a number"
            return
    if request["max_tokens"] < 1:
        yield "max_tokens: must be at least 1"
    if not request["model"]:
        yield "model: must not be empty"
    yield from within("temperature", request.get("temperature"), 0, 1)
    yield from within("top_p", request.get("top_p"), 0, 1)
    if request.get("top_k") is not None and request["top_k"] < 0:
        yield "top_k: must not be negative"
    for word in request.get("stop_sequences") or []:
        if not word.strip():
            yield f"stop_sequences: {word!r} is only white space"
    user = (request.get("metadata") or {}).get("user_id") or ""
    if len(user) > 256:
        yield "metadata.user_id: is longer than 256 characters"


def _thinking(request: Json) -> Iterator[str]:
    thinking = request.get("thinking") or {}
    if thinking.get("type") not in ("enabled", "adaptive"):
        return
    budget = thinking.get("budget_tokens")
    if budget is not None:
        if budget < 1024:
            yield f"thinking.budget_tokens: {budget} is less than 1024"
        if budget >= request["max_tokens"]:
            yield f"max_tokens: must be greater than the budget of {budget}"
    if request.get("temperature", 1) != 1:
        yield "temperature: must be 1 when thinking is on"
    if request.get("top_k") is not None:
        yield "top_k: not when thinking is on"
    if request.get("top_p") is not None and not 0.95 <= request["top_p"] <= 1:
        yield "top_p: must be between 0.95 and 1 when thinking is on"
    if (request.get("tool_choice") or {}).get("type") in ("any", "tool"):
        yield "tool_choice: must not force a tool when thinking is on"
    if request["messages"] and request["messages"][-1]["role"] == "assistant":
        yield "messages: no prefill when thinking is on"
    if thinking["type"] == "enabled":
        yield from _open_turn(request["messages"])


def _open_turn(messages: list[Json]) -> Iterator[str]:
    """The last turn of the model, if its calls have just been answered, begins with signed thoughts."""
    if not messages or messages[-1]["role"] != "user":
        return
    if not any(block["type"] == "tool_result" for block in _blocks(messages[-1])):
        return
    turn = [message for message in messages if message["role"] == "assistant"][-1:]
    first = _blocks(turn[0])[:1] if turn else []
    if not first or first[0]["type"] not in _THOUGHTS:
        yield "messages: the turn whose calls are being answered must begin with thinking"
    elif first[0]["type"] == "thinking" and not first[0]["signature"]:
        yield "messages: the thinking of the turn whose calls are being answered has no signature"


def _tools(request: Json) -> Iterator[str]:
    tools = request.get("tools") or []
    names = [tool["name"] for tool in tools if "name" in tool]
    yield from (f"tools: {name!r} is the name of two" for name in twice(names))
    for number, tool in enumerate(tools):
        where = f"tools[{number}]"
        if "input_schema" not in tool:
            continue
        if not _TOOL_NAME.fullmatch(tool["name"]):
            yield f"{where}.name: {tool['name']!r} is no name of a tool"
        if tool["input_schema"].get("type") != "object":
            yield f"{where}.input_schema.type: must be 'object'"
    choice = request.get("tool_choice")
    if choice is None:
        return
    if not tools:
        yield "tool_choice: only with tools"
    if choice["type"] == "tool" and choice["name"] not in names:
        yield f"tool_choice: there is no tool {choice['name']!r}"


def _blocks(message: Json) -> list[Json]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _turns(request: Json) -> Iterator[str]:
    messages = request["messages"]
    if not messages:
        yield "messages: must not be empty"
        return
    if messages[0]["role"] != "user":
        yield "messages[0]: must be of the user"
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        is_prefill = number == len(messages) - 1 and message["role"] == "assistant"
        if not message["content"] and not is_prefill:
            yield f"{where}.content: must not be empty"
        for position, block in enumerate(_blocks(message)):
            yield from _block(f"{where}.content[{position}]", block, message["role"])
    system = request.get("system")
    if isinstance(system, list):
        for position, block in enumerate(system):
            yield from _block(f"system[{position}]", block, "user")
    yield from _prefill(messages[-1])
    yield from _calls(_merged(messages))


def _prefill(last: Json) -> Iterator[str]:
    if last["role"] != "assistant" or not _blocks(last):
        return
    text = _blocks(last)[-1].get("text", "")
    if text != text.rstrip():
        yield "messages: the beginning of the answer must not end with white space"


def _merged(messages: list[Json]) -> list[tuple[str, list[Json]]]:
    """Turns: neighbours of the same role are one."""
    turns: list[tuple[str, list[Json]]] = []
    for message in messages:
        if turns and turns[-1][0] == message["role"]:
            turns[-1][1].extend(_blocks(message))
        else:
            turns.append((message["role"], list(_blocks(message))))
    return turns


def _calls(turns: list[tuple[str, list[Json]]]) -> Iterator[str]:
    waiting: list[str] = []
    seen: list[str] = []
    for number, (role, blocks) in enumerate(turns):
        where = f"turn {number}"
        answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        for id in answered:
            if id not in waiting:
                yield f"{where}: result {id!r} answers no tool_use of the turn before"
        yield from (f"{where}: {id!r} is answered twice" for id in twice(answered))
        if missing := [id for id in waiting if id not in answered]:
            yield f"{where}: tool_use {missing} of the turn before has no tool_result"
        kinds = [block["type"] == "tool_result" for block in blocks]
        if kinds != sorted(kinds, reverse=True):
            yield f"{where}: results must come before anything else"
        waiting = [block["id"] for block in blocks if block["type"] == "tool_use"]
        seen += waiting
        if waiting and role != "assistant":
            yield f"{where}: a tool_use must be of the assistant"
    if waiting:
        yield f"messages: tool_use {waiting} at the end has no tool_result"
    yield from (f"messages: two tool_use have the id {id!r}" for id in twice(seen))


def _block(where: str, block: Json, role: str) -> Iterator[str]:
    kind = block["type"]
    if kind in (*_THOUGHTS, "server_tool_use") and role != "assistant":
        yield f"{where}: {kind} must be of the assistant"
    if kind in ("image", "document") and role != "user":
        yield f"{where}: {kind} must be of the user"
    match kind:
        case "text":
            # Of the model's own words, white space is taken.
            if not (block["text"] if role == "assistant" else block["text"].strip()):
                yield f"{where}.text: must not be empty"
        case "tool_use":
            yield from _call(where, block)
        case "tool_result":
            yield from _result(where, block)
        case "image" | "document":
            yield from _source(f"{where}.source", block["source"])
        case "redacted_thinking" | "thinking":
            sealed = "data" if kind == "redacted_thinking" else "signature"
            if not block[sealed]:
                yield f"{where}.{sealed}: must not be empty"
        case _:
            pass


def _call(where: str, block: Json) -> Iterator[str]:
    if not _ID.fullmatch(block["id"]):
        yield f"{where}.id: {block['id']!r} is no id"
    if not _TOOL_NAME.fullmatch(block["name"]):
        yield f"{where}.name: {block['name']!r} is no name of a tool"


def _result(where: str, block: Json) -> Iterator[str]:
    if not _ID.fullmatch(block["tool_use_id"]):
        yield f"{where}.tool_use_id: {block['tool_use_id']!r} is no id"
    content = objects(block.get("content"))
    for position, part in enumerate(content):
        yield from _block(f"{where}.content[{position}]", part, "user")
    if block.get("is_error") and any(part["type"] != "text" for part in content):
        yield f"{where}.content: must be text only when is_error"


def _source(where: str, source: Json) -> Iterator[str]:
    match source["type"]:
        case "base64":
            if not is_base64(source["data"]):
                yield f"{where}.data: is not base64"
        case "url":
            if not source["url"].startswith(("https://", "http://")):
                yield f"{where}.url: is no address"
        case "text" if not source["data"]:
            yield f"{where}.data: must not be empty"
        case _:
            pass


def _caches(request: Json) -> Iterator[str]:
    """At most four marks, the long ones first."""
    parts = (request.get("tools"), request.get("system"), request["messages"])
    marks = [mark for part in parts for mark in _marks(part)]
    if len(marks) > 4:
        yield f"cache_control: {len(marks)} marks are more than 4"
    ttls = [mark.get("ttl", "5m") for mark in marks]
    if ttls != sorted(ttls):
        yield "cache_control: a mark of 1h must not come after one of 5m"


def _marks(value: Any) -> Iterator[Json]:
    if isinstance(value, list):
        for item in value:
            yield from _marks(item)
    elif isinstance(value, dict):
        # Inside first: the mark of a result stands after those of its content.
        if isinstance(value.get("content"), list):
            yield from _marks(value["content"])
        if value.get("cache_control"):
            yield value["cache_control"]


# --- answers ------------------------------------------------------------------------------------------------


def check_response(body: bytes) -> list[str]:
    """Every way in which an answer is none."""
    response, problems = decode_object(body)
    problems += violations(response, Message)
    problems = problems or invalid(response, Message)
    if problems:
        return problems
    found = [*_ended(response), *_usage(response["usage"])]
    if not response["id"].startswith("msg_"):
        found.append(f"id: {response['id']!r} does not begin with msg_")
    ids: list[str] = []
    for number, block in enumerate(response["content"]):
        found += _answer_block(f"content[{number}]", block)
        ids += [block["id"]] if block["type"] == "tool_use" else []
    found += [f"content: two tool_use have the id {id!r}" for id in twice(ids)]
    if response.get("stop_reason") == "tool_use" and not ids:
        found.append("stop_reason: tool_use without any")
    return found


def _ended(response: Json) -> Iterator[str]:
    for key in ("stop_reason", "stop_sequence"):
        if key not in response:
            yield f"{key}: is missing (it may be null)"
    if response.get("stop_reason") is None:
        yield "stop_reason: must not be null"
    if (response.get("stop_sequence") is not None) != (
        response.get("stop_reason") == "stop_sequence"
    ):
        yield "stop_sequence: goes with the stop_reason of that name, and only with it"


def _usage(usage: Json) -> Iterator[str]:
    for key, value in usage.items():
        if isinstance(value, int) and value < 0:
            yield f"usage.{key}: is negative"
    written = usage.get("cache_creation")
    if written is not None and sum(written.values()) != usage.get("cache_creation_input_tokens"):
        yield "usage.cache_creation: does not add up"
    thinking = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    if thinking > usage["output_tokens"]:
        yield "usage: there are more tokens of thinking than of output"


def _answer_block(where: str, block: Json) -> Iterator[str]:
    if block["type"] == "tool_use" and not _ID.fullmatch(block["id"]):
        yield f"{where}.id: {block['id']!r} is no id"
    if block["type"] == "tool_use" and not block["name"]:
        yield f"{where}.name: must not be empty"
    if block["type"] == "redacted_thinking" and not block["data"]:
        yield f"{where}.data: must not be empty"


# --- streams ------------------------------------------------------------------------------------------------

_DELTAS = {
    "text": ("text_delta", "citations_delta"),
    "thinking": ("thinking_delta", "signature_delta"),
    "tool_use": ("input_json_delta",),
    "server_tool_use": ("input_json_delta",),
}
_EMPTY = {"text": "text", "thinking": "thinking"}


def check_stream(raw: bytes) -> list[str]:
    """Every way in which a stream is none."""
    found, problems = events(raw)
    if not found:
        return [*problems, "stream: has no events"]
    stream = _Stream()
    for number, event in enumerate(found):
        where = f"event {number} ({event.name})"
        problems += [f"{where}: {problem}" for problem in _event(stream, event)]
    if not stream.ended:
        problems.append("stream: has no message_stop")
    return problems


def _event(stream: _Stream, event: Event) -> Iterator[str]:
    fields, broken = decode_object(event.data)
    kind = fields.get("type")
    yield from broken
    if kind != event.name:
        yield f"its type is {kind!r}"
    if stream.ended:
        yield "comes after the end"
    if kind == "ping":
        if set(fields) != {"type"}:
            yield "a ping says nothing else"
    elif kind == "error":
        stream.ended = True
        yield from _error(fields)
    elif not is_readable(wrong := violations(fields, RawMessageStreamEvent)):
        yield from wrong
    elif kind == "message_start":
        yield from stream.message_start(fields["message"])
    elif not stream.begun:
        yield "comes before message_start"
    else:
        yield from wrong
        yield from getattr(stream, str(kind))(fields)


def _error(fields: Json) -> Iterator[str]:
    error = fields.get("error")
    if not isinstance(error, dict):
        yield "error: must be an object"
    elif not isinstance(error.get("type"), str) or not isinstance(error.get("message"), str):
        yield "error: must have a type and a message"


class _Stream:
    """What has been seen of a stream. Its methods are named after the events."""

    def __init__(self) -> None:
        self.begun = self.ended = self.closing = False
        self.blocks = 0
        self.open: Json | None = None
        self.json = ""
        self.signed = False
        self.calls: list[str] = []

    def message_start(self, message: Json) -> Iterator[str]:
        if self.begun:
            yield "comes twice"
        self.begun = True
        if message["content"]:
            yield "message.content: must be empty"
        if message.get("stop_reason") is not None or message.get("stop_sequence") is not None:
            yield "message.stop_reason: must be null"
        if not message["id"].startswith("msg_"):
            yield f"message.id: {message['id']!r} does not begin with msg_"
        yield from _usage(message["usage"])

    def content_block_start(self, fields: Json) -> Iterator[str]:
        block = fields["content_block"]
        if self.closing:
            yield "comes after message_delta"
        if self.open is not None:
            yield "comes before the block before it has stopped"
        if fields["index"] != self.blocks:
            yield f"index: {fields['index']} is not {self.blocks}"
        self.blocks += 1
        self.open, self.json, self.signed = block, "", False
        yield from _answer_block("content_block", block)
        empty = _EMPTY.get(block["type"])
        if empty is not None and block[empty]:
            yield f"content_block.{empty}: must be empty"
        if block["type"] == "thinking" and block["signature"]:
            yield "content_block.signature: must be empty"
        if block["type"] == "tool_use":
            self.calls.append(block["id"])
            if block["input"]:
                yield "content_block.input: must be empty"

    def content_block_delta(self, fields: Json) -> Iterator[str]:
        if self.open is None or fields["index"] != self.blocks - 1:
            yield f"index: block {fields['index']} is not open"
            return
        kind = fields["delta"]["type"]
        if kind not in _DELTAS.get(self.open["type"], ()):
            yield f"delta: {kind} is nothing for a block of {self.open['type']}"
        if self.signed:
            yield "delta: comes after the signature"
        self.signed = kind == "signature_delta"
        self.json += fields["delta"].get("partial_json", "")

    def content_block_stop(self, fields: Json) -> Iterator[str]:
        if self.open is None or fields["index"] != self.blocks - 1:
            yield f"index: block {fields['index']} is not open"
        if self.json and not is_object(self.json):
            yield f"the input of the call, {self.json!r}, is no JSON object"
        self.open = None

    def message_delta(self, fields: Json) -> Iterator[str]:
        if self.open is not None:
            yield "comes before the last block has stopped"
        if self.closing:
            yield "comes twice"
        self.closing = True
        yield from (f"delta.{problem}" for problem in _ended(fields["delta"]))
        if fields["delta"].get("stop_reason") == "tool_use" and not self.calls:
            yield "delta.stop_reason: tool_use without any"
        yield from (f"two tool_use have the id {id!r}" for id in twice(self.calls))
        yield from _usage(fields["usage"])

    def message_stop(self, fields: Json) -> Iterator[str]:
        if not self.closing:
            yield "comes before message_delta"
        self.ended = True
