"""The Responses API: create (whole or as its long sequence of events), read and delete."""

from __future__ import annotations

from typing import Any

import orjson

from proxy.simulator import words
from proxy.simulator.answers import Answer, Block, Call, Stream, Whole, decoded
from proxy.simulator.errors import responses_event
from proxy.simulator.openai_chat import CREATED
from proxy.simulator.shape import Shape, call_id, shape

_MOST_STORED = 1000


def create(call: Call) -> Answer:
    """POST /responses"""
    made = shape(call, think=_asks_for_thoughts(call))
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


def _asks_for_thoughts(call: Call) -> bool:
    reasoning = decoded(call.ask.reasoning)
    return isinstance(reasoning, dict) and bool(reasoning.get("summary"))


def _usage(call: Call, made: Shape) -> dict[str, Any]:
    return {
        "input_tokens": call.steer.input,
        "input_tokens_details": {"cached_tokens": call.steer.cached},
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
        "tool_choice": orjson.Fragment(bytes(ask.tool_choice) or b'"auto"'),
        "tools": orjson.Fragment(bytes(ask.tools) or b"[]"),
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage,
        "user": None,
        "metadata": {},
    }


def _items(call: Call, made: Shape) -> list[dict[str, Any]]:
    """The finished output items."""
    steer, serial = call.steer, call.serial.decode()
    items: list[dict[str, Any]] = []
    if made.thought:
        summary = {"type": "summary_text", "text": words.whole(steer, made.thought)}
        items.append({"id": f"rs_{serial}", "type": "reasoning", "summary": [summary]})
    if not made.tools:
        items.append(
            {
                "id": f"msg_{serial}",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [_part(words.whole(steer, made.said))],
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
                "arguments": words.whole_arguments(steer),
            }
        )
    return items


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


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
    place = {"item_id": item["id"], "output_index": index, "summary_index": 0}
    part = item["summary"][0]
    name = "response.reasoning_summary"
    opening = steps.event(
        "response.output_item.added", output_index=index, item=item | {"summary": []}
    ) + steps.event(f"{name}_part.added", **place, part=part | {"text": ""})
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
    opening = steps.event(
        "response.output_item.added", output_index=index, item=begun
    ) + steps.event("response.content_part.added", **place, part=part | {"text": ""})
    block = steps.deltas(
        made.said, words.source(call.steer), "response.output_text.delta", **place, logprobs=[]
    )
    block.opening = opening
    block.closing = (
        steps.event("response.output_text.done", **place, text=part["text"], logprobs=[])
        + steps.event("response.content_part.done", **place, part=part)
        + steps.event("response.output_item.done", output_index=index, item=item)
    )
    return block


def _function(call: Call, steps: _Sequence, index: int, item: dict[str, Any], made: Shape) -> Block:
    place = {"item_id": item["id"], "output_index": index}
    name = "response.function_call_arguments"
    begun = item | {"status": "in_progress", "arguments": ""}
    opening = steps.event("response.output_item.added", output_index=index, item=begun)
    block = steps.deltas(*words.arguments(call.steer), f"{name}.delta", **place)
    block.opening = opening
    block.closing = steps.event(
        f"{name}.done", **place, name=item["name"], arguments=item["arguments"]
    ) + steps.event("response.output_item.done", output_index=index, item=item)
    return block


_BLOCKS = {"reasoning": _reasoning, "message": _text, "function_call": _function}
