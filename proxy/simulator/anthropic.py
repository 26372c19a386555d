"""The Anthropic dialect: messages and token counts."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from proxy.simulator import words
from proxy.simulator.answers import Answer, Block, Call, Stream, Whole, decoded, wrapped
from proxy.simulator.errors import anthropic_event
from proxy.simulator.shape import Shape, call_id, shape

if TYPE_CHECKING:
    from proxy.simulator.grammar import Steer

SIGNATURE = "c2ltdWxhdGVkIHNpZ25hdHVyZQ=="
PING = b'event: ping\ndata: {"type":"ping"}\n\n'


def messages(call: Call) -> Answer:
    """POST /messages"""
    made = shape(call, think=_asks_for_thoughts(call))
    if call.ask.stream:
        return _stream(call, made)
    body = call.serial.join(_pieces(call.steer, call.ask.model, made))
    if call.steer.stamp:
        body = body.replace(b"@STAMP", words.stamp(), 1)
    return Whole(body, made.output)


def count_tokens(call: Call) -> Answer:
    """POST /messages/count_tokens"""
    return Whole(orjson.dumps({"input_tokens": call.steer.input}))


def _asks_for_thoughts(call: Call) -> bool:
    thinking = decoded(call.ask.thinking)
    return isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive")


def _stop_reason(steer: Steer, made: Shape) -> str:
    return "max_tokens" if steer.length else "tool_use" if made.tools else "end_turn"


def _usage(steer: Steer, output: int) -> dict[str, Any]:
    """Usage as Anthropic counts it: cached input is not part of `input_tokens`."""
    if steer.fault == "no_usage":
        return {}
    return {
        "input_tokens": max(steer.input - steer.cached, 0),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": steer.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    }


def _message(model: str, content: list[Any], reason: str | None, usage: Any) -> dict[str, Any]:
    message = {
        "id": "msg_@SERIAL",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
    }
    return message | {"usage": usage} if usage else message


@lru_cache(512)
def _pieces(steer: Steer, model: str, made: Shape) -> list[bytes]:
    """A whole answer, in the pieces between which its serial number stands."""
    content: list[Any] = []
    if made.thought:
        thought = words.whole(steer, made.thought)
        content.append({"type": "thinking", "thinking": thought, "signature": SIGNATURE})
    if not made.tools:
        text = words.whole(steer, made.said)
        content.append({"type": "text", "text": "@STAMP" + text[20:] if steer.stamp else text})
    for index, name in enumerate(made.tools):
        entry = {"type": "tool_use", "id": call_id("toolu", b"@SERIAL", index), "name": name}
        content.append(entry | {"input": orjson.loads(words.whole_arguments(steer))})
    reason = None if steer.fault == "nodone" else _stop_reason(steer, made)
    message = _message(model, content, reason, _usage(steer, made.output))
    return orjson.dumps(message).split(b"@SERIAL")


@lru_cache(512)
def _opening(steer: Steer, model: str) -> list[bytes]:
    """`message_start` in pieces; it knows one token of the output, as the real one does."""
    message = _message(model, [], None, _usage(steer, 1))
    return event("message_start", {"message": message}).split(b"@SERIAL")


def event(name: str, members: dict[str, Any]) -> bytes:
    """One event; its name is also its `type`."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps({"type": name} | members))


def _block(
    index: int, count: int, source: words.Source, start: dict[str, Any], delta: dict[str, str],
    closing: bytes = b"",
) -> Block:  # fmt: skip
    members: dict[str, Any] = {"index": index, "delta": delta}
    before, _, after = event("content_block_delta", members).partition(b"@TEXT")
    return Block(
        event("content_block_start", {"index": index, "content_block": start}),
        count,
        source,
        wrapped(before, after),
        closing + event("content_block_stop", {"index": index}),
    )


def _stream(call: Call, made: Shape) -> Stream:
    steer = call.steer
    blocks: list[Block] = []
    if made.thought:
        start: dict[str, Any] = {"type": "thinking", "thinking": "", "signature": ""}
        delta = {"type": "thinking_delta", "thinking": "@TEXT"}
        signed = {"index": 0, "delta": {"type": "signature_delta", "signature": SIGNATURE}}
        closing = event("content_block_delta", signed)
        blocks.append(_block(0, made.thought, words.source(steer), start, delta, closing))
    if not made.tools:
        start = {"type": "text", "text": ""}
        delta = {"type": "text_delta", "text": "@TEXT"}
        blocks.append(_block(len(blocks), made.said, words.source(steer), start, delta))
    for index, name in enumerate(made.tools):
        start = {"type": "tool_use", "id": call_id("toolu", call.serial, index), "name": name}
        delta = {"type": "input_json_delta", "partial_json": "@TEXT"}
        fragments = words.arguments(steer)
        blocks.append(_block(len(blocks), *fragments, start | {"input": {}}, delta))
    blocks[0].opening += PING
    stop = {"delta": {"stop_reason": _stop_reason(steer, made), "stop_sequence": None}}
    usage = _usage(steer, made.output)
    usage.pop("cache_creation", None)
    usage.pop("service_tier", None)
    return Stream(
        blocks,
        opening=call.serial.join(_opening(steer, call.ask.model)),
        finish=event("message_delta", stop | ({"usage": usage} if usage else {})),
        end=event("message_stop", {}),
        error=lambda _: anthropic_event(),
        ping=PING,
    )
