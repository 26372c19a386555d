"""Thoughts in a message: `reasoning_content` to read, and `reasoning_details` with what is sealed beside it.

The list is OpenRouter's: an entry is `reasoning.text`, `reasoning.summary` or `reasoning.encrypted`, and its `format`
tells whose signature or data it holds. OpenAI's own summary and its sealed thoughts are two entries of one `id`.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.dialects import ir
from proxy.dialects.ir import Json

FORMATS: Mapping[str, str] = {
    "anthropic": "anthropic-claude-v1",
    "gemini": "google-gemini-v1",
    "openai": "openai-responses-v1",
}
"""Family to the name of its signatures."""
_ORIGINS: Mapping[str, str] = {
    **{name: family for family, name in FORMATS.items()},
    "azure-openai-responses-v1": "openai",
    "": "anthropic",
}
"""OpenRouter's documentation calls Anthropic's format the default."""
SUMMARY = "reasoning.summary"
TEXT = "reasoning.text"
ENCRYPTED = "reasoning.encrypted"


def format_of(origin: str) -> str:
    """How an entry names the family of its signature, and the place of a carrier (`identity.carriers`)."""
    family, slash, place = origin.partition("/")
    return FORMATS.get(family, family) + slash + place


def origin_of(name: object) -> str:
    """The family an entry's `format` names."""
    family, slash, place = (name if isinstance(name, str) else "").partition("/")
    return _ORIGINS.get(family, family) + slash + place


def _string(entry: Json, *names: str) -> str:
    for name in names:
        value = entry.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def parse(details: object, plain: str) -> list[ir.Reasoning]:
    """The thoughts of a message. `plain` is what it says of them without details."""
    blocks: list[ir.Reasoning] = []
    for entry in details if isinstance(details, list) else ():
        if isinstance(entry, dict):
            block = _entry(entry)
            if not _joined(blocks, block):
                blocks.append(block)
    if plain and not any(block.text for block in blocks):
        # Sealed state alone, and beside it what may be read.
        first = blocks[0] if blocks and not blocks[0].redacted else None
        if first is not None:
            first.text = plain
        else:
            blocks.insert(0, ir.Reasoning(text=plain))
    return [block for block in blocks if block.text or block.signature]


def _entry(entry: Json) -> ir.Reasoning:
    kind = entry.get("type")
    signature = _string(entry, "data", "signature")
    text = _string(entry, "text", "summary")
    return ir.Reasoning(
        text=text,
        signature=signature,
        origin=origin_of(entry.get("format")) if signature else "",
        redacted=not text and kind == ENCRYPTED,
        id=_string(entry, "id"),
        raw=kind == TEXT and origin_of(entry.get("format")) == "openai",
    )


def _joined(blocks: list[ir.Reasoning], block: ir.Reasoning) -> bool:
    """Whether `block` is sealed state that belongs to the last block, which now has it."""
    last = blocks[-1] if blocks else None
    if last is None or not block.redacted or block.origin != "openai":
        return False
    if last.signature or not last.id or last.id != block.id:
        return False
    last.signature, last.origin = block.signature, block.origin
    return True


def entries(block: ir.Reasoning, start: int) -> list[Json]:
    """A block as entries, counted from `start`."""
    summary = block.origin == "openai" and not block.raw
    found: list[Json] = []
    if block.text:
        kind, name = (SUMMARY, "summary") if summary else (TEXT, "text")
        found.append({"type": kind, name: block.text})
    if block.signature and (summary or block.redacted):
        found.append({"type": ENCRYPTED, "data": block.signature})
    elif block.signature:
        # Anthropic may leave out the text of what it has signed.
        found = found or [{"type": TEXT, "text": ""}]
        found[0]["signature"] = block.signature
    for number, entry in enumerate(found):
        if block.id:
            entry["id"] = block.id
        if block.signature:
            entry["format"] = format_of(block.origin)
        entry["index"] = start + number
    return found


def details(blocks: list[ir.Reasoning]) -> list[Json]:
    """The list of a message; empty when all there is can be read as it is."""
    if not any(block.signature or block.id for block in blocks) and len(blocks) < 2:
        return []
    found: list[Json] = []
    for block in blocks:
        found += entries(block, len(found))
    return found
