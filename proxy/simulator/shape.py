"""What one answer consists of: thoughts, then words or tool calls; the same decision in every dialect."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from proxy.simulator.answers import Call, decoded, member


class Shape(Struct, frozen=True):
    """How many tokens of what."""

    tools: tuple[str, ...]
    """The functions to call; none means text."""
    thought: int
    said: int

    @property
    def output(self) -> int:
        """All tokens of an answer, thought ones included, as every vendor bills them."""
        return self.thought + self.said


def shape(call: Call, *, think: bool = False) -> Shape:
    """What to answer; `think`: the request asks for thoughts (the word `think` does too)."""
    steer = call.steer
    names = _called(call) if steer.tools else ()
    thought = max(1, steer.tokens // 2) if think or steer.think else 0
    return Shape(names, thought, max(1, steer.tokens) * len(names) if names else steer.tokens)


def call_id(prefix: str, serial: bytes, index: int) -> str:
    """The id of one tool call."""
    return f"{prefix}_{serial.decode()}{index}"


def _called(call: Call) -> tuple[str, ...]:
    """The tools to call: as many as steered, none when the request offers none or forbids them."""
    offered = _names(call)
    if not offered or _forbidden(call):
        return ()
    # One tool alone is called twice: parallel calls of one function are what `tool2` is about.
    return tuple([offered[index % len(offered)] for index in range(call.steer.tools)])


def _names(call: Call) -> list[str]:
    names: list[str] = []
    for raw in (call.ask.tools, call.ask.functions):
        declared = decoded(raw)
        for tool in declared if isinstance(declared, list) else ():
            if isinstance(tool, dict):
                names += _names_of(tool)
    return names


def _names_of(tool: dict[str, Any]) -> list[str]:
    """OpenAI chat nests under `function`, Gemini lists `functionDeclarations`, the others are flat."""
    declared = member(tool, "functionDeclarations", "function_declarations")
    if isinstance(declared, list):
        return [str(member(entry, "name", "name")) for entry in declared]
    inner = tool.get("function", tool)
    name = inner.get("name") if isinstance(inner, dict) else None
    return [name] if isinstance(name, str) else []


def _forbidden(call: Call) -> bool:
    choice = decoded(call.ask.tool_choice)
    if isinstance(choice, dict):
        choice = choice.get("type")
    config = decoded(call.ask.tool_config)
    calling = member(config, "functionCallingConfig", "function_calling_config")
    return bool(choice == "none" or member(calling, "mode", "mode") == "NONE")
