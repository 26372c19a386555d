"""Whole answers: a provider's read, a client's written, and the object around both.

The object repeats the request: client libraries count on every field of it.
"""

from __future__ import annotations

import msgspec

from proxy.core.clock import now
from proxy.dialects import identity, ir, usage
from proxy.dialects.ir import Json
from proxy.dialects.lenient import mended, object_at
from proxy.dialects.loss import Loss
from proxy.dialects.names import Names
from proxy.dialects.openai_responses.fields import (
    NAME,
    TIERS,
    TOOLS,
    finish_in,
    objects,
    word,
)
from proxy.dialects.openai_responses.items import read_item
from proxy.dialects.openai_responses.request import echoed
from proxy.dialects.openai_responses.tools import write_choice, write_tools

_TAKEN = frozenset({"id", "object", "created_at", "status", "model", "output", "usage", "service_tier", "error", "incomplete_details"})  # fmt: skip
"""Fields of a response that have a place in the hub's."""
_ALWAYS = frozenset({"parallel_tool_calls", "tool_choice", "tools"}) | _TAKEN - {"service_tier"}
"""Fields without which it is no response; what else one has is the provider's to say."""
_NO_ANSWER = frozenset({"failed", "queued", "in_progress"})


def parse_response(body: bytes, request: ir.Request) -> ir.Response:
    """A provider's whole answer."""
    found = object_at(body)
    if found is None:
        found = object_at(mended(body))
    if found is None or not isinstance(found.get("output"), list):
        raise ValueError("no response")
    if found.get("error") or word(found, "status") in _NO_ANSWER:
        raise ValueError("no answer")
    names = Names(TOOLS, request)
    blocks = read_output(found["output"])
    for block in blocks:
        if isinstance(block, ir.ToolCall):
            block.name = names.back(block.name)
    calls = any(isinstance(block, ir.ToolCall) for block in blocks)
    finish, reason = finish_in(found, calls=calls)
    return ir.Response(
        id=word(found, "id"),
        model=word(found, "model"),
        created=created(found),
        choices=[ir.Choice(blocks, finish, reason=reason)],
        usage=usage_of(found),
        service_tier=word(found, "service_tier"),
        origin=NAME,
        extras=extras_of(found),
    )


def read_output(items: object) -> list[ir.Block]:
    """The blocks of a provider's `output`; calls have an id whatever it sent."""
    blocks: list[ir.Block] = []
    for item in objects(items):
        blocks += read_item(item)
    for block in blocks:
        if isinstance(block, ir.ToolCall) and not block.id:
            block.id = identity.new_id("call_")
    return [block for block in blocks if not isinstance(block, ir.ToolCall) or block.name]


def created(response: Json) -> int:
    """When a response was made; 0 when it does not say."""
    found = response.get("created_at")
    is_number = isinstance(found, int | float) and not isinstance(found, bool)
    return int(found) if is_number and 0 < found < 1e11 else 0  # type: ignore[arg-type, operator]


def usage_of(response: Json) -> ir.Usage | None:
    """The tokens of a response."""
    found = response.get("usage")
    return usage.openai(msgspec.json.encode(found)) if isinstance(found, dict) else None


def extras_of(response: Json) -> Json:
    """What a response has and the hub's has not."""
    return {name: value for name, value in response.items() if name not in _TAKEN}


def render_usage(report: ir.Usage) -> Json:
    """Tokens as a response counts them: cached ones are input, thoughts are output."""
    prompt = report.input + report.cache_read + report.cache_write
    return {
        "input_tokens": prompt,
        "input_tokens_details": {
            "cached_tokens": report.cache_read,
            "cache_write_tokens": report.cache_write,
        },
        "output_tokens": report.output,
        "output_tokens_details": {"reasoning_tokens": report.reasoning},
        "total_tokens": prompt + report.output,
    }


def skeleton(start: ir.ResponseStart, request: ir.Request) -> Json:
    """The response object at its start: everything but what comes of it."""
    tier = start.service_tier
    usual: Json = {
        "id": identity.renamed(start.id, "resp_"),
        "object": "response",
        "created_at": start.created or int(now()),
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": _instructions(request),
        "max_output_tokens": request.max_tokens,
        "max_tool_calls": echoed(request, "max_tool_calls", None),
        "model": start.model or request.model,
        "output": [],
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": None,
        "prompt_cache_key": request.cache_key or None,
        "reasoning": _reasoning(request),
        "safety_identifier": request.aside.get("safety_identifier"),
        "service_tier": tier if tier in TIERS else "default",
        "store": False,
        "temperature": 1.0 if request.temperature is None else request.temperature,
        "text": _text(request),
        "tool_choice": "auto" if request.tool_choice is None else write_choice(request),
        "tools": _tools(request),
        "top_logprobs": request.top_logprobs or 0,
        "top_p": 1.0 if request.top_p is None else request.top_p,
        "truncation": echoed(request, "truncation", "disabled"),
        "usage": None,
        "user": request.aside.get("user", None if _is_safe(request) else request.user or None),
        "metadata": request.metadata,
    }
    if start.origin != NAME:
        return usual
    given = {name: value for name, value in usual.items() if name in _ALWAYS}
    if tier:
        given["service_tier"] = tier
    return {**given, **start.extras}


def _is_safe(request: ir.Request) -> bool:
    return "safety_identifier" in request.aside


def _instructions(request: ir.Request) -> str | None:
    if "instructions" not in request.aside or not request.messages:
        return None
    blocks = request.messages[0].content
    return "".join(block.text for block in blocks if isinstance(block, ir.Text))


def _reasoning(request: ir.Request) -> Json:
    thinking = request.thinking
    if thinking is None:
        return {"effort": None, "summary": None}
    return {"effort": thinking.effort or None, "summary": thinking.summary or None}


def _text(request: ir.Request) -> Json:
    wanted = request.format
    given: Json = {"type": "text"}
    if wanted is not None and wanted.kind == "json":
        given = {"type": "json_object"}
    elif wanted is not None and wanted.kind == "schema":
        given = {
            "type": "json_schema",
            "name": wanted.name or "response",
            "schema": wanted.schema or {},
            "strict": wanted.strict,
        }
        if wanted.description:
            given["description"] = wanted.description
    return {"format": given, "verbosity": request.verbosity or "medium"}


def _tools(request: ir.Request) -> list[Json]:
    return [
        {"strict": True, **tool} if tool.get("type") == "function" else tool
        for tool in write_tools(request, Loss())
    ]
