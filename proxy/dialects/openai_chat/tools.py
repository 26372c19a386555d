"""Tools and the choice among them, in both directions, and OpenAI's functions from before there were tools."""

from __future__ import annotations

import re

from proxy.dialects import ir
from proxy.dialects.arguments import description_of, schema_of
from proxy.dialects.asked import Fields, a_text, an_object, wrong
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss, unsupported
from proxy.dialects.names import Names
from proxy.dialects.openai_chat.fields import FAMILY, is_openais
from proxy.dialects.openai_chat.names import TOOLS
from proxy.dialects.openai_chat.parts import cache_of
from proxy.dialects.schemas import is_exact

_LOCATION = ("city", "region", "country", "timezone")
_SEARCH = re.compile(r"(?:[a-z_]+:)?web_search(?:_preview)?(?:_[\d_]+)?")


def parse(value: object, at: str) -> ir.Tool | ir.ServerTool:
    """One of `tools`."""
    fields = Fields(value, at)
    kind = fields.text("type") or ("function" if "function" in fields.rest else "")
    if kind == "function":
        inner = fields.inner("function")
        if inner is None:
            raise wrong(fields.path("function"), "an object", "missing_required_parameter")
        tool = function(inner)
    elif kind == "custom":
        tool = _custom(fields)
    elif kind:
        return _server_tool(kind, an_object(value, at))
    else:
        raise wrong(fields.path("type"), "a string", "missing_required_parameter")
    tool.cache = cache_of(fields.rest) or cache_of(tool.extras)
    fields.rest.pop("cache_control", None)
    tool.extras = {**tool.extras, **fields.rest}
    return tool


def function(fields: Fields) -> ir.Tool:
    """What a function is called and takes."""
    tool = ir.Tool(fields.need("name"), fields.text("description"))
    schema = fields.take("parameters")
    if schema is not None:
        tool.schema = an_object(schema, fields.path("parameters"))
    tool.strict = fields.flag("strict")
    tool.extras = fields.rest
    return tool


def _custom(fields: Fields) -> ir.Tool:
    inner = fields.inner("custom")
    if inner is None:
        raise wrong(fields.path("custom"), "an object", "missing_required_parameter")
    tool = ir.Tool(inner.need("name"), inner.text("description"), custom=True)
    wanted = inner.inner("format")
    if wanted is not None:
        tool.format = _flat(wanted)
    tool.extras = inner.rest
    return tool


def _flat(fields: Fields) -> Json:
    """A grammar as the hub has it: without the object chat puts around it."""
    grammar = fields.object("grammar")
    return {**fields.rest, **grammar}


def _server_tool(kind: str, value: Json) -> ir.ServerTool:
    if _SEARCH.fullmatch(kind):
        return ir.ServerTool(FAMILY, "web_search", value)
    return ir.ServerTool(FAMILY, kind, value)


def parse_search(value: object) -> ir.ServerTool:
    """`web_search_options`."""
    options = an_object(value, "web_search_options")
    tool = ir.ServerTool(FAMILY, "web_search", {"web_search_options": options})
    place = options.get("user_location")
    if place is not None:
        near = an_object(place, "web_search_options.user_location").get("approximate") or {}
        known = an_object(near, "web_search_options.user_location.approximate")
        tool.location = {name: known[name] for name in _LOCATION if known.get(name)}
    return tool


def parse_choice(value: object) -> ir.ToolChoice:
    """`tool_choice`, and the legacy `function_call`."""
    at = "tool_choice"
    if isinstance(value, str):
        if value in ("auto", "none", "required"):
            return ir.ToolChoice(value)  # type: ignore[arg-type]
        if value == "any":  # Mistral's word for it
            return ir.ToolChoice("required")
        raise wrong(at, "none, auto, required or an object", "invalid_value")
    fields = Fields(value, at)
    kind = fields.text("type")
    if kind == "allowed_tools":
        return _allowed(fields)
    if kind in ("auto", "none", "required", "any"):
        return parse_choice(kind)
    inner = fields.inner("custom" if kind == "custom" else "function")
    return ir.ToolChoice("tool", [(inner or fields).need("name")])


def _allowed(fields: Fields) -> ir.ToolChoice:
    inner = fields.inner("allowed_tools") or fields
    required = inner.text("mode") == "required"
    names: list[str] = []
    for number, item in enumerate(inner.items("tools")):
        at = f"{inner.path('tools')}[{number}]"
        entry = an_object(item, at)
        named = entry.get("function") or entry.get("custom") or entry
        names.append(a_text(an_object(named, at).get("name"), f"{at}.name"))
    return ir.ToolChoice("allowed", names, required)


def render(request: ir.Request, model: str, loss: Loss, *, own: bool) -> Json:
    """The fields of a request that are about tools."""
    body: Json = {}
    tools: list[Json] = []
    names = Names(TOOLS, request)
    choice, offered = request.tool_choice, request.tools
    if choice is not None and choice.mode == "allowed" and not own:
        only, kept = _only(choice, offered)
        # Where all of them are allowed nothing has to be said that only OpenAI knows.
        named = not any(isinstance(tool, ir.ServerTool) for tool in offered)
        if not is_openais(model) or (named and kept == offered):
            choice, offered = only, kept
    for tool in offered:
        if isinstance(tool, ir.ServerTool):
            _render_server_tool(tool, body, tools, loss, own=own)
        else:
            free = tool.custom and takes_free_text(model, own=own)
            made = _render_custom(tool) if free else _render_function(tool, loss, own=own)
            made[made["type"]]["name"] = names.out(tool.name)
            tools.append(made)
            if own:
                tools[-1].update(_outside(tool))
    if tools:
        body["tools"] = tools
    if choice is not None and (tools or own):
        body["tool_choice"] = _render_choice(choice, tools, names)
    if request.parallel_tool_calls is not None and (tools or own):
        body["parallel_tool_calls"] = request.parallel_tool_calls
    return body


def _only(
    choice: ir.ToolChoice, tools: list[ir.Tool | ir.ServerTool]
) -> tuple[ir.ToolChoice, list[ir.Tool | ir.ServerTool]]:
    """The same for whom `allowed_tools` is a word that is refused: no other tools are offered.

    Tools that providers run have no name; in `extras` they are allowed by what they are.
    """
    kept = [
        tool
        for tool in tools
        if (tool.name in choice.names if isinstance(tool, ir.Tool) else choice.extras)
    ]
    return ir.ToolChoice("required" if choice.required else "auto"), kept


def _outside(tool: ir.Tool) -> Json:
    mark: Json = {}
    if tool.cache is not None:
        mark["cache_control"] = {"type": "ephemeral"}
        if tool.cache.ttl:
            mark["cache_control"]["ttl"] = tool.cache.ttl
    return {**tool.extras, **mark}


def takes_free_text(model: str, *, own: bool) -> bool:
    """Whether a tool of free text may be offered as one: most that speak like OpenAI have only functions."""
    return own or is_openais(model)


def _render_function(tool: ir.Tool, loss: Loss, *, own: bool) -> Json:
    made: Json = {"name": tool.name}
    description = description_of(tool, loss)
    if description:
        made["description"] = description
    if not own:
        # OpenAI demands both, and servers of tools leave properties out where there are none.
        made["parameters"] = {"type": "object", **(schema_of(tool) or {})}
        made["parameters"].setdefault("properties", {})
    elif tool.schema is not None:
        made["parameters"] = tool.schema
    if tool.strict is not None:
        made["strict"] = tool.strict and (own or is_exact(made["parameters"]))
        if made["strict"] != tool.strict:
            loss.drop("tool.strict")
    return {"type": "function", "function": made}


def _render_custom(tool: ir.Tool) -> Json:
    made: Json = {"name": tool.name}
    if tool.description:
        made["description"] = tool.description
    if tool.format is not None:
        kind = tool.format.get("type")
        rest = {name: value for name, value in tool.format.items() if name != "type"}
        made["format"] = {"type": kind, "grammar": rest} if kind == "grammar" else tool.format
    return {"type": "custom", "custom": made}


def _render_server_tool(
    tool: ir.ServerTool, body: Json, tools: list[Json], loss: Loss, *, own: bool
) -> None:
    options = tool.value.get("web_search_options")
    if own and options is None:
        tools.append(tool.value)
    elif own:
        body["web_search_options"] = options
    elif tool.kind == "web_search" and tool.origin == FAMILY:
        if tool.allowed_domains or tool.blocked_domains or tool.max_uses is not None:
            loss.drop("server_tool.web_search")
        body["web_search_options"] = _search_options(tool)
    else:
        raise unsupported(tool.kind, "It is a tool that only some providers run.")


def _search_options(tool: ir.ServerTool) -> Json:
    options: Json = {}
    size = tool.value.get("search_context_size")
    if isinstance(size, str):
        options["search_context_size"] = size
    if tool.location:
        options["user_location"] = {"type": "approximate", "approximate": tool.location}
    return options


def _render_choice(choice: ir.ToolChoice, tools: list[Json], names: Names) -> object:
    custom = {tool["custom"]["name"] for tool in tools if tool.get("type") == "custom"}

    def named(name: str) -> Json:
        kind = "custom" if names.out(name) in custom else "function"
        return {"type": kind, kind: {"name": names.out(name)}}

    if choice.mode == "tool" and choice.names:
        return named(choice.names[0])
    if choice.mode == "allowed":
        allowed = {
            "mode": "required" if choice.required else "auto",
            "tools": [named(name) for name in choice.names],
        }
        return {"type": "allowed_tools", "allowed_tools": allowed}
    return "required" if choice.mode == "tool" else choice.mode
