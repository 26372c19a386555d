"""`toolConfig`: the tools and the choice among them.

There is no way to offer tools and forbid their use. Where a client forbids it, the tools are left out; but calls in
the conversation demand a `toolConfig`, so where there are any the tools stay and the ban is what is lost.
"""

from __future__ import annotations

from proxy.dialects import ir
from proxy.dialects.bedrock.models import Model
from proxy.dialects.bedrock.schema import enforceable, of_object
from proxy.dialects.bedrock.turns import mark
from proxy.dialects.bedrock.words import tool_name
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss


def tool_config(request: ir.Request, model: Model, loss: Loss) -> Json | None:
    """`toolConfig`; None is none."""
    called = _called(request)
    choice = request.tool_choice
    if choice is not None and choice.mode == "none":
        if not called:
            return None
        loss.drop("tool_choice.none")
    made: list[Json] = []
    for tool in _offered(request):
        made.append({"toolSpec": _spec(tool, model, loss)})
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
    chosen = _choice(choice, offered, model, loss)
    if chosen is not None:
        config["toolChoice"] = chosen
    return config


def is_forced(request: ir.Request, model: Model) -> bool:
    """Whether the model will be made to call a tool."""
    choice = request.tool_choice
    if choice is None or not model.forced or not _offered(request):
        return False
    return choice.mode in ("required", "tool") or (choice.mode == "allowed" and choice.required)


def _offered(request: ir.Request) -> list[ir.Tool]:
    choice = request.tool_choice
    tools = [tool for tool in request.tools if isinstance(tool, ir.Tool) and not tool.custom]
    if choice is not None and choice.mode == "allowed":
        return [tool for tool in tools if tool.name in choice.names]
    return tools


def _called(request: ir.Request) -> list[str]:
    """Names of the tools that the conversation shows at work."""
    names: dict[str, None] = {}
    for message in request.messages:
        for block in message.content:
            if isinstance(block, ir.ToolCall | ir.ToolResult):
                names[tool_name(block.name)] = None
    return list(names)


def _spec(tool: ir.Tool, model: Model, loss: Loss) -> Json:
    made: Json = {"name": tool_name(tool.name)}
    if tool.description.strip():
        made["description"] = tool.description
    schema = of_object(tool.schema)
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
    choice: ir.ToolChoice | None, offered: frozenset[str], model: Model, loss: Loss
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
    return {"tool": {"name": tool_name(choice.names[0])}}
