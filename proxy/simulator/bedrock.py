"""The dialect of Amazon Bedrock: Converse, whole and as an event stream, and token counts."""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from proxy.simulator import demands, seals, words
from proxy.simulator.answers import Answer, Block, Call, Stream, Whole
from proxy.simulator.errors import bedrock_event
from proxy.simulator.shape import Shape, call_id, shape, source, whole
from proxy.wire import eventstream

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.simulator.grammar import Steer

EVENT_STREAM = b"application/vnd.amazon.eventstream"
REDACTED = b64encode(seals.seal("redacted").encode()).decode()
"""All there is of thoughts nobody may read."""


def converse(call: Call) -> Answer:
    """POST /model/ID/converse"""
    steer = call.steer
    asked = _asked(call)
    made = _made(call, asked)
    body = call.serial.join(_pieces(steer, made, _stop_reason(steer, made, asked)))
    if steer.stamp:
        body = body.replace(b"@STAMP", words.stamp(), 1)
    return Whole(body, made.output)


def converse_stream(call: Call) -> Answer:
    """POST /model/ID/converse-stream"""
    asked = _asked(call)
    return _stream(call, _made(call, asked), asked)


def count_tokens(call: Call) -> Answer:
    """POST /model/ID/count-tokens"""
    return Whole(orjson.dumps({"inputTokens": call.steer.input}))


def _asked(call: Call) -> dict[str, Any]:
    asked = call.content()
    if not isinstance(asked, dict):
        return {}
    if call.steer.signed:
        demands.converse(asked, exact=not call.steer.stamp)
    return asked


def _made(call: Call, asked: dict[str, Any]) -> Shape:
    extra = asked.get("additionalModelRequestFields") or {}
    thinking = extra.get("thinking") or extra.get("reasoning_config") or {}
    think = thinking.get("type") in ("enabled", "adaptive")
    form = (asked.get("outputConfig") or {}).get("textFormat")
    schema = form["structure"]["jsonSchema"]["schema"] if form else None
    return shape(call, think=think, wanted=orjson.loads(schema) if schema else None)


def _stop_reason(steer: Steer, made: Shape, asked: dict[str, Any]) -> tuple[str, str]:
    """(stopReason, the stop sequence met)."""
    sequences = (asked.get("inferenceConfig") or {}).get("stopSequences")
    if steer.stop and sequences:
        told = "/stop_sequence" in (asked.get("additionalModelResponseFieldPaths") or ())
        return "stop_sequence", str(sequences[0]) if told else ""
    if steer.length:
        return "max_tokens", ""
    if made.tools:
        return "tool_use", ""
    return ("content_filtered" if steer.refuse else "end_turn"), ""


def _usage(steer: Steer, output: int) -> dict[str, Any]:
    """Usage as Bedrock counts it: cached input is not part of `inputTokens`."""
    if steer.fault == "no_usage":
        return {}
    uncached = max(steer.input - steer.cached, 0)
    return {
        "inputTokens": uncached,
        "outputTokens": output,
        "totalTokens": uncached + steer.cached + output,
        "cacheReadInputTokens": steer.cached,
        "cacheWriteInputTokens": 0,
    }


def _more(reason: tuple[str, str]) -> dict[str, Any]:
    return {"additionalModelResponseFields": {"stop_sequence": reason[1]}} if reason[1] else {}


def _citation(text: str) -> dict[str, Any]:
    return {
        "title": "The mill",
        "source": "https://example.com/mill",
        "sourceContent": [{"text": text[:40]}],
        "location": {"web": {"url": "https://example.com/mill", "domain": "example.com"}},
    }


@lru_cache(512)
def _pieces(steer: Steer, made: Shape, reason: tuple[str, str]) -> list[bytes]:
    """A whole answer, in the pieces between which its serial number stands."""
    content: list[Any] = []
    if made.thought and steer.redact:
        content.append({"reasoningContent": {"redactedContent": REDACTED}})
    elif made.thought:
        thought = words.whole(steer, made.thought)
        signed = {"text": thought, "signature": seals.thought(thought)}
        content.append({"reasoningContent": {"reasoningText": signed}})
    if not made.tools:
        text = whole(steer, made)
        cited = {"content": [{"text": text}], "citations": [_citation(text)]}
        content.append({"citationsContent": cited} if steer.cite else {"text": text})
    for index, name in enumerate(made.tools):
        entry = {"toolUseId": call_id("tooluse", b"@SERIAL", index), "name": name}
        content.append(
            {"toolUse": entry | {"input": orjson.loads(made.arguments[index].whole(steer))}}
        )
    answer: dict[str, Any] = {
        "metrics": {"latencyMs": 1},
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": None if steer.fault == "nodone" else reason[0],
    } | _more(reason)
    usage = _usage(steer, made.output)
    return orjson.dumps(answer | ({"usage": usage} if usage else {})).split(b"@SERIAL")


def event(name: str, members: dict[str, Any]) -> bytes:
    """One event, padded to no length: the real `p` only hides how long a token is."""
    return eventstream.event(name, orjson.dumps(members | {"p": "abcd"}))


def _wrapped(index: int, delta: dict[str, Any]) -> Callable[[bytes, int], bytes]:
    """Events that differ in their text only, and so in their length and checksum."""
    members = {"contentBlockIndex": index, "delta": delta, "p": "abcd"}
    before, _, after = orjson.dumps(members).partition(b"@TEXT")
    return lambda text, _: eventstream.event("contentBlockDelta", before + text + after)


def _block(
    index: int, count: int, source: words.Source, delta: dict[str, Any],
    start: dict[str, Any] | None = None, closing: bytes = b"",
) -> Block:  # fmt: skip
    opening = b""
    if start is not None:
        opening = event("contentBlockStart", {"contentBlockIndex": index, "start": start})
    stop = event("contentBlockStop", {"contentBlockIndex": index})
    return Block(opening, count, source, _wrapped(index, delta), closing + stop)


def _delta(index: int, delta: dict[str, Any]) -> bytes:
    return event("contentBlockDelta", {"contentBlockIndex": index, "delta": delta})


def _thoughts(steer: Steer, made: Shape) -> Block:
    delta: dict[str, Any] = {"reasoningContent": {"text": "@TEXT"}}
    if steer.redact:
        sealed = {"reasoningContent": {"redactedContent": REDACTED}}
        return _block(0, 0, words.source(steer), delta, closing=_delta(0, sealed))
    signature = seals.thought(words.whole(steer, made.thought))
    signed = _delta(0, {"reasoningContent": {"signature": signature}})
    return _block(0, made.thought, words.source(steer), delta, closing=signed)


def _stream(call: Call, made: Shape, asked: dict[str, Any]) -> Stream:
    steer = call.steer
    blocks: list[Block] = []
    if made.thought:
        blocks.append(_thoughts(steer, made))
    if not made.tools:
        index = len(blocks)
        cited = _delta(index, {"citation": _citation(whole(steer, made))}) if steer.cite else b""
        blocks.append(
            _block(index, made.said, source(steer, made), {"text": "@TEXT"}, closing=cited)
        )
    for index, name in enumerate(made.tools):
        start = {"toolUse": {"toolUseId": call_id("tooluse", call.serial, index), "name": name}}
        delta = {"toolUse": {"input": "@TEXT"}}
        text = made.arguments[index]
        # No arguments are an empty fragment here, not an empty object.
        fragments = text.source(steer) if text.pieces != ("{}",) else lambda _: b""
        blocks.append(_block(len(blocks), text.count, fragments, delta, start))
    reason = _stop_reason(steer, made, asked)
    usage = _usage(steer, made.output)
    metadata = {"metrics": {"latencyMs": 1}} | ({"usage": usage} if usage else {})
    return Stream(
        blocks,
        opening=event("messageStart", {"role": "assistant"}),
        finish=event("messageStop", {"stopReason": reason[0]} | _more(reason)),
        usage=event("metadata", metadata),
        error=lambda _: bedrock_event(),
        ping=event("ping", {}),
        content_type=EVENT_STREAM,
    )
