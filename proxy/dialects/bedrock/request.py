"""A request, written for Converse. The model and whether to stream are in the path, not in the body."""

from __future__ import annotations

import re

import msgspec

from proxy.dialects import ir, orphans
from proxy.dialects.base import Target
from proxy.dialects.bedrock.fields import FIELDS
from proxy.dialects.bedrock.models import Model, model
from proxy.dialects.bedrock.thinking import Plan, plan
from proxy.dialects.bedrock.tools import answers_by_tool, needs_tool, tool_config
from proxy.dialects.bedrock.turns import conversation
from proxy.dialects.bedrock.words import NAME, TIERS
from proxy.dialects.ir import Json
from proxy.dialects.lenient import count_at
from proxy.dialects.loss import Loss
from proxy.dialects.schemas import enforceable
from proxy.dialects.survey import survey

_encode = msgspec.json.Encoder().encode
_LABEL = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}")
_MOST_LABELS = 16
_LEAST_TOP_P = 0.95
"""Beside a Claude's thinking."""
_QUESTION = ("messages", "system", "toolConfig", "additionalModelRequestFields")


def render_request(request: ir.Request, target: Target, loss: Loss) -> bytes:
    """The body for a provider."""
    return _encode(_body(request, target, loss))


def render_question(request: ir.Request, target: Target, loss: Loss) -> bytes:
    """The body that asks how many tokens the prompt has."""
    body = _body(request, target, loss)
    asked = {name: body[name] for name in _QUESTION if name in body}
    return _encode({"input": {"converse": asked}})


def parse_count(raw: bytes) -> int | None:
    """The number of tokens in an answer to that."""
    return count_at(raw, "inputTokens")


def answer_count(tokens: int) -> bytes:
    """Such an answer."""
    return _encode({"inputTokens": tokens})


def _body(request: ir.Request, target: Target, loss: Loss) -> Json:
    survey(request, NAME, FIELDS, loss)
    request = orphans.mended(request, NAME, loss)
    taken = model(target.model)
    told = conversation(request, taken, loss)
    tools = tool_config(request, taken, loss)
    thought = plan(request, taken, target.max_tokens, loss)
    extra = {**thought.extra, **_top_k(request, taken, thought, loss)}
    body: Json = {"messages": told.messages}
    wanted = {
        "system": told.system,
        "inferenceConfig": _inference(request, taken, thought, loss),
        "toolConfig": tools,
        "additionalModelRequestFields": extra,
        "additionalModelResponseFieldPaths": _paths(request, taken),
        "outputConfig": _output(request, taken, thought, loss),
        "requestMetadata": _labels(request, loss),
        "serviceTier": _tier(request, loss),
    }
    body.update({name: value for name, value in wanted.items() if value})
    return body


def _inference(request: ir.Request, taken: Model, thought: Plan, loss: Loss) -> Json:
    """`inferenceConfig`."""
    made: Json = {}
    if thought.max_tokens is not None:
        if thought.max_tokens < 1:
            loss.drop("max_tokens")
        made["maxTokens"] = max(thought.max_tokens, 1)
    samples = taken.claude is None or taken.claude.sampling
    if request.temperature is not None:
        if not samples or (thought.thinks and request.temperature != 1):
            loss.drop("temperature")
        else:
            made["temperature"] = _within_one("temperature", request.temperature, loss)
    if request.top_p is not None:
        both = taken.claude is not None and not taken.claude.both and "temperature" in made
        if not samples or both or (thought.thinks and request.top_p < _LEAST_TOP_P):
            loss.drop("top_p")
        else:
            made["topP"] = _within_one("top_p", request.top_p, loss)
    # Nothing at all is refused, and for a Claude what is but white space.
    stop = [text for text in request.stop if (text.strip() if taken.claude else text)]
    if len(stop) < len(request.stop):
        loss.drop("stop")
    if stop:
        made["stopSequences"] = stop
    return made


def _within_one(name: str, value: float, loss: Loss) -> float:
    if not 0 <= value <= 1:
        loss.drop(name)
    return min(max(value, 0.0), 1.0)


def _top_k(request: ir.Request, taken: Model, thought: Plan, loss: Loss) -> Json:
    if request.top_k is None:
        return {}
    samples = taken.claude is None or taken.claude.sampling
    if not taken.top_k or not samples or thought.thinks:
        loss.drop("top_k")
        return {}
    made: Json | int = request.top_k
    for name in reversed(taken.top_k):
        made = {name: made}
    assert isinstance(made, dict)
    return made


def _paths(request: ir.Request, taken: Model) -> list[str]:
    """Which stop sequence was met is not in the answer unless asked for."""
    return ["/stop_sequence"] if request.stop and taken.claude is not None else []


def _output(request: ir.Request, taken: Model, thought: Plan, loss: Loss) -> Json:
    """`outputConfig`."""
    made: Json = {}
    if thought.effort:
        made["effort"] = thought.effort
    wanted = request.format
    if wanted is None or wanted.kind == "text":
        return made
    if needs_tool(wanted, taken):
        if not answers_by_tool(request, taken):
            loss.drop(f"format.{wanted.kind}")
        return made
    schema, whole = enforceable(wanted.schema or {"type": "object"})
    if not whole:
        loss.drop("format.schema")
    # The one place where a schema is a text.
    inner: Json = {"schema": _encode(schema).decode()}
    if wanted.name:
        inner["name"] = wanted.name
    if wanted.description:
        inner["description"] = wanted.description
    made["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": inner}}
    return made


def _labels(request: ir.Request, loss: Loss) -> dict[str, str]:
    """`requestMetadata`: a few short words."""
    made = {
        name: value
        for name, value in request.metadata.items()
        if isinstance(value, str) and name and _LABEL.fullmatch(name) and _LABEL.fullmatch(value)
    }
    kept = dict(list(made.items())[:_MOST_LABELS])
    if len(kept) < len(request.metadata):
        loss.drop("metadata")
    return kept


def _tier(request: ir.Request, loss: Loss) -> Json:
    if request.service_tier in ("", "auto", "default"):
        return {}
    if request.service_tier in TIERS:
        return {"type": request.service_tier}
    loss.drop("service_tier")
    return {}
