"""What whole answers and streams have in common."""

from __future__ import annotations

import pytest

from proxy.dialects import ir
from proxy.dialects.gemini.answer import candidate_end, part_of, write_top
from proxy.dialects.loss import Loss


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (ir.Text(""), None),
        (ir.Text("a", extras={"new": 1}), {"text": "a"}),
        (ir.Refusal(""), None),
        (ir.Reasoning(""), None),
        (ir.ToolCall("c", "f", "free", custom=True), {"functionCall": {"id": "c", "name": "f", "args": {"input": "free"}}}),
        (ir.Opaque("gemini", "x", {"x": 1}), {"x": 1}),
        (ir.Opaque("openai", "x", {"x": 1}), None),
    ],
)  # fmt: skip
def test_a_block_is_a_part_or_nothing(block: ir.Block, expected: object) -> None:
    assert part_of(block, Loss(), same=False) == expected


def test_a_client_of_the_providers_dialect_gets_all_of_it() -> None:
    assert part_of(ir.Text("a", extras={"new": 1}), Loss(), same=True) == {"text": "a", "new": 1}
    end = ir.ChoiceEnd("stop", extras={"groundingMetadata": {"a": 1}})
    assert candidate_end(end, [], [], same=True)["groundingMetadata"] == {"a": 1}
    assert "groundingMetadata" not in candidate_end(end, [], [], same=False)
    assert write_top(0, {"a": 1}) == {"a": 1}
