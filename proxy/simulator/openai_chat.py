"""Chat completions and the older text completions of the OpenAI dialect."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from proxy.simulator import demands, strict, words
from proxy.simulator.answers import ABSENT, Answer, Block, Call, Stream, Whole, decoded, wrapped
from proxy.simulator.errors import chat_event
from proxy.simulator.shape import Shape, call_id, shape, source, whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from msgspec import Raw

    from proxy.simulator.grammar import Steer

CREATED = 1_750_000_000
DONE = b"data: [DONE]\n\n"


def chat(call: Call) -> Answer:
    """POST /chat/completions"""
    ask, steer = call.ask, call.steer
    if steer.strict:
        strict.chat(call.content())
    if steer.signed and steer.think and not steer.redact:
        demands.chat(call.content())
    wanted = None if ask.response_format is ABSENT else _wanted(decoded(ask.response_format))
    made = shape(call, think=_asks_for_thoughts(ask.thinking), wanted=wanted)
    choices = min(max(ask.n or 1, 1), 128)
    if ask.stream:
        return _stream(call, made, choices)
    body = call.serial.join(_pieces(steer, ask.model, made, choices))
    if steer.stamp:
        body = body.replace(b"@STAMP", words.stamp(), 1)
    return Whole(body, made.output * choices)


def _asks_for_thoughts(raw: Raw) -> bool:
    """As DeepSeek, Z.ai and others spell it; OpenAI itself shows no thoughts here."""
    if raw is ABSENT:
        return False
    thinking = decoded(raw)
    return isinstance(thinking, dict) and thinking.get("type") == "enabled"


def _wanted(wanted: Any) -> Any:
    """The schema the answer must satisfy."""
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "json_schema":
        return (wanted.get("json_schema") or {}).get("schema") or {}
    return {"type": "object"} if kind == "json_object" else None


def _annotation(text: str) -> dict[str, Any]:
    place = {"start_index": 0, "end_index": min(len(text), 40)}
    cited = {"url": "https://example.com/mill", "title": "The mill"}
    return {"type": "url_citation", "url_citation": place | cited}


def usage(steer: Steer, made: Shape, choices: int) -> dict[str, Any]:
    """Usage as chat completions count it: cached is part of prompt, reasoning part of completion."""
    output = made.output * choices
    return {
        "prompt_tokens": steer.input,
        "completion_tokens": output,
        "total_tokens": steer.input + output,
        "prompt_tokens_details": {"cached_tokens": steer.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": made.thought * choices,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _finish(steer: Steer, made: Shape) -> str:
    return "length" if steer.length else "tool_calls" if made.tools else "stop"


@lru_cache(512)
def _pieces(steer: Steer, model: str, made: Shape, choices: int) -> list[bytes]:
    """A whole answer, in the pieces between which its serial number stands."""
    text = "" if made.tools else whole(steer, made)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if made.tools or steer.refuse else text,
        "refusal": text if steer.refuse else None,
        "annotations": [_annotation(text)] if steer.cite and text else [],
    }
    if made.thought and not steer.redact:
        message["reasoning_content"] = words.whole(steer, made.thought)
    if made.tools:
        message["tool_calls"] = [
            {
                "id": call_id("call", b"@SERIAL", index),
                "type": "function",
                "function": {"name": name, "arguments": made.arguments[index].whole(steer)},
            }
            for index, name in enumerate(made.tools)
        ]
    reason = None if steer.fault == "nodone" else _finish(steer, made)
    body = {
        "id": "chatcmpl-@SERIAL",
        "object": "chat.completion",
        "created": CREATED,
        "model": model,
        "choices": [
            {"index": index, "message": message, "logprobs": None, "finish_reason": reason}
            for index in range(choices)
        ],
        "usage": usage(steer, made, choices),
        "service_tier": "default",
        "system_fingerprint": "fp_sim",
    }
    if steer.fault == "no_usage":
        del body["usage"]
    return orjson.dumps(body).split(b"@SERIAL")


@lru_cache(512)
def _base(model: str, prefix: bytes, kind: bytes) -> tuple[bytes, bytes]:
    """A chunk up to its serial number, and from there to the choices."""
    return b'data: {"id":"' + prefix + b"-", (
        b'","object":"%b","created":%d,"model":%b,"service_tier":"default",'
        b'"system_fingerprint":"fp_sim","choices":[' % (kind, CREATED, orjson.dumps(model))
    )


def _stream(call: Call, made: Shape, choices: int) -> Stream:
    steer = call.steer
    before, after = _base(call.ask.model, b"chatcmpl", b"chat.completion.chunk")
    base = before + call.serial + after
    include = bool((call.ask.stream_options or {}).get("include_usage"))
    tail = b'],"usage":null}\n\n' if include else b"]}\n\n"

    def deltas(delta: bytes, finish: bytes = b"null") -> bytes:
        """One chunk for each choice."""
        return b"".join(
            b'%b{"index":%d,"delta":%b,"logprobs":null,"finish_reason":%b}%b'
            % (base, index, delta, finish, tail)
            for index in range(choices)
        )

    def block(count: int, source: words.Source, delta: bytes, start: bytes = b"") -> Block:
        return Block(start, count, source, filled(deltas(delta)), width=choices)

    blocks: list[Block] = []
    if made.thought:
        count = 0 if steer.redact else made.thought
        blocks.append(block(count, words.source(steer), b'{"reasoning_content":"@TEXT"}'))
    if not made.tools:
        delta = b'{"refusal":"@TEXT"}' if steer.refuse else b'{"content":"@TEXT"}'
        said = block(made.said, source(steer, made), delta)
        if steer.cite:
            note = orjson.dumps({"annotations": [_annotation(whole(steer, made))]})
            said.closing = deltas(note)
        blocks.append(said)
    for index, name in enumerate(made.tools):
        start = (
            b'{"tool_calls":[{"index":%d,"id":"%b","type":"function","function":'
            b'{"name":%b,"arguments":""}}]}'
            % (index, call_id("call", call.serial, index).encode(), orjson.dumps(name))
        )
        delta = b'{"tool_calls":[{"index":%d,"function":{"arguments":"@TEXT"}}]}' % index
        text = made.arguments[index]
        blocks.append(block(text.count, text.source(steer), delta, deltas(start)))
    role = b'{"role":"assistant","content":%b,"refusal":null}' % (
        b"null" if made.tools or steer.refuse else b'""'
    )
    total = base + b'],"usage":' + orjson.dumps(usage(steer, made, choices)) + b"}\n\n"
    return Stream(
        blocks,
        opening=deltas(role),
        finish=deltas(b"{}", b'"' + _finish(steer, made).encode() + b'"'),
        usage=total if include and steer.fault != "no_usage" else b"",
        end=DONE,
        error=lambda _: chat_event(),
    )


def filled(event: bytes) -> Callable[[bytes, int], bytes]:
    """Events made by putting the text of a token wherever `@TEXT` stands."""
    pieces = event.split(b"@TEXT")
    if len(pieces) == 2:
        return wrapped(*pieces)
    return lambda text, _: text.join(pieces)


def completions(call: Call) -> Answer:
    """POST /completions"""
    steer = call.steer
    choices = inputs(decoded(call.ask.prompt)) * min(max(call.ask.n or 1, 1), 128)
    before, after = _base(call.ask.model, b"cmpl", b"text_completion")
    base = before + call.serial + after
    reason = b'"length"' if steer.length else b'"stop"'
    total = b'],"usage":' + orjson.dumps(usage(steer, shape(call), choices)) + b"}"

    def choice(index: int, text: bytes, finish: bytes) -> bytes:
        line = b'{"text":"%b","index":%d,"logprobs":null,"finish_reason":%b}'
        return line % (text, index, finish)

    if not call.ask.stream:
        text = orjson.dumps(words.whole(steer, steer.tokens))[1:-1]
        every = b",".join(choice(index, text, reason) for index in range(choices))
        tail = b"]}" if steer.fault == "no_usage" else total
        return Whole(base.removeprefix(b"data: ") + every + tail, steer.tokens * choices)
    include = bool((call.ask.stream_options or {}).get("include_usage"))
    tail = b'],"usage":null}\n\n' if include else b"]}\n\n"

    def events(text: bytes, finish: bytes) -> bytes:
        return b"".join(base + choice(index, text, finish) + tail for index in range(choices))

    wrap = filled(events(b"@TEXT", b"null"))
    return Stream(
        [Block(b"", steer.tokens, words.source(steer), wrap, width=choices)],
        finish=events(b"", reason),
        usage=base + total + b"\n\n" if include and steer.fault != "no_usage" else b"",
        end=DONE,
        error=lambda _: chat_event(),
    )


def inputs(value: Any) -> int:
    """A text or one list of token numbers is one input; a list of either is many."""
    many = isinstance(value, list) and value and not isinstance(value[0], int)
    return len(value) if many else 1
