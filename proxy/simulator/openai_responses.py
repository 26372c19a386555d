"""The Responses API: create (whole or as its long sequence of events), read and delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from proxy.simulator import demands, seals, strict, words
from proxy.simulator.answers import ABSENT, Answer, Block, Call, Stream, Whole, decoded
from proxy.simulator.errors import responses_event
from proxy.simulator.openai_chat import CREATED
from proxy.simulator.shape import Shape, call_id, shape, source, whole

if TYPE_CHECKING:
    from msgspec import Raw

_MOST_STORED = 1000


def create(call: Call) -> Answer:
    """POST /responses"""
    steer = call.steer
    if steer.strict:
        strict.responses(call.content())
    if steer.signed:
        demands.responses(call.content(), call.store, stored=call.ask.store is not False)
    made = shape(call, think=steer.signed or _asks_for_thoughts(call), wanted=_wanted(call))
    items = _items(call, made)
    usage = None if call.steer.fault == "no_usage" else _usage(call, made)
    status = "incomplete" if call.steer.length else "completed"
    response = orjson.dumps(_response(call, status, items, usage))
    if call.ask.store is not False:
        while len(call.store) >= _MOST_STORED:
            del call.store[next(iter(call.store))]
        call.store[f"resp_{call.serial.decode()}"] = response
    if call.ask.stream:
        return _stream(call, made, items, response)
    if call.steer.stamp:
        response = response.replace(b"0" * 20, words.stamp(), 1)
    return Whole(response, made.output)


def read(call: Call) -> Answer | None:
    """GET /responses/{id}"""
    body = call.store.get(call.parameter)
    return Whole(body) if body is not None else None


def delete(call: Call) -> Answer | None:
    """DELETE /responses/{id}"""
    if call.store.pop(call.parameter, None) is None:
        return None
    return Whole(orjson.dumps({"id": call.parameter, "object": "response", "deleted": True}))


def count_tokens(call: Call) -> Answer:
    """POST /responses/input_tokens"""
    count = {"object": "response.input_tokens", "input_tokens": call.steer.input}
    return Whole(orjson.dumps(count))


_SEALED = "reasoning.encrypted_content"


def _asks_for_thoughts(call: Call) -> bool:
    if call.ask.reasoning is ABSENT:
        return False
    reasoning = decoded(call.ask.reasoning)
    if not isinstance(reasoning, dict) or reasoning.get("effort") == "none":
        return False
    sealed = _SEALED in (call.ask.include or ())
    return bool(reasoning.get("summary") or (sealed and reasoning.get("effort")))


def _wanted(call: Call) -> Any:
    """The schema the answer must satisfy."""
    if call.ask.text is ABSENT:
        return None
    text = decoded(call.ask.text)
    wanted = text.get("format") if isinstance(text, dict) else None
    if not isinstance(wanted, dict):
        return None
    if wanted.get("type") == "json_schema":
        return wanted.get("schema") or {}
    return {"type": "object"} if wanted.get("type") == "json_object" else None


def _usage(call: Call, made: Shape) -> dict[str, Any]:
    return {
        "input_tokens": call.steer.input,
        "input_tokens_details": {"cached_tokens": call.steer.cached, "cache_write_tokens": 0},
        "output_tokens": made.output,
        "output_tokens_details": {"reasoning_tokens": made.thought},
        "total_tokens": call.steer.input + made.output,
    }


def _response(call: Call, status: str, output: list[Any], usage: Any) -> dict[str, Any]:
    ask = call.ask
    return {
        "id": f"resp_{call.serial.decode()}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None,
        "max_output_tokens": None,
        "model": ask.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": ask.previous_response_id,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": ask.store is not False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": _echo(ask.tool_choice, b'"auto"'),
        "tools": _echo(ask.tools, b"[]"),
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage,
        "user": None,
        "metadata": {},
    }


def _echo(given: Raw, otherwise: bytes) -> Any:
    """What the request said, on one line: an event's data must not hold the line ends it was written with."""
    text = bytes(given) or otherwise
    return orjson.loads(text) if b"\n" in text or b"\r" in text else orjson.Fragment(text)


def _items(call: Call, made: Shape) -> list[dict[str, Any]]:
    """The finished output items."""
    steer, serial = call.steer, call.serial.decode()
    items: list[dict[str, Any]] = []
    if made.thought:
        items.append(_thoughts(call, made))
    if not made.tools:
        text = whole(steer, made).replace("@STAMP", "0" * 20)
        items.append(
            {
                "id": f"msg_{serial}",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [_part(call, text)],
            }
        )
    for index, name in enumerate(made.tools):
        items.append(
            {
                "id": call_id("fc", call.serial, index),
                "type": "function_call",
                "status": "completed",
                "call_id": call_id("call", call.serial, index),
                "name": name,
                "arguments": made.arguments[index].whole(steer),
            }
        )
    return items


def _thoughts(call: Call, made: Shape) -> dict[str, Any]:
    """A reasoning item: a summary if it was asked for, and its sealed state likewise."""
    steer, serial = call.steer, call.serial.decode()
    reasoning = decoded(call.ask.reasoning)
    shown = steer.think or (isinstance(reasoning, dict) and reasoning.get("summary"))
    summary = {"type": "summary_text", "text": words.whole(steer, made.thought)}
    item: dict[str, Any] = {
        "id": f"rs_{serial}",
        "type": "reasoning",
        "summary": [summary] if shown and not steer.redact else [],
    }
    if _SEALED in (call.ask.include or ()):
        item["encrypted_content"] = seals.seal(serial)
    return item


def _part(call: Call, text: str) -> dict[str, Any]:
    if call.steer.refuse:
        return {"type": "refusal", "refusal": text}
    place: dict[str, Any] = {"start_index": 0, "end_index": min(len(text), 40)}
    cited = {"url": "https://example.com/mill", "title": "The mill"}
    notes = [{"type": "url_citation"} | place | cited] if call.steer.cite else []
    return {"type": "output_text", "annotations": notes, "logprobs": [], "text": text}


class _Sequence:
    """Writes events, each with the next sequence number."""

    __slots__ = ("next",)

    def __init__(self) -> None:
        self.next = 0

    def event(self, name: str, /, **members: Any) -> bytes:
        number = self.next
        self.next += 1
        data = orjson.dumps({"type": name, "sequence_number": number} | members)
        return b"event: %b\ndata: %b\n\n" % (name.encode(), data)

    def deltas(self, count: int, source: words.Source, name: str, /, **members: Any) -> Block:
        """A block of `count` delta events; the number comes last, where it is cheap to vary."""
        start = self.next
        self.next += count
        data = orjson.dumps({"type": name} | members | {"delta": "@TEXT"})
        event = b'event: %b\ndata: %b,"sequence_number":' % (name.encode(), data[:-1])
        before, _, after = event.partition(b"@TEXT")

        def wrap(text: bytes, index: int) -> bytes:
            return before + text + after + b"%d}\n\n" % (start + index)

        return Block(b"", count, source, wrap)


def _stream(call: Call, made: Shape, items: list[dict[str, Any]], response: bytes) -> Stream:
    steps = _Sequence()
    running = _response(call, "in_progress", [], None)
    opening = steps.event("response.created", response=running)
    opening += steps.event("response.in_progress", response=running)
    blocks = [
        _BLOCKS[item["type"]](call, steps, index, item, made) for index, item in enumerate(items)
    ]
    kind = "incomplete" if call.steer.length else "completed"
    return Stream(
        blocks,
        opening=opening,
        end=steps.event(f"response.{kind}", response=orjson.Fragment(response)),
        error=lambda sent: responses_event(sent + 4 if sent >= 0 else 0),
    )


def _reasoning(
    call: Call, steps: _Sequence, index: int, item: dict[str, Any], made: Shape
) -> Block:
    begun = item | {"summary": []}
    if "encrypted_content" in item:
        begun |= {"encrypted_content": ""}
    opening = steps.event("response.output_item.added", output_index=index, item=begun)
    if not item["summary"]:
        block = steps.deltas(0, words.source(call.steer), "")
        block.opening = opening
        block.closing = steps.event("response.output_item.done", output_index=index, item=item)
        return block
    place = {"item_id": item["id"], "output_index": index, "summary_index": 0}
    part = item["summary"][0]
    name = "response.reasoning_summary"
    opening += steps.event(f"{name}_part.added", **place, part=part | {"text": ""})
    block = steps.deltas(made.thought, words.source(call.steer), f"{name}_text.delta", **place)
    block.opening = opening
    block.closing = (
        steps.event(f"{name}_text.done", **place, text=part["text"])
        + steps.event(f"{name}_part.done", **place, part=part)
        + steps.event("response.output_item.done", output_index=index, item=item)
    )
    return block


def _text(call: Call, steps: _Sequence, index: int, item: dict[str, Any], made: Shape) -> Block:
    place = {"item_id": item["id"], "output_index": index, "content_index": 0}
    part = item["content"][0]
    begun = item | {"status": "in_progress", "content": []}
    opening = steps.event("response.output_item.added", output_index=index, item=begun)
    more: dict[str, Any] = {}
    if part["type"] == "refusal":
        name, told = "response.refusal", {"refusal": part["refusal"]}
        empty = part | {"refusal": ""}
    else:
        name, told = "response.output_text", {"text": part["text"], "logprobs": []}
        empty, more = part | {"text": "", "annotations": []}, {"logprobs": []}
    opening += steps.event("response.content_part.added", **place, part=empty)
    block = steps.deltas(
        made.said, source(call.steer, made), f"{name}.delta", **place, **more
    )  # fmt: skip
    block.opening = opening
    for number, note in enumerate(part.get("annotations", ())):
        block.closing += steps.event(
            f"{name}.annotation.added", **place, annotation_index=number, annotation=note
        )  # fmt: skip
    block.closing += (
        steps.event(f"{name}.done", **place, **told)
        + steps.event("response.content_part.done", **place, part=part)
        + steps.event("response.output_item.done", output_index=index, item=item)
    )
    return block


def _function(call: Call, steps: _Sequence, index: int, item: dict[str, Any], made: Shape) -> Block:
    text = made.arguments[index - bool(made.thought)]
    place = {"item_id": item["id"], "output_index": index}
    name = "response.function_call_arguments"
    begun = item | {"status": "in_progress", "arguments": ""}
    opening = steps.event("response.output_item.added", output_index=index, item=begun)
    block = steps.deltas(text.count, text.source(call.steer), f"{name}.delta", **place)
    block.opening = opening
    block.closing = steps.event(f"{name}.done", **place, arguments=item["arguments"]) + steps.event(
        "response.output_item.done", output_index=index, item=item
    )
    return block


_BLOCKS = {"reasoning": _reasoning, "message": _text, "function_call": _function}
