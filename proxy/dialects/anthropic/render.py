"""A request written for a provider.

A client of this dialect gets its own words back, unknown ones too. Everybody else's are fitted to what the model
takes (`claude.model`), and what does not fit is dropped and said.
"""

from __future__ import annotations

from proxy.core.errors import ProxyError
from proxy.dialects import ir, orphans
from proxy.dialects.anthropic.fields import FIELDS
from proxy.dialects.anthropic.marks import limit_marks
from proxy.dialects.anthropic.read import NAME, encode
from proxy.dialects.anthropic.thinking import Plan, plan
from proxy.dialects.anthropic.tools import forced_json, past_tools, render_choice, render_tools
from proxy.dialects.anthropic.turns import conversation
from proxy.dialects.base import Target
from proxy.dialects.claude import Model, model
from proxy.dialects.ir import Json
from proxy.dialects.lenient import count_at
from proxy.dialects.loss import Loss
from proxy.dialects.schemas import enforceable
from proxy.dialects.survey import survey

_SERVICE_TIERS = {"auto": "auto", "default": "standard_only"}
_LONGEST_USER = 256
_LEAST_TOP_P = 0.95
"""Beside thinking."""
_QUESTION = ("model", "system", "messages", "tools", "tool_choice", "thinking")


def render_request(request: ir.Request, target: Target, loss: Loss) -> bytes:
    """The body for a provider."""
    return _encoded(request, target, loss, None)


def render_question(request: ir.Request, target: Target, loss: Loss) -> bytes:
    """The body that asks how many tokens the prompt has."""
    return _encoded(request, target, loss, _QUESTION)


def _encoded(
    request: ir.Request, target: Target, loss: Loss, names: tuple[str, ...] | None
) -> bytes:
    try:
        body = _body(request, target, loss)
        return encode(body if names is None else {key: body[key] for key in names if key in body})
    except RecursionError:
        raise ProxyError("bad_req", "The body is nested too deeply.") from None


def parse_count(raw: bytes) -> int | None:
    """The number of tokens in an answer to that."""
    return count_at(raw, "input_tokens")


def answer_count(tokens: int) -> bytes:
    """Such an answer."""
    return encode({"input_tokens": tokens})


def _body(request: ir.Request, target: Target, loss: Loss) -> Json:
    survey(request, NAME, FIELDS, loss)
    request = orphans.mended(request, NAME, loss)
    own = request.origin == NAME
    taken = model(target.model)
    body: Json = {**request.aside, **request.extras} if own else {}
    body["model"] = target.model
    told = conversation(request, taken, loss)
    if told.system:
        body["system"] = told.system
    body["messages"] = told.messages
    _tools(body, request, taken, loss)
    choice = body.get("tool_choice") or {}
    asked = plan(
        request,
        taken,
        _limit(request, target, taken, loss),
        loss,
        forced=choice.get("type") in ("any", "tool"),
    )
    body["max_tokens"] = asked.max_tokens
    if asked.thinking is not None:
        body["thinking"] = asked.thinking
    _output(body, request, asked, taken, loss)
    _sampling(body, request, asked, taken, loss)
    _rest(body, request, target, loss)
    if not own:
        limit_marks(body, loss)
    return body


def _limit(request: ir.Request, target: Target, taken: Model, loss: Loss) -> int:
    if request.max_tokens is None:
        limit = target.max_tokens
        return min(limit, taken.most) if taken.most else limit
    if request.origin == NAME:
        return request.max_tokens
    if taken.most and request.max_tokens > taken.most:
        loss.drop("max_tokens")
        return taken.most
    return max(request.max_tokens, 1)


def _tools(body: Json, request: ir.Request, taken: Model, loss: Loss) -> None:
    wanted = request.format
    if wanted is not None and wanted.kind != "text" and _needs_tool(wanted, request, taken):
        if request.tools or not taken.forced:
            loss.drop(f"format.{wanted.kind}")
        else:
            body["tools"], body["tool_choice"] = forced_json(wanted.schema)
            return
    tools = render_tools(request, taken, loss)
    choice = render_choice(request, taken, loss) if tools or request.origin == NAME else None
    if choice is not None and choice["type"] == "tool" and request.origin != NAME:
        known = any(tool.get("name") == choice["name"] for tool in tools)
        choice = choice if known else None
        if not known:
            loss.drop("tool_choice.tool")
    if not tools and request.origin != NAME:
        tools = past_tools(request)
        choice = {"type": "none"} if tools else None
    if tools:
        body["tools"] = tools
    if choice is not None:
        body["tool_choice"] = choice


def _needs_tool(wanted: ir.Format, request: ir.Request, taken: Model) -> bool:
    """Whether this format can only be had by way of a tool."""
    if wanted.kind == "json" or wanted.schema is None:
        return True
    return not taken.schemas and request.origin != NAME


def _output(body: Json, request: ir.Request, asked: Plan, taken: Model, loss: Loss) -> None:
    config: Json = dict(body.get("output_config") or {})
    if asked.effort:
        config["effort"] = asked.effort
    wanted = request.format
    if wanted is not None and wanted.schema is not None and not _needs_tool(wanted, request, taken):
        schema = wanted.schema
        if request.origin != NAME:
            schema, whole = enforceable(schema)
            if not whole:
                loss.drop("format.schema")
        config["format"] = {"type": "json_schema", "schema": schema}
    if config:
        body["output_config"] = config


def _sampling(body: Json, request: ir.Request, asked: Plan, taken: Model, loss: Loss) -> None:
    """`temperature`, `top_p` and `top_k`."""
    given: Json = {
        name: value
        for name in ("temperature", "top_p", "top_k")
        if (value := getattr(request, name)) is not None
    }
    if request.origin != NAME:
        for name in list(given):
            fitted = _fitted(name, given[name], asked, taken)
            if fitted != given[name] and (name, given[name]) != ("temperature", 1):
                loss.drop(name)
            if fitted is None:
                del given[name]
            else:
                given[name] = fitted
        if not taken.both and "temperature" in given and "top_p" in given:
            loss.drop("top_p")
            del given["top_p"]
    body.update(given)


def _fitted(name: str, value: float, asked: Plan, taken: Model) -> float | None:
    """What can be said of it; None: nothing."""
    if not taken.sampling:
        return None
    if name == "top_k":
        return None if asked.thinks or value < 1 else value
    if asked.thinks:
        if name == "temperature":
            return value if value == 1 else None
        return value if _LEAST_TOP_P <= value <= 1 else None
    return min(max(value, 0), 1)


def _rest(body: Json, request: ir.Request, target: Target, loss: Loss) -> None:
    own = request.origin == NAME
    stop = [word for word in request.stop if own or word.strip()]
    if len(stop) < len(request.stop):
        loss.drop("stop")  # of white space alone: refused
    if stop:
        body["stop_sequences"] = stop
    if request.user:
        if len(request.user) > _LONGEST_USER and not own:
            loss.drop("user")
        else:
            body["metadata"] = {**(body.get("metadata") or {}), "user_id": request.user}
    if request.service_tier in _SERVICE_TIERS:
        body["service_tier"] = _SERVICE_TIERS[request.service_tier]
    if target.stream:
        body["stream"] = True
