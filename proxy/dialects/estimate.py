"""How many tokens a prompt is, about, without a tokeniser: for providers that do not count.

Latin text is about 3.5 bytes a token, everything beyond ASCII about 2 bytes; a picture or a page costs what the
vendors' guides call usual. The figure is marked as an estimate wherever it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

import msgspec

from proxy.dialects import ir

_ASCII, _OTHER = 3.5, 2.0
"""Bytes a token."""
_MEDIA: Mapping[str, int] = {"image": 1200, "document": 3000, "audio": 800, "video": 8000}
"""Tokens of one whose size says nothing."""
_PAGE_BYTES = 40_000
"""Base64 of a PDF's page, roughly; a page is _PAGE tokens."""
_PAGE = 1500
_TURN = 4
"""What a role and its marks cost."""

_encode = msgspec.json.Encoder().encode


def tokens(request: ir.Request) -> int:
    """Tokens of the whole prompt: turns, tools and what the answer must look like."""
    total = 0.0
    for message in request.messages:
        total += _TURN + sum(map(_block, message.content))
    for tool in request.tools:
        if isinstance(tool, ir.Tool):
            total += _text(tool.name + tool.description) + _json(tool.schema) + _TURN
        else:
            total += _json(tool.value)
    if request.format is not None and request.format.schema is not None:
        total += _json(request.format.schema)
    return max(1, ceil(total))


def _block(block: ir.Block) -> float:
    match block:
        case ir.Text(text=text) | ir.Refusal(text=text) | ir.Reasoning(text=text):
            return _text(text)
        case ir.Media():
            return _media(block)
        case ir.ToolCall():
            return _text(block.name + block.arguments) + _TURN
        case ir.ToolResult():
            return sum(map(_block, block.content)) + _TURN
        case ir.Opaque():
            return _json(block.value)


def _media(media: ir.Media) -> float:
    if media.text:
        return _text(media.text)
    if media.kind == "document" and media.data:
        return ceil(len(media.data) / _PAGE_BYTES) * _PAGE
    return _MEDIA[media.kind]


def _text(text: str) -> float:
    raw = text.encode("utf-8", "surrogatepass")
    plain = len(raw) if raw.isascii() else sum(byte < 128 for byte in raw)
    return plain / _ASCII + (len(raw) - plain) / _OTHER


def _json(value: object) -> float:
    return 0.0 if value is None else len(_encode(value)) / _ASCII
