"""Items of the wrong shape."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.errors import ProxyError
from proxy.dialects.openai_responses.checks import checked_item


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"role": "tool", "content": "x"}, "input[0].role"),
        ({"role": "user"}, "input[0].content"),
        ({"role": "user", "content": 1}, "input[0].content"),
        ({"role": "user", "content": [1]}, "input[0].content[0]"),
        ({"role": "user", "content": [{"type": "input_text"}]}, "input[0].content[0].text"),
        ({"role": "user", "content": [{"text": "x"}]}, "input[0].content[0].type"),
        (
            {"role": "user", "content": [{"type": "input_image", "image_url": {"url": "x"}}]},
            "input[0].content[0].image_url",
        ),
        (
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": 1}}]},
            "input[0].content[0].input_audio.data",
        ),
        ({"type": 1}, "input[0].type"),
        ({"type": "function_call", "name": "f", "arguments": "{}"}, "input[0].call_id"),
        ({"type": "function_call", "call_id": "c", "arguments": "{}"}, "input[0].name"),
        (
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": {}},
            "input[0].arguments",
        ),
        ({"type": "function_call_output", "call_id": "c"}, "input[0].output"),
        ({"type": "reasoning", "summary": [{"text": 1}]}, "input[0].summary[0].text"),
        ({"type": "item_reference"}, "input[0].id"),
    ],
)
def test_the_field_that_is_wrong_is_named(item: dict[str, Any], param: str) -> None:
    with pytest.raises(ProxyError) as refused:
        checked_item(item, "input[0]")

    assert refused.value.param == param


def test_the_type_of_a_message_may_be_left_out() -> None:
    assert checked_item({"role": "user", "content": "x"}, "input[0]")["type"] == "message"


def test_items_nobody_knows_are_not_looked_at() -> None:
    item = {"type": "new_item", "content": 1}

    assert checked_item(item, "input[0]") == item
