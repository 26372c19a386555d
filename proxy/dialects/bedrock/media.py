"""Images, documents, sounds and films, written: bytes as base64, or an object in S3. Nothing else has a place."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping

from proxy.dialects import ir
from proxy.dialects.bedrock.words import FORMATS
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss

_BEGINNINGS: Mapping[str, str] = {
    "iVBORw0KGgo": "png",
    "/9j/": "jpeg",
    "R0lGOD": "gif",
    "UklGR": "webp",
    "JVBERi0": "pdf",
    "SUQz": "mp3",
}
"""How base64 of a format begins."""
_UNSAFE = re.compile(r"[^\w\s()\[\]-]|_", re.ASCII)
_ENDING = re.compile(r"\.([A-Za-z0-9]{1,5})$")
_LONGEST_NAME = 200


class Media:
    """Writes the media of one request: no two of its documents may have the same name."""

    __slots__ = ("_loss", "_names", "_plain_text")

    def __init__(self, loss: Loss, *, plain_text: bool) -> None:
        self._loss = loss
        self._names: set[str] = set()
        self._plain_text = plain_text
        """The model takes a document's text as it is."""

    def render(self, block: ir.Media) -> Json | None:
        """`{kind: {format, source}}`; None, and reported, for what has no place."""
        format = self._format(block)
        source = self._source(block)
        if not format or source is None:
            way = (
                "text"
                if block.text
                else "file"
                if block.file_id
                else "url"
                if block.url
                else "data"
            )
            self._loss.drop(f"{block.kind}.{way}")
            return None
        made: Json = {"format": format, "source": source}
        if block.kind == "document":
            made["name"] = self._name(block.name, format)
            if block.context:
                made["context"] = block.context
            if block.citations:
                made["citations"] = {"enabled": True}
        return {block.kind: made}

    def _format(self, block: ir.Media) -> str:
        formats = FORMATS[block.kind]
        mime = block.mime.partition(";")[0].strip().lower()
        if mime in formats:
            return formats[mime]
        known = frozenset(formats.values())
        ending = _ENDING.search(block.name or block.url)
        if ending and ending[1].lower() in known:
            return ending[1].lower()
        for start, format in _BEGINNINGS.items():
            if format in known and block.data.startswith(start):
                return format
        is_text = block.text or mime.startswith("text/")
        return "txt" if block.kind == "document" and is_text else ""

    def _source(self, block: ir.Media) -> Json | None:
        if block.data:
            return {"bytes": block.data}
        if block.url.startswith("s3://"):
            return {"s3Location": {"uri": block.url}}
        if not block.text or block.kind != "document":
            return None
        if self._plain_text:
            return {"text": block.text}
        return {"bytes": b64encode(block.text.encode()).decode("ascii")}

    def _name(self, name: str, format: str) -> str:
        """A name as it may be, and that no other document of the request has."""
        stem = name[: -len(format) - 1] if name.lower().endswith("." + format) else name
        safe = " ".join(_UNSAFE.sub(" ", stem).split())[:_LONGEST_NAME].strip()
        if safe != stem:
            self._loss.drop("document.name")
        base = safe or "document"
        made, number = base, 1
        while made in self._names:
            number += 1
            made = f"{base[: _LONGEST_NAME - 8]} {number}"
        self._names.add(made)
        return made
