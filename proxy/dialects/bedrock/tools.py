"""`toolConfig`: the tools and the choice among them.

There is no way to offer tools and forbid their use. Where a client forbids it, the tools are left out; but calls in
the conversation demand a `toolConfig`, so where there are any the tools stay and the ban is what is lost.

Where a model cannot be told to answer in JSON, or in JSON that follows a schema, `json_tool` gets it to.
"""

from __future__ import annotations

from proxy.dialects import ir, json_tool
from proxy.dialects.arguments import description_of, schema_of
from proxy.dialects.bedrock.models import Model
from proxy.dialects.bedrock.turns import mark
from proxy.dialects.bedrock.words import TOOLS
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss
from proxy.dialects.names import Names
from proxy.dialects.schemas import enforceable, of_object


def tool_config(request: ir.Request, model: Model, loss: Loss) -> Json | None:
    """`toolConfig`; None is none."""
    if answers_by_tool(request, model):
        return _forced_json(request)
    names = Names(TOOLS, request)
    called = _called(request, names)
    choice = request.tool_choice
    if choice is not None and choice.mode == "none":
        if not called:
            return None
        loss.drop("tool_choice.none")
    made: list[Json] = []
    for tool in _offered(request):
        made.append({"toolSpec": _spec(tool, names, model, loss)})
        made += mark(tool.cache, model, loss, tools=True)
    if not made:
        made = [
            {"toolSpec": {"name": name, "inputSchema": {"json": of_object(None)}}}
            for name in called
        ]
    if not made:
        return None
    config: Json = {"tools": made}
    offered = frozenset(tool.name for tool in _offered(request))
    chosen = _choice(choice, offered, names, model, loss)
    if chosen is not None:
        config["toolChoice"] = chosen
    return config


def is_forced(request: ir.Request, model: Model) -> bool:
    """Whether the model will be made to call a tool."""
    if answers_by_tool(request, model):
        return True
    choice = request.tool_choice
    if choice is None or not model.forced or not _offered(request):
        return False
    return choice.mode in ("required", "tool") or (choice.mode == "allowed" and choice.required)


def needs_tool(wanted: ir.Format, model: Model) -> bool:
    """Whether the model has no other way to answer in this format."""
    return wanted.kind == "json" or (wanted.kind == "schema" and not model.schemas)


def answers_by_tool(request: ir.Request, model: Model) -> bool:
    """Whether the model will give its answer by way of a tool."""
    wanted = request.format
    return (
        wanted is not None
        and json_tool.may_answer(request)
        and needs_tool(wanted, model)
        and model.forced
    )


def _forced_json(request: ir.Request) -> Json:
    schema = request.format.schema if request.format is not None else None
    spec = {
        "name": json_tool.NAME,
        "description": json_tool.DESCRIPTION,
        "inputSchema": {"json": of_object(schema) if schema else json_tool.ANY},
    }
    return {"tools": [{"toolSpec": spec}], "toolChoice": {"tool": {"name": json_tool.NAME}}}


def _offered(request: ir.Request) -> list[ir.Tool]:
    choice = request.tool_choice
    tools = [tool for tool in request.tools if isinstance(tool, ir.Tool)]
    if choice is not None and choice.mode == "allowed":
        return [tool for tool in tools if tool.name in choice.names]
    return tools


def _called(request: ir.Request, names: Names) -> list[str]:
    """Names of the tools that the conversation shows at work."""
    called: dict[str, None] = {}
    for message in request.messages:
        for block in message.content:
            if isinstance(block, ir.ToolCall | ir.ToolResult):
                called[names.out(block.name)] = None
    return list(called)


def _spec(tool: ir.Tool, names: Names, model: Model, loss: Loss) -> Json:
    made: Json = {"name": names.out(tool.name)}
    description = description_of(tool, loss)
    if description.strip():
        made["description"] = description
    schema = of_object(schema_of(tool))
    if tool.strict and model.schemas:
        schema, whole = enforceable(schema)
        made["strict"] = True
        if not whole:
            loss.drop("tool.strict")
    elif tool.strict:
        loss.drop("tool.strict")
    made["inputSchema"] = {"json": schema}
    return made


def _choice(
    choice: ir.ToolChoice | None,
    offered: frozenset[str],
    names: Names,
    model: Model,
    loss: Loss,
) -> Json | None:
    if choice is None or choice.mode in ("auto", "none"):
        return None if choice is None or choice.mode == "none" else {"auto": {}}
    if choice.mode == "allowed" and not choice.required:
        return {"auto": {}}
    if not model.forced:
        loss.drop(f"tool_choice.{'required' if choice.mode == 'allowed' else choice.mode}")
        return None
    if choice.mode != "tool":
        return {"any": {}}
    if not offered.intersection(choice.names[:1]):
        loss.drop("tool_choice.tool")
        return None
    return {"tool": {"name": names.out(choice.names[0])}}
