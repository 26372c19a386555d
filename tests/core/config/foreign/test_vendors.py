from __future__ import annotations

from typing import Any

import pytest

from proxy.core.config.foreign import vendors
from proxy.core.config.presets import presets


@pytest.mark.parametrize(
    ("word", "preset"),
    [
        ("openai", "openai"),
        ("OpenAI", "openai"),
        ("claude", "anthropic"),
        ("azure", "azure-openai"),
        ("azure_openai", "azure-openai"),
        ("together_ai", "together"),
        ("hosted_vllm", "vllm"),
        ("cohere_chat", "cohere"),
        ("jina_ai", "jina"),
        ("vertex-ai", "vertex"),
        ("google", "gemini"),
        ("nobody", None),
        ("", None),
    ],
)
def test_a_word_means_a_preset(word: str, preset: str | None) -> None:
    assert vendors.preset(word) == preset


def test_every_word_leads_to_a_preset_that_is_there() -> None:
    assert set(vendors.ALSO.values()) <= presets().keys()


def test_some_words_mean_any_server_that_speaks_so() -> None:
    assert vendors.is_nobodys("OpenAI-compatible")
    assert not vendors.is_nobodys("openai")


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://api.example.com/v1", {}),
        ("http://api.example.com/v1", {"allow_http": True}),
        ("http://127.0.0.1:9000", {"allow_private": True}),
        ("https://10.0.0.7/v1", {"allow_private": True}),
        ("http://ollama:11434", {"allow_private": True}),
        ("http://169.254.169.254/", {}),
        ("http://[", {}),
        ("", {}),
    ],
)
def test_an_address_is_allowed_what_it_needs(url: str, allowed: dict[str, Any]) -> None:
    assert vendors.allowances(url) == allowed


def test_an_address_tells_whose_it_is() -> None:
    assert vendors.preset_at("https://api.openai.com/v1") == "openai"
    assert vendors.preset_at("https://api.example.com/v1") is None
    assert vendors.has_address("openai")
    assert not vendors.has_address("azure-openai")
    assert not vendors.has_address("nobody")
