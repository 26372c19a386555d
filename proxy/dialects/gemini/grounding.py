"""Where parts of an answer come from: `groundingMetadata`, and the older `citationMetadata`.

Places are counted in bytes of UTF-8. In a whole answer they are places in one part; in a stream, where a part comes
in pieces, in all the text there was. The words of the place come along, and where the two disagree the words are right.
"""

from __future__ import annotations

from msgspec import Struct

from proxy.dialects import ir
from proxy.dialects.gemini.names import FAMILY, camel
from proxy.dialects.ir import Json

_SOURCES = ("web", "retrievedContext", "maps", "image")
_MOST = 2000
"""Citations of one answer that are read; no real one has as many."""


class Place(Struct):
    """A part of the answer that may be cited."""

    block: int
    """Which text it is in."""
    text: str
    """The part's text, or all of it."""
    shift: int = 0
    """Characters of the block before it."""


class Found(Struct):
    """A citation and the text it is about."""

    block: int
    citation: ir.Citation


def citations(candidate: Json, places: list[Place], parts: dict[int, Place] | None) -> list[Found]:
    """What `candidate` cites. `parts`: the text of each part by its number; None in a stream.

    What is in no text there is, is said of the last.
    """
    if not places:
        return []
    found: list[Found] = []
    grounding = candidate.get("groundingMetadata")
    if isinstance(grounding, dict):
        found += _grounding(camel(grounding), places, parts)
    older = candidate.get("citationMetadata")
    if isinstance(older, dict):
        older = camel(older)
        for item in _dicts(older.get("citations", older.get("citationSources"))):
            found.append(_older(camel(item), places))
    return found[:_MOST]


def _grounding(given: Json, places: list[Place], parts: dict[int, Place] | None) -> list[Found]:
    chunks = given.get("groundingChunks")
    chunks = chunks if isinstance(chunks, list) else []
    found: list[Found] = []
    for support in _dicts(given.get("groundingSupports")):
        support = camel(support)
        segment = support.get("segment")
        segment = camel(segment) if isinstance(segment, dict) else {}
        block, start, end = _locate(segment, places, parts)
        numbers = support.get("groundingChunkIndices")
        for number in numbers if isinstance(numbers, list) else ():
            if isinstance(number, int) and 0 <= number < len(chunks):
                cited = _source(chunks[number])
                cited.start, cited.end = start, end
                cited.own = {"support": support, "chunk": chunks[number]}
                found.append(Found(block, cited))
    if found:
        return found
    last = places[-1].block
    return [Found(last, _source(chunk)) for chunk in chunks if isinstance(chunk, dict)]


def _source(chunk: object) -> ir.Citation:
    cited = ir.Citation(origin=FAMILY)
    if not isinstance(chunk, dict):
        return cited
    cited.own = {"chunk": chunk}
    chunk = camel(chunk)
    source: Json = next((chunk[name] for name in _SOURCES if isinstance(chunk.get(name), dict)), {})
    cited.url = _text(source.get("uri")) or _text(source.get("sourceUri"))
    cited.title = _text(source.get("title"))
    cited.text = _text(source.get("text"))
    return cited


def _older(item: Json, places: list[Place]) -> Found:
    block, start, end = _locate(item, places, None)
    cited = ir.Citation(
        url=_text(item.get("uri")),
        title=_text(item.get("title")),
        start=start,
        end=end,
        origin=FAMILY,
        own={"citation": item},
    )
    return Found(block, cited)


def _locate(
    segment: Json, places: list[Place], parts: dict[int, Place] | None
) -> tuple[int, int | None, int | None]:
    """(block, first character, the one behind the last) of a segment."""
    start, end, words = _number(segment, "startIndex"), _number(segment, "endIndex"), ""
    words = _text(segment.get("text"))
    if end > start:
        if parts is not None:
            place = parts.get(_number(segment, "partIndex"))
            spot = _spot(place, start, end, words) if place else None
            if place and spot:
                return place.block, *spot
        for place in places:
            size = len(place.text.encode("utf-8", "replace"))
            if start < size:
                spot = _spot(place, start, end, words)
                if spot:
                    return place.block, *spot
                break
            start, end = start - size, end - size
    for place in places:
        at = place.text.find(words) if words else -1
        if at >= 0:
            return place.block, place.shift + at, place.shift + at + len(words)
    return places[-1].block, None, None


def _spot(place: Place, start: int, end: int, words: str) -> tuple[int, int] | None:
    """The characters at those bytes; None when other words than `words` stand there."""
    text = place.text.encode("utf-8", "replace")
    cut = text[start:end].decode("utf-8", "ignore")
    if not cut or (words and words != cut):
        return None
    first = place.shift + len(text[:start].decode("utf-8", "ignore"))
    return first, first + len(cut)


class Written(Struct):
    """One citation to be given to a client, and the text it is about."""

    citation: ir.Citation
    text: str
    """Of its block."""
    before: int = 0
    """Bytes of text before that block."""
    part: int = 0
    """Number of its part."""


def write_grounding(cited: list[Written]) -> Json:
    """`groundingMetadata`: every source once, every place with its sources."""
    chunks: list[Json] = []
    numbers: dict[tuple[str, str, str], int] = {}
    supports: dict[tuple[int, int, int], Json] = {}
    for item in cited:
        one = item.citation
        key = (one.url, one.title, one.file_id)
        if key not in numbers:
            numbers[key] = len(chunks)
            chunks.append(_chunk(one))
        segment = _segment(item)
        place = (item.part, segment.get("startIndex", 0), segment["endIndex"])
        support = supports.setdefault(place, {"segment": segment, "groundingChunkIndices": []})
        if numbers[key] not in support["groundingChunkIndices"]:
            support["groundingChunkIndices"].append(numbers[key])
    return {"groundingChunks": chunks, "groundingSupports": list(supports.values())}


def _chunk(cited: ir.Citation) -> Json:
    if cited.url:
        return {
            "web": {"uri": cited.url, "title": cited.title} if cited.title else {"uri": cited.url}
        }
    context: Json = {"title": cited.title or cited.file_id}
    if cited.text:
        context["text"] = cited.text
    return {"retrievedContext": context}


def _segment(item: Written) -> Json:
    """The place as bytes; all of its text where nobody says more exactly."""
    start, end = item.citation.start or 0, item.citation.end
    end = len(item.text) if end is None else end
    words = item.text[start:end]
    first = item.before + len(item.text[:start].encode("utf-8", "replace"))
    segment: Json = {"endIndex": first + len(words.encode("utf-8", "replace")), "text": words}
    if first:
        segment["startIndex"] = first
    if item.part:
        segment["partIndex"] = item.part
    return segment


def _dicts(value: object) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(fields: Json, name: str) -> int:
    value = fields.get(name, 0)
    return value if isinstance(value, int) and 0 <= value < 10**9 else 0
