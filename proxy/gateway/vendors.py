"""What vendors and operations are called in the semantic conventions for generative AI of OpenTelemetry."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

OPERATIONS: Mapping[str, str] = {
    "chat": "chat",
    "messages": "chat",
    "responses": "chat",
    "generate": "generate_content",
    "completions": "text_completion",
    "embeddings": "embeddings",
}
"""`gen_ai.operation.name` of our operations; others keep their name."""

_HOSTS: tuple[tuple[str, str], ...] = (
    ("api.openai.com", "openai"),
    (".openai.azure.com", "azure.ai.openai"),
    (".services.ai.azure.com", "azure.ai.inference"),
    ("api.anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    (".amazonaws.com", "aws.bedrock"),
    ("api.cohere.com", "cohere"),
    ("api.cohere.ai", "cohere"),
    ("api.deepseek.com", "deepseek"),
    ("api.groq.com", "groq"),
    ("api.mistral.ai", "mistral_ai"),
    ("api.perplexity.ai", "perplexity"),
    ("api.x.ai", "x_ai"),
    (".ml.cloud.ibm.com", "ibm.watsonx.ai"),
)
"""Ends of a host's name to `gen_ai.provider.name`."""


@lru_cache(maxsize=1024)
def address(base_url: str) -> tuple[str, int]:
    """Host and port of a provider."""
    parts = urlsplit(base_url)
    return parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)


@lru_cache(maxsize=1024)
def vendor(base_url: str, name: str) -> str:
    """`gen_ai.provider.name`: by the host where it is known, else what the configuration calls the provider."""
    host = address(base_url)[0]
    return next((vendor for end, vendor in _HOSTS if host.endswith(end)), name)
