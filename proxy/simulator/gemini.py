"""The Gemini dialect: content (whole, as events, as a JSON array), token counts and embeddings."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from proxy.simulator import words
from proxy.simulator.answers import Answer, Block, Call, Stream, Whole, decoded, member, wrapped
from proxy.simulator.errors import gemini_event
from proxy.simulator.shape import Shape, call_id, shape
from proxy.simulator.vectors import vector

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.simulator.grammar import Steer

SIGNATURE = "c2ltdWxhdGVkIHNpZ25hdHVyZQ=="


def verb(call: Call) -> Answer | None:
    """POST /models/{model}:{verb}"""
    operation = _VERBS.get(call.parameter)
    return operation(call) if operation else None


def generate(call: Call) -> Answer:
    """:generateContent"""
    made = shape(call, think=_asks_for_thoughts(call))
    body = call.serial.join(_pieces(call.steer, call.ask.model, made))
    if call.steer.stamp:
        body = body.replace(b"@STAMP", words.stamp(), 1)
    return Whole(body, made.output, b"application/json; charset=UTF-8")


def stream(call: Call) -> Answer:
    """:streamGenerateContent, as events with `alt=sse`, else as one JSON array that grows."""
    made = shape(call, think=_asks_for_thoughts(call))
    if b"alt=sse" in call.query:
        return _stream(call, made, lambda _: b"data: ", b"\r\n\r\n", b"")
    answer = _stream(call, made, lambda first: b"[" if first else b",\r\n", b"", b"]")
    answer.content_type = b"application/json; charset=UTF-8"
    answer.ping = b" "
    answer.error = lambda _: gemini_event().removeprefix(b"data: ").rstrip()
    return answer


def count_tokens(call: Call) -> Answer:
    """:countTokens"""
    return Whole(orjson.dumps({"totalTokens": call.steer.input}))


def embed(call: Call) -> Answer:
    """:embedContent"""
    return Whole(orjson.dumps({"embedding": {"values": vector(0, call.ask.dimensions or 16)}}))


def embed_batch(call: Call) -> Answer:
    """:batchEmbedContents"""
    requests = decoded(call.ask.requests) or []
    vectors = [{"values": vector(index, 16)} for index in range(len(requests))]
    return Whole(orjson.dumps({"embeddings": vectors}))


_VERBS: dict[str, Callable[[Call], Answer]] = {
    "generateContent": generate,
    "streamGenerateContent": stream,
    "countTokens": count_tokens,
    "embedContent": embed,
    "batchEmbedContents": embed_batch,
}


def _asks_for_thoughts(call: Call) -> bool:
    config = decoded(call.ask.generation_config)
    thinking = member(config, "thinkingConfig", "thinking_config")
    return bool(member(thinking, "includeThoughts", "include_thoughts"))


def _finish(steer: Steer) -> str:
    return "MAX_TOKENS" if steer.length else "STOP"


def _usage(steer: Steer, made: Shape) -> dict[str, Any]:
    """Usage as Gemini counts it: cached is part of the prompt, thoughts are beside the candidates."""
    usage: dict[str, Any] = {
        "promptTokenCount": steer.input,
        "candidatesTokenCount": made.said,
        "totalTokenCount": steer.input + made.output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": steer.input}],
    }
    if steer.cached:
        usage["cachedContentTokenCount"] = steer.cached
    if made.thought:
        usage["thoughtsTokenCount"] = made.thought
    return usage


def _chunk(model: str, parts: list[Any], finish: str | None, usage: Any) -> bytes:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    chunk: dict[str, Any] = {"candidates": [candidate]}
    if usage:
        chunk["usageMetadata"] = usage
    return orjson.dumps(chunk | {"modelVersion": model, "responseId": "@SERIAL"})


def _function_call(steer: Steer, name: str, serial: bytes, index: int) -> dict[str, Any]:
    arguments = orjson.loads(words.whole_arguments(steer))
    call = {"id": call_id("fc", serial, index), "name": name, "args": arguments}
    # The first call of a turn carries the signature, the parallel ones do not.
    return {"functionCall": call} | ({} if index else {"thoughtSignature": SIGNATURE})


@lru_cache(512)
def _pieces(steer: Steer, model: str, made: Shape) -> list[bytes]:
    """A whole answer, in the pieces between which its serial number stands."""
    parts: list[Any] = []
    if made.thought:
        parts.append({"text": words.whole(steer, made.thought), "thought": True})
    if not made.tools:
        text = words.whole(steer, made.said)
        parts.append({"text": "@STAMP" + text[20:] if steer.stamp else text})
    for index, name in enumerate(made.tools):
        parts.append(_function_call(steer, name, b"@SERIAL", index))
    finish = None if steer.fault == "nodone" else _finish(steer)
    usage = None if steer.fault == "no_usage" else _usage(steer, made)
    return _chunk(model, parts, finish, usage).split(b"@SERIAL")


def _stream(
    call: Call, made: Shape, before: Callable[[bool], bytes], after: bytes, end: bytes
) -> Stream:
    """`before` and `after` frame one chunk; `before` is told whether it is the first."""
    steer, model = call.steer, call.ask.model
    running = {"promptTokenCount": steer.input, "totalTokenCount": steer.input}
    usage = None if steer.fault == "no_usage" else running

    def chunk(parts: list[Any], finish: str | None = None, usage: Any = usage) -> bytes:
        return _chunk(model, parts, finish, usage).replace(b"@SERIAL", call.serial) + after

    def block(first: bool, count: int, part: dict[str, Any]) -> Block:
        left, _, right = chunk([part]).partition(b"@TEXT")

        def wrap(text: bytes, index: int) -> bytes:
            return before(first and not index) + left + text + right

        return Block(b"", count, words.source(steer), wrap)

    blocks: list[Block] = []
    if made.thought:
        blocks.append(block(True, made.thought, {"text": "@TEXT", "thought": True}))
    if not made.tools:
        blocks.append(block(not blocks, made.said, {"text": "@TEXT"}))
    for index, name in enumerate(made.tools):
        # Arguments are not streamed in this dialect: all tokens of a call are one event.
        part = chunk([_function_call(steer, name, call.serial, index)])
        whole = wrapped(before(not blocks) + part, b"")
        blocks.append(Block(b"", 1, lambda _: b"", whole, width=max(1, steer.tokens)))
    nothing_yet = not sum(block.count for block in blocks)
    total = None if steer.fault == "no_usage" else _usage(steer, made)
    last: list[Any] = [] if made.tools else [{"text": ""}]
    return Stream(
        blocks,
        finish=before(nothing_yet) + chunk(last, _finish(steer), total),
        end=end,
        error=lambda _: gemini_event(),
    )
