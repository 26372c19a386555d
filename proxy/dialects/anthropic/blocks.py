"""Content blocks as this dialect writes them, read: the same in requests and in answers.

What every family has becomes its own kind of block; a provider's own tools at work, and kinds not known here, stay
`Opaque`. Fields not known here stay in the block's `extras`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from proxy.dialects import ir
from proxy.dialects.anthropic.read import FAMILY, Fields, Wrong, encode
from proxy.dialects.identity import unseal
from proxy.dialects.ir import Json


def blocks(value: object, at: str) -> list[ir.Block]:
    """The blocks of `content`: a string, or a list."""
    if isinstance(value, str):
        return [ir.Text(text=value)]
    if not isinstance(value, list):
        raise Wrong(at, "a string or an array")
    return [block(item, f"{at}[{number}]") for number, item in enumerate(value)]


def block(value: object, at: str) -> ir.Block:
    """One block."""
    if not isinstance(value, dict):
        raise Wrong(at, "an object")
    kind = value.get("type")
    if not isinstance(kind, str) or not kind:
        code = "missing_required_parameter" if kind is None else "invalid_type"
        raise Wrong(f"{at}.type", "a string", code)
    read = _READERS.get(kind)
    if read is None:
        return opaque(value, kind)
    fields = Fields(value, at)
    del fields.values["type"]
    return read(fields, value)


def opaque(value: Json, kind: str) -> ir.Opaque:
    """A block only this family understands."""
    mark = value.get("cache_control")
    held = _cache(Fields(mark, "cache_control")) if isinstance(mark, dict) else None
    return ir.Opaque(origin=FAMILY, kind=kind, value=value, cache=held)


def cache(fields: Fields) -> ir.Cache | None:
    """The mark `cache_control`, taken from whatever carries it."""
    mark = fields.inner("cache_control")
    return None if mark is None else _cache(mark)


def _cache(mark: Fields) -> ir.Cache:
    return ir.Cache(ttl=mark.text("ttl"))


def citation(value: object, at: str) -> ir.Citation:
    """One citation of any kind."""
    if not isinstance(value, dict):
        raise Wrong(at, "an object")
    fields = Fields(value, at)
    source = fields.text("source")
    made = ir.Citation(
        url=fields.text("url") or (source if source.startswith(("http://", "https://")) else ""),
        title=fields.text("title") or fields.text("document_title"),
        text=fields.text("cited_text"),
        file_id=fields.text("file_id"),
    )
    # Without its index no provider takes it back: it was made here, of another family's citation.
    if value.get("type") != "web_search_result_location" or value.get("encrypted_index"):
        made.origin, made.own = FAMILY, value
    return made


def _text(fields: Fields, value: Json) -> ir.Text:
    cited = fields.take("citations", list, [])
    at = fields.path("citations")
    return ir.Text(
        text=fields.need("text", str),
        citations=[citation(one, f"{at}[{number}]") for number, one in enumerate(cited)],
        cache=cache(fields),
        extras=fields.rest(),
    )


def _image(fields: Fields, value: Json) -> ir.Block:
    source = _source(fields)
    kind = source.need("type", str)
    media = ir.Media(kind="image", cache=cache(fields))
    if not _fill(media, kind, source):
        return opaque(value, "image")
    media.extras = _with_source(fields, source)
    return media


def _document(fields: Fields, value: Json) -> ir.Block:
    source = _source(fields)
    kind = source.need("type", str)
    media = ir.Media(kind="document", cache=cache(fields))
    media.name, media.context = fields.text("title"), fields.text("context")
    media.citations = _cited(fields)
    if kind == "text":
        media.mime, media.text = source.text("media_type") or "text/plain", source.need("data", str)
    elif kind == "content":
        media.text = _joined(source.values.get("content"))
        if not media.text:
            return opaque(value, "document")
        media.mime = "text/plain"
        fields.values["source"] = value["source"]
        source.values.clear()
    elif not _fill(media, kind, source):
        return opaque(value, "document")
    media.extras = _with_source(fields, source)
    return media


def _search_result(fields: Fields, value: Json) -> ir.Block:
    """Text with a title and a place it is from: a document, to whoever has no search results."""
    text = _joined(fields.take("content", list, []))
    if not text:
        return opaque(value, "search_result")
    return ir.Media(
        kind="document",
        mime="text/plain",
        text=text,
        name=fields.text("title"),
        context=fields.text("source"),
        citations=_cited(fields),
        cache=cache(fields),
        extras={"search_result": value},
    )


def _source(fields: Fields) -> Fields:
    source = fields.inner("source")
    if source is None:
        raise Wrong(fields.path("source"), "an object", "missing_required_parameter")
    return source


def _fill(media: ir.Media, kind: str, source: Fields) -> bool:
    """Give `media` what its source holds; False: there is no such kind of source."""
    if kind == "base64":
        media.mime, media.data = source.text("media_type"), source.need("data", str)
    elif kind == "url":
        url = source.need("url", str)
        if url.startswith("data:"):
            head, _, media.data = url[5:].partition(",")
            media.mime = head.partition(";")[0]
        else:
            media.url = url
    elif kind == "file":
        media.file_id, media.origin = source.need("file_id", str), FAMILY
    else:
        return False
    return True


def _with_source(fields: Fields, source: Fields) -> Json:
    """The rest of a block, and of its source if there is any."""
    if source.rest():
        fields.values["source"] = source.rest()
    return fields.rest()


def _cited(fields: Fields) -> bool:
    wish = fields.inner("citations")
    return wish is not None and bool(wish.take("enabled", bool, False))


def _joined(content: object) -> str:
    """The texts in the content of a document."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = [part.get("text") for part in content if isinstance(part, dict)]
    return "\n\n".join(text for text in texts if isinstance(text, str) and text)


def _thinking(fields: Fields, value: Json) -> ir.Reasoning:
    signature = fields.text("signature")
    origin, state = unseal(signature, FAMILY)
    return ir.Reasoning(
        text=fields.text("thinking"),
        signature=state,
        origin=origin if state else "",
        extras=fields.rest(),
    )


def _redacted_thinking(fields: Fields, value: Json) -> ir.Reasoning:
    origin, state = unseal(fields.need("data", str), FAMILY)
    return ir.Reasoning(signature=state, origin=origin, redacted=True, extras=fields.rest())


def _tool_use(fields: Fields, value: Json) -> ir.ToolCall:
    given = fields.values.pop("input", {})
    if not isinstance(given, dict | str):
        raise Wrong(fields.path("input"), "an object")
    return ir.ToolCall(
        id=fields.text("id"),
        name=fields.need("name", str),
        arguments=given if isinstance(given, str) else encode(given).decode(),
        cache=cache(fields),
        extras=fields.rest(),
    )


def _tool_result(fields: Fields, value: Json) -> ir.ToolResult:
    content = fields.values.pop("content", [])
    inside = blocks(content, fields.path("content")) if content != "" else []
    return ir.ToolResult(
        id=fields.need("tool_use_id", str),
        content=[_inside(part) for part in inside],
        is_error=fields.take("is_error", bool, False),
        cache=cache(fields),
        extras=fields.rest(),
    )


def _inside(part: ir.Block) -> ir.Text | ir.Media | ir.Opaque:
    if isinstance(part, ir.Text | ir.Media | ir.Opaque):
        return part
    return ir.Text(text=part.text) if isinstance(part, ir.Reasoning | ir.Refusal) else ir.Text()


_READERS: Mapping[str, Callable[[Fields, Json], ir.Block]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
    "thinking": _thinking,
    "redacted_thinking": _redacted_thinking,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
}
