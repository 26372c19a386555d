"""A client's request, in words of the hub.

Items of the model that follow one another are one turn: a thought belongs to the call behind it. `instructions` are
the first message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.core.errors import ProxyError
from proxy.dialects import identity, ir
from proxy.dialects.asked import Fields, an_object, wrong
from proxy.dialects.ir import Json
from proxy.dialects.openai_responses.checks import checked_item
from proxy.dialects.openai_responses.fields import ENCRYPTED, LOGPROBS, NAME
from proxy.dialects.openai_responses.items import read_item, rest_of
from proxy.dialects.openai_responses.parts import read_part
from proxy.dialects.openai_responses.tools import read_choice, read_tools

_MUSTS: Mapping[str, str] = {
    "previous_response_id": "The answer it goes on from is kept by its own provider.",
    "conversation": "The conversation is kept by its own provider.",
    "background": "Only its own provider goes on working without a connection.",
    "prompt": "The prompt is kept by its own provider.",
    "store": "An answer can only be stored by its own provider.",
    "context_management": "Only its own provider shortens a conversation in this way.",
}
"""Fields that are as good as absent when false."""
_ITEM_MUSTS: Mapping[str, str] = {
    "item_reference": "The item it names is kept by its own provider: send the item itself, as clients do that are told store: false.",
    "compaction": "Only its own provider can read what the conversation was shortened to.",
    "compaction_trigger": "Only its own provider shortens a conversation in this way.",
    "additional_tools": "Only its own provider takes tools in the middle of a conversation.",
}
_USUAL: Mapping[str, object] = {"store": False, "background": False, "truncation": "disabled"}
"""What is so everywhere."""
_RESULTS = ("_output", "approval_response")
_FORMATS = ("text", "json_object", "json_schema")


def parse_request(body: bytes) -> ir.Request:
    """The request in a client's body."""
    try:
        return _request(Fields.of_body(body))
    except RecursionError:
        raise ProxyError("bad_req", "The body is nested too deeply.", code="too_deep") from None


def _request(fields: Fields) -> ir.Request:
    request = ir.Request(
        model=fields.text("model"), stream=fields.flag("stream") or False, origin=NAME
    )
    instructions = fields.take("instructions")
    if instructions is not None:
        if not isinstance(instructions, str):
            raise wrong("instructions", "a string")
        request.messages.append(ir.Message("system", [ir.Text(instructions)]))
        request.aside["instructions"] = True
    _input(fields.take("input"), request, fields)
    request.tools = read_tools(fields.items("tools"))
    choice = fields.take("tool_choice")
    if choice is not None:
        request.tool_choice = read_choice(choice)
    request.parallel_tool_calls = fields.flag("parallel_tool_calls")
    _settings(fields, request)
    _thinking(fields.inner("reasoning"), request)
    _text(fields.inner("text"), request)
    _include(fields, request)
    _keep(fields.rest, request)
    identity.complete(request.messages)
    return request


def _input(value: object, request: ir.Request, fields: Fields) -> None:
    if value is None:
        if not any(
            fields.rest.get(name) for name in ("previous_response_id", "prompt", "conversation")
        ):
            raise wrong("input", "a string or an array of items", "missing_required_parameter")
        return
    if isinstance(value, str):
        request.messages.append(ir.Message("user", [ir.Text(value)]))
        return
    if not isinstance(value, list):
        raise wrong("input", "a string or an array of items")
    for at, entry in enumerate(value):
        _item(checked_item(entry, f"input[{at}]"), request)
    for message in request.messages:
        if message.role == "assistant":
            message.content = identity.attach(message.content)


def _item(item: Json, request: ir.Request) -> None:
    kind = item["type"]
    why = _ITEM_MUSTS.get(kind)
    if why is not None:
        request.musts.setdefault(kind, why)
    if kind == "message" and item["role"] != "assistant":
        request.messages.append(_told(item))
        return
    is_result = kind.endswith(_RESULTS)
    role: ir.Role = "user" if is_result else "assistant"
    blocks = read_item(item)
    last = request.messages[-1] if request.messages else None
    joins = last is not None and last.role == role and not last.extras
    if is_result and last is not None:
        joins = joins and all(isinstance(one, ir.ToolResult | ir.Opaque) for one in last.content)
    if last is not None and joins:
        last.content += blocks
    else:
        request.messages.append(ir.Message(role, blocks))


def _told(item: Json) -> ir.Message:
    """A message of anybody but the model."""
    content = item["content"]
    blocks: list[ir.Block] = (
        [ir.Text(content)] if isinstance(content, str) else [read_part(part) for part in content]
    )
    extras = rest_of(item, "role", "content", "status", "id")
    return ir.Message(item["role"], blocks, extras=extras)


def _settings(fields: Fields, request: ir.Request) -> None:
    request.max_tokens = fields.count("max_output_tokens")
    request.temperature = fields.number("temperature")
    request.top_p = fields.number("top_p")
    request.top_logprobs = fields.count("top_logprobs")
    request.metadata = fields.object("metadata")
    request.service_tier = fields.text("service_tier")
    request.cache_key = fields.text("prompt_cache_key")
    request.cache_retention = fields.text("prompt_cache_retention")
    user, safe = fields.text("user"), fields.text("safety_identifier")
    request.user = safe or user
    if safe:
        request.aside["safety_identifier"] = safe
    if safe and user:
        request.aside["user"] = user


def _thinking(fields: Fields | None, request: ir.Request) -> None:
    if fields is None:
        return
    thinking = ir.Thinking(effort=fields.text("effort"))
    older = fields.text("generate_summary")
    thinking.summary = fields.text("summary") or older
    if thinking.summary:
        thinking.visible = True
    thinking.extras = fields.rest
    if thinking != ir.Thinking():
        request.thinking = thinking


def _text(fields: Fields | None, request: ir.Request) -> None:
    if fields is None:
        return
    request.verbosity = fields.text("verbosity")
    given = fields.inner("format")
    if given is not None:
        request.format = _format(given)
    if fields.rest:
        request.extras["text"] = fields.rest


def _format(fields: Fields) -> ir.Format:
    kind = fields.need("type")
    if kind not in _FORMATS:
        raise wrong(fields.path("type"), "text, json_object or json_schema", "invalid_value")
    if kind == "text":
        return ir.Format("text")
    if kind == "json_object":
        return ir.Format("json")
    schema = fields.take("schema")
    if schema is None:
        raise wrong(fields.path("schema"), "an object", "missing_required_parameter")
    return ir.Format(
        "schema",
        name=fields.text("name"),
        description=fields.text("description"),
        schema=an_object(schema, fields.path("schema")),
        strict=fields.flag("strict"),
    )


def _include(fields: Fields, request: ir.Request) -> None:
    wanted = fields.texts("include")
    request.logprobs = LOGPROBS in wanted or bool(request.top_logprobs)
    if ENCRYPTED in wanted:
        request.aside["include"] = [ENCRYPTED]
    others = [one for one in wanted if one not in (ENCRYPTED, LOGPROBS)]
    if others:
        request.extras["include"] = others


def _keep(rest: Json, request: ir.Request) -> None:
    """What has no place in a request, and what must not be lost of it."""
    for name, value in rest.items():
        if name in _USUAL and value == _USUAL[name]:
            request.aside[name] = value
        elif name == "stream_options":
            # How the stream is padded; nobody else pads theirs.
            request.aside[name] = an_object(value, name)
        else:
            request.extras[name] = value
            if name in _MUSTS and value:
                request.musts[name] = _MUSTS[name]


def echoed(request: ir.Request, name: str, usual: Any) -> Any:
    """A field of the request as an answer repeats it."""
    return request.extras.get(name, request.aside.get(name, usual))
