"""Tools, and whether they must be called.

An entry of `tools` may hold functions and tools of Google's own together, each under a key of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.dialects import ir
from proxy.dialects.arguments import description_of, schema_of
from proxy.dialects.gemini.models import generation
from proxy.dialects.gemini.names import FAMILY, TOOLS
from proxy.dialects.gemini.reading import a_list, a_text, a_word, an_object, plain_object, texts
from proxy.dialects.gemini.schema import read_schema, write_schema
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss
from proxy.dialects.names import Names

_FUNCTIONS = "functionDeclarations"
_KINDS: Mapping[str, str] = {
    "googleSearch": "web_search",
    "googleSearchRetrieval": "web_search",
    "enterpriseWebSearch": "web_search",
    "urlContext": "web_fetch",
    "codeExecution": "code_execution",
}
"""Google's tools that others have too."""
_OWN: Mapping[str, str] = {
    "web_search": "googleSearch",
    "web_fetch": "urlContext",
    "code_execution": "codeExecution",
}
_OF_NO_ARGUMENTS = frozenset(
    {"$schema", "additionalProperties", "description", "properties", "required", "title", "type"}
)


def read_tools(value: object, where: str) -> list[ir.Tool | ir.ServerTool]:
    """`tools`."""
    found: list[ir.Tool | ir.ServerTool] = []
    for at, item in enumerate(a_list(value, where)):
        entry = an_object(item, f"{where}[{at}]")
        for name, given in entry.items():
            if name == _FUNCTIONS:
                inside = f"{where}[{at}].{name}"
                for number, function in enumerate(a_list(given, inside)):
                    found.append(_function(function, f"{inside}[{number}]"))
            else:
                found.append(_server_tool(name, given))
    return found


def _function(value: object, where: str) -> ir.Tool:
    given = an_object(value, where)
    tool = ir.Tool(
        a_text(given.pop("name", ""), f"{where}.name"),
        a_text(given.pop("description", ""), f"{where}.description"),
    )
    older = given.pop("parameters", None)
    newer = given.pop("parametersJsonSchema", None)
    if newer is not None:
        tool.schema = plain_object(newer, f"{where}.parametersJsonSchema")
    elif older is not None:
        tool.schema = read_schema(plain_object(older, f"{where}.parameters"))
    tool.extras = given
    return tool


def _server_tool(name: str, given: object) -> ir.ServerTool:
    tool = ir.ServerTool(FAMILY, _KINDS.get(name, name), {name: given})
    if isinstance(given, dict):
        blocked = given.get("excludeDomains", given.get("exclude_domains"))
        if isinstance(blocked, list):
            tool.blocked_domains = [domain for domain in blocked if isinstance(domain, str)]
    return tool


def write_tools(request: ir.Request, loss: Loss, *, same: bool) -> list[Json]:
    """`tools`: the functions in one entry, because some models take no more, the others in one each."""
    entries: list[Json] = []
    functions: list[Json] = []
    names = Names(TOOLS, request)
    for tool in request.tools:
        if isinstance(tool, ir.Tool):
            if not functions:
                entries.append({_FUNCTIONS: functions})
            functions.append(_declaration(tool, names, loss, same=same))
        elif tool.origin == FAMILY:
            entries.append(tool.value)
        elif tool.kind in _OWN:
            _limits(tool, loss)
            entries.append({_OWN[tool.kind]: {}})
    return entries


def _declaration(tool: ir.Tool, names: Names, loss: Loss, *, same: bool) -> Json:
    made: Json = {"name": names.out(tool.name)}
    description = description_of(tool, loss)
    if description:
        made["description"] = description
    schema = schema_of(tool)
    if schema and (same or not _is_empty(schema)):
        if not same:
            schema, lost = write_schema(schema)
            if lost:
                loss.drop("tool")
        made["parametersJsonSchema"] = schema
    if same:
        made.update(tool.extras)
    return made


def _is_empty(schema: Json) -> bool:
    """A function without arguments, for which some models refuse a schema."""
    is_object = schema.get("type") == "object" and schema.keys() <= _OF_NO_ARGUMENTS
    return is_object and not any(
        schema.get(name) for name in ("properties", "additionalProperties")
    )


def _limits(tool: ir.ServerTool, loss: Loss) -> None:
    """Google's search cannot be told where, or how often, to look."""
    asked = (tool.allowed_domains, tool.blocked_domains, tool.max_uses, tool.location)
    if any(asked):
        loss.drop(f"server_tool.{tool.kind}")


# --- whether they must be called -----------------------------------------------------------------------------


def read_choice(value: object, where: str) -> tuple[ir.ToolChoice | None, Json]:
    """`toolConfig`: (the choice, what else it holds)."""
    given = an_object(value, where)
    inside = f"{where}.functionCallingConfig"
    calling = an_object(given.pop("functionCallingConfig", {}), inside)
    mode = a_word(calling.pop("mode", ""), f"{inside}.mode")
    names = texts(calling.pop("allowedFunctionNames", []), f"{inside}.allowedFunctionNames")
    choice = _choice(mode, names)
    if choice is not None:
        choice.extras.update(calling)
    elif calling:
        given["functionCallingConfig"] = calling
    return choice, given


def _choice(mode: str, names: list[str]) -> ir.ToolChoice | None:
    if mode == "NONE":
        return ir.ToolChoice("none")
    if mode == "ANY":
        if not names:
            return ir.ToolChoice("required")
        if len(names) == 1:
            return ir.ToolChoice("tool", names)
        return ir.ToolChoice("allowed", names, required=True)
    if names:
        return ir.ToolChoice("allowed", names)
    if mode == "VALIDATED":
        return ir.ToolChoice("auto", extras={"mode": mode})
    return ir.ToolChoice("auto") if mode == "AUTO" else None


def write_choice(request: ir.Request, model: str, *, same: bool) -> Json:
    """`toolConfig`, without which nothing is forced."""
    made: Json = {}
    functions = [tool for tool in request.tools if isinstance(tool, ir.Tool)]
    choice = request.tool_choice
    if choice is not None and (functions or same):
        calling: Json = {"mode": "AUTO"}
        match choice.mode:
            case "none":
                calling = {"mode": "NONE"}
            case "required":
                calling = {"mode": "ANY"}
            case "tool":
                calling = {"mode": "ANY"}
            case "allowed":
                calling = {"mode": "ANY" if choice.required else "VALIDATED"}
            case "auto":
                pass
        declared = {tool.name for tool in functions}
        allowed = [name for name in choice.names if same or name in declared]
        if allowed:
            names = Names(TOOLS, request)
            calling["allowedFunctionNames"] = [names.out(name) for name in allowed]
        if same:
            calling.update(choice.extras)
        made["functionCallingConfig"] = calling
    is_mixed = bool(functions) and len(functions) < len(request.tools)
    if is_mixed and not same and generation(model) >= (3, 0):
        # Since 3, functions and Google's own tools go together only where this is said.
        made["includeServerSideToolInvocations"] = True
    return made
