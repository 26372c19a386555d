"""Names that OpenAI would refuse, in other letters."""

from __future__ import annotations

import re

from proxy.dialects.names import Rule
from proxy.dialects.openai_chat.fields import NAME

TOOLS = Rule(NAME, 64)
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_SPEAKER = re.compile(r"[\s<|\\/>]")


def schema_name(name: str) -> str:
    """The name of an answer's schema: one must be given."""
    return _UNSAFE.sub("_", name)[:64] or "response"


def speaker(name: str) -> str:
    """The name of who speaks."""
    return _SPEAKER.sub("_", name)[:64]
