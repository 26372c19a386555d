"""`/v1/chat/completions`, after OpenAI's reference, its SDK and what the endpoint is known to refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)

from tests.dialects.checkers import openai_rules as rules
from tests.dialects.checkers.reading import (
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

# Thoughts have no place in OpenAI's own answers; these are DeepSeek's and OpenRouter's, which everybody follows, and
# Google's, for the signature of a call.
_THOUGHTS = frozenset({"reasoning_content", "reasoning", "reasoning_details"})
_BEYOND = {
    "ChatCompletionAssistantMessageParam": _THOUGHTS,
    "ChatCompletionToolMessageParam": frozenset({"name"}),  # as in OpenAI's own cookbook
    # Pictures in an answer are OpenRouter's; OpenAI's search models stream annotations, its SDK's types do not.
    "ChatCompletionMessage": _THOUGHTS | {"images"},
    "ChoiceDelta": _THOUGHTS | {"images", "annotations"},
    "ChatCompletionMessageFunctionToolCallParam": frozenset({"extra_content"}),
    "ChatCompletionMessageFunctionToolCall": frozenset({"extra_content"}),
    "ChoiceDeltaToolCall": frozenset({"extra_content"}),
}
_DETAILS = {
    "reasoning.text": "text",
    "reasoning.summary": "summary",
    "reasoning.encrypted": "data",
}
_SPEAKER = re.compile(r"[^\s<|\\/>]{1,64}")
_FILE = re.compile(r"data:[a-z0-9.+-]+/[a-zA-Z0-9.+-]+;base64,(.+)", re.DOTALL)


# --- requests -----------------------------------------------------------------------------------------------


def check_request(body: bytes) -> list[str]:
    """Every reason for which a request would be refused."""
    request, problems = decode_object(body)
    streamed = request.get("stream") is True
    kind = CompletionCreateParamsStreaming if streamed else CompletionCreateParamsNonStreaming
    problems += violations(_without_films(request), kind, "", _BEYOND)
    if problems:
        return problems
    return [
        *rules.parameters(request),
        *_parameters(request),
        *_tools(request),
        *_messages(request["messages"]),
    ]


def _without_films(request: Json) -> Json:
    """A request without `video_url`, which vLLM, OpenRouter and others take and OpenAI has not."""
    messages = request.get("messages")
    if not isinstance(messages, list):
        return request
    kept = [
        {
            **message,
            "content": [part for part in message["content"] if not _is_film(part)],
        }
        if isinstance(message, dict) and isinstance(message.get("content"), list)
        else message
        for message in messages
    ]
    return {**request, "messages": kept}


def _is_film(part: object) -> bool:
    return (
        isinstance(part, dict)
        and part.keys() == {"type", "video_url"}
        and isinstance(part["video_url"], dict)
        and isinstance(part["video_url"].get("url"), str)
    )


def _parameters(request: Json) -> Iterator[str]:
    if request.get("max_tokens") is not None and request.get("max_completion_tokens") is not None:
        yield "max_tokens: not together with max_completion_tokens"
    if request.get("stream_options") and request.get("stream") is not True:
        yield "stream_options: only with stream"
    if request.get("top_logprobs") is not None and request.get("logprobs") is not True:
        yield "top_logprobs: only with logprobs"
    if "audio" in (request.get("modalities") or []) and not request.get("audio"):
        yield "audio: is missing, and demanded by modalities"
    yield from within("n", request.get("n"), 1, 128)
    for name in ("max_tokens", "max_completion_tokens"):
        yield from within(name, request.get(name), 1, 1e9)
    stop = request.get("stop")
    if isinstance(stop, list) and not 1 <= len(stop) <= 4:
        yield f"stop: {len(stop)} sequences are not between 1 and 4"
    for token, bias in (request.get("logit_bias") or {}).items():
        yield from within(f"logit_bias.{token}", bias, -100, 100)
    wanted = request.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        yield from rules.schema_name("response_format.json_schema", wanted["json_schema"])


def _tools(request: Json) -> Iterator[str]:
    tools = request.get("tools")
    names = [tool[tool["type"]]["name"] for tool in tools or []]
    yield from rules.tool_names("tools", names)
    for number, tool in enumerate(tools or []):
        if tool["type"] == "function":
            yield from rules.parameters_schema(
                f"tools[{number}].function.parameters", tool["function"].get("parameters")
            )
    if tools == []:
        yield "tools: must not be empty"
    choice = request.get("tool_choice")
    if not tools:
        if choice is not None:
            yield "tool_choice: only with tools"
        if request.get("parallel_tool_calls") is not None:
            yield "parallel_tool_calls: only with tools"
    for name in _chosen(choice):
        if name not in names:
            yield f"tool_choice: there is no tool {name!r}"


def _chosen(choice: Any) -> list[str]:
    if not isinstance(choice, dict):
        return []
    if choice["type"] != "allowed_tools":
        return [choice[choice["type"]]["name"]]
    listed = objects(choice["allowed_tools"]["tools"])
    return [tool.get(tool.get("type", ""), {}).get("name") for tool in listed]


def _messages(messages: list[Json]) -> Iterator[str]:
    if not messages:
        yield "messages: must not be empty"
    waiting: list[str] = []
    seen: list[str] = []
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        yield from _message(where, message)
        if message["role"] == "tool":
            if message["tool_call_id"] in waiting:
                waiting.remove(message["tool_call_id"])
            else:
                yield f"{where}.tool_call_id: answers no call right before it"
            continue
        if waiting:
            yield f"{where}: calls {waiting} of the message before have no tool message"
        waiting = [call["id"] for call in message.get("tool_calls") or []]
        seen += waiting
    if waiting:
        yield f"messages: calls {waiting} at the end have no tool message"
    yield from (f"messages: two calls have the id {id!r}" for id in twice(seen))


def _message(where: str, message: Json) -> Iterator[str]:
    name = message.get("name")
    if name is not None and not _SPEAKER.fullmatch(name):
        yield f"{where}.name: {name!r} is no name"
    content = message.get("content")
    if content == []:
        yield f"{where}.content: must not be empty"
    for number, part in enumerate(objects(content)):
        yield from _part(f"{where}.content[{number}]", part)
    if message["role"] != "assistant":
        return
    calls = message.get("tool_calls")
    if calls == []:
        yield f"{where}.tool_calls: must not be empty"
    if content is None and not any(
        message.get(key) for key in ("tool_calls", "function_call", "refusal", "audio")
    ):
        yield f"{where}.content: must be given where there are no tool_calls"
    for number, call in enumerate(calls or []):
        yield from _call(f"{where}.tool_calls[{number}]", call)
    yield from _details(where, message.get("reasoning_details"))


def _call(where: str, call: Json) -> Iterator[str]:
    if not call["id"] or len(call["id"]) > 64:
        yield f"{where}.id: must have 1 to 64 characters"
    inner = call[call["type"]]
    if not rules.is_name(inner["name"]):
        yield f"{where}.name: {inner['name']!r} is no name of a tool"
    if call["type"] == "function" and not is_object(inner["arguments"]):
        yield f"{where}.function.arguments: {inner['arguments']!r} is no JSON object"


def _part(where: str, part: Json) -> Iterator[str]:
    match part["type"]:
        case "image_url":
            yield from rules.image(f"{where}.image_url.url", part["image_url"]["url"])
        case "input_audio":
            if not is_base64(part["input_audio"]["data"]):
                yield f"{where}.input_audio.data: is not base64"
        case "file":
            file = part["file"]
            if ("file_data" in file) == ("file_id" in file):
                yield f"{where}.file: needs one of file_data and file_id"
            if "file_data" in file:
                found = _FILE.fullmatch(file["file_data"])
                if found is None or not is_base64(found[1]):
                    yield f"{where}.file.file_data: is no data URL"
                if not file.get("filename"):
                    yield f"{where}.file.filename: is missing"
        case _:
            pass


def _details(where: str, details: object) -> Iterator[str]:
    """OpenRouter's list of thoughts."""
    if details is None:
        return
    if not isinstance(details, list) or len(objects(details)) != len(details):
        yield f"{where}.reasoning_details: must be a list of objects"
        return
    for number, detail in enumerate(details):
        field = _DETAILS.get(detail.get("type", ""))
        if field is None:
            yield f"{where}.reasoning_details[{number}].type: {detail.get('type')!r} is unknown"
        elif not isinstance(detail.get(field, ""), str):
            yield f"{where}.reasoning_details[{number}].{field}: must be a string"


# --- answers ------------------------------------------------------------------------------------------------


def check_response(body: bytes) -> list[str]:
    """Every way in which an answer is none."""
    response, problems = decode_object(body)
    problems += violations(response, ChatCompletion, "", _BEYOND)
    problems = problems or invalid(response, ChatCompletion)
    if problems:
        return problems
    return [*_head(response), *_choices(response), *rules.usage(response.get("usage"))]


def _head(response: Json) -> Iterator[str]:
    if not response["id"]:
        yield "id: must not be empty"
    if not 0 < response["created"] < 1e11:
        yield f"created: {response['created']} is no time in seconds"


def _choices(response: Json) -> Iterator[str]:
    choices = response["choices"]
    if not choices:
        yield "choices: must not be empty"
    if [choice["index"] for choice in choices] != list(range(len(choices))):
        yield "choices: the indexes do not count up from 0"
    for number, choice in enumerate(choices):
        where = f"choices[{number}].message"
        message = choice["message"]
        calls = message.get("tool_calls")
        if "content" not in message:
            yield f"{where}.content: is missing (it may be null)"
        if calls == []:
            yield f"{where}.tool_calls: must not be empty"
        if choice["finish_reason"] == "tool_calls" and not calls:
            yield f"choices[{number}].finish_reason: tool_calls without any"
        ids = [call["id"] for call in calls or []]
        if not all(ids) or twice(ids):
            yield f"{where}.tool_calls: each needs an id of its own"
        yield from _details(where, message.get("reasoning_details"))


# --- streams ------------------------------------------------------------------------------------------------


def check_stream(raw: bytes) -> list[str]:
    """Every way in which a stream is none: `[DONE]` or an error ends it, and each choice finishes once."""
    found, problems = events(raw)
    problems += [f"stream: event {event.name!r} has a name" for event in found if event.name]
    if not found:
        return [*problems, "stream: has no events"]
    stream = _Stream()
    for number, event in enumerate(found):
        where = f"chunk {number}"
        if stream.ended:
            problems.append(f"{where}: comes after the end")
        if event.data == "[DONE]":
            stream.ended = True
            problems += stream.close()
            continue
        chunk, broken = decode_object(event.data)
        if "error" in chunk:
            stream.ended = True
            problems += rules.error(where, chunk)
            continue
        chunk = _with_functions(chunk)
        broken = broken or violations(chunk, ChatCompletionChunk, "", _BEYOND)
        broken = broken or invalid(chunk, ChatCompletionChunk)
        problems += [f"{where}{problem}" for problem in broken]
        if is_readable(broken):
            problems += [f"{where}: {problem}" for problem in stream.chunk(chunk)]
    if not stream.ended:
        problems.append("stream: has no [DONE]")
    return problems


def _with_functions(chunk: Json) -> Json:
    """A chunk whose custom calls are written as functions: the SDK's types know no others in a stream."""
    for choice in objects(chunk.get("choices")):
        delta = choice.get("delta")
        for call in objects(delta.get("tool_calls") if isinstance(delta, dict) else None):
            custom = call.pop("custom", None)
            if isinstance(custom, dict):
                call["function"] = {
                    "arguments" if key == "input" else key: value for key, value in custom.items()
                }
                call["type"] = "function" if call.get("type") == "custom" else call.get("type")
    return chunk


class _Stream:
    """What has been seen of a stream."""

    def __init__(self) -> None:
        self.ended = False
        self.head: tuple[object, ...] | None = None
        self.usage = False
        self.choices: dict[int, _Choice] = {}

    def chunk(self, chunk: Json) -> Iterator[str]:
        head = (chunk["id"], chunk["model"], chunk["created"])
        if self.head is None:
            self.head = head
            yield from _head(chunk)
        elif head != self.head:
            yield f"id, model and created have become {head}"
        if self.usage:
            yield "comes after the usage"
        if chunk.get("usage") is not None:
            self.usage = True
            if chunk["choices"]:
                yield "usage comes together with choices"
            yield from rules.usage(chunk["usage"])
        elif not chunk["choices"]:
            yield "has neither choices nor usage"
        if self.usage and not all(choice.finish for choice in self.choices.values()):
            yield "usage comes before every choice has finished"
        for choice in chunk["choices"]:
            index = choice["index"]
            if index not in self.choices:
                if index != len(self.choices):
                    yield f"choice {index} is not the next"
                self.choices[index] = _Choice()
            for problem in self.choices[index].delta(choice):
                yield f"choice {index}: {problem}"

    def close(self) -> Iterator[str]:
        if not self.choices:
            yield "stream: has no choices"
        for index, choice in self.choices.items():
            if not choice.finish:
                yield f"stream: choice {index} has no finish_reason"
            elif choice.finish == "tool_calls" and not choice.calls:
                yield f"stream: choice {index} finishes with tool_calls without any"


class _Choice:
    def __init__(self) -> None:
        self.begun = False
        self.finish: str | None = None
        self.calls: set[int] = set()
        self.ids: set[str] = set()
        self.details: dict[int, Json] = {}

    def delta(self, choice: Json) -> Iterator[str]:
        delta = choice["delta"]
        if self.finish:
            yield "goes on after its finish_reason"
        role = delta.get("role")
        if not self.begun and role != "assistant":
            yield "does not begin with the role"
        if self.begun and role is not None:
            yield "says the role again"
        self.begun = True
        if choice.get("finish_reason"):
            self.finish = choice["finish_reason"]
        for fragment in delta.get("tool_calls") or []:
            yield from self._fragment(fragment)
        details = delta.get("reasoning_details")
        yield from _details("delta", details)
        for detail in objects(details):
            yield from self._detail(detail)

    def _fragment(self, fragment: Json) -> Iterator[str]:
        index = fragment["index"]
        function = fragment.get("function") or {}
        if index in self.calls:
            said = [key for key in ("id", "type") if fragment.get(key) is not None]
            if said or function.get("name") is not None:
                yield f"call {index}: says {[*said, 'name'][0]} again"
            if not isinstance(function.get("arguments"), str):
                yield f"call {index}: a later fragment has no arguments"
            return
        if index != len(self.calls):
            yield f"call {index} is not the next"
        self.calls.add(index)
        if fragment.get("type") != "function":
            yield f"call {index}: the first fragment has no type"
        if not function.get("name"):
            yield f"call {index}: the first fragment has no name"
        id = fragment.get("id")
        if not id or id in self.ids:
            yield f"call {index}: the first fragment needs an id of its own"
        self.ids.add(str(id))

    def _detail(self, detail: Json) -> Iterator[str]:
        """The SDK puts strings of the same index one after another, so some may come once only."""
        index = detail.get("index")
        if not isinstance(index, int):
            yield "a reasoning detail has no index"
            return
        # Where a list is merged, the index is the place in it.
        if index > len(self.details):
            yield f"reasoning detail {index} is not the next"
        before = self.details.setdefault(index, {})
        for key in ("id", "format", "signature", "data"):
            if detail.get(key) and before.get(key):
                yield f"reasoning detail {index}: says {key} again"
        if before and before["type"] != detail["type"]:
            yield f"reasoning detail {index}: changes its type"
        before.update({key: value for key, value in detail.items() if value})
