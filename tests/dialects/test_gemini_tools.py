"""Tools, and whether they must be called."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.dialects import ir
from proxy.dialects.arguments import FREE_TEXT
from proxy.dialects.gemini.tools import (
    read_choice,
    read_tools,
    write_choice,
    write_tools,
)
from proxy.dialects.loss import Loss
from tests.dialects.contents import asked

F, G = ir.Tool("f"), ir.Tool("g")


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ({"googleSearch": {}}, "web_search"),
        ({"google_search_retrieval": {}}, "web_search"),
        ({"enterpriseWebSearch": {}}, "web_search"),
        ({"urlContext": {}}, "web_fetch"),
        ({"code_execution": {}}, "code_execution"),
        ({"fileSearch": {}}, "fileSearch"),
        ({"newThing": {}}, "newThing"),
    ],
)
def test_googles_own_tools_are_known_by_their_kind(entry: dict[str, Any], kind: str) -> None:
    (tool,) = read_tools([entry], "tools")

    assert isinstance(tool, ir.ServerTool)
    assert (tool.origin, tool.kind) == ("gemini", kind)


def test_one_entry_may_hold_several() -> None:
    tools = read_tools(
        {"functionDeclarations": [{"name": "f"}], "googleSearch": {"exclude_domains": ["a", 1]}},
        "tools",
    )

    assert tools[0] == F
    assert isinstance(tools[1], ir.ServerTool)
    assert tools[1].blocked_domains == ["a"]


def test_functions_stand_in_one_entry() -> None:
    tools = [F, ir.ServerTool("gemini", "fileSearch", {"fileSearch": {"x": 1}}), G]

    assert write_tools(asked(tools=tools), Loss(), same=False) == [
        {"functionDeclarations": [{"name": "f"}, {"name": "g"}]},
        {"fileSearch": {"x": 1}},
    ]


def test_free_text_is_an_argument() -> None:
    tool = ir.Tool("write", "Writes", custom=True)

    ((entry),) = write_tools(asked(tools=[tool]), Loss(), same=False)

    assert entry["functionDeclarations"][0]["parametersJsonSchema"] == FREE_TEXT


@pytest.mark.parametrize(
    ("schema", "is_sent"),
    [
        (None, False),
        ({"type": "object", "properties": {}}, False),
        ({"type": "object", "additionalProperties": False, "title": "F"}, False),
        ({"type": "object", "additionalProperties": True}, True),
        ({"type": "object", "properties": {"a": {}}}, True),
        ({"anyOf": [{"type": "object"}]}, True),
    ],
)
def test_a_function_without_arguments_has_no_schema(
    schema: dict[str, Any] | None, is_sent: bool
) -> None:
    (entry,) = write_tools(asked(tools=[ir.Tool("f", schema=schema)]), Loss(), same=False)

    assert ("parametersJsonSchema" in entry["functionDeclarations"][0]) == is_sent


def test_a_foreign_search_is_googles_without_its_limits() -> None:
    plain = ir.ServerTool("openai", "web_search")
    narrow = ir.ServerTool("openai", "web_search", allowed_domains=["a"])
    loss = Loss()

    assert write_tools(asked(tools=[plain]), loss, same=False) == [{"googleSearch": {}}]
    assert not loss
    assert write_tools(asked(tools=[narrow]), loss, same=False) == [{"googleSearch": {}}]
    assert list(loss.names) == ["server_tool.web_search"]


def test_a_schema_that_loses_something_is_reported() -> None:
    loss = Loss()

    write_tools(
        asked(tools=[ir.Tool("f", schema={"$ref": "#", "type": "object"})]), loss, same=False
    )

    assert list(loss.names) == ["tool"]


@pytest.mark.parametrize(
    ("calling", "expected"),
    [
        ({}, None),
        ({"mode": "MODE_UNSPECIFIED"}, None),
        ({"mode": "auto"}, ir.ToolChoice("auto")),
        ({"mode": "ANY"}, ir.ToolChoice("required")),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, ir.ToolChoice("tool", ["f"])),
        (
            {"mode": "any", "allowed_function_names": ["f", "g"]},
            ir.ToolChoice("allowed", ["f", "g"], required=True),
        ),
        ({"mode": "NONE"}, ir.ToolChoice("none")),
        ({"mode": "VALIDATED"}, ir.ToolChoice("auto", extras={"mode": "VALIDATED"})),
        (
            {"mode": "VALIDATED", "allowedFunctionNames": ["f"]},
            ir.ToolChoice("allowed", ["f"]),
        ),
    ],
)
def test_every_mode_is_a_choice(calling: dict[str, Any], expected: ir.ToolChoice | None) -> None:
    choice, rest = read_choice({"functionCallingConfig": calling}, "toolConfig")

    assert choice == expected
    assert rest == {}


def test_what_else_is_configured_is_kept() -> None:
    choice, rest = read_choice({"functionCallingConfig": {"new": 1}, "other": 2}, "toolConfig")

    assert choice is None
    assert rest == {"functionCallingConfig": {"new": 1}, "other": 2}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ir.ToolChoice("auto"), {"mode": "AUTO"}),
        (ir.ToolChoice("none"), {"mode": "NONE"}),
        (ir.ToolChoice("required"), {"mode": "ANY"}),
        (ir.ToolChoice("tool", ["f"]), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ir.ToolChoice("allowed", ["f", "x"]), {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
        (ir.ToolChoice("allowed", ["g"], required=True), {"mode": "ANY", "allowedFunctionNames": ["g"]}),
    ],
)  # fmt: skip
def test_every_choice_has_a_mode(choice: ir.ToolChoice, expected: object) -> None:
    request = asked(tools=[F, G], tool_choice=choice)

    assert write_choice(request, "g", same=False) == {"functionCallingConfig": expected}


def test_without_functions_nothing_is_forced() -> None:
    assert write_choice(asked(tool_choice=ir.ToolChoice("required")), "g", same=False) == {}


def test_functions_beside_googles_tools_are_announced_since_gemini_3() -> None:
    request = asked(tools=[F, ir.ServerTool("openai", "web_search")])

    assert write_choice(request, "gemini-3-pro", same=False) == {
        "includeServerSideToolInvocations": True
    }
    assert write_choice(request, "gemini-2.5-pro", same=False) == {}
