"""Tools and the choice among them, in both directions."""

from __future__ import annotations

import re
from collections.abc import Mapping

from proxy.dialects import ir
from proxy.dialects.asked import Fields, an_object, wrong
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss, unsupported
from proxy.dialects.names import Names
from proxy.dialects.openai_responses.fields import FAMILY, NAME, TOOLS, word
from proxy.dialects.schemas import is_exact

_SEARCH = re.compile(r"web_search(?:_preview)?(?:_[\d_]+)?")
_LOCATION = ("city", "region", "country", "timezone")
_NO_ARGUMENTS: Json = {"type": "object", "properties": {}}
_MODES = ("auto", "none", "required")
_HOSTED = frozenset(
    {
        "file_search",
        "computer",
        "computer_use_preview",
        "mcp",
        "code_interpreter",
        "image_generation",
        "local_shell",
        "shell",
        "apply_patch",
    }
)
"""Tools the provider runs, but for searches of the web."""


# --- reading ------------------------------------------------------------------------------------------------


def read_tools(values: list[object]) -> list[ir.Tool | ir.ServerTool]:
    """`tools`."""
    return [_tool(value, f"tools[{at}]") for at, value in enumerate(values)]


def _tool(value: object, at: str) -> ir.Tool | ir.ServerTool:
    fields = Fields(value, at)
    kind = fields.need("type")
    if kind == "function":
        return _function(fields)
    if kind == "custom":
        return _custom(fields)
    return _server_tool(kind, an_object(value, at), fields)


def _function(fields: Fields) -> ir.Tool:
    # The form of chat completions, which the SDK and some providers take here too.
    inner = fields.inner("function") if "name" not in fields.rest else None
    given = inner or fields
    tool = ir.Tool(given.need("name"), given.text("description"))
    schema = given.take("parameters")
    if schema is not None:
        tool.schema = an_object(schema, given.path("parameters"))
    tool.strict = given.flag("strict")
    tool.extras = {**given.rest, **fields.rest}
    return tool


def _custom(fields: Fields) -> ir.Tool:
    tool = ir.Tool(fields.need("name"), fields.text("description"), custom=True)
    tool.format = fields.object("format") or None
    tool.extras = fields.rest
    return tool


def _server_tool(kind: str, value: Json, fields: Fields) -> ir.ServerTool:
    if kind == "code_interpreter":
        return ir.ServerTool(FAMILY, "code_execution", value)
    if not _SEARCH.fullmatch(kind):
        return ir.ServerTool(FAMILY, kind, value)
    tool = ir.ServerTool(FAMILY, "web_search", value)
    filters = fields.inner("filters")
    if filters is not None:
        tool.allowed_domains = filters.texts("allowed_domains")
        tool.blocked_domains = filters.texts("blocked_domains")
    place = fields.object("user_location")
    tool.location = {name: place[name] for name in _LOCATION if place.get(name)}
    return tool


def read_choice(value: object) -> ir.ToolChoice:
    """`tool_choice`."""
    at = "tool_choice"
    if isinstance(value, str):
        if value in _MODES:
            return ir.ToolChoice(value)  # type: ignore[arg-type]
        raise wrong(at, "none, auto, required or an object", "invalid_value")
    fields = Fields(value, at)
    kind = fields.need("type")
    if kind in ("function", "custom"):
        inner = fields.inner("function") if "name" not in fields.rest else None
        return ir.ToolChoice("tool", [(inner or fields).need("name")])
    if kind in _MODES:
        return ir.ToolChoice(kind)  # type: ignore[arg-type]
    if kind == "allowed_tools":
        return _allowed(fields, an_object(value, at))
    name = "web_search" if _SEARCH.fullmatch(kind) else kind
    return ir.ToolChoice("tool", [name], extras=an_object(value, at))


def _allowed(fields: Fields, value: Json) -> ir.ToolChoice:
    names: list[str] = []
    whole = True
    for number, item in enumerate(fields.items("tools")):
        entry = Fields(item, f"{fields.path('tools')}[{number}]")
        kind = entry.text("type")
        if kind in ("function", "custom", ""):
            names.append(entry.need("name"))
        else:
            whole = False  # the provider's own: others have no such tool
    required = fields.text("mode") == "required"
    return ir.ToolChoice("allowed", names, required, {} if whole else value)


# --- writing ------------------------------------------------------------------------------------------------


def write_tools(request: ir.Request, loss: Loss) -> list[Json]:
    """`tools`."""
    names = Names(TOOLS, request)
    own = request.origin == NAME
    return [_written(tool, names, loss, own=own) for tool in request.tools]


def _written(tool: ir.Tool | ir.ServerTool, names: Names, loss: Loss, *, own: bool) -> Json:
    if isinstance(tool, ir.ServerTool):
        return tool.value if own else _foreign_tool(tool, loss)
    made: Json = {"type": "custom" if tool.custom else "function", "name": names.out(tool.name)}
    if tool.description:
        made["description"] = tool.description
    if tool.custom:
        if tool.format is not None:
            made["format"] = tool.format
    else:
        _function_fields(made, tool, loss, own=own)
    return {**made, **tool.extras} if own else made


def _function_fields(made: Json, tool: ir.Tool, loss: Loss, *, own: bool) -> None:
    if own:
        made["parameters"] = tool.schema
        if tool.strict is not None:
            made["strict"] = tool.strict
        return
    schema = tool.schema or _NO_ARGUMENTS
    if schema.get("type") != "object":
        schema = {**schema, "type": "object"}
    # Refused where there are none, which servers of tools leave out then.
    made["parameters"] = schema if "properties" in schema else {**schema, "properties": {}}
    # Left out it is true here, and refuses schemas that every other dialect takes.
    made["strict"] = bool(tool.strict) and is_exact(made["parameters"])
    if tool.strict and not made["strict"]:
        loss.drop("tool.strict")


def _foreign_tool(tool: ir.ServerTool, loss: Loss) -> Json:
    if tool.origin == FAMILY and word(tool.value, "type") in _HOSTED:
        return tool.value
    if tool.kind == "code_execution":
        return {"type": "code_interpreter", "container": {"type": "auto"}}
    if tool.kind != "web_search":
        raise unsupported(tool.kind, "It is a tool that only some providers run.")
    if tool.blocked_domains or tool.max_uses is not None:
        loss.drop("server_tool.web_search")
    made: Json = {"type": "web_search"}
    if tool.allowed_domains:
        made["filters"] = {"allowed_domains": tool.allowed_domains}
    if tool.location:
        made["user_location"] = {"type": "approximate", **tool.location}
    return made


_SERVER_CHOICES: Mapping[str, str] = {"code_execution": "code_interpreter"}


def write_choice(request: ir.Request) -> object:
    """`tool_choice` of a request that has one."""
    choice = request.tool_choice
    assert choice is not None
    if choice.extras and request.origin == NAME:
        return choice.extras
    kinds = {_name(tool): _kind(tool) for tool in request.tools}
    names = Names(TOOLS, request)
    if choice.mode == "tool":
        return _named(choice.names[0], kinds, names) if choice.names else "required"
    if choice.mode == "allowed":
        return {
            "type": "allowed_tools",
            "mode": "required" if choice.required else "auto",
            "tools": [_named(name, kinds, names) for name in choice.names],
        }
    return choice.mode


def _name(tool: ir.Tool | ir.ServerTool) -> str:
    return tool.kind if isinstance(tool, ir.ServerTool) else tool.name


def _kind(tool: ir.Tool | ir.ServerTool) -> str:
    if isinstance(tool, ir.ServerTool):
        return _SERVER_CHOICES.get(tool.kind, tool.kind)
    return "custom" if tool.custom else "function"


def _named(name: str, kinds: Mapping[str, str], names: Names) -> Json:
    kind = kinds.get(name, "function")
    if kind not in ("function", "custom"):
        return {"type": kind}
    return {"type": kind, "name": names.out(name)}
