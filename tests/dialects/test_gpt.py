"""What OpenAI's models take, by their names."""

from __future__ import annotations

import pytest

from proxy.dialects.gpt import efforts, never_reasons, reasons


@pytest.mark.parametrize(
    "name", ["o3", "o4-mini", "gpt-5", "gpt-5.2-pro", "openai/gpt-5.1", "GPT-6"]
)
def test_reasoning_models_are_known(name: str) -> None:
    assert reasons(name)
    assert not never_reasons(name)


@pytest.mark.parametrize(
    "name", ["gpt-4.1", "gpt-3.5-turbo", "chatgpt-4o-latest", "gpt-5-chat-latest"]
)
def test_models_that_refuse_to_think_are_known(name: str) -> None:
    assert never_reasons(name)
    assert not reasons(name)


@pytest.mark.parametrize("name", ["grok-4.3", "deepseek-v4", "m", ""])
def test_nothing_is_assumed_of_other_models(name: str) -> None:
    assert not reasons(name)
    assert not never_reasons(name)


@pytest.mark.parametrize(
    ("name", "weakest", "strongest"),
    [
        ("o3", "low", "high"),
        ("gpt-5-mini", "minimal", "high"),
        ("gpt-5.1", "none", "high"),
        ("gpt-5.2", "none", "xhigh"),
        ("gpt-6", "none", "max"),
        ("grok-4", "none", "high"),
    ],
)
def test_a_model_takes_the_words_of_its_generation(name: str, weakest: str, strongest: str) -> None:
    words = efforts(name)

    assert (words[0], words[-1]) == (weakest, strongest)
