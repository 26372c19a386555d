"""Vendors are called what the conventions call them, wherever that is known."""

from __future__ import annotations

import pytest
import yaml

from proxy.gateway.endpoints import _STATIC
from proxy.gateway.vendors import OPERATIONS, address, vendor
from tests.line.harness import ROOT


@pytest.mark.parametrize(
    ("base_url", "name"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://mine.openai.azure.com/openai", "azure.ai.openai"),
        ("https://api.anthropic.com", "anthropic"),
        ("https://generativelanguage.googleapis.com", "gcp.gemini"),
        ("https://us-central1-aiplatform.googleapis.com/v1", "gcp.vertex_ai"),
        ("https://bedrock-runtime.eu-west-1.amazonaws.com", "aws.bedrock"),
        ("https://api.x.ai", "x_ai"),
        ("http://127.0.0.1:9100", "mine"),
        ("https://api.openai.com.example.org", "mine"),
    ],
)
def test_a_vendor_is_known_by_its_host(base_url: str, name: str) -> None:
    assert vendor(base_url, "mine") == name


@pytest.mark.parametrize(
    ("base_url", "place"),
    [
        ("https://api.openai.com/v1", ("api.openai.com", 443)),
        ("http://provider.test", ("provider.test", 80)),
        ("http://[::1]:9100/v1", ("::1", 9100)),
    ],
)
def test_an_address_is_a_host_and_a_port(base_url: str, place: tuple[str, int]) -> None:
    assert address(base_url) == place


def test_presets_of_vendors_with_a_name_have_it() -> None:
    presets = yaml.safe_load((ROOT / "conf" / "providers.yaml").read_text())
    known = {
        "openai": "openai",
        "anthropic": "anthropic",
        "gemini": "gcp.gemini",
        "groq": "groq",
        "deepseek": "deepseek",
        "mistral": "mistral_ai",
    }

    for preset, name in known.items():
        assert vendor(presets[preset]["base_url"], "other") == name


def test_operations_that_are_renamed_exist() -> None:
    exist = {endpoint.operation for endpoint, _ in _STATIC} | {"generate"}

    assert exist >= OPERATIONS.keys()
