"""Parts of a message's content, each a block: read alike in questions and answers, written for one or the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from proxy.dialects import ir
from proxy.dialects.ir import Json
from proxy.dialects.lenient import probabilities
from proxy.dialects.loss import Loss
from proxy.dialects.openai_responses.fields import FAMILY, objects, word
from proxy.dialects.openai_responses.media import read_audio, read_file, read_image, write_media

PART = "content[]."
"""Begins the kind of an `Opaque` that is a part, not an item."""
TEXTS = frozenset({"input_text", "output_text", "text", "summary_text"})
_KNOWN: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(TEXTS, frozenset({"text", "annotations", "logprobs"})),
    "refusal": frozenset({"refusal"}),
    "input_image": frozenset({"image_url", "file_id", "detail"}),
    "input_file": frozenset({"file_data", "file_id", "file_url", "filename", "detail"}),
    "input_audio": frozenset({"input_audio"}),
}
"""Fields that have a place in the block, beside `type`. A cache mark stays among the extras too: it says more."""
_MARK = "prompt_cache_breakpoint"
_PLACES: Mapping[str, tuple[str, ...]] = {
    "url_citation": ("url", "title", "start_index", "end_index"),
    "file_citation": ("file_id", "filename", "index"),
    "container_file_citation": (
        "container_id",
        "file_id",
        "filename",
        "start_index",
        "end_index",
    ),
    "file_path": ("file_id", "index"),
}
"""Kind of annotation to what every one of it has."""


# --- reading ------------------------------------------------------------------------------------------------


def read_part(part: Json) -> ir.Block:
    """The block a part is. Takes any object."""
    kind = word(part, "type")
    reader = _READERS.get(kind)
    if reader is None:
        return ir.Opaque(FAMILY, f"{PART}{kind}", part)
    block = reader(part)
    known = _KNOWN[kind]
    mark = part.get(_MARK)
    extras = {
        name: value
        for name, value in part.items()
        if name not in known and name != "type" and value is not None
    }
    if isinstance(mark, dict) and isinstance(block, ir.Text | ir.Media):
        block.cache = ir.Cache("1h" if word(mark, "ttl") == "12h" else "")
    if not isinstance(block, ir.Opaque):
        block.extras = extras
    return block


def _text(part: Json) -> ir.Text:
    return ir.Text(
        word(part, "text"),
        citations=[read_citation(one) for one in objects(part.get("annotations"))],
        logprobs=probabilities(part.get("logprobs")),
    )


def _refusal(part: Json) -> ir.Refusal:
    return ir.Refusal(word(part, "refusal"))


_READERS: Mapping[str, Callable[[Json], ir.Block]] = {
    **dict.fromkeys(TEXTS, _text),
    "refusal": _refusal,
    "input_image": read_image,
    "input_file": read_file,
    "input_audio": read_audio,
}


def read_citation(value: Json) -> ir.Citation:
    """One of `annotations`."""
    return ir.Citation(
        url=word(value, "url"),
        title=word(value, "title") or word(value, "filename"),
        start=_place(value, "start_index"),
        end=_place(value, "end_index"),
        file_id=word(value, "file_id"),
        origin=FAMILY,
        own=value,
    )


def _place(value: Json, name: str) -> int | None:
    found = value.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


# --- writing ------------------------------------------------------------------------------------------------


def write_input(block: ir.Block, loss: Loss, *, own: bool) -> Json | None:
    """A part of what is said to the model; None where it has no place."""
    part: Json | None
    match block:
        case ir.Text():
            part = {"type": "input_text", "text": block.text}
        case ir.Refusal():
            part = {"type": "input_text", "text": block.text}
        case ir.Media():
            part = write_media(block, loss, own=own)
        case ir.Opaque() if own:
            return block.value
        case _:
            return None
    if part is None or not own:
        return part
    return _with_own(part, block)


def _with_own(part: Json, block: ir.Text | ir.Refusal | ir.Media) -> Json:
    """The part with what only this dialect knows of it."""
    for name, value in block.extras.items():
        if name != "item":
            part.setdefault(name, value)
    return part


def write_said(block: ir.Text | ir.Refusal, loss: Loss, *, own: bool) -> Json:
    """A part of what the model has said, for a provider."""
    if isinstance(block, ir.Refusal):
        part: Json = {"type": "refusal", "refusal": block.text}
        return _with_own(part, block) if own else part
    part = {"type": "output_text", "text": block.text}
    noted = write_annotations(block.citations, len(block.text), loss)
    if noted or own:
        part["annotations"] = noted
    if not own:
        return part
    if block.logprobs:
        part["logprobs"] = block.logprobs
    return _with_own(part, block)


def write_annotations(citations: list[ir.Citation], length: int, loss: Loss) -> list[Json]:
    """`annotations` of a text of `length`; what has no address is left out and said."""
    found = [annotation(citation, length) for citation in citations]
    if None in found:
        loss.drop("citations")
    return [one for one in found if one is not None]


def annotation(citation: ir.Citation, length: int) -> Json | None:
    """One annotation. Who does not say what it is about, means the whole text."""
    kind = word(citation.own, "type")
    if citation.origin == FAMILY and all(name in citation.own for name in _PLACES.get(kind, ("",))):
        return citation.own
    if citation.url:
        return {
            "type": "url_citation",
            "start_index": citation.start or 0,
            "end_index": length if citation.end is None else citation.end,
            "url": citation.url,
            "title": citation.title,
        }
    if citation.file_id:
        return {
            "type": "file_citation",
            "file_id": citation.file_id,
            "filename": citation.title,
            "index": citation.end or 0,
        }
    return None


def logprobs(tokens: list[Json]) -> list[Json]:
    """Probabilities as a finished part has them."""
    return [
        {
            **_token(token),
            "top_logprobs": [_token(top) for top in objects(token.get("top_logprobs"))],
        }
        for token in tokens
    ]


def _token(token: Json) -> Json:
    text = word(token, "token")
    raw = token.get("bytes")
    return {
        "token": text,
        "bytes": raw if isinstance(raw, list) else list(text.encode("utf-8", "replace")),
        "logprob": token.get("logprob", 0.0),
    }


def bare_logprobs(tokens: list[Json]) -> list[Json]:
    """The same as events have them, without the bytes."""
    return [
        {
            "token": word(token, "token"),
            "logprob": token.get("logprob", 0.0),
            "top_logprobs": [
                {"token": word(top, "token"), "logprob": top.get("logprob", 0.0)}
                for top in objects(token.get("top_logprobs"))
            ],
        }
        for token in tokens
    ]
