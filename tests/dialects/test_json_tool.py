"""Answers in JSON by way of a tool."""

from __future__ import annotations

import pytest

from proxy.dialects import ir
from proxy.dialects.json_tool import may_answer


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (ir.Request(format=ir.Format("json")), True),
        (ir.Request(format=ir.Format("schema", schema={"type": "object"})), True),
        (ir.Request(format=ir.Format("text")), False),
        (ir.Request(), False),
        (ir.Request(format=ir.Format("json"), tools=[ir.Tool("f")]), False),
    ],
)
def test_a_call_is_the_answer_where_json_was_asked_and_no_tool_offered(
    request_: ir.Request, expected: bool
) -> None:
    assert may_answer(request_) is expected
