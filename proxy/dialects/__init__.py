"""The wire formats we know, by name. Data passes as it came; a dialect watches it and speaks for us when it fails."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.dialects import anthropic, bedrock, gemini, openai_chat, openai_plain, openai_responses
from proxy.dialects.base import Dialect
from proxy.dialects.render import FAMILIES, render_error

__all__ = ["DIALECTS", "FAMILIES", "render_error"]

DIALECTS: Mapping[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        openai_chat.DIALECT,
        openai_responses.DIALECT,
        *openai_plain.ALL,
        anthropic.DIALECT,
        gemini.DIALECT,
        bedrock.DIALECT,
    )
}
