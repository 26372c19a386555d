"""A client's request: parameters by table, and the many ways to say how much to think."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from proxy.dialects import ir
from proxy.dialects.asked import Fields, a_list, an_object, wrong
from proxy.dialects.ir import Json
from proxy.dialects.openai_chat import messages, tools
from proxy.dialects.openai_chat.fields import NAME

_Take = Callable[[Fields, str], object]

_PLAIN: Mapping[str, tuple[str, _Take]] = {
    "model": ("model", Fields.text),
    "temperature": ("temperature", Fields.number),
    "top_p": ("top_p", Fields.number),
    "top_k": ("top_k", Fields.count),
    "seed": ("seed", Fields.count),
    "presence_penalty": ("presence_penalty", Fields.number),
    "frequency_penalty": ("frequency_penalty", Fields.number),
    "logit_bias": ("logit_bias", Fields.object),
    "logprobs": ("logprobs", Fields.flag),
    "top_logprobs": ("top_logprobs", Fields.count),
    "n": ("n", Fields.count),
    "stop": ("stop", Fields.texts),
    "modalities": ("modalities", Fields.texts),
    "parallel_tool_calls": ("parallel_tool_calls", Fields.flag),
    "verbosity": ("verbosity", Fields.text),
    "service_tier": ("service_tier", Fields.text),
    "metadata": ("metadata", Fields.object),
    "prompt_cache_key": ("cache_key", Fields.text),
    "prompt_cache_retention": ("cache_retention", Fields.text),
    "stream": ("stream", Fields.flag),
}
"""Field to attribute of the request, and its type."""


def parse_request(body: bytes) -> ir.Request:
    """The body of a `POST /v1/chat/completions`."""
    fields = Fields.of_body(body)
    values = fields.take("messages")
    if values is None:
        raise wrong("messages", "an array", "missing_required_parameter")
    request = ir.Request(origin=NAME, messages=messages.parse(a_list(values, "messages")))
    for name, (attribute, take) in _PLAIN.items():
        if name in fields.rest:
            setattr(request, attribute, take(fields, name))
    request.modalities = [word.lower() for word in request.modalities]
    if request.n is not None and request.n < 1:
        raise wrong("n", "at least 1", "invalid_value")
    legacy = fields.count("max_tokens")
    newer = fields.count("max_completion_tokens")
    request.max_tokens = legacy if newer is None else newer
    _user(fields, request)
    _stream_options(fields, request)
    _tools(fields, request)
    request.thinking = _thinking(fields)
    request.format = _format(fields)
    if fields.rest.get("store") is False:
        request.aside["store"] = fields.take("store")
    request.extras = fields.rest
    return request


def _user(fields: Fields, request: ir.Request) -> None:
    request.user = fields.text("user")
    if not request.user:
        request.user = fields.text("safety_identifier")


def _stream_options(fields: Fields, request: ir.Request) -> None:
    options = fields.inner("stream_options")
    if options is None:
        return
    request.include_usage = bool(options.flag("include_usage"))
    options.take("include_obfuscation")  # padding of no meaning
    if options.rest:
        fields.rest["stream_options"] = options.rest


def _tools(fields: Fields, request: ir.Request) -> None:
    request.tools = [
        tools.parse(tool, f"tools[{at}]") for at, tool in enumerate(fields.items("tools"))
    ]
    for at, function in enumerate(fields.items("functions")):
        request.functions = True
        request.tools.append(tools.function(Fields(function, f"functions[{at}]")))
    search = fields.take("web_search_options")
    if search is not None:
        request.tools.append(tools.parse_search(search))
    choice = fields.take("tool_choice")
    legacy = fields.take("function_call")
    if choice is None:
        choice = legacy
    if choice is not None:
        request.tool_choice = tools.parse_choice(choice)


def _thinking(fields: Fields) -> ir.Thinking | None:
    """What is asked for in any spelling; all of them are kept for a provider of this dialect."""
    said = {name: fields.rest[name] for name in _SPELLINGS if name in fields.rest}
    if not said:
        return None
    thinking = ir.Thinking(extras=said)
    enabled: bool | None = None
    for name in said:
        switch = _SPELLINGS[name](fields, thinking)
        enabled = switch if enabled is None or switch is False else enabled
    if enabled is False:
        thinking.effort, thinking.budget = "none", None
    elif enabled and not thinking.effort and thinking.budget is None:
        thinking.budget = -1
    return thinking


def _effort(fields: Fields, thinking: ir.Thinking) -> bool | None:
    thinking.effort = fields.text("reasoning_effort")
    return False if thinking.effort == "none" else None


def _openrouter(fields: Fields, thinking: ir.Thinking) -> bool | None:
    """`reasoning: {effort, max_tokens, exclude, enabled, summary}`."""
    inner = fields.inner("reasoning")
    assert inner is not None
    thinking.effort = thinking.effort or inner.text("effort")
    thinking.budget = inner.count("max_tokens")
    thinking.summary = inner.text("summary")
    hidden, enabled = inner.flag("exclude"), inner.flag("enabled")
    thinking.visible = None if hidden is None else not hidden
    return False if thinking.effort == "none" else enabled


def _switch(fields: Fields, thinking: ir.Thinking) -> bool | None:
    """`thinking: {type, budget_tokens}`, as Anthropic, DeepSeek, Moonshot and Z.ai have it."""
    inner = fields.inner("thinking")
    assert inner is not None
    kind = inner.text("type")
    budget = inner.count("budget_tokens")
    thinking.budget = thinking.budget if budget is None else budget
    if kind == "disabled":
        return False
    return True if kind else None


def _enable_thinking(fields: Fields, thinking: ir.Thinking) -> bool | None:
    """Alibaba's `enable_thinking`."""
    return fields.flag("enable_thinking")


def _thinking_budget(fields: Fields, thinking: ir.Thinking) -> bool | None:
    """Alibaba's `thinking_budget`."""
    budget = fields.count("thinking_budget")
    thinking.budget = budget if thinking.budget is None else thinking.budget
    return None


def _include_reasoning(fields: Fields, thinking: ir.Thinking) -> bool | None:
    """OpenRouter's older word."""
    thinking.visible = fields.flag("include_reasoning")
    return None


_SPELLINGS: Mapping[str, Callable[[Fields, ir.Thinking], bool | None]] = {
    "reasoning_effort": _effort,
    "reasoning": _openrouter,
    "thinking": _switch,
    "enable_thinking": _enable_thinking,
    "thinking_budget": _thinking_budget,
    "include_reasoning": _include_reasoning,
}
"""Each takes its field, and says whether to think at all, where that is in it."""


def _format(fields: Fields) -> ir.Format | None:
    value = fields.rest.get("response_format")
    if value is None:
        return None
    asked = Fields(value, "response_format")
    kind = asked.text("type")
    if kind not in ("text", "json_object", "json_schema"):
        return None  # a provider's own: it stays among the extras
    fields.take("response_format")
    if kind == "text":
        return ir.Format("text")
    inner = asked.inner("json_schema")
    schema = _schema(inner or asked, "schema")
    if kind == "json_object":
        return ir.Format("json" if schema is None else "schema", schema=schema)
    if inner is None:
        if schema is None:
            raise wrong("response_format.json_schema", "an object", "missing_required_parameter")
        return ir.Format("schema", schema=schema)
    return ir.Format(
        "schema", inner.text("name"), inner.text("description"), schema, inner.flag("strict")
    )


def _schema(fields: Fields, name: str) -> Json | None:
    value = fields.take(name)
    return None if value is None else an_object(value, fields.path(name))
