"""The wire formats we know, by name. Data passes as it came; a dialect watches it and speaks for us when it fails."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from proxy.core.model import Provider
from proxy.core.surfaces import CONVERSATION
from proxy.dialects import (
    anthropic,
    bedrock,
    conversation,
    gemini,
    openai_chat,
    openai_completions,
    openai_plain,
    openai_responses,
    realtime,
)
from proxy.dialects.base import Dialect
from proxy.dialects.render import FAMILIES, render_error

__all__ = ["DIALECTS", "FAMILIES", "render_error", "spoken_by"]

_CODECS = {"openai.completions": openai_completions.CODEC}
"""Of the small endpoints, the one that a model of another dialect can serve."""


def with_codec(dialect: Dialect) -> Dialect:
    """A small endpoint, translated if it can be."""
    return replace(dialect, codec=_CODECS.get(dialect.name))


DIALECTS: Mapping[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        openai_chat.DIALECT,
        openai_responses.DIALECT,
        *(with_codec(dialect) for dialect in openai_plain.ALL),
        anthropic.DIALECT,
        gemini.DIALECT,
        bedrock.DIALECT,
        realtime.DIALECT,
    )
}


def spoken_by(provider: Provider, name: str) -> Dialect | None:
    """What a provider means by the name of a dialect; None when nobody knows it.

    It is the same for all, except for conversations, which each describes for itself.
    """
    if name == CONVERSATION and provider.conversation is not None:
        return conversation.dialect(provider.conversation)
    return DIALECTS.get(name)
