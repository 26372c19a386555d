"""A request written for a provider.

Nothing is kept there between two requests: sealed thoughts travel inside the answer and come back from the client.
"""

from __future__ import annotations

import re

from proxy.dialects import effort, gpt, ir, orphans
from proxy.dialects.base import Target
from proxy.dialects.ir import Json
from proxy.dialects.lenient import count_at
from proxy.dialects.loss import Loss
from proxy.dialects.openai_responses.fields import (
    ENCRYPTED,
    FAMILY,
    FIELDS,
    LOGPROBS,
    NAME,
    OWN_FIELDS,
    TIERS,
    encode,
)
from proxy.dialects.openai_responses.tools import write_choice, write_tools
from proxy.dialects.openai_responses.turns import Turns
from proxy.dialects.survey import survey

_LEAST_TOKENS = 16
_MOST_LOGPROBS = 20
_MOST_LABELS, _LONGEST_KEY, _LONGEST_VALUE = 16, 64, 512
_LONGEST_USER = 64
_LONGEST_CACHE_KEY = 64
_VERBOSITIES = ("low", "medium", "high")
_SUMMARIES = ("auto", "concise", "detailed")
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]")
_QUESTION = (
    "model", "input", "instructions", "conversation", "previous_response_id", "parallel_tool_calls", "reasoning",
    "text", "tool_choice", "tools", "truncation",
)  # fmt: skip
_SAY_JSON = "Answer in JSON."


def render_request(request: ir.Request, target: Target, loss: Loss) -> bytes:
    """The body for a provider."""
    return encode(_body(request, target, loss))


def render_question(request: ir.Request, target: Target, loss: Loss) -> bytes:
    """The body that asks how many tokens the prompt has."""
    body = _body(request, target, loss)
    return encode({name: body[name] for name in _QUESTION if name in body})


def parse_count(raw: bytes) -> int | None:
    """The number of tokens in an answer to that."""
    return count_at(raw, "input_tokens")


def answer_count(tokens: int) -> bytes:
    """Such an answer."""
    return encode({"object": "response.input_tokens", "input_tokens": tokens})


def _body(request: ir.Request, target: Target, loss: Loss) -> Json:
    own = request.origin == NAME
    survey(request, NAME, OWN_FIELDS if own else FIELDS, loss)
    request = orphans.mended(request, NAME, loss)
    body: Json = {"model": target.model}
    turns = Turns(request, loss)
    if turns.instructions is not None:
        body["instructions"] = turns.instructions
    if turns.items or not own:
        body["input"] = turns.items
    _tools(body, request, loss)
    _sampling(body, request, target, loss)
    _reasoning(body, request, target, loss)
    _text(body, request, loss)
    _labels(body, request, loss)
    _kept(body, request, target)
    if target.stream:
        body["stream"] = True
    return body


def _tools(body: Json, request: ir.Request, loss: Loss) -> None:
    own = request.origin == NAME
    tools = write_tools(request, loss)
    if tools:
        body["tools"] = tools
    if request.tool_choice is not None and (tools or own):
        body["tool_choice"] = write_choice(request)
    if request.parallel_tool_calls is not None and (tools or own):
        body["parallel_tool_calls"] = request.parallel_tool_calls


def _sampling(body: Json, request: ir.Request, target: Target, loss: Loss) -> None:
    own = request.origin == NAME
    limit = request.max_tokens
    if limit is not None:
        if limit < _LEAST_TOKENS:
            loss.drop("max_tokens")
            limit = _LEAST_TOKENS
        body["max_output_tokens"] = limit
    if not own and gpt.reasons(target.model) and _thinks(request):
        for name, value in (("temperature", request.temperature), ("top_p", request.top_p)):
            if value is not None and value != 1:
                loss.drop(name)
        if request.logprobs:
            loss.drop("logprobs")
        return
    _clamped(body, "temperature", request.temperature, 2, loss, own=own)
    _clamped(body, "top_p", request.top_p, 1, loss, own=own)
    if request.top_logprobs is not None and (own or request.logprobs):
        _clamped(body, "top_logprobs", request.top_logprobs, _MOST_LOGPROBS, loss, own=own)


def _thinks(request: ir.Request) -> bool:
    return request.thinking is None or effort.budget(request.thinking) != 0


def _clamped(
    body: Json, name: str, value: float | None, most: int, loss: Loss, *, own: bool
) -> None:
    if value is None:
        return
    fitted = value if own else min(max(value, 0), most)
    if fitted != value:
        loss.drop(name)
    body[name] = fitted


def _reasoning(body: Json, request: ir.Request, target: Target, loss: Loss) -> None:
    thinking = request.thinking
    if request.origin == NAME:
        if thinking is not None:
            given = {"effort": thinking.effort, "summary": thinking.summary}
            body["reasoning"] = {
                **{name: value for name, value in given.items() if value},
                **thinking.extras,
            }
        return
    if gpt.never_reasons(target.model):
        if thinking is not None and _thinks(request):
            loss.drop(_asked(thinking))
        return
    if thinking is None:
        return
    made: Json = {}
    word = effort.effort(thinking)
    if word:
        made["effort"] = effort.nearest(word, gpt.efforts(target.model))
        if word != made["effort"] and (thinking.effort or word == "none"):
            loss.drop("thinking.off" if word == "none" else "thinking.effort")
    if thinking.visible and made.get("effort") != "none":
        made["summary"] = thinking.summary if thinking.summary in _SUMMARIES else "auto"
    if made:
        body["reasoning"] = made


def _asked(thinking: ir.Thinking) -> str:
    """The feature with which thoughts were asked for."""
    if thinking.effort:
        return "thinking.effort"
    return "thinking.visible" if thinking.budget is None else "thinking.budget"


def _text(body: Json, request: ir.Request, loss: Loss) -> None:
    own = request.origin == NAME
    extras = request.extras.get("text") if own else None
    text: Json = dict(extras) if isinstance(extras, dict) else {}
    if request.format is not None:
        text["format"] = _format(request.format, own=own)
        if not own and text["format"]["type"] == "json_object":
            _say_json(body)
    if request.verbosity:
        if own or request.verbosity in _VERBOSITIES:
            text["verbosity"] = request.verbosity
        else:
            loss.drop("verbosity")
    if text:
        body["text"] = text


def _format(wanted: ir.Format, *, own: bool) -> Json:
    if wanted.kind == "text":
        return {"type": "text"}
    if wanted.kind == "json" or wanted.schema is None:
        return {"type": "json_object"}
    name = wanted.name if own else _NO_NAME.sub("_", wanted.name)[:64]
    made: Json = {"type": "json_schema", "name": name or "response", "schema": wanted.schema}
    if wanted.description:
        made["description"] = wanted.description
    if wanted.strict is not None:
        made["strict"] = wanted.strict
    return made


def _say_json(body: Json) -> None:
    """OpenAI refuses to answer in JSON unless the input speaks of it."""
    for item in body["input"]:
        for part in item.get("content", ()):
            if "json" in part.get("text", "").lower():
                return
    part = {"type": "input_text", "text": _SAY_JSON}
    body["input"] = [{"type": "message", "role": "developer", "content": [part]}, *body["input"]]


def _labels(body: Json, request: ir.Request, loss: Loss) -> None:
    own = request.origin == NAME
    if request.metadata:
        kept = request.metadata if own else _metadata(request.metadata)
        if len(kept) < len(request.metadata):
            loss.drop("metadata")
        if kept:
            body["metadata"] = kept
    if request.service_tier:
        if own or request.service_tier in TIERS:
            body["service_tier"] = request.service_tier
        else:
            loss.drop("service_tier")
    _short(body, "prompt_cache_key", request.cache_key, _LONGEST_CACHE_KEY, "cache_key", loss, own)
    if request.cache_retention:
        body["prompt_cache_retention"] = (
            request.cache_retention if own else request.cache_retention.replace("-", "_")
        )
    if "safety_identifier" not in request.aside:
        _short(body, "user", request.user, _LONGEST_USER, "user", loss, own)


def _short(
    body: Json, name: str, value: str, most: int, feature: str, loss: Loss, own: bool
) -> None:
    if not value:
        return
    if len(value) > most and not own:
        loss.drop(feature)
    else:
        body[name] = value


def _metadata(given: Json) -> Json:
    fitting = {
        name: value
        for name, value in given.items()
        if isinstance(value, str) and len(name) <= _LONGEST_KEY and len(value) <= _LONGEST_VALUE
    }
    return dict(list(fitting.items())[:_MOST_LABELS])


def _kept(body: Json, request: ir.Request, target: Target) -> None:
    """What this dialect alone knows, and what is to be in the answer."""
    own = request.origin == NAME
    include: list[str] = []
    if own:
        rest = {**request.aside, **request.extras}
        for name in ("instructions", "include", "text"):
            rest.pop(name, None)
        if not target.stream:
            rest.pop("stream_options", None)
        body.update(rest)
        include = [*request.aside.get("include", ()), *request.extras.get("include", ())]
    else:
        body["store"] = False
        if _seals(request, target):
            include.append(ENCRYPTED)
    if request.logprobs and (own or not (gpt.reasons(target.model) and _thinks(request))):
        include.append(LOGPROBS)
    if include:
        body["include"] = include


def _seals(request: ir.Request, target: Target) -> bool:
    """Whether there may be thoughts in the answer that must come back with the next request."""
    if gpt.never_reasons(target.model):
        return False
    if gpt.reasons(target.model) or (request.thinking is not None and _thinks(request)):
        return True
    return any(
        isinstance(block, ir.Reasoning) and block.signature and block.origin == FAMILY
        for message in request.messages
        for block in message.content
    )
