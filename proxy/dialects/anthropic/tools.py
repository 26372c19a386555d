"""Tools and the choice among them, both ways; and an answer in JSON got by way of a tool.

A tool with a dated type is one the provider defines: it runs some of them itself, and what it leaves to the client
(a shell, an editor) only its own models know how to call. Both are `ServerTool`.

Where a client asks for JSON without saying which, `json_tool` gets it; `is_emulated` knows such a request again.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.dialects import ir, json_tool
from proxy.dialects.anthropic.blocks import cache
from proxy.dialects.anthropic.read import FAMILY, NAME, TOOLS, Fields, Wrong, plain
from proxy.dialects.arguments import description_of, schema_of
from proxy.dialects.claude import Model
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss
from proxy.dialects.names import Names
from proxy.dialects.schemas import enforceable, of_object

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


def render_tools(request: ir.Request, model: Model, loss: Loss) -> list[Json]:
    """`tools`."""
    own = request.origin == NAME
    names = Names(TOOLS, request)
    choice = request.tool_choice
    allowed = set(choice.names) if choice is not None and choice.mode == "allowed" else None
    made: list[Json] = []
    seen: set[str] = set()
    for tool in request.tools:
        if isinstance(tool, ir.ServerTool):
            made.append(_server(tool))
        elif tool.name not in seen and (not allowed or tool.name in allowed):
            seen.add(tool.name)
            made.append(_tool(tool, names, model, loss, own=own))
    return made


def past_tools(request: ir.Request) -> list[Json]:
    """`tools` where none are offered any more: calls of the past may not stand without them."""
    names = Names(TOOLS, request)
    calls = (
        names.out(block.name)
        for message in request.messages
        for block in message.content
        if isinstance(block, ir.ToolCall)
    )
    return [{"name": name, "input_schema": of_object(None)} for name in dict.fromkeys(calls)]


def _tool(tool: ir.Tool, names: Names, model: Model, loss: Loss, *, own: bool) -> Json:
    made: Json = dict(tool.extras) if own else {}
    made["name"] = names.out(tool.name)
    description = description_of(tool, loss)
    if description:
        made["description"] = description
    if not own:
        made["input_schema"] = of_object(schema_of(tool))
    elif tool.schema is not None:
        made["input_schema"] = tool.schema
    if tool.strict is not None:
        if not own and not model.schemas:
            if tool.strict:
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
    made = _mode(choice, Names(TOOLS, request), model, loss)
    if request.parallel_tool_calls is False and made is None:
        made = {"type": "auto"}
    if made is not None and made["type"] != "none" and request.parallel_tool_calls is not None:
        made["disable_parallel_tool_use"] = not request.parallel_tool_calls
    if made is not None and choice is not None and request.origin == NAME:
        made.update(choice.extras)
    return made


def _mode(choice: ir.ToolChoice | None, names: Names, model: Model, loss: Loss) -> Json | None:
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
        return {"type": "tool", "name": names.out(choice.names[0])}
    loss.drop("tool_choice.tool")
    return None


def forced_json(schema: Json | None = None) -> tuple[list[Json], Json]:
    """(`tools`, `tool_choice`) that make the answer a JSON object."""
    tool = {
        "name": json_tool.NAME,
        "description": json_tool.DESCRIPTION,
        "input_schema": json_tool.ANY if schema is None else of_object(schema),
    }
    return [tool], {"type": "tool", "name": json_tool.NAME}


def is_emulated(request: ir.Request) -> bool:
    """Whether this is what `forced_json` makes of a wish for JSON."""
    if len(request.tools) != 1 or request.tool_choice is None:
        return False
    tool = request.tools[0]
    return (
        request.tool_choice.names == [json_tool.NAME]
        and isinstance(tool, ir.Tool)
        and tool.description == json_tool.DESCRIPTION
        and tool.schema == json_tool.ANY
    )
