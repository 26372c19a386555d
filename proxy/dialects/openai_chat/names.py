"""Names of tools that OpenAI would refuse, in other letters on the way out and their own on the way back.

Gemini takes dots and colons in a name, Anthropic twice the length.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from proxy.dialects import ir

_SAFE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_SPEAKER = re.compile(r"[\s<|\\/>]")


def tool_name(name: str) -> str:
    """`name` if a tool may be called so, else one made of it, the same every time."""
    if _SAFE.fullmatch(name) or not name:
        return name
    return f"{_UNSAFE.sub('_', name)[:55]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def own_names(request: ir.Request) -> Mapping[str, str]:
    """What the model calls a tool to what the client calls it, where that is not the same."""
    return {
        spoken: tool.name
        for tool in request.tools
        if isinstance(tool, ir.Tool) and (spoken := tool_name(tool.name)) != tool.name
    }


def schema_name(name: str) -> str:
    """The name of an answer's schema: one must be given."""
    return _UNSAFE.sub("_", name)[:64] or "response"


def speaker(name: str) -> str:
    """The name of who speaks."""
    return _SPEAKER.sub("_", name)[:64]
