"""Items, each of them a block or a message of several: read alike in questions and in answers.

What an item has and a block has not (its id, status, phase) is kept in the block's extras as `item`, so that an item
is itself again for a provider of this dialect. Whatever is neither message, thought, call nor result stays `Opaque`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from proxy.dialects import ir
from proxy.dialects.identity import unseal
from proxy.dialects.ir import Json
from proxy.dialects.openai_responses.fields import FAMILY, encode, objects, word
from proxy.dialects.openai_responses.parts import read_part

ITEM = "item"
"""Key of a block's extras."""
JOIN = "\n\n"
"""Between two parts of a summary."""


def read_item(item: Json) -> list[ir.Block]:
    """The blocks of one item. Takes any object."""
    kind = word(item, "type")
    reader = _READERS.get(kind)
    return [ir.Opaque(FAMILY, kind, item)] if reader is None else reader(item)


def rest_of(item: Json, *known: str) -> Json:
    """What an item has besides its type and `known` fields."""
    return {
        name: value
        for name, value in item.items()
        if name != "type" and name not in known and value is not None
    }


def message_rest(item: Json) -> Json:
    """What a message of the model's has that its blocks have not."""
    return rest_of(item, "role", "content")


def _message(item: Json) -> list[ir.Block]:
    content = item.get("content")
    blocks: list[ir.Block]
    if isinstance(content, str):
        blocks = [ir.Text(content)]
    else:
        blocks = [read_part(part) for part in objects(content)]
    rest = message_rest(item)
    for block in blocks:
        if rest and isinstance(block, ir.Text | ir.Refusal | ir.Media):
            block.extras[ITEM] = rest
    return blocks


def _reasoning(item: Json) -> list[ir.Block]:
    summary = [word(part, "text") for part in objects(item.get("summary"))]
    content = [word(part, "text") for part in objects(item.get("content"))]
    state = word(item, "encrypted_content")
    raw = not any(summary) and any(content)
    # What is read of a thought is in pieces only the provider knows the reason of.
    text = JOIN.join(part for part in (content if raw else summary) if part)
    if not text and not state:
        return [ir.Opaque(FAMILY, "reasoning", item)]
    origin, signature = unseal(state, FAMILY) if state else ("", "")
    extras: Json = {}
    rest = rest_of(item, "id", "summary", "content", "encrypted_content")
    if rest:
        extras[ITEM] = rest
    if len(summary) > 1:
        extras["summary"] = item["summary"]
    if any(content) and not raw:
        extras["content"] = item["content"]
    return [
        ir.Reasoning(
            text=text,
            signature=signature,
            origin=origin,
            redacted=not summary and not content,
            id=word(item, "id"),
            raw=raw,
            extras=extras,
        )
    ]


def _call(item: Json) -> list[ir.Block]:
    rest = rest_of(item, "call_id", "name", "arguments")
    arguments = item.get("arguments")
    return [
        ir.ToolCall(
            id=word(item, "call_id") or word(item, "id"),
            name=word(item, "name"),
            # Some who speak the dialect give the object itself.
            arguments=encode(arguments).decode()
            if isinstance(arguments, dict)
            else word(item, "arguments"),
            extras={ITEM: rest} if rest else {},
        )
    ]


def _custom_call(item: Json) -> list[ir.Block]:
    rest = rest_of(item, "call_id", "name", "input")
    return [
        ir.ToolCall(
            id=word(item, "call_id") or word(item, "id"),
            name=word(item, "name"),
            arguments=word(item, "input"),
            custom=True,
            extras={ITEM: rest} if rest else {},
        )
    ]


def _output(item: Json, *, custom: bool = False) -> list[ir.Block]:
    value = item.get("output")
    content: list[ir.Text | ir.Media | ir.Opaque] = []
    if isinstance(value, str):
        content.append(ir.Text(value))
    for part in objects(value):
        block = read_part(part)
        if isinstance(block, ir.Text | ir.Media | ir.Opaque):
            content.append(block)
    rest = rest_of(item, "call_id", "name", "output")
    return [
        ir.ToolResult(
            id=word(item, "call_id"),
            name=word(item, "name"),
            content=content,
            custom=custom,
            extras={ITEM: rest} if rest else {},
        )
    ]


def _custom_output(item: Json) -> list[ir.Block]:
    return _output(item, custom=True)


_READERS: Mapping[str, Callable[[Json], list[ir.Block]]] = {
    "message": _message,
    "reasoning": _reasoning,
    "function_call": _call,
    "custom_tool_call": _custom_call,
    "function_call_output": _output,
    "custom_tool_call_output": _custom_output,
}


# --- writing ------------------------------------------------------------------------------------------------


def reasoning_item(block: ir.Reasoning, id: str, state: str) -> Json:
    """An item of thoughts. `id` and `state` are left out where they are empty."""
    part = {"type": "reasoning_text" if block.raw else "summary_text", "text": block.text}
    told = [part] if block.text else []
    item: Json = {"type": "reasoning"}
    if id:
        item["id"] = id
    item["summary"] = [] if block.raw else told
    if block.raw:
        item["content"] = told
    if state:
        item["encrypted_content"] = state
    return item


def call_item(block: ir.ToolCall, call_id: str) -> Json:
    """An item of a call, without an id of its own."""
    if block.custom:
        return {
            "type": "custom_tool_call",
            "call_id": call_id,
            "name": block.name,
            "input": block.arguments,
        }
    return {
        "type": "function_call",
        "call_id": call_id,
        "name": block.name,
        "arguments": block.arguments if block.arguments.strip() else "{}",
    }


def is_empty_thought(block: ir.Reasoning, signature: str, origin: str) -> bool:
    """Whether a sealed thought of another family has words, but no letter of them: not the same as to have none."""
    return bool(signature) and origin != FAMILY and not block.redacted and not block.raw
