"""Words of Converse that requests and answers share, and what they are called elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.dialects import ir
from proxy.dialects.claude_thinking import SIGNER
from proxy.dialects.names import Rule

NAME = "bedrock.converse"
FAMILY = "bedrock"
CLAUDE = SIGNER
TOOLS = Rule(NAME, 64, first="A-Za-z")

FINISHES: Mapping[str, ir.Finish] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "context",
    "tool_use": "tool_calls",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "refusal": "refusal",
    "pause_turn": "pause",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
}

IMAGES: Mapping[str, str] = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
DOCUMENTS: Mapping[str, str] = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/x-markdown": "md",
    # Text too, and nothing else is nearer.
    "application/json": "txt",
    "application/xml": "txt",
}
SOUNDS: Mapping[str, str] = {
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/aac": "aac",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/opus": "opus",
    "audio/mp4": "mp4",
    "audio/m4a": "m4a",
    "audio/x-m4a": "m4a",
    "audio/webm": "webm",
    "audio/pcm": "pcm",
    "audio/l16": "pcm",
    "audio/x-matroska": "mka",
}
FILMS: Mapping[str, str] = {
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/x-matroska": "mkv",
    "video/webm": "webm",
    "video/x-flv": "flv",
    "video/mpeg": "mpeg",
    "video/x-ms-wmv": "wmv",
    "video/wmv": "wmv",
    "video/3gpp": "three_gp",
}
FORMATS: Mapping[str, Mapping[str, str]] = {
    "image": IMAGES,
    "document": DOCUMENTS,
    "audio": SOUNDS,
    "video": FILMS,
}
"""Kind of a medium to its media types, with the names of the formats."""

TIERS = frozenset({"priority", "flex", "reserved"})
"""Beside the default."""


def mime(kind: str, format: str) -> str:
    """The media type of a format; "" when it is not known."""
    for found, name in FORMATS.get(kind, {}).items():
        if name == format:
            return found
    return ""
