"""How much to think, from words to tokens and back.

The numbers are those the vendors' own compatibility layers use where they publish them (Google: 1,024 for low, 8,192
for medium, 24,576 for high, the same as its OpenAI endpoint); the words between and above are in proportion.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.dialects.ir import Thinking

BUDGETS: Mapping[str, int] = {
    "none": 0,
    "minimal": 512,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 32768,
    "max": 65536,
}
"""Word to tokens."""
_WORDS = ("minimal", "low", "medium", "high", "xhigh", "max")


def budget(thinking: Thinking) -> int | None:
    """The budget asked for, or what the word means; None when neither is said. -1 is as the model sees fit."""
    if thinking.budget is not None:
        return thinking.budget
    return BUDGETS.get(thinking.effort)


def effort(thinking: Thinking) -> str:
    """The word asked for, or the first whose budget is enough; "" when neither is said or the model may decide."""
    if thinking.effort or thinking.budget is None or thinking.budget < 0:
        return thinking.effort
    if thinking.budget == 0:
        return "none"
    for word in _WORDS:
        if thinking.budget <= BUDGETS[word]:
            return word
    return _WORDS[-1]


def nearest(word: str, known: tuple[str, ...]) -> str:
    """`word` if it is in `known`, else the closest in strength, the weaker of two. `known` is not empty."""
    if word in known:
        return word
    order = tuple(BUDGETS)
    at = order.index(word) if word in order else order.index("medium")
    return min(known, key=lambda other: (abs(order.index(other) - at), order.index(other)))
