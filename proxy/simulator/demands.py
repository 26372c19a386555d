"""What each vendor wants back in the next turn, and how it says that it is missing (the word `signed`).

Messages    (and Claude on Bedrock) while thinking, a turn whose tools have just answered begins with its thoughts, signature unbroken
Responses   a function call stands behind the reasoning it came from
Gemini 3    the first function call of a step in the current turn carries its thought signature
chat        as DeepSeek has it: a message with tool calls in the current turn brings its `reasoning_content`
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Container
from typing import Any

from proxy.simulator import seals, talk
from proxy.simulator.errors import Refused

SKIP = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
"""What Google documents for calls that come from another model."""

_NUMBER = re.compile(r"call_(\d{16})\d+")
"""The id of a call of ours: the answer's number is in it."""


def messages(body: Any, *, exact: bool = True) -> None:
    """`exact`: thoughts are checked against their signature."""
    thinking = body.get("thinking")
    told = body["messages"]
    for turn, message in enumerate(told):
        blocks = message["content"] if isinstance(message["content"], list) else []
        for index, block in enumerate(blocks):
            _unbroken(block, f"messages.{turn}.content.{index}", exact=exact)
    if not isinstance(thinking, dict) or thinking.get("type") not in ("enabled", "adaptive"):
        return
    asked = _open_turn(told)
    if asked is None:
        return
    first = told[asked]["content"][0]
    if first["type"] not in ("thinking", "redacted_thinking"):
        place = f"messages.{asked}.content.0.type"
        raise Refused(
            f"{place}: Expected `thinking` or `redacted_thinking`, but found `{first['type']}`. When `thinking` is "
            "enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost set of "
            "`tool_use` and `tool_result` blocks). We recommend you include thinking blocks from previous turns. To "
            "avoid this requirement, disable `thinking`.",
            place,
        )


def _unbroken(block: Any, place: str, *, exact: bool) -> None:
    kind = block.get("type")
    if kind == "thinking":
        signature, text = block.get("signature"), block.get("thinking", "")
        if not (seals.fits(signature, text) if exact else seals.opened(signature) is not None):
            raise Refused(f"{place}: Invalid `signature` in `thinking` block", place)
    elif kind == "redacted_thinking" and seals.opened(block.get("data")) is None:
        raise Refused(f"{place}: Invalid `data` in `redacted_thinking` block", place)


def _open_turn(told: list[Any]) -> int | None:
    """Where the assistant turn stands whose tools have answered last."""
    for turn in range(len(told) - 1, -1, -1):
        content = told[turn]["content"]
        if told[turn]["role"] == "assistant":
            if not isinstance(content, list):
                return None
            calls = any(block["type"] == "tool_use" for block in content)
            # Assistant messages in a row are one turn.
            while turn and told[turn - 1]["role"] == "assistant":
                turn -= 1
            return turn if calls and isinstance(told[turn]["content"], list) else None
        if isinstance(content, str):
            return None
    return None


def converse(body: Any, *, exact: bool = True) -> None:
    """The same of a Claude on Bedrock."""
    extra = body.get("additionalModelRequestFields") or {}
    told = [
        {"role": message["role"], "content": [_as_message(block) for block in message["content"]]}
        for message in body["messages"]
    ]
    messages({"thinking": extra.get("thinking"), "messages": told}, exact=exact)


def _as_message(block: dict[str, Any]) -> dict[str, Any]:
    thoughts = block.get("reasoningContent")
    if isinstance(thoughts, dict):
        if "redactedContent" in thoughts:
            data = b64decode(thoughts["redactedContent"]).decode()
            return {"type": "redacted_thinking", "data": data}
        inner = thoughts["reasoningText"]
        return {"type": "thinking", "thinking": inner["text"], "signature": inner.get("signature")}
    return {"type": "tool_use" if "toolUse" in block else next(iter(block), "nothing")}


def responses(body: Any, store: Container[str], *, stored: bool = True) -> None:
    """`store`: answers whose reasoning need not come back whole."""
    told = body.get("input")
    if body.get("previous_response_id") or not isinstance(told, list):
        return
    numbers: set[str] = set()
    waiting = False
    for index, item in enumerate(told):
        kind = item.get("type")
        if kind == "reasoning":
            number = _number(item, index, store if stored else ())
            numbers.add(number)
            waiting = True
        elif kind in ("function_call", "custom_tool_call"):
            found = _NUMBER.fullmatch(str(item.get("call_id")))
            if not (found[1] in numbers if found else waiting):
                raise Refused(
                    f"Item '{item.get('id')}' of type '{kind}' was provided without its required 'reasoning' item.",
                    "input",
                )
        elif kind in ("function_call_output", "custom_tool_call_output"):
            waiting = False


def _number(item: dict[str, Any], index: int, store: Container[str]) -> str:
    """The number of the answer a reasoning item comes from."""
    state = item.get("encrypted_content")
    if state is None and (id := str(item.get("id"))).startswith("rs_"):
        if f"resp_{id[3:]}" in store:
            return id[3:]
        raise Refused(
            f"Item with id '{id}' not found. Items are not persisted when `store` is set to false.",
            "input",
            "item_not_found",
        )
    number = seals.opened(state)
    if number is None:
        raise Refused(
            "The encrypted content could not be verified. Reason: Encrypted content could not be decrypted or parsed.",
            f"input[{index}].encrypted_content",
            "invalid_encrypted_content",
        )
    return number


def contents(body: Any) -> None:
    """Gemini's demand, of what has happened since the user last spoke."""
    before = ""
    for piece in talk.read(body).current():
        if piece.kind == "call" and before != "call":
            call = _member(piece.value, "functionCall", "function_call") or {}
            signature = _member(piece.value, "thoughtSignature", "thought_signature")
            name = str(call.get("name"))
            if not signature:
                raise Refused(
                    "Function call is missing a thought_signature in functionCall parts. This is required for tools "
                    "to work correctly, and missing thought_signature may lead to degraded model performance. "
                    f"Additional data, function call `default_api:{name}`, position {piece.turn + 1}.",
                    f"contents[{piece.turn}].parts",
                )
            if signature not in SKIP and seals.opened(signature) != name:
                raise Refused("Corrupted thought signature.", f"contents[{piece.turn}].parts")
        before = piece.kind


def _member(value: dict[str, Any], camel: str, snake: str) -> Any:
    return value.get(camel, value.get(snake))


def chat(body: Any) -> None:
    """DeepSeek's demand, of what has happened since the user last spoke."""
    thought: set[int] = set()
    for piece in talk.read(body).current():
        if piece.kind == "thought":
            thought.add(piece.turn)
        elif piece.kind == "call" and piece.turn not in thought:
            raise Refused(
                "The `reasoning_content` in the thinking mode must be passed back to the API.",
                f"messages[{piece.turn}].reasoning_content",
            )
