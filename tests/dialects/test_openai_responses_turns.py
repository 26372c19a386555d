"""A conversation of another dialect as items."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.dialects import ir
from tests.dialects.answers import CODEC
from tests.dialects.checkers.responses import check_request
from tests.dialects.choices import lossy

HI = ir.Message("user", [ir.Text("Hi")])
CALL = ir.ToolCall("call_1", "f", '{"a":1}')
RESULT = ir.ToolResult("call_1", "f", [ir.Text("4")])


def body(*messages: ir.Message) -> tuple[dict[str, Any], list[str]]:
    assert CODEC is not None
    made, features = lossy(CODEC, ir.Request(messages=list(messages), origin="x"))
    assert check_request(orjson.dumps(made)) == []
    return made, features


def items(*messages: ir.Message) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body(*messages)[0]["input"]
    return found


def said(*blocks: ir.Block) -> ir.Message:
    return ir.Message("assistant", list(blocks))


def test_instructions_before_everything_are_a_field() -> None:
    first, second = (ir.Message("system", [ir.Text(text)]) for text in ("One.", "Two."))

    made, _ = body(first, second, HI)

    assert made["instructions"] == "One.\n\nTwo."
    assert len(made["input"]) == 1


def test_instructions_of_the_developer_and_later_ones_are_items() -> None:
    developer = ir.Message("developer", [ir.Text("No lists.")])
    later = ir.Message("system", [ir.Text("In French.")])

    made, _ = body(developer, HI, later)

    assert "instructions" not in made
    assert [item["role"] for item in made["input"]] == ["developer", "user", "system"]


def test_instructions_alone_are_followed_by_a_turn_that_says_nothing() -> None:
    assert items(ir.Message("system", [ir.Text("Be brief.")]))[0]["content"][0]["text"] == "."


def test_the_items_of_a_turn_are_in_order_and_have_no_ids() -> None:
    found = items(HI, said(ir.Text("Let me see."), CALL), ir.Message("user", [RESULT]))

    assert [item["type"] for item in found] == [
        "message", "message", "function_call", "function_call_output",
    ]  # fmt: skip
    assert not any("id" in item for item in found)
    assert found[1]["content"] == [{"type": "output_text", "text": "Let me see."}]


def test_a_thought_with_its_own_seal_goes_before_its_call() -> None:
    thought = ir.Reasoning("Hm", "gAAA", "openai", id="rs_1")

    found = items(HI, said(thought, CALL), ir.Message("user", [RESULT]))

    assert found[1] == {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "Hm"}],
        "encrypted_content": "gAAA",
    }


@pytest.mark.parametrize(
    ("thought", "dropped"),
    [
        (ir.Reasoning("Hm", "sign", "anthropic"), {"thinking.signature", "thinking.text"}),
        (ir.Reasoning("Hm"), {"thinking.text"}),
        (ir.Reasoning("", "x", "gemini", redacted=True), {"thinking.signature"}),
    ],
)
def test_a_thought_without_its_own_seal_is_reported(
    thought: ir.Reasoning, dropped: set[str]
) -> None:
    made, features = body(HI, said(thought, ir.Text("Yes")), HI)

    assert [item["type"] for item in made["input"]] == ["message"] * 3
    assert set(features) == dropped


def test_a_thought_that_nothing_came_of_is_left_out() -> None:
    assert len(items(HI, said(ir.Reasoning("Hm", "gAAA", "openai")), HI)) == 2


def test_an_id_that_thoughts_share_is_given_once() -> None:
    thoughts = [ir.Reasoning("Hm", state, "openai", id="rs_1") for state in ("a", "b")]

    found = items(HI, said(*thoughts, ir.Text("Yes")))

    assert [item.get("id") for item in found] == [None, "rs_1", None, None]


def test_empty_text_is_nothing_said() -> None:
    assert len(items(HI, said(ir.Text("")), HI)) == 2


def test_results_may_be_pictures_and_files() -> None:
    image = ir.Media("image", mime="image/png", data="aGk=")
    result = ir.ToolResult("call_1", "f", [ir.Text("See"), image])

    found = items(HI, said(CALL), ir.Message("user", [result, ir.Text("So?")]))

    assert [part["type"] for part in found[2]["output"]] == ["input_text", "input_image"]
    assert found[3]["content"] == [{"type": "input_text", "text": "So?"}]


def test_results_of_nothing_are_empty() -> None:
    found = items(HI, said(CALL), ir.Message("user", [ir.ToolResult("call_1", "f")]))

    assert found[2]["output"] == ""


def test_ids_that_do_not_fit_are_replaced_alike() -> None:
    call, result = ir.ToolCall("x" * 80, "f"), ir.ToolResult("x" * 80, "f")

    found = items(HI, said(call), ir.Message("user", [result]))

    assert found[1]["call_id"] == found[2]["call_id"]
    assert len(found[1]["call_id"]) <= 64


def test_custom_calls_have_custom_results() -> None:
    call = ir.ToolCall("call_1", "c", "print(1)", custom=True)
    result = ir.ToolResult("call_1", "c", [ir.Text("1")], custom=True)

    found = items(HI, said(call), ir.Message("user", [result]))

    assert [item["type"] for item in found[1:]] == ["custom_tool_call", "custom_tool_call_output"]


def test_blocks_of_another_dialect_are_reported() -> None:
    made, features = body(HI, said(ir.Opaque("openai", "x", {"x": 1}), ir.Text("Yes")))

    assert len(made["input"]) == 2
    assert features == ["opaque"]


def test_pictures_of_the_model_are_reported() -> None:
    _, features = body(HI, said(ir.Text("See"), ir.Media("image", data="aGk=")), HI)

    assert features == ["image.data"]
