"""The Gemini dialect: content (whole, as events, as a JSON array), token counts and embeddings."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from proxy.simulator import demands, seals, strict, words
from proxy.simulator.answers import (
    ABSENT,
    Answer,
    Block,
    Call,
    Stream,
    Whole,
    decoded,
    member,
    wrapped,
)
from proxy.simulator.errors import gemini_event
from proxy.simulator.shape import Shape, call_id, shape, source, whole
from proxy.simulator.vectors import vector

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.simulator.grammar import Steer


def verb(call: Call) -> Answer | None:
    """POST /models/{model}:{verb}"""
    operation = _VERBS.get(call.parameter)
    return operation(call) if operation else None


def _made(call: Call) -> Shape:
    if call.steer.strict:
        strict.contents(call.content())
    if call.steer.signed:
        demands.contents(call.content())
    if call.ask.generation_config is ABSENT:
        return shape(call)
    config = decoded(call.ask.generation_config)
    return shape(call, think=_asks_for_thoughts(config), wanted=_wanted(config))


def generate(call: Call) -> Answer:
    """:generateContent"""
    made = _made(call)
    body = call.serial.join(_pieces(call.steer, call.ask.model, made))
    if call.steer.stamp:
        body = body.replace(b"@STAMP", words.stamp(), 1)
    return Whole(body, made.output, b"application/json; charset=UTF-8")


def stream(call: Call) -> Answer:
    """:streamGenerateContent, as events with `alt=sse`, else as one JSON array that grows."""
    made = _made(call)
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


def _asks_for_thoughts(config: Any) -> bool:
    thinking = member(config, "thinkingConfig", "thinking_config")
    return bool(member(thinking, "includeThoughts", "include_thoughts"))


def _wanted(config: Any) -> Any:
    """The schema the answer must satisfy."""
    if member(config, "responseMimeType", "response_mime_type") != "application/json":
        return None
    schema = member(config, "responseJsonSchema", "response_json_schema")
    return schema or member(config, "responseSchema", "response_schema") or {"type": "object"}


def _finish(steer: Steer) -> str:
    return "MAX_TOKENS" if steer.length else "SAFETY" if steer.refuse else "STOP"


def _grounding(text: str) -> dict[str, Any]:
    """Where the answer comes from; its places are counted in bytes."""
    segment = {"startIndex": 0, "endIndex": len(text[:40].encode()), "text": text[:40]}
    web = {"uri": "https://example.com/mill", "title": "The mill"}
    return {
        "webSearchQueries": ["mill"],
        "groundingChunks": [{"web": web}],
        "groundingSupports": [{"segment": segment, "groundingChunkIndices": [0]}],
    }


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


def _chunk(
    model: str, parts: list[Any], finish: str | None, usage: Any, grounding: Any = None
) -> bytes:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    if grounding:
        candidate["groundingMetadata"] = grounding
    chunk: dict[str, Any] = {"candidates": [candidate]}
    if usage:
        chunk["usageMetadata"] = usage
    return orjson.dumps(chunk | {"modelVersion": model, "responseId": "@SERIAL"})


def _function_call(steer: Steer, made: Shape, serial: bytes, index: int) -> dict[str, Any]:
    name = made.tools[index]
    arguments = orjson.loads(made.arguments[index].whole(steer))
    call = {"id": call_id("fc", serial, index), "name": name, "args": arguments}
    # The first call of a turn carries the signature, the parallel ones do not.
    return {"functionCall": call} | ({} if index else {"thoughtSignature": seals.seal(name)})


@lru_cache(512)
def _pieces(steer: Steer, model: str, made: Shape) -> list[bytes]:
    """A whole answer, in the pieces between which its serial number stands."""
    parts: list[Any] = []
    text = "" if made.tools else whole(steer, made)
    if made.thought and not steer.redact:
        parts.append({"text": words.whole(steer, made.thought), "thought": True})
    if not made.tools and not steer.refuse:
        parts.append({"text": text} | _signature(made))
    parts += [_function_call(steer, made, b"@SERIAL", index) for index in range(len(made.tools))]
    finish = None if steer.fault == "nodone" else _finish(steer)
    usage = None if steer.fault == "no_usage" else _usage(steer, made)
    grounding = _grounding(text) if steer.cite and text else None
    return _chunk(model, parts, finish, usage, grounding).split(b"@SERIAL")


def _signature(made: Shape) -> dict[str, str]:
    """What a text that was thought about carries on its last part."""
    return {"thoughtSignature": seals.seal("text")} if made.thought else {}


def _stream(
    call: Call, made: Shape, before: Callable[[bool], bytes], after: bytes, end: bytes
) -> Stream:
    """`before` and `after` frame one chunk; `before` is told whether it is the first."""
    steer, model = call.steer, call.ask.model
    running = {"promptTokenCount": steer.input, "totalTokenCount": steer.input}
    usage = None if steer.fault == "no_usage" else running

    def chunk(
        parts: list[Any], finish: str | None = None, usage: Any = usage, grounding: Any = None
    ) -> bytes:
        whole = _chunk(model, parts, finish, usage, grounding)
        return whole.replace(b"@SERIAL", call.serial) + after

    def block(first: bool, count: int, source: words.Source, part: dict[str, Any]) -> Block:
        left, _, right = chunk([part]).partition(b"@TEXT")

        def wrap(text: bytes, index: int) -> bytes:
            return before(first and not index) + left + text + right

        return Block(b"", count, source, wrap)

    blocks: list[Block] = []
    if made.thought and not steer.redact:
        thought = {"text": "@TEXT", "thought": True}
        blocks.append(block(True, made.thought, words.source(steer), thought))
    if not made.tools:
        count = 0 if steer.refuse else made.said
        blocks.append(block(not blocks, count, source(steer, made), {"text": "@TEXT"}))
    for index in range(len(made.tools)):
        # Arguments are not streamed in this dialect: all tokens of a call are one event.
        part = chunk([_function_call(steer, made, call.serial, index)])
        one = wrapped(before(not blocks) + part, b"")
        width = made.arguments[index].count
        blocks.append(Block(b"", 1, lambda _: b"", one, width=width))
    nothing_yet = not sum(block.count for block in blocks)
    total = None if steer.fault == "no_usage" else _usage(steer, made)
    signature = {} if made.tools else _signature(made)
    last: list[Any] = [] if steer.refuse else [{"text": ""} | signature]
    cited = steer.cite and not made.tools
    grounding = _grounding(whole(steer, made)) if cited else None
    return Stream(
        blocks,
        finish=before(nothing_yet) + chunk(last, _finish(steer), total, grounding),
        end=end,
        error=lambda _: gemini_event(),
    )
