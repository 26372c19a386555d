"""Words and tokens of thinking."""

from __future__ import annotations

import pytest

from proxy.dialects.effort import BUDGETS, budget, effort, nearest
from proxy.dialects.ir import Thinking


@pytest.mark.parametrize("word", BUDGETS)
def test_a_word_survives_the_way_to_tokens_and_back(word: str) -> None:
    tokens = budget(Thinking(effort=word))

    assert tokens == BUDGETS[word]
    assert effort(Thinking(budget=tokens)) == word


@pytest.mark.parametrize(
    ("tokens", "word"),
    [(0, "none"), (1, "minimal"), (513, "low"), (8193, "high"), (10**6, "max"), (-1, "")],
)
def test_a_budget_is_the_first_word_that_is_enough(tokens: int, word: str) -> None:
    assert effort(Thinking(budget=tokens)) == word


def test_what_is_said_is_kept_as_it_is() -> None:
    both = Thinking(effort="low", budget=5000)

    assert (budget(both), effort(both)) == (5000, "low")
    assert (budget(Thinking()), effort(Thinking())) == (None, "")
    assert budget(Thinking(effort="unheard-of")) is None


def test_more_words_are_more_tokens() -> None:
    assert list(BUDGETS.values()) == sorted(BUDGETS.values())


@pytest.mark.parametrize(
    ("word", "known", "found"),
    [
        ("high", ("low", "high"), "high"),
        ("xhigh", ("low", "medium", "high"), "high"),
        ("minimal", ("low", "high"), "low"),
        ("medium", ("low", "high"), "low"),  # as near to both: the weaker
        ("unheard-of", ("low", "high"), "low"),
        ("none", ("high",), "high"),
    ],
)
def test_the_nearest_word_is_taken(word: str, known: tuple[str, ...], found: str) -> None:
    assert nearest(word, known) == found
