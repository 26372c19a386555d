"""Providers as others name them, and what an address needs so that it may be used."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from proxy.core.address import Place
from proxy.core.config.address import classify
from proxy.core.config.presets import presets

if TYPE_CHECKING:
    from collections.abc import Mapping

ALSO: Mapping[str, str] = {
    "azure": "azure-openai",
    "azureopenai": "azure-openai",
    "azureai": "azure-openai",
    "azuretext": "azure-openai",
    "claude": "anthropic",
    "google": "gemini",
    "googleai": "gemini",
    "googlegemini": "gemini",
    "awsbedrock": "bedrock",
    "bedrockconverse": "bedrock",
    "vertexai": "vertex",
    "vertexaibeta": "vertex",
    "xai": "xai",
    "ai21chat": "ai21",
    "github": "github-models",
    "gradientai": "digitalocean",
    "vercelaigateway": "vercel",
    "cohereai": "cohere",
    "coherechat": "cohere",
    "jinaai": "jina",
    "mistralai": "mistral",
    "togetherai": "together",
    "fireworksai": "fireworks",
    "nvidianim": "nvidia",
    "hostedvllm": "vllm",
    "ollamachat": "ollama",
    "llamacpp": "llama.cpp",
    "lmstudio": "lm-studio",
    "zai": "zhipu",
    "zhipuai": "zhipu",
    "glm": "zhipu",
    "ark": "volcengine",
    "doubao": "volcengine",
    "alibaba": "dashscope",
    "qwen": "dashscope",
    "kimi": "moonshot",
    "perplexityai": "perplexity",
}
NOBODYS = frozenset(
    ("openaicompatible", "compatible", "openailike", "custom", "customopenai", "private")
)
"""Words for a provider that speaks as OpenAI does, and is somewhere of its own."""


def preset(word: str) -> str | None:
    """The preset that another program means with a word."""
    folded = _fold(word)
    known = {_fold(name): name for name in presets()}
    return known.get(folded) or ALSO.get(folded)


def is_nobodys(word: str) -> bool:
    """Whether it is a word for any OpenAI-compatible server."""
    return _fold(word) in NOBODYS


def preset_at(url: str) -> str | None:
    """Whose address it is; a machine of one's own is nobody's."""
    host = _host(url)
    return next(
        (
            name
            for name, block in presets().items()
            if str(block.get("base_url", "")).startswith("https:")
            and _host(str(block["base_url"])) == host
        ),
        None,
    )


def allowances(url: str) -> dict[str, Any]:
    """What has to be allowed for an address that somebody wrote down knowingly, in a file of their own."""
    place = classify(_host(url))
    if place is Place.PRIVATE:
        return {"allow_private": True}
    if url.lower().startswith("http:") and place in (Place.NAME, Place.PUBLIC):
        return {"allow_http": True}
    return {}


def has_address(name: str) -> bool:
    """Whether the preset has an address of its own, not a placeholder for one."""
    url = str(presets().get(name, {}).get("base_url", ""))
    return bool(url) and url == url.lower()


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def _fold(word: str) -> str:
    return re.sub(r"[\s_.-]", "", word).casefold()
