"""Tools of the Responses API, and the choice among them."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.errors import ProxyError
from proxy.dialects import ir
from proxy.dialects.loss import Loss
from proxy.dialects.openai_responses.tools import (
    read_choice,
    read_tools,
    write_choice,
    write_tools,
)

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def written(*tools: ir.Tool | ir.ServerTool) -> tuple[list[dict[str, Any]], Loss]:
    loss = Loss()
    return write_tools(ir.Request(tools=list(tools), origin="x"), loss), loss


def test_a_function_is_flat() -> None:
    (tool,) = read_tools([{"type": "function", "name": "f", "parameters": SCHEMA, "strict": True}])

    assert tool == ir.Tool("f", schema=SCHEMA, strict=True)


def test_a_function_in_the_form_of_chat_is_read_too() -> None:
    (tool,) = read_tools([{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}])

    assert tool == ir.Tool("f", schema=SCHEMA)


def test_a_function_whose_strictness_nobody_asked_for_is_not_strict() -> None:
    (tool,), _ = written(ir.Tool("f", "Does", SCHEMA))

    assert tool == {
        "type": "function",
        "name": "f",
        "description": "Does",
        "parameters": SCHEMA,
        "strict": False,
    }


def test_a_function_without_a_schema_takes_nothing() -> None:
    (tool,), _ = written(ir.Tool("f"))

    assert tool["parameters"] == {"type": "object", "properties": {}}


def test_a_schema_without_properties_is_given_none() -> None:
    (tool,), _ = written(ir.Tool("f", schema={"type": "object", "additionalProperties": False}))

    assert tool["parameters"] == {
        "type": "object",
        "additionalProperties": False,
        "properties": {},
    }


@pytest.mark.parametrize("required", [["a"], []])
def test_only_a_schema_that_demands_all_of_it_is_enforced(required: list[str]) -> None:
    schema = {**SCHEMA, "additionalProperties": False, "required": required}

    (tool,), loss = written(ir.Tool("f", schema=schema, strict=True))

    assert tool["strict"] is bool(required)
    assert list(loss.names) == ([] if required else ["tool.strict"])


def test_a_custom_tool_keeps_its_grammar() -> None:
    wanted = {"type": "grammar", "syntax": "lark", "definition": "start: A"}
    (tool,) = read_tools([{"type": "custom", "name": "f", "format": wanted}])
    assert isinstance(tool, ir.Tool)

    assert tool.custom
    assert written(tool)[0] == [{"type": "custom", "name": "f", "format": wanted}]


def test_a_search_of_the_web_is_the_same_everywhere() -> None:
    value = {
        "type": "web_search_2025_08_26",
        "filters": {"allowed_domains": ["example.com"]},
        "user_location": {"type": "approximate", "city": "Oslo", "region": None},
    }

    (tool,) = read_tools([value])

    assert tool == ir.ServerTool(
        "openai",
        "web_search",
        value,
        allowed_domains=["example.com"],
        location={"city": "Oslo"},
    )


def test_a_search_another_family_asks_for_is_asked_for_here() -> None:
    tool = ir.ServerTool("anthropic", "web_search", location={"city": "Oslo"}, max_uses=2)

    (made,), loss = written(tool)

    assert made == {
        "type": "web_search",
        "user_location": {"type": "approximate", "city": "Oslo"},
    }
    assert loss.names == {"server_tool.web_search": "server_tool.web_search"}


def test_code_another_family_runs_is_run_here() -> None:
    (made,), _ = written(ir.ServerTool("anthropic", "code_execution"))

    assert made == {"type": "code_interpreter", "container": {"type": "auto"}}


def test_a_tool_only_others_run_is_refused() -> None:
    with pytest.raises(ProxyError):
        written(ir.ServerTool("openai", "x_search", {"type": "x_search"}))


@pytest.mark.parametrize(
    ("value", "choice"),
    [
        ("auto", ir.ToolChoice("auto")),
        ("required", ir.ToolChoice("required")),
        ({"type": "none"}, ir.ToolChoice("none")),
        ({"type": "function", "name": "f"}, ir.ToolChoice("tool", ["f"])),
        ({"type": "custom", "name": "f"}, ir.ToolChoice("tool", ["f"])),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}],
            },
            ir.ToolChoice("allowed", ["f"], True),
        ),
        (
            {"type": "web_search_preview"},
            ir.ToolChoice("tool", ["web_search"], extras={"type": "web_search_preview"}),
        ),
    ],
)
def test_a_choice_is_read(value: Any, choice: ir.ToolChoice) -> None:
    assert read_choice(value) == choice


@pytest.mark.parametrize("value", ["any", 1, {}, {"type": "function"}])
def test_a_choice_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(ProxyError):
        read_choice(value)


@pytest.mark.parametrize(
    ("choice", "value"),
    [
        (ir.ToolChoice("none"), "none"),
        (ir.ToolChoice("tool", ["f"]), {"type": "function", "name": "f"}),
        (ir.ToolChoice("tool", ["c"]), {"type": "custom", "name": "c"}),
        (ir.ToolChoice("tool", ["web_search"]), {"type": "web_search"}),
        (ir.ToolChoice("tool"), "required"),
        (
            ir.ToolChoice("allowed", ["f", "c"]),
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "c"}],
            },
        ),
    ],
)
def test_a_choice_of_others_is_written(choice: ir.ToolChoice, value: Any) -> None:
    tools: list[ir.Tool | ir.ServerTool] = [
        ir.Tool("f"),
        ir.Tool("c", custom=True),
        ir.ServerTool("x", "web_search"),
    ]

    assert write_choice(ir.Request(tools=tools, tool_choice=choice, origin="x")) == value
