"""Parts, as blocks."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.errors import ProxyError
from proxy.dialects import ir
from proxy.dialects.gemini.parts import lenient_part, read_part, with_extras


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("words", ir.Text("words")),
        ({"text": "a", "thought": None}, ir.Text("a")),
        ({"text": "a", "thought": False}, ir.Text("a")),
        ({"text": "a", "thought": True}, ir.Reasoning("a")),
        (
            {"thought_signature": "c2ln", "text": ""},
            ir.Text("", signature="c2ln", origin="gemini"),
        ),
        ({}, ir.Text("")),
        ({"functionCall": {"name": "f"}}, ir.ToolCall(name="f")),
        (
            {"functionCall": {"name": "f", "args": {"a_b": [1.5, "ü"]}, "id": "1"}},
            ir.ToolCall("1", "f", '{"a_b":[1.5,"ü"]}'),
        ),
        ({"brandNew": {"a": 1}}, ir.Opaque("gemini", "brandNew", {"brandNew": {"a": 1}})),
        (
            {"thought": True, "inlineData": {"mimeType": "image/png", "data": "AA"}},
            ir.Opaque(
                "gemini",
                "inlineData",
                {"thought": True, "inlineData": {"mimeType": "image/png", "data": "AA"}},
            ),
        ),
        (
            {"toolCall": {"id": "1"}, "thoughtSignature": "c2ln"},
            ir.Opaque("gemini", "toolCall", {"toolCall": {"id": "1"}, "thoughtSignature": "c2ln"}),
        ),
    ],
)
def test_each_kind_of_part_is_a_block(part: object, expected: ir.Block) -> None:
    assert read_part(part, "part") == expected


@pytest.mark.parametrize(
    ("response", "text", "is_error"),
    [
        ({"output": "a"}, "a", False),
        ({"result": "a"}, "a", False),
        ({"output": [1, {"b": 2}]}, '[1,{"b":2}]', False),
        ({"error": "a"}, "a", True),
        ({"error": {"code": 5}}, '{"code":5}', True),
        ({"error": "a", "output": "b"}, '{"error":"a","output":"b"}', False),
        ({"temperature": 20}, '{"temperature":20}', False),
        ({}, "{}", False),
    ],
)
def test_a_result_is_what_the_function_gave_back(
    response: dict[str, Any], text: str, is_error: bool
) -> None:
    block = read_part({"functionResponse": {"name": "f", "response": response}}, "part")

    assert isinstance(block, ir.ToolResult)
    assert (block.content, block.is_error) == ([ir.Text(text)], is_error)


def test_a_result_may_show_something() -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    block = read_part({"functionResponse": {"name": "f", "parts": [image]}}, "part")

    assert block == ir.ToolResult("", "f", [ir.Media("image", "image/png", "AAAA")])


def test_extras_go_back_to_where_they_were() -> None:
    part = {"functionCall": {"name": "f", "new": 1}, "other": 2}
    block = read_part(part, "part")
    assert isinstance(block, ir.ToolCall)

    again = with_extras({"functionCall": {"name": "f"}}, block.extras, "functionCall")

    assert again == part


@pytest.mark.parametrize(
    "part", [5, None, {"text": 1}, {"functionCall": "f"}, {"inlineData": {"data": 1}}]
)
def test_what_cannot_be_read_is_refused_or_left_out(part: object) -> None:
    with pytest.raises(ProxyError):
        read_part(part, "part")

    assert lenient_part(part) is None


def test_a_call_with_odd_arguments_is_still_one() -> None:
    assert lenient_part({"functionCall": {"name": "f", "args": '{"a":1}'}}) == ir.ToolCall(
        name="f", arguments='{"a":1}'
    )
    assert lenient_part({"functionCall": {"name": "f", "args": 5}}) == ir.ToolCall(name="f")
