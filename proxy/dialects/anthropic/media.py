"""Images and documents written: as bytes, at an address, as an upload of before, or as plain text."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error
from collections.abc import Mapping

from proxy.dialects import ir
from proxy.dialects.anthropic.read import FAMILY
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss

_MAGIC: Mapping[str, str] = {
    "/9j/": "image/jpeg",
    "iVBOR": "image/png",
    "R0lG": "image/gif",
    "UklG": "image/webp",
    "JVBER": "application/pdf",
}
"""How base64 of a kind of file begins."""
_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_ALIASES: Mapping[str, str] = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg"}
_TEXTUAL = frozenset(
    {"application/json", "application/xml", "application/yaml", "application/javascript"}
)


def render_media(block: ir.Media, loss: Loss, *, own: bool) -> Json | None:
    """A block, or None when it has no place here. `own`: it came from a client of this dialect."""
    if own and "search_result" in block.extras:
        found: Json = block.extras["search_result"]
        return found
    if block.kind == "image":
        source = _image(block, own=own)
    elif block.kind == "document":
        source = _document(block, own=own)
    else:
        return None
    if source is None:
        loss.drop(_feature(block))
        return None
    beside = block.extras.get("source") if own else None
    if isinstance(beside, dict):
        source = beside if "type" in beside else {**source, **beside}
    made: Json = {"type": block.kind, "source": source}
    if block.kind == "document":
        _describe(made, block)
    return made


def _describe(made: Json, block: ir.Media) -> None:
    if block.name:
        made["title"] = block.name
    if block.context:
        made["context"] = block.context
    if block.citations:
        made["citations"] = {"enabled": True}


def _feature(block: ir.Media) -> str:
    source = "text" if block.text else "file" if block.file_id else "url" if block.url else "data"
    return f"{block.kind}.{source}"


def _remote(block: ir.Media) -> Json | None:
    """A source that is not in the body."""
    if block.file_id:
        return {"type": "file", "file_id": block.file_id} if block.origin == FAMILY else None
    if block.url.startswith(("http://", "https://")):
        return {"type": "url", "url": block.url}
    return None


def _mime(block: ir.Media) -> str:
    mime = block.mime.partition(";")[0].strip().lower()
    if not mime:
        return next((found for start, found in _MAGIC.items() if block.data.startswith(start)), "")
    return _ALIASES.get(mime, mime)


def _image(block: ir.Media, *, own: bool) -> Json | None:
    if not block.data:
        return _remote(block)
    mime = block.mime if own else _mime(block)
    if own or mime in _IMAGES:
        return {"type": "base64", "media_type": mime, "data": block.data}
    return None


def _document(block: ir.Media, *, own: bool) -> Json | None:
    if not block.data:
        if block.url or block.file_id:
            return _remote(block)
        if not block.text:
            return None
        return {
            "type": "text",
            "media_type": block.mime if own else "text/plain",
            "data": block.text,
        }
    mime = block.mime if own else _mime(block)
    if own or mime == "application/pdf":
        return {"type": "base64", "media_type": mime, "data": block.data}
    if mime.startswith("text/") or mime in _TEXTUAL:
        try:
            return {
                "type": "text",
                "media_type": "text/plain",
                "data": b64decode(block.data).decode(),
            }
        except (Error, ValueError):
            return None
    return None
