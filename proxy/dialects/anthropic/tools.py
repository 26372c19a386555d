"""Tools and the choice among them, both ways; and an answer in JSON got by way of a tool.

A tool with a dated type is one the provider defines: it runs some of them itself, and what it leaves to the client
(a shell, an editor) only its own models know how to call. Both are `ServerTool`.

Where a client asks for JSON without saying which, the model is made to call a tool that takes any object, and its
call is the answer. `is_emulated` knows such a request again, `emulated` such an answer.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from proxy.dialects import ir
from proxy.dialects.anthropic.blocks import cache
from proxy.dialects.anthropic.read import FAMILY, NAME, Fields, Wrong, plain
from proxy.dialects.anthropic.schema import enforceable, of_object
from proxy.dialects.claude import Model
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss

_SHARED = ("web_search", "web_fetch", "code_execution")
"""What other families run too: `kind` is the name without its date."""
_TYPES: Mapping[str, str] = {
    "web_search": "web_search_20250305",
    "web_fetch": "web_fetch_20250910",
    "code_execution": "code_execution_20250825",
}
"""The version of each that every model which has it takes."""
_MODES: Mapping[str, str] = {"auto": "auto", "any": "required", "tool": "tool", "none": "none"}
_CHOICES: Mapping[str, str] = {"auto": "auto", "required": "any", "tool": "tool", "none": "none"}
_GOOD_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")

JSON_TOOL = "json_response"
_JSON_TOOL: Json = {
    "name": JSON_TOOL,
    "description": "Gives the answer to the user, which is a JSON object. Call it once, with the object itself.",
    "input_schema": {"type": "object", "additionalProperties": True},
}


def parse_tool(value: object, at: str) -> ir.Tool | ir.ServerTool:
    """One of `tools`."""
    if not isinstance(value, dict):
        raise Wrong(at, "an object")
    kind = value.get("type")
    if isinstance(kind, str) and kind != "custom":
        return _server_tool(Fields(value, at), kind, value)
    fields = Fields(value, at)
    if fields.take("type", str) == "custom":
        # Said or not, it is the same: but who said it gets it back.
        fields.values["type"] = "custom"
    return ir.Tool(
        name=fields.need("name", str),
        description=fields.text("description"),
        schema=fields.take("input_schema", dict),
        strict=fields.take("strict", bool),
        cache=cache(fields),
        extras=fields.rest(),
    )


def _server_tool(fields: Fields, kind: str, value: Json) -> ir.ServerTool:
    shared = next((name for name in _SHARED if kind.startswith(name + "_2")), kind)
    place = fields.inner("user_location")
    names = ("city", "region", "country", "timezone")
    return ir.ServerTool(
        origin=FAMILY,
        kind=shared,
        value=value,
        allowed_domains=fields.strings("allowed_domains"),
        blocked_domains=fields.strings("blocked_domains"),
        max_uses=fields.take("max_uses", int),
        location=plain((name, place.text(name)) for name in names) if place is not None else {},
    )


def parse_choice(fields: Fields) -> tuple[ir.ToolChoice, bool | None]:
    """(`tool_choice`, whether several calls may come at once)."""
    kind = fields.need("type", str)
    if kind not in _MODES:
        raise Wrong(fields.path("type"), "'auto', 'any', 'tool' or 'none'", "invalid_value")
    parallel: bool | None = None
    if kind != "none":
        single = fields.take("disable_parallel_tool_use", bool)
        parallel = None if single is None else not single
    names = [fields.need("name", str)] if kind == "tool" else []
    return ir.ToolChoice(_MODES[kind], names, extras=fields.rest()), parallel  # type: ignore[arg-type]


def tool_name(name: str) -> str:
    """`name` if a tool may be called that here, else one made of it, the same every time."""
    if _GOOD_NAME.fullmatch(name):
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{re.sub(r'[^a-zA-Z0-9_-]', '_', name)[:100]}_{mark}"


def real_names(request: ir.Request) -> dict[str, str]:
    """What tools are called here to what their client calls them, where that is not the same."""
    tools = [tool for tool in request.tools if isinstance(tool, ir.Tool)]
    return {made: tool.name for tool in tools if (made := tool_name(tool.name)) != tool.name}


def render_tools(request: ir.Request, model: Model, loss: Loss) -> list[Json]:
    """`tools`."""
    own = request.origin == NAME
    choice = request.tool_choice
    allowed = set(choice.names) if choice is not None and choice.mode == "allowed" else None
    made: list[Json] = []
    seen: set[str] = set()
    for tool in request.tools:
        if isinstance(tool, ir.ServerTool):
            made.append(_server(tool))
        elif not tool.custom and tool.name not in seen and (not allowed or tool.name in allowed):
            seen.add(tool.name)
            made.append(_tool(tool, model, loss, own=own))
    return made


def past_tools(request: ir.Request) -> list[Json]:
    """`tools` where none are offered any more: calls of the past may not stand without them."""
    calls = (
        block.name
        for message in request.messages
        for block in message.content
        if isinstance(block, ir.ToolCall)
    )
    names = dict.fromkeys(map(tool_name, calls))
    return [{"name": name, "input_schema": of_object(None)} for name in names]


def _tool(tool: ir.Tool, model: Model, loss: Loss, *, own: bool) -> Json:
    made: Json = dict(tool.extras) if own else {}
    made["name"] = tool_name(tool.name)
    if tool.description:
        made["description"] = tool.description
    if not own:
        made["input_schema"] = of_object(tool.schema)
    elif tool.schema is not None:
        made["input_schema"] = tool.schema
    if tool.strict is not None:
        if not own and not model.schemas:
            loss.drop("tool.strict")
        else:
            made["strict"] = tool.strict
            if tool.strict and not own:
                made["input_schema"], whole = enforceable(made["input_schema"])
                if not whole:
                    loss.drop("tool.strict")
    if tool.cache is not None:
        made["cache_control"] = render_cache(tool.cache)
    return made


def render_cache(held: ir.Cache) -> Json:
    """`cache_control`."""
    return {"type": "ephemeral", "ttl": held.ttl} if held.ttl else {"type": "ephemeral"}


def _server(tool: ir.ServerTool) -> Json:
    if tool.origin == FAMILY:
        return tool.value
    made: Json = {"type": _TYPES[tool.kind], "name": tool.kind}
    if tool.kind == "code_execution":
        return made
    if tool.allowed_domains:
        made["allowed_domains"] = tool.allowed_domains
    elif tool.blocked_domains:  # one of the two, the API says
        made["blocked_domains"] = tool.blocked_domains
    if tool.max_uses is not None:
        made["max_uses"] = tool.max_uses
    if tool.location and tool.kind == "web_search":
        made["user_location"] = {"type": "approximate", **tool.location}
    return made


def render_choice(request: ir.Request, model: Model, loss: Loss) -> Json | None:
    """`tool_choice`; None leaves it to the model."""
    choice = request.tool_choice
    made = _mode(choice, model, loss)
    if request.parallel_tool_calls is False and made is None:
        made = {"type": "auto"}
    if made is not None and made["type"] != "none" and request.parallel_tool_calls is not None:
        made["disable_parallel_tool_use"] = not request.parallel_tool_calls
    if made is not None and choice is not None and request.origin == NAME:
        made.update(choice.extras)
    return made


def _mode(choice: ir.ToolChoice | None, model: Model, loss: Loss) -> Json | None:
    if choice is None:
        return None
    mode = choice.mode
    if mode == "allowed":
        mode = "required" if choice.required else "auto"
    if mode in ("required", "tool") and not model.forced:
        loss.drop(f"tool_choice.{mode}")
        mode = "auto"
    if mode != "tool":
        return {"type": _CHOICES[mode]}
    if choice.names:
        return {"type": "tool", "name": tool_name(choice.names[0])}
    loss.drop("tool_choice.tool")
    return None


def forced_json(schema: Json | None = None) -> tuple[list[Json], Json]:
    """(`tools`, `tool_choice`) that make the answer a JSON object."""
    tool = dict(_JSON_TOOL)
    if schema is not None:
        tool["input_schema"] = of_object(schema)
    return [tool], {"type": "tool", "name": JSON_TOOL}


def is_emulated(request: ir.Request) -> bool:
    """Whether this is what `forced_json` makes of a wish for JSON."""
    if len(request.tools) != 1 or request.tool_choice is None:
        return False
    tool = request.tools[0]
    return (
        request.tool_choice.names == [JSON_TOOL]
        and isinstance(tool, ir.Tool)
        and tool.description == _JSON_TOOL["description"]
        and tool.schema == _JSON_TOOL["input_schema"]
    )


def emulated(request: ir.Request) -> bool:
    """Whether a call of `JSON_TOOL` would be the answer to this request."""
    wanted = request.format is not None and request.format.kind in ("json", "schema")
    return wanted and not request.tools
