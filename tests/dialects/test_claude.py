"""What Claude models take, by their names."""

from __future__ import annotations

import pytest

from proxy.dialects.claude import Model, model


@pytest.mark.parametrize(
    ("name", "adaptive", "budgets"),
    [
        ("claude-3-7-sonnet-20250219", False, True),
        ("claude-opus-4-20250514", False, True),
        ("claude-haiku-4-5-20251001", False, True),
        ("anthropic/claude-sonnet-4.5", False, True),
        ("claude-opus-4-6", True, True),
        ("us.anthropic.claude-opus-4-6-v1:0", True, True),
        ("anthropic/claude-4.6-opus", True, True),
        ("claude-opus-4-7", True, False),
        ("claude-sonnet-5", True, False),
        ("Claude-Haiku-5-5", True, False),
        ("claude-mythos-preview", True, False),
    ],
)
def test_the_version_says_how_a_model_is_told_to_think(
    name: str, adaptive: bool, budgets: bool
) -> None:
    assert (model(name).adaptive, model(name).budgets) == (adaptive, budgets)


def test_of_a_name_without_a_version_nothing_is_assumed() -> None:
    assert model("claude-opus-latest") == model("kimi-k2") == Model()


def test_old_models_do_not_think() -> None:
    assert not model("claude-3-5-sonnet-20241022").thinks
    assert model("claude-3-7-sonnet-latest").thinks


@pytest.mark.parametrize(
    ("name", "off"),
    [
        ("claude-opus-4-6", "disabled"),
        ("claude-opus-5", "disabled"),
        ("claude-opus-5-5", ""),
        ("claude-fable-5", ""),
        ("claude-sonnet-5-5", "between_tools"),
    ],
)
def test_thinking_is_turned_off_in_the_words_of_the_model(name: str, off: str) -> None:
    assert model(name).off == off


@pytest.mark.parametrize(
    ("name", "efforts"),
    [
        ("claude-sonnet-4-5", ()),
        ("claude-opus-4-5-20251101", ("low", "medium", "high")),
        ("claude-sonnet-4-6", ("low", "medium", "high", "max")),
        ("claude-opus-4-8", ("low", "medium", "high", "xhigh", "max")),
    ],
)
def test_words_of_effort_grow_with_the_version(name: str, efforts: tuple[str, ...]) -> None:
    assert model(name).efforts == efforts


def test_newer_models_refuse_sampling_prefill_and_force() -> None:
    assert model("claude-sonnet-4-5").sampling
    assert not model("claude-opus-4-7").sampling
    assert model("claude-sonnet-4-5").prefill
    assert not model("claude-sonnet-4-6").prefill
    assert model("claude-opus-5").forced
    assert not model("claude-opus-5-5").forced


def test_system_messages_between_the_turns_are_for_the_vendors_own_platform() -> None:
    assert model("claude-opus-4-8").later
    assert not model("anthropic.claude-opus-4-8").later
    assert not model("claude-sonnet-5").later


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("claude-3-opus-20240229", 4_096),
        ("claude-3-5-haiku-latest", 8_192),
        ("claude-opus-4-1", 32_000),
        ("claude-sonnet-4-20250514", 64_000),
        ("claude-opus-4-6", 128_000),
        ("unknown", 0),
    ],
)
def test_the_version_bounds_an_answer(name: str, most: int) -> None:
    assert model(name).most == most
