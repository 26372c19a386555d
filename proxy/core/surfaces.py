"""What providers can speak: every dialect with its usual path, and where each family expects a credential."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from proxy.core.model import Auth

if TYPE_CHECKING:
    from collections.abc import Mapping

DIALECTS: Mapping[str, str] = {
    "openai.chat": "/v1/chat/completions",
    "openai.completions": "/v1/completions",
    "openai.responses": "/v1/responses",
    "openai.embeddings": "/v1/embeddings",
    "openai.images": "/v1/images",
    "openai.audio": "/v1/audio",
    "openai.moderations": "/v1/moderations",
    "openai.rerank": "/v1/rerank",
    "openai.realtime": "/v1/realtime",
    "openai.other": "/v1",
    "anthropic.messages": "/v1/messages",
    "gemini.generate": "/v1beta/models",
    "bedrock.converse": "/model",
}

MCP = "mcp.http"
"""What servers of tools speak: the Streamable HTTP transport of the Model Context Protocol."""
CONVERSATION = "conversation.chat"
"""What a provider speaks that has a `conversation`: no two of them are alike, so it has no usual path."""

OPERATIONS = (
    "chat", "completions", "responses", "messages", "generate", "count_tokens", "embeddings", "moderations", "rerank",
    "images", "speech", "transcriptions", "translations", "models", "model", "stored", "other",
    "mcp", "realtime",
)  # fmt: skip
"""What clients can ask for, whatever the path."""

OTHER = "openai.other"
"""Every path below /v1 that is no other endpoint's: files, batches, vector stores. Nobody speaks it who does not say so."""
REALTIME = "openai.realtime"
"""A WebSocket, of which the same holds."""
OPENAI = tuple(
    name for name in DIALECTS if name.startswith("openai.") and name not in (OTHER, REALTIME)
)

BEHIND: Mapping[str, str] = {name: DIALECTS[name].removeprefix("/v1") for name in OPENAI}
"""The paths of `openai.*` behind an address that has a version of its own."""
_VERSION = re.compile(r"v\d+[a-z0-9]*")

AUTH: Mapping[str, Auth] = {
    "openai": Auth("bearer"),
    "anthropic": Auth("header", "x-api-key"),
    "gemini": Auth("header", "x-goog-api-key"),
    "bedrock": Auth("bearer"),
    "conversation": Auth("bearer"),
    "mcp": Auth("bearer"),
}


def behind(base_url: str) -> dict[str, str] | None:
    """The paths of `openai.*` right behind an address that ends in a version of its own, `…/paas/v4`: programs that take such
    an address put `/chat/completions` there. None: it does not, and the usual paths hold."""
    last = base_url.partition("://")[2].rstrip("/").partition("/")[2].rpartition("/")[2]
    if last == "v1" or not _VERSION.fullmatch(last):
        return None
    return dict(BEHIND)


def family(dialect: str) -> str:
    """The part before the dot: decides error shape and usual auth."""
    return dialect.partition(".")[0]
