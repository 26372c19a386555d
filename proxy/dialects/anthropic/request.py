"""A client's request, read.

The system prompt becomes the first message. Fields that reach for something the provider keeps (a container, a
thread, servers of tools) are `musts`: left out, the answer would be to another question.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.core.errors import ProxyError
from proxy.dialects import identity, ir
from proxy.dialects.anthropic.blocks import blocks
from proxy.dialects.anthropic.read import NAME, Fields, Wrong, decode
from proxy.dialects.anthropic.thinking import parse_thinking
from proxy.dialects.anthropic.tools import is_emulated, parse_choice, parse_tool

_MUSTS: Mapping[str, str] = {
    "container": "It names a sandbox or skills that only one provider has.",
    "mcp_servers": "The provider itself would call the tools of these servers.",
    "thread": "It continues a conversation that only one provider keeps.",
    "compaction": "It asks for a summary that only one provider writes.",
}
_USUAL: Mapping[str, object] = {"speed": "standard", "inference_geo": "global"}
"""Values that ask for nothing out of the ordinary."""
_ROLES = ("user", "assistant", "system")
_SERVICE_TIERS = {"auto": "auto", "standard_only": "default"}


def parse_request(body: bytes) -> ir.Request:
    """A request for an answer."""
    return _parsed(body, limited=True)


def parse_question(body: bytes) -> ir.Request:
    """A request for the number of tokens in a prompt: it has no limit."""
    return _parsed(body, limited=False)


def _parsed(body: bytes, *, limited: bool) -> ir.Request:
    try:
        decoded = decode(body)
    except (ValueError, RecursionError):
        raise ProxyError("bad_json") from None
    if not isinstance(decoded, dict):
        raise ProxyError("bad_json")
    try:
        return _request(Fields(decoded, ""), limited=limited)
    except Wrong as wrong:
        raise wrong.refusal() from None
    except RecursionError:
        raise ProxyError("bad_req", "The body is nested too deeply.") from None


def _request(fields: Fields, *, limited: bool) -> ir.Request:
    request = ir.Request(origin=NAME)
    request.model = fields.need("model", str)
    request.messages = [*_system(fields), *_messages(fields.need("messages", list))]
    limit = fields.need("max_tokens", int) if limited else fields.take("max_tokens", int)
    if limit is not None and limit < 0:
        raise Wrong("max_tokens", "0 or more", "invalid_value")
    request.max_tokens = limit
    request.stream = fields.take("stream", bool, False)
    request.temperature = fields.take("temperature", float)
    request.top_p = fields.take("top_p", float)
    request.top_k = fields.take("top_k", int)
    request.stop = fields.strings("stop_sequences")
    _user(fields, request)
    _service_tier(fields, request)
    _tools(fields, request)
    _output(fields, request)
    request.thinking = parse_thinking(fields)
    for name, value in fields.rest().items():
        usual = name == "anthropic_version" or _USUAL.get(name) == value
        (request.aside if usual else request.extras)[name] = value
    request.musts = {name: why for name, why in _MUSTS.items() if request.extras.get(name)}
    identity.complete(request.messages)
    return request


def _system(fields: Fields) -> list[ir.Message]:
    value = fields.values.pop("system", None)
    if value in (None, "", []):
        return []
    return [ir.Message("system", blocks(value, "system"))]


def _messages(values: list[object]) -> list[ir.Message]:
    if not values:
        raise Wrong("messages", "an array of at least one message", "invalid_value")
    return [_message(value, f"messages[{number}]") for number, value in enumerate(values)]


def _message(value: object, at: str) -> ir.Message:
    fields = Fields(value, at)
    role = fields.need("role", str)
    if role not in _ROLES:
        raise Wrong(f"{at}.role", "'user', 'assistant' or 'system'", "invalid_value")
    content = fields.values.pop("content", None)
    if content is None:
        # A later system message may do nothing but set the effort.
        if role != "system" or not fields.rest():
            raise Wrong(f"{at}.content", "a string or an array", "missing_required_parameter")
        content = []
    inside = identity.attach(blocks(content, f"{at}.content"))
    return ir.Message(role, inside, extras=fields.rest())


def _user(fields: Fields, request: ir.Request) -> None:
    metadata = fields.inner("metadata")
    if metadata is not None:
        request.user = metadata.text("user_id")
        if metadata.rest():
            request.extras["metadata"] = metadata.rest()


def _service_tier(fields: Fields, request: ir.Request) -> None:
    tier = fields.text("service_tier")
    if tier in _SERVICE_TIERS:
        request.service_tier = _SERVICE_TIERS[tier]
    elif tier:
        request.extras["service_tier"] = tier


def _tools(fields: Fields, request: ir.Request) -> None:
    values = fields.take("tools", list, [])
    request.tools = [parse_tool(value, f"tools[{number}]") for number, value in enumerate(values)]
    choice = fields.inner("tool_choice")
    if choice is not None:
        request.tool_choice, request.parallel_tool_calls = parse_choice(choice)
    if is_emulated(request):
        request.format = ir.Format("json")
        request.tools, request.tool_choice = [], None


def _output(fields: Fields, request: ir.Request) -> None:
    """`output_config` but for its effort, which `parse_thinking` takes, and the older `output_format`."""
    config = fields.inner("output_config")
    wanted = config.inner("format") if config is not None else None
    older = fields.inner("output_format")
    chosen = wanted or older
    if chosen is not None:
        kind = chosen.need("type", str)
        if kind != "json_schema":
            raise Wrong(chosen.path("type"), "'json_schema'", "invalid_value")
        request.format = ir.Format("schema", schema=chosen.need("schema", dict))
    if config is not None and config.rest():
        fields.values["output_config"] = config.rest()
