"""Which Gemini a model is, and how it is told to think."""

from __future__ import annotations

import pytest

from proxy.dialects import ir
from proxy.dialects.gemini.models import generation, signs_calls, thinking_config
from proxy.dialects.loss import Loss


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gemini-2.5-flash", (2, 5)),
        ("publishers/google/models/gemini-3.1-pro-preview", (3, 1)),
        ("gemini-3-flash-preview", (3, 0)),
        ("gemini-flash-latest", (99, 0)),
        ("gemini-exp-1206", (0, 0)),
        ("gemma-3-27b-it", (0, 0)),
    ],
)
def test_a_name_tells_the_generation(model: str, expected: tuple[int, int]) -> None:
    assert generation(model) == expected
    assert signs_calls(model) == (expected >= (3, 0))


@pytest.mark.parametrize(
    ("model", "wanted", "expected", "dropped"),
    [
        ("gemini-2.5-flash", ir.Thinking("low"), {"thinkingBudget": 1024}, []),
        ("gemini-2.5-flash", ir.Thinking("max"), {"thinkingBudget": 24576}, []),
        ("gemini-2.5-flash", ir.Thinking("none"), {"thinkingBudget": 0}, []),
        ("gemini-2.5-flash", ir.Thinking(budget=-1), {"thinkingBudget": -1}, []),
        ("gemini-2.5-flash-lite", ir.Thinking(budget=100), {"thinkingBudget": 512}, ["thinking.budget"]),
        ("gemini-2.5-pro", ir.Thinking(budget=0), {"thinkingBudget": 128}, ["thinking.off"]),
        ("gemini-2.5-pro", ir.Thinking(budget=99999), {"thinkingBudget": 32768}, ["thinking.budget"]),
        ("gemini-3-pro-preview", ir.Thinking("medium"), {"thinkingLevel": "high"}, []),
        ("gemini-3-pro-preview", ir.Thinking("low"), {"thinkingLevel": "low"}, []),
        ("gemini-3.1-pro-preview", ir.Thinking("medium"), {"thinkingLevel": "medium"}, []),
        ("gemini-3-flash-preview", ir.Thinking("minimal"), {"thinkingLevel": "minimal"}, []),
        ("gemini-3-flash-preview", ir.Thinking("xhigh"), {"thinkingLevel": "high"}, []),
        ("gemini-3-flash-preview", ir.Thinking(budget=8000), {"thinkingLevel": "medium"}, []),
        ("gemini-3-flash-preview", ir.Thinking(budget=-1), None, []),
        ("gemini-3-flash-preview", ir.Thinking("none"), {"thinkingLevel": "minimal"}, ["thinking.off"]),
        ("gemini-2.0-flash", ir.Thinking("high", visible=True), None, ["thinking.effort", "thinking.visible"]),
        ("gemini-2.0-flash", ir.Thinking("none"), None, []),
        ("gemini-2.5-flash-image", ir.Thinking(budget=50), None, ["thinking.budget"]),
        ("tuned", ir.Thinking("max"), {"thinkingLevel": "HIGH"}, []),
        ("tuned", ir.Thinking(budget=5), {"thinkingBudget": 5}, []),
        ("tuned", ir.Thinking("none"), {"thinkingBudget": 0}, []),
        ("gemini-3-pro", ir.Thinking(summary="auto"), {"includeThoughts": True}, []),
        ("gemini-3-pro", ir.Thinking(visible=False), {"includeThoughts": False}, []),
        (
            "gemini-2.5-flash",
            ir.Thinking("none", visible=True),
            {"thinkingBudget": 0, "includeThoughts": False},
            [],
        ),
        ("gemini-3-pro", ir.Thinking(), None, []),
    ],
)  # fmt: skip
def test_each_generation_is_told_in_its_own_words(
    model: str, wanted: ir.Thinking, expected: object, dropped: list[str]
) -> None:
    loss = Loss()

    made = thinking_config(ir.Request(thinking=wanted), model, loss, same=False)

    assert made == expected
    assert list(loss.names) == dropped


def test_what_a_client_of_this_dialect_asked_goes_out_as_it_is() -> None:
    request = ir.Request(thinking=ir.Thinking("xhigh", 5, extras={"new": 1}))

    made = thinking_config(request, "gemini-2.5-pro", Loss(), same=True)

    assert made == {"thinkingBudget": 5, "thinkingLevel": "XHIGH", "new": 1}


def test_nothing_asked_is_nothing_said() -> None:
    assert thinking_config(ir.Request(), "gemini-3-pro", Loss(), same=False) is None


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-3-pro-preview"])
def test_who_usually_sees_thoughts_sees_them_here(model: str) -> None:
    asked = ir.Request(thinking=ir.Thinking(budget=2048, usual=True))

    made = thinking_config(asked, model, Loss(), same=False)

    assert made is not None
    assert made["includeThoughts"] is True
