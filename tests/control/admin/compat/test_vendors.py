"""A word, an address and a key are a provider; what is shown of one leads back to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.admin.compat.vendors import (
    COMPATIBLE,
    block,
    host_of,
    kind_of,
    masked,
)
from proxy.control.admin.web import Fault, Problem
from proxy.core.config.presets import address_of, presets
from proxy.core.redact import MASK


def fields(kind: str | None, base_url: str | None = None) -> dict[str, object]:
    return block(kind, base_url, field="providerType", address="baseUrl")


@pytest.mark.parametrize(
    ("word", "preset"),
    [
        ("openai", "openai"),
        ("OpenAI", "openai"),
        ("Anthropic", "anthropic"),
        ("claude", "anthropic"),
        ("gemini", "gemini"),
        ("google", "gemini"),
        ("deepseek", "deepseek"),
        ("LM_Studio", "lm-studio"),
    ],
)
def test_a_word_is_a_preset_in_any_spelling(word: str, preset: str) -> None:
    assert fields(word) == {"preset": preset}


def test_an_address_goes_over_the_presets() -> None:
    there = "https://eu.example.com/v1"

    assert fields("openai", there) == {"preset": "openai", "base_url": there}


@pytest.mark.parametrize("word", ["openai_compatible", "OpenAI-Compatible", "custom", "private"])
def test_a_compatible_provider_is_its_address(word: str) -> None:
    assert fields(word, "https://example.com") == {"base_url": "https://example.com"}


@pytest.mark.parametrize("word", ["openai_compatible", "azure-openai", "bedrock"])
def test_one_without_an_address_of_its_own_needs_one(word: str) -> None:
    with pytest.raises(Problem) as caught:
        fields(word)

    assert [fault.field for fault in caught.value.faults] == ["baseUrl"]


def test_a_vendor_nobody_knows_is_refused_under_the_callers_name() -> None:
    with pytest.raises(Problem) as caught:
        fields("telegraph")

    assert caught.value.faults == (
        Fault(
            "providerType",
            "a kind of provider is expected: openai, anthropic, gemini, openai_compatible, "
            "or the name of a preset",
        ),
    )


def test_without_a_word_the_address_says_whose_it_is() -> None:
    assert fields(None, "https://api.anthropic.com/v1")["preset"] == "anthropic"
    assert "preset" not in fields(None, "https://llm.example.com/v1")


@pytest.mark.parametrize(
    ("address", "preset", "base_url"),
    [
        (
            "https://dashscope.aliyuncs.com/compatible-mode/v1",
            "dashscope",
            "https://dashscope.aliyuncs.com",
        ),
        ("https://open.bigmodel.cn/api/paas/v4/", "zhipu", "https://open.bigmodel.cn"),
        (
            "https://generativelanguage.googleapis.com/v1beta/openai",
            "gemini",
            "https://generativelanguage.googleapis.com/v1beta",
        ),
        ("https://api.deepseek.com/v1", "deepseek", "https://api.deepseek.com"),
        # These are where all of the vendor's paths are, or none.
        ("https://api.openai.com/v1", "openai", "https://api.openai.com/v1"),
        (
            "https://ark.cn-beijing.volces.com/api/v3",
            "volcengine",
            "https://ark.cn-beijing.volces.com/api/v3",
        ),
        (
            "https://open.bigmodel.cn/api/other/v4",
            "zhipu",
            "https://open.bigmodel.cn/api/other/v4",
        ),
    ],
)
def test_an_address_within_a_vendors_paths_is_the_vendors(
    address: str, preset: str, base_url: str
) -> None:
    assert fields(None, address) == {"preset": preset, "base_url": base_url}


def test_an_address_of_ones_own_stays() -> None:
    for there in ("https://mirror.example.com/v1", "https://mirror.example.com/deepseek/v1"):
        assert fields("deepseek", there) == {"preset": "deepseek", "base_url": there}


def test_an_address_of_this_machine_is_nobodys() -> None:
    assert fields(None, "http://127.0.0.1:8000") == {"base_url": "http://127.0.0.1:8000"}


@given(st.text())
def test_any_text_has_a_host_or_none(text: str) -> None:
    assert isinstance(host_of(text), str)


@pytest.mark.parametrize("name", sorted(presets()))
def test_what_is_shown_of_a_preset_leads_back_to_it(name: str) -> None:
    spec = fields(name, presets()[name].get("base_url"))

    assert kind_of(spec) == name
    assert address_of({"preset": name}) == presets()[name].get("base_url")


def test_a_provider_without_a_preset_is_named_by_what_it_speaks() -> None:
    assert kind_of({"base_url": "https://a"}) == COMPATIBLE
    assert kind_of({"dialects": ["openai.chat"]}) == COMPATIBLE
    assert kind_of({"dialects": {"anthropic.messages": "/x"}}) == "anthropic"
    assert kind_of({"dialects": ["anthropic.messages", "openai.chat"]}) == COMPATIBLE


@given(st.text())
def test_never_more_than_four_characters_of_a_key_are_shown(key: str) -> None:
    shown = masked(key)

    assert shown.startswith(MASK)
    assert len(shown) <= len(MASK) + 4
    assert len(key) >= 12 or shown == MASK
