"""What a model on Bedrock takes, told by its name.

Converse is one format for the models of a dozen vendors, and refuses a request for what a model does not take. A name
that does not tell its vendor (an application inference profile is a number) is taken for a Claude.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from msgspec import Struct

from proxy.dialects import claude

_VENDOR = re.compile(
    r"(?:^|[./:])"
    r"(ai21|amazon|anthropic|cohere|deepseek|google|meta|minimax|mistral|moonshot|moonshotai|nvidia|openai"
    r"|qwen|stability|twelvelabs|writer|zai|luma)\."
)


class Model(Struct, frozen=True):
    """What one model takes."""

    vendor: str
    claude: claude.Model | None = None
    """What a Claude takes; None for all others."""
    marks: bool = False
    """`cachePoint`."""
    tool_marks: bool = False
    """The same among the tools."""
    lifetimes: bool = False
    """The `ttl` of such a mark."""
    schemas: bool = False
    """Answers and calls that follow a schema to the letter."""
    forced: bool = False
    """A `toolChoice` that demands a call."""
    failed: bool = False
    """That a tool's call failed."""
    top_k: tuple[str, ...] = ()
    """Where `top_k` stands in `additionalModelRequestFields`."""
    efforts: tuple[str, ...] = ()
    """Words for how much to think."""
    asks: str = ""
    """How such a word is asked for: `reasoning_effort` or `reasoningConfig`."""


_OTHERS: Mapping[str, Model] = {
    "amazon": Model(
        "amazon", marks=True, forced=True, failed=True, top_k=("inferenceConfig", "topK")
    ),
    "cohere": Model("cohere", top_k=("k",)),
    "mistral": Model("mistral", schemas=True, forced=True, top_k=("top_k",)),
    "openai": Model(
        "openai", schemas=True, efforts=("low", "medium", "high"), asks="reasoning_effort"
    ),
}
_SCHEMAS = frozenset(
    {"deepseek", "google", "minimax", "moonshot", "moonshotai", "nvidia", "qwen", "zai"}
)


@lru_cache(maxsize=256)
def model(name: str) -> Model:
    """What the model of this name (an id, an inference profile or an ARN) takes."""
    lowered = name.lower()
    found = _VENDOR.search(lowered)
    vendor = found[1] if found else ""
    if vendor == "anthropic" or "claude" in lowered or not vendor:
        taken = claude.model(lowered)
        return Model(
            "anthropic",
            taken,
            marks=True,
            tool_marks=True,
            lifetimes=taken.schemas,
            schemas=taken.schemas,
            forced=taken.forced,
            failed=True,
            top_k=("top_k",),
        )
    if "amazon.nova-2" in lowered:
        return Model(
            "amazon",
            marks=True,
            forced=True,
            failed=True,
            top_k=("inferenceConfig", "topK"),
            efforts=("low", "medium", "high"),
            asks="reasoningConfig",
        )
    return _OTHERS.get(vendor) or Model(vendor, schemas=vendor in _SCHEMAS)
