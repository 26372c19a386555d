"""Budgets, and turns that go on without the thoughts they began with."""

from __future__ import annotations

import pytest

from proxy.dialects import ir
from proxy.dialects.claude_thinking import LEAST, budget, is_unsigned
from proxy.dialects.loss import Loss

CALL = ir.Message("assistant", [ir.ToolCall("1", "f")])
RESULT = ir.Message("user", [ir.ToolResult("1", "f")])
SIGNED = ir.Message("assistant", [ir.Reasoning("Hm", "sig", "anthropic"), ir.ToolCall("1", "f")])
FOREIGN = ir.Message("assistant", [ir.Reasoning("Hm", "sig", "gemini"), ir.ToolCall("1", "f")])


@pytest.mark.parametrize(
    ("asked", "room", "most", "expected"),
    [
        (ir.Thinking(budget=2000), 4000, 0, (2000, 4000)),
        (ir.Thinking(budget=4000), 4000, 0, (4000, 8000)),
        (ir.Thinking(effort="low"), 500, 0, (1024, 1524)),
        (ir.Thinking(budget=-1), 100, 0, (8192, 8292)),
        (ir.Thinking(budget=30_000), 30_000, 32_000, (2000, 32_000)),
        (ir.Thinking(budget=30_000), 31_900, 32_000, (30_000, 31_900)),
        (ir.Thinking(budget=30_000), 800, 900, (LEAST, LEAST + 1)),
    ],
)
def test_there_is_room_for_the_answer_beside_the_thoughts(
    asked: ir.Thinking, room: int, most: int, expected: tuple[int, int]
) -> None:
    loss = Loss()

    assert budget(asked, room, most, loss) == expected
    assert not loss


def test_a_budget_too_small_is_raised_and_reported() -> None:
    loss = Loss()

    assert budget(ir.Thinking(budget=10), 4096, 0, loss) == (LEAST, 4096)
    assert list(loss.names) == ["thinking.budget"]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([CALL, RESULT], True),
        ([FOREIGN, RESULT], True),
        ([SIGNED, RESULT], False),
        ([SIGNED, RESULT, CALL, RESULT], True),
        ([CALL, RESULT, ir.Message("assistant", [ir.Text("Done")]), ir.Message("user")], False),
        ([ir.Message("user", [ir.Text("Hi")])], False),
        ([ir.Message("user", [ir.Text("Hi")]), ir.Message("assistant", [ir.Text("He")])], True),
        ([], False),
    ],
)
def test_a_turn_that_goes_on_must_begin_with_signed_thoughts(
    messages: list[ir.Message], expected: bool
) -> None:
    assert is_unsigned(ir.Request(messages=messages)) is expected
