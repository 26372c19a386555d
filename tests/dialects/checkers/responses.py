"""`/v1/responses`, after OpenAI's reference, its SDK and what the endpoint is known to refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from openai.types.responses import Response
from openai.types.responses.response_create_params import (
    ResponseCreateParamsNonStreaming,
    ResponseCreateParamsStreaming,
)
from openai.types.responses.response_stream_event import ResponseStreamEvent

from tests.dialects.checkers import openai_rules as rules
from tests.dialects.checkers.reading import (
    Event,
    Json,
    decode_object,
    events,
    is_object,
    objects,
    twice,
    within,
)
from tests.dialects.checkers.shape import invalid, is_readable, violations

_PREFIXES = {
    "message": "msg_",
    "reasoning": "rs_",
    "function_call": "fc_",
    "custom_tool_call": "ctc_",
    "web_search_call": "ws_",
}
# In every answer of OpenAI's, and not in its SDK.
_ECHOED = frozenset({"store", "frequency_penalty", "presence_penalty", "billing"})
_OBSCURED = frozenset({"obfuscation"})
_BEYOND = {
    "Response": _ECHOED,
    "ResponseTextDeltaEvent": _OBSCURED,
    "ResponseFunctionCallArgumentsDeltaEvent": _OBSCURED,
    "ResponseReasoningSummaryTextDeltaEvent": _OBSCURED,
    "ResponseRefusalDeltaEvent": _OBSCURED,
}
_CALLS = ("function_call", "custom_tool_call")
_ANSWERS = {"function_call_output": "function_call", "custom_tool_call_output": "custom_tool_call"}
_KEPT = ("previous_response_id", "conversation", "prompt")


# --- requests -----------------------------------------------------------------------------------------------


def check_request(body: bytes) -> list[str]:
    """Every reason for which a request would be refused."""
    request, problems = decode_object(body)
    streamed = request.get("stream") is True
    kind = ResponseCreateParamsStreaming if streamed else ResponseCreateParamsNonStreaming
    problems += violations(_spelled_out(request), kind)
    if problems:
        return problems
    return [
        *rules.parameters(request),
        *_parameters(request),
        *_tools(request),
        *_input(request),
    ]


def _spelled_out(request: Json) -> Json:
    """A request with what the SDK demands and the endpoint does not: it fills in what is left out."""
    said = dict(request)
    if isinstance(request.get("input"), list):
        said["input"] = [_item_spelled_out(item) for item in request["input"]]
    if isinstance(request.get("tools"), list):
        said["tools"] = [
            {"strict": None, **tool} if tool.get("type") == "function" else tool
            for tool in objects(request["tools"])
        ]
    return said


def _item_spelled_out(item: Any) -> Any:
    if isinstance(item, dict) and item.get("type") == "reasoning":
        return {"id": "rs_1", **item}
    if not isinstance(item, dict) or not isinstance(item.get("content"), list):
        return item
    if item.get("type", "message") != "message":
        return item
    if item.get("role") == "assistant":
        content = [
            {"annotations": [], **part} if part.get("type") == "output_text" else part
            for part in objects(item["content"])
        ]
        return {"id": "msg_1", "status": "completed", "type": "message", **item, "content": content}
    content = [
        {"detail": "auto", **part} if part.get("type") == "input_image" else part
        for part in objects(item["content"])
    ]
    return {**item, "content": content}


def _parameters(request: Json) -> Iterator[str]:
    if not request.get("model"):
        yield "model: is missing"
    if not request.get("input") and not any(request.get(name) for name in _KEPT):
        yield "input: is missing"
    if request.get("previous_response_id") and request.get("conversation"):
        yield "previous_response_id: not together with conversation"
    if request.get("stream_options") and request.get("stream") is not True:
        yield "stream_options: only with stream"
    if request.get("background") and request.get("store") is False:
        yield "background: only with store"
    yield from within("max_output_tokens", request.get("max_output_tokens"), 16, 1e9)
    wanted = (request.get("text") or {}).get("format") or {}
    if wanted.get("type") == "json_schema":
        yield from rules.schema_name("text.format", wanted)


def _tools(request: Json) -> Iterator[str]:
    tools = request.get("tools") or []
    names = [tool["name"] for tool in tools if tool["type"] in ("function", "custom")]
    yield from rules.tool_names("tools", names)
    for number, tool in enumerate(tools):
        if tool["type"] == "function":
            yield from rules.parameters_schema(f"tools[{number}].parameters", tool["parameters"])
    choice = request.get("tool_choice")
    if choice not in (None, "auto", "none") and not tools:
        yield "tool_choice: only with tools"
    if isinstance(choice, dict):
        listed = objects(choice.get("tools")) or [choice]
        for tool in listed:
            if tool.get("type") in ("function", "custom") and tool.get("name") not in names:
                yield f"tool_choice: there is no tool {tool.get('name')!r}"


def _input(request: Json) -> Iterator[str]:
    items = request.get("input")
    if not isinstance(items, list):
        return
    keeps = any(request.get(name) for name in _KEPT)
    open_calls: dict[str, str] = {}
    seen: list[str] = []
    for number, item in enumerate(items):
        where = f"input[{number}]"
        kind = item.get("type", "message")
        yield from _item(where, kind, item)
        if kind in _CALLS:
            open_calls[item["call_id"]] = kind
            seen.append(item["call_id"])
        elif kind in _ANSWERS and not keeps:
            if open_calls.pop(item.get("call_id") or "", None) != _ANSWERS[kind]:
                yield f"{where}.call_id: {item.get('call_id')!r} answers no call"
        elif kind == "reasoning" and not _goes_on(items[number + 1 :]):
            yield f"{where}: reasoning without the item that follows it"
    for id in open_calls:
        yield f"input: call {id!r} has no output"
    yield from (f"input: two calls have the call_id {id!r}" for id in twice(seen))
    ids = [item["id"] for item in items if item.get("id") and item.get("type") != "item_reference"]
    yield from (f"input: two items have the id {id!r}" for id in twice(ids))


def _goes_on(rest: list[Json]) -> bool:
    """Whether thoughts are followed by what was thought about."""
    for item in rest:
        if item.get("type") != "reasoning":
            is_message = item.get("type", "message") == "message"
            return item.get("role") == "assistant" if is_message else item["type"] not in _ANSWERS
    return False


def _item(where: str, kind: str, item: Json) -> Iterator[str]:
    prefix = _PREFIXES.get(kind)
    id = item.get("id")
    # A message of the user may have any id.
    if id and prefix and item.get("role", "assistant") == "assistant" and not id.startswith(prefix):
        yield f"{where}.id: {id!r} does not begin with {prefix}"
    has_call_id = kind in _CALLS or kind in _ANSWERS
    if has_call_id and not 1 <= len(item.get("call_id") or "") <= 64:
        yield f"{where}.call_id: must have 1 to 64 characters"
    if kind == "function_call":
        if not rules.is_name(item["name"]):
            yield f"{where}.name: {item['name']!r} is no name of a tool"
        if not is_object(item["arguments"]):
            yield f"{where}.arguments: {item['arguments']!r} is no JSON object"
    content = item.get("content")
    if kind == "message" and content == []:
        yield f"{where}.content: must not be empty"
    for position, part in enumerate([*objects(content), *objects(item.get("output"))]):
        yield from _part(f"{where}.content[{position}]", part)


def _part(where: str, part: Json) -> Iterator[str]:
    if part.get("type") == "input_image":
        if bool(part.get("image_url")) == bool(part.get("file_id")):
            yield f"{where}: needs one of image_url and file_id"
        elif part.get("image_url"):
            yield from rules.image(f"{where}.image_url", part["image_url"])
    if part.get("type") == "input_file":
        given = [key for key in ("file_data", "file_url", "file_id") if part.get(key)]
        if len(given) != 1:
            yield f"{where}: needs one of file_data, file_url and file_id, not {given}"
        if given == ["file_data"]:
            if not part.get("filename"):
                yield f"{where}.filename: is missing"
            if not part["file_data"].startswith("data:"):
                yield f"{where}.file_data: is no data URL"


# --- answers ------------------------------------------------------------------------------------------------


def check_response(body: bytes) -> list[str]:
    """Every way in which an answer is none."""
    response, problems = decode_object(body)
    problems += violations(response, Response, "", _BEYOND)
    problems = problems or invalid(response, Response)
    return problems or [*_answer(response), *_ended(response)]


def _answer(response: Json) -> Iterator[str]:
    """What holds at any time of an answer."""
    if not response["id"].startswith("resp_"):
        yield f"id: {response['id']!r} does not begin with resp_"
    if not 0 < response["created_at"] < 1e11:
        yield f"created_at: {response['created_at']} is no time in seconds"
    if "status" not in response:
        yield "status: is missing"
    for key in ("error", "incomplete_details", "usage"):
        if key not in response:
            yield f"{key}: is missing (it may be null)"
    if (response.get("status") == "failed") != (response.get("error") is not None):
        yield "error: goes with the status failed, and only with it"
    if (response.get("status") == "incomplete") != (response.get("incomplete_details") is not None):
        yield "incomplete_details: goes with the status incomplete, and only with it"
    yield from rules.usage(response.get("usage"))


def _ended(response: Json) -> Iterator[str]:
    if response.get("status") not in ("completed", "incomplete", "failed"):
        yield f"status: {response.get('status')!r} is no end"
    ids = [item["id"] for item in response["output"] if item.get("id")]
    yield from (f"output: two items have the id {id!r}" for id in twice(ids))
    calls = [item["call_id"] for item in response["output"] if item["type"] in _CALLS]
    yield from (f"output: two calls have the call_id {id!r}" for id in twice(calls))
    for number, item in enumerate(response["output"]):
        yield from _output_item(f"output[{number}]", item)
        if item.get("status") == "in_progress":
            yield f"output[{number}].status: is still in_progress"


def _output_item(where: str, item: Json) -> Iterator[str]:
    prefix = _PREFIXES.get(item["type"])
    if prefix and not (item.get("id") or "").startswith(prefix):
        yield f"{where}.id: {item.get('id')!r} does not begin with {prefix}"
    if item["type"] in _CALLS and not (item["call_id"] and item["name"]):
        yield f"{where}: needs a call_id and a name"
    if item["type"] in ("message", "function_call") and "status" not in item:
        yield f"{where}.status: is missing"


# --- streams ------------------------------------------------------------------------------------------------

_TERMINAL = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
}


def check_stream(raw: bytes) -> list[str]:
    """Every way in which a stream is none."""
    found, problems = events(raw)
    if not found:
        return [*problems, "stream: has no events"]
    stream = _Stream()
    for number, event in enumerate(found):
        where = f"event {number} ({event.name})"
        problems += [f"{where}: {problem}" for problem in _event(stream, number, event)]
    if not stream.ended:
        problems.append("stream: has no terminal event")
    return problems


def _event(stream: _Stream, number: int, event: Event) -> Iterator[str]:
    fields, broken = decode_object(event.data)
    yield from broken
    kind = fields.get("type")
    if kind != event.name:
        yield f"its type is {kind!r}"
    if fields.get("sequence_number") != number:
        yield f"sequence_number: {fields.get('sequence_number')} is not {number}"
    if stream.ended:
        yield "comes after the end"
    if kind == "error" and isinstance(fields.get("error"), dict):
        # The endpoint's own form; its SDK and reference have the fields at the top.
        fields = {**fields.pop("error"), **fields}
    wrong = violations(fields, ResponseStreamEvent, "", _BEYOND)
    yield from wrong
    if not is_readable(wrong):
        return
    if kind == "error":
        stream.ended = True
    elif number == 0 and kind != "response.created":
        yield "is not response.created"
    else:
        yield from stream.event(str(kind), fields)


class _Item:
    """One item of the output while it is made."""

    def __init__(self, item: Json) -> None:
        self.item = item
        self.done: Json | None = None
        self.text = ""
        """Arguments or input of a call."""
        self.parts: dict[tuple[str, int], _Part] = {}


class _Part:
    """One part of an item: of its content, its summary, or (reasoning) its own thoughts."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.text = ""
        self.said: str | None = None
        self.closed = False
        self.annotations = 0


class _Stream:
    """What has been seen of a stream."""

    def __init__(self) -> None:
        self.ended = False
        self.id = ""
        self.items: list[_Item] = []

    def event(self, kind: str, fields: Json) -> Iterator[str]:
        if "response" in fields:
            yield from self._response(kind, fields["response"])
        elif kind == "response.output_item.added":
            yield from self._added(fields)
        elif "output_index" in fields:
            yield from self._of_an_item(kind, fields)

    def _response(self, kind: str, response: Json) -> Iterator[str]:
        if kind == "response.created" and self.id:
            yield "comes twice"
        self.id = self.id or response["id"]
        if response["id"] != self.id:
            yield f"response.id has become {response['id']!r}"
        yield from (f"response.{problem}" for problem in _answer(response))
        if kind not in _TERMINAL:
            if response.get("status") not in ("in_progress", "queued"):
                yield f"response.status: {response.get('status')!r} is not in_progress"
            if response["output"] or self.items:
                yield "response.output: must be empty, and no item before"
            return
        self.ended = True
        if response.get("status") != _TERMINAL[kind]:
            yield f"response.status: {response.get('status')!r} is not {_TERMINAL[kind]}"
        yield from (f"response.{problem}" for problem in _ended(response))
        if not all(item.done for item in self.items):
            yield "comes before every item is done"
        if response["output"] != [item.done for item in self.items]:
            yield "response.output: is not what was streamed"

    def _added(self, fields: Json) -> Iterator[str]:
        item = fields["item"]
        if fields["output_index"] != len(self.items):
            yield f"output_index: {fields['output_index']} is not {len(self.items)}"
        yield from _output_item("item", item)
        if item.get("status") not in (None, "in_progress"):
            yield f"item.status: {item['status']!r} is not in_progress"
        if any(item.get(key) for key in ("content", "summary", "arguments", "input")):
            yield "item: must be empty"
        if item.get("id") in [other.item.get("id") for other in self.items]:
            yield f"item.id: {item.get('id')!r} is that of another item"
        self.items.append(_Item(item))

    def _of_an_item(self, kind: str, fields: Json) -> Iterator[str]:
        index = fields["output_index"]
        if not 0 <= index < len(self.items):
            yield f"output_index: there is no item {index}"
            return
        item = self.items[index]
        if item.done is not None:
            yield "its item is done"
        if "item_id" in fields and fields["item_id"] != item.item.get("id"):
            yield f"item_id: {fields['item_id']!r} is not {item.item.get('id')!r}"
        handle = _HANDLERS.get(kind)
        if handle is not None:
            yield from handle(item, fields)


def _item_done(item: _Item, fields: Json) -> Iterator[str]:
    done = fields["item"]
    item.done = done
    for key in ("id", "type", "call_id", "name"):
        if done.get(key) != item.item.get(key):
            yield f"item.{key}: {done.get(key)!r} is not {item.item.get(key)!r}"
    if done.get("status") == "in_progress":
        yield "item.status: is still in_progress"
    yield from _output_item("item", done)
    for (group, number), part in item.parts.items():
        if not part.closed:
            yield f"comes before {group} {number} is done"
    said = done.get("arguments", done.get("input", "")) if done["type"] in _CALLS else ""
    if said != item.text:
        yield f"item: says {said!r}, the deltas {item.text!r}"
    for group in ("content", "summary"):
        texts = [_text_of(part) for part in done.get(group) or []]
        streamed = [part.text for (name, _), part in item.parts.items() if name == group]
        if texts != streamed:
            yield f"item.{group}: says {texts}, the deltas {streamed}"


def _text_of(part: Json) -> str:
    return str(part.get("text", part.get("refusal", "")))


def _key(fields: Json) -> tuple[str, int]:
    if "summary_index" in fields:
        return "summary", fields["summary_index"]
    return "content", fields["content_index"]


def _part_added(item: _Item, fields: Json) -> Iterator[str]:
    key = _key(fields)
    if _text_of(fields["part"]):
        yield "part: must be empty"
    if key in item.parts:
        yield f"{key[0]} {key[1]} comes twice"
    if key[1] != sum(name == key[0] for name, _ in item.parts):
        yield f"{key[0]}_index: {key[1]} is not the next"
    item.parts[key] = _Part(fields["part"]["type"])


def _part_of(item: _Item, fields: Json, *kinds: str) -> Iterator[str]:
    key = _key(fields)
    # Nothing announces the parts of thoughts themselves.
    if key not in item.parts and kinds == ("reasoning_text",):
        item.parts[key] = _Part("reasoning_text")
    part = item.parts.get(key)
    if part is None:
        yield f"{key[0]} {key[1]} has not begun"
    elif part.closed:
        yield f"{key[0]} {key[1]} is done"
    elif part.kind not in kinds:
        yield f"{key[0]} {key[1]} is {part.kind}"


def _delta(*kinds: str) -> Callable[[_Item, Json], Iterator[str]]:
    def delta(item: _Item, fields: Json) -> Iterator[str]:
        wrong = list(_part_of(item, fields, *kinds))
        yield from wrong
        if not wrong:
            part = item.parts[_key(fields)]
            if part.said is not None:
                yield "comes after the text is done"
            part.text += fields["delta"]

    return delta


def _text_done(*kinds: str) -> Callable[[_Item, Json], Iterator[str]]:
    def done(item: _Item, fields: Json) -> Iterator[str]:
        wrong = list(_part_of(item, fields, *kinds))
        yield from wrong
        if wrong:
            return
        part = item.parts[_key(fields)]
        part.said = _text_of(fields)
        part.closed = kinds == ("reasoning_text",)
        if part.said != part.text:
            yield f"says {part.said!r}, the deltas {part.text!r}"

    return done


def _part_done(item: _Item, fields: Json) -> Iterator[str]:
    part = item.parts.get(_key(fields))
    if part is None:
        yield "its part has not begun"
        return
    if part.kind == "reasoning_text":
        part.closed = False
    if part.closed:
        yield "comes twice"
    if part.said is None:
        yield "comes before the text is done"
    if _text_of(fields["part"]) != part.text:
        yield f"part: says {_text_of(fields['part'])!r}, the deltas {part.text!r}"
    if len(fields["part"].get("annotations") or []) != part.annotations:
        yield f"part.annotations: are not the {part.annotations} that were streamed"
    part.closed = True


def _annotation(item: _Item, fields: Json) -> Iterator[str]:
    yield from _part_of(item, fields, "output_text")
    part = item.parts.get(_key(fields))
    if part is not None:
        if fields["annotation_index"] != part.annotations:
            yield f"annotation_index: {fields['annotation_index']} is not {part.annotations}"
        part.annotations += 1


def _call_delta(item: _Item, fields: Json) -> Iterator[str]:
    item.text += fields["delta"]
    yield from []


def _call_done(item: _Item, fields: Json) -> Iterator[str]:
    said = fields.get("arguments", fields.get("input"))
    if said != item.text:
        yield f"says {said!r}, the deltas {item.text!r}"


_HANDLERS: Mapping[str, Callable[[_Item, Json], Iterator[str]]] = {
    "response.output_item.done": _item_done,
    "response.content_part.added": _part_added,
    "response.content_part.done": _part_done,
    "response.reasoning_summary_part.added": _part_added,
    "response.reasoning_summary_part.done": _part_done,
    "response.output_text.delta": _delta("output_text"),
    "response.output_text.done": _text_done("output_text"),
    "response.output_text.annotation.added": _annotation,
    "response.refusal.delta": _delta("refusal"),
    "response.refusal.done": _text_done("refusal"),
    "response.reasoning_summary_text.delta": _delta("summary_text"),
    "response.reasoning_summary_text.done": _text_done("summary_text"),
    "response.reasoning_text.delta": _delta("reasoning_text"),
    "response.reasoning_text.done": _text_done("reasoning_text"),
    "response.function_call_arguments.delta": _call_delta,
    "response.function_call_arguments.done": _call_done,
    "response.custom_tool_call_input.delta": _call_delta,
    "response.custom_tool_call_input.done": _call_done,
}
