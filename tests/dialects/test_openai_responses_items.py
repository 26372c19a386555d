"""Items as blocks."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.dialects import ir
from proxy.dialects.openai_responses.items import (
    call_item,
    is_empty_thought,
    read_item,
    reasoning_item,
)


def thought(*summary: str, **fields: Any) -> ir.Block:
    parts = [{"type": "summary_text", "text": text} for text in summary]
    (block,) = read_item({"type": "reasoning", "id": "rs_1", "summary": parts, **fields})
    return block


def test_parts_of_a_summary_are_joined_by_a_blank_line() -> None:
    block = thought("One.", "Two.", encrypted_content="gAAA")

    assert isinstance(block, ir.Reasoning)
    assert (block.text, block.signature, block.origin) == ("One.\n\nTwo.", "gAAA", "openai")
    assert not block.redacted


def test_a_thought_without_words_is_its_seal() -> None:
    block = thought(encrypted_content="gAAA")

    assert block == ir.Reasoning("", "gAAA", "openai", redacted=True, id="rs_1")


def test_a_thought_itself_is_not_a_summary() -> None:
    block = thought(content=[{"type": "reasoning_text", "text": "Raw"}])

    assert block == ir.Reasoning("Raw", id="rs_1", raw=True)


def test_a_thought_of_nothing_is_only_its_providers() -> None:
    assert isinstance(thought(), ir.Opaque)


def test_what_an_item_has_besides_is_kept() -> None:
    (block,) = read_item(
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "c",
            "name": "f",
            "arguments": "{}",
            "new": 1,
        }
    )

    assert block == ir.ToolCall("c", "f", "{}", extras={"item": {"id": "fc_1", "new": 1}})


def test_arguments_given_as_an_object_become_text() -> None:
    (block,) = read_item(
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": {"a": 1}}
    )

    assert isinstance(block, ir.ToolCall)
    assert block.arguments == '{"a":1}'


def test_tools_of_the_provider_stay_as_they_are() -> None:
    item = {"type": "web_search_call", "id": "ws_1"}

    assert read_item(item) == [ir.Opaque("openai", "web_search_call", item)]


@pytest.mark.parametrize(
    "item", [{}, {"type": 1}, {"type": "message"}, {"type": "message", "content": 1}]
)
def test_odd_items_are_read_without_complaint(item: dict[str, Any]) -> None:
    read_item(item)


def test_a_thought_is_written_as_the_kind_it_is() -> None:
    summary = reasoning_item(ir.Reasoning("Hm"), "rs_1", "gAAA")
    raw = reasoning_item(ir.Reasoning("Hm", raw=True), "", "")

    assert summary == {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "Hm"}],
        "encrypted_content": "gAAA",
    }
    assert raw["content"] == [{"type": "reasoning_text", "text": "Hm"}]


def test_a_call_without_arguments_has_an_empty_object() -> None:
    assert call_item(ir.ToolCall("c", "f"), "c")["arguments"] == "{}"
    assert call_item(ir.ToolCall("c", "f", custom=True), "c")["input"] == ""


def test_a_sealed_thought_of_no_letters_is_told_from_one_that_may_not_be_read() -> None:
    assert is_empty_thought(ir.Reasoning(), "sign", "anthropic")
    assert not is_empty_thought(ir.Reasoning(redacted=True), "data", "anthropic")
    assert not is_empty_thought(ir.Reasoning(), "gAAA", "openai")
