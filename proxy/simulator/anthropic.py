"""The Anthropic dialect: messages and token counts."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson
from msgspec import Struct

from proxy.simulator import demands, seals, strict, words
from proxy.simulator.answers import ABSENT, Answer, Block, Call, Stream, Whole, decoded, wrapped
from proxy.simulator.errors import Refused, anthropic_event
from proxy.simulator.shape import Shape, call_id, shape, source, whole

if TYPE_CHECKING:
    from proxy.simulator.grammar import Steer

PING = b'event: ping\ndata: {"type":"ping"}\n\n'
REDACTED = seals.seal("redacted")
"""All there is of thoughts nobody may read."""


_NO_THREADS = Refused(
    "thread: this request cannot be threaded",
    "thread",
    details={"error_code": "thread_unsupported_request", "unsupported": ["thread"]},
)
"""Conversations are the client's to keep; its tool runner goes on by itself when it is told so in this way."""


def messages(call: Call) -> Answer:
    """POST /messages"""
    steer = call.steer
    if call.ask.thread is not ABSENT:
        raise _NO_THREADS
    if steer.strict:
        strict.messages(call.content())
    if steer.signed:
        demands.messages(call.content(), exact=not steer.stamp)
    thinking = None if call.ask.thinking is ABSENT else decoded(call.ask.thinking)
    made = shape(call, think=_asks_for_thoughts(thinking), wanted=_wanted(call))
    omitted = thinking is not None and thinking.get("display") == "omitted"
    end = _end(call, made, omitted=omitted)
    if call.ask.stream:
        return _stream(call, made, end)
    body = call.serial.join(_pieces(steer, call.ask.model, made, end))
    if steer.stamp:
        body = body.replace(b"@STAMP", words.stamp(), 1)
    return Whole(body, made.output)


def count_tokens(call: Call) -> Answer:
    """POST /messages/count_tokens"""
    return Whole(orjson.dumps({"input_tokens": call.steer.input}))


class _End(Struct, frozen=True):
    """What else the request decides."""

    reason: str = "end_turn"
    sequence: str | None = None
    omitted: bool = False
    """Thoughts are signed, but not shown."""


_TURN = _End()


def _end(call: Call, made: Shape, *, omitted: bool) -> _End:
    """Why it stops, and the stop sequence it met."""
    steer = call.steer
    if steer.stop and (sequences := call.content().get("stop_sequences")):
        return _End("stop_sequence", str(sequences[0]), omitted)
    if steer.length:
        return _End("max_tokens", None, omitted)
    if made.tools:
        return _End("tool_use", None, omitted)
    if steer.refuse:
        return _End("refusal", None, omitted)
    return _End(omitted=True) if omitted else _TURN


def _asks_for_thoughts(thinking: Any) -> bool:
    return thinking is not None and thinking.get("type") in ("enabled", "adaptive")


def _wanted(call: Call) -> Any:
    """The schema the answer must satisfy."""
    if call.ask.output_config is ABSENT and call.ask.output_format is ABSENT:
        return None
    config = decoded(call.ask.output_config)
    wanted = config.get("format") if isinstance(config, dict) else decoded(call.ask.output_format)
    return wanted.get("schema") if isinstance(wanted, dict) else None


def _citation(text: str) -> dict[str, Any]:
    return {
        "type": "web_search_result_location",
        "cited_text": text[:40],
        "encrypted_index": seals.seal("citation"),
        "title": "The mill",
        "url": "https://example.com/mill",
    }


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


def _message(
    model: str, content: list[Any], reason: str | None, usage: Any, sequence: str | None = None
) -> dict[str, Any]:
    message = {
        "id": "msg_@SERIAL",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": sequence,
    }
    return message | {"usage": usage} if usage else message


@lru_cache(512)
def _pieces(steer: Steer, model: str, made: Shape, end: _End) -> list[bytes]:
    """A whole answer, in the pieces between which its serial number stands."""
    content: list[Any] = []
    if made.thought and steer.redact:
        content.append({"type": "redacted_thinking", "data": REDACTED})
    elif made.thought:
        thought = "" if end.omitted else words.whole(steer, made.thought)
        signature = seals.thought(thought)
        content.append({"type": "thinking", "thinking": thought, "signature": signature})
    if not made.tools:
        text = whole(steer, made)
        cited = {"citations": [_citation(text)]} if steer.cite else {}
        content.append({"type": "text", "text": text} | cited)
    for index, name in enumerate(made.tools):
        entry = {"type": "tool_use", "id": call_id("toolu", b"@SERIAL", index), "name": name}
        content.append(entry | {"input": orjson.loads(made.arguments[index].whole(steer))})
    reason = None if steer.fault == "nodone" else end.reason
    message = _message(model, content, reason, _usage(steer, made.output), end.sequence)
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
    index: int, count: int, source: words.Source, start: dict[str, Any], delta: dict[str, Any],
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


def _thoughts(steer: Steer, made: Shape, end: _End) -> Block:
    if steer.redact:
        start: dict[str, Any] = {"type": "redacted_thinking", "data": REDACTED}
        return _block(0, 0, words.source(steer), start, {})
    count = 0 if end.omitted else made.thought
    signature = seals.thought(words.whole(steer, count))
    signed = {"index": 0, "delta": {"type": "signature_delta", "signature": signature}}
    start = {"type": "thinking", "thinking": "", "signature": ""}
    delta = {"type": "thinking_delta", "thinking": "@TEXT"}
    return _block(
        0, count, words.source(steer), start, delta, event("content_block_delta", signed)
    )  # fmt: skip


def _words(steer: Steer, made: Shape, index: int) -> Block:
    closing = b""
    if steer.cite:
        delta: dict[str, Any] = {
            "type": "citations_delta",
            "citation": _citation(whole(steer, made)),
        }
        closing = event("content_block_delta", {"index": index, "delta": delta})
    start = {"type": "text", "text": ""}
    return _block(
        index, made.said, source(steer, made), start, {"type": "text_delta", "text": "@TEXT"}, closing
    )  # fmt: skip


def _stream(call: Call, made: Shape, end: _End) -> Stream:
    steer = call.steer
    blocks: list[Block] = []
    if made.thought:
        blocks.append(_thoughts(steer, made, end))
    if not made.tools:
        blocks.append(_words(steer, made, len(blocks)))
    for index, name in enumerate(made.tools):
        start = {"type": "tool_use", "id": call_id("toolu", call.serial, index), "name": name}
        delta = {"type": "input_json_delta", "partial_json": "@TEXT"}
        text = made.arguments[index]
        # No arguments are an empty fragment here, not an empty object.
        fragments = text.source(steer) if text.pieces != ("{}",) else lambda _: b""
        blocks.append(_block(len(blocks), text.count, fragments, start | {"input": {}}, delta))
    blocks[0].opening += PING
    stop = {"delta": {"stop_reason": end.reason, "stop_sequence": end.sequence}}
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
