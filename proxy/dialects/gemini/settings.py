"""`generationConfig`: how to write the answer.

Fields that have no place in the hub are kept as `generationConfig.<name>`, so that each is reported by its own name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from proxy.dialects import ir
from proxy.dialects.gemini.models import thinking_config
from proxy.dialects.gemini.reading import (
    a_count,
    a_flag,
    a_list,
    a_number,
    a_text,
    a_word,
    an_object,
    plain_object,
    texts,
)
from proxy.dialects.gemini.schema import read_schema, write_schema
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss

PREFIX = "generationConfig."
_JSON = "application/json"
_STOPS = 5
"""The most stop sequences the API takes."""

_READERS: Mapping[str, tuple[str, Callable[[object, str], object]]] = {
    "maxOutputTokens": ("max_tokens", a_count),
    "temperature": ("temperature", a_number),
    "topP": ("top_p", a_number),
    "topK": ("top_k", a_count),
    "stopSequences": ("stop", texts),
    "seed": ("seed", a_count),
    "presencePenalty": ("presence_penalty", a_number),
    "frequencyPenalty": ("frequency_penalty", a_number),
    "candidateCount": ("n", a_count),
    "responseLogprobs": ("logprobs", a_flag),
    "logprobs": ("top_logprobs", a_count),
}
"""Field to the attribute of a request, and how it is read."""
_RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "n": (1, 8),
    "top_logprobs": (0, 20),
    "seed": (-(2**31), 2**31 - 1),
    "max_tokens": (1, 2**31 - 1),
    "top_k": (1, 2**31 - 1),
}
"""What the API takes, by attribute."""


def read_settings(request: ir.Request, value: object, where: str = "generationConfig") -> None:
    """What a client's `generationConfig` says, into `request`."""
    given = an_object(value, where)
    for name, (attribute, read) in _READERS.items():
        if name in given:
            setattr(request, attribute, read(given.pop(name), f"{where}.{name}"))
    if "responseModalities" in given:
        found = texts(given.pop("responseModalities"), f"{where}.responseModalities")
        request.modalities = [word.lower() for word in found]
    if "thinkingConfig" in given:
        request.thinking = _thinking(given.pop("thinkingConfig"), f"{where}.thinkingConfig")
    request.format = _newer_format(given, where) or _format(given, where)
    request.extras.update({PREFIX + name: value for name, value in given.items()})


def _thinking(value: object, where: str) -> ir.Thinking:
    given = an_object(value, where)
    thinking = ir.Thinking()
    if "thinkingBudget" in given:
        thinking.budget = a_count(given.pop("thinkingBudget"), f"{where}.thinkingBudget")
    if "includeThoughts" in given:
        thinking.visible = a_flag(given.pop("includeThoughts"), f"{where}.includeThoughts")
    word = a_word(given.pop("thinkingLevel", ""), f"{where}.thinkingLevel")
    if word != "THINKING_LEVEL_UNSPECIFIED":
        thinking.effort = word.lower()
    thinking.extras = given
    return thinking


def _format(given: Json, where: str) -> ir.Format | None:
    mime = a_text(given.get("responseMimeType", ""), f"{where}.responseMimeType")
    if mime not in ("", _JSON, "text/plain"):
        return None  # an enum's word, or a format of the future: it stays an extra
    given.pop("responseMimeType", None)
    older, newer = given.pop("responseSchema", None), given.pop("responseJsonSchema", None)
    if newer is not None:
        schema = plain_object(newer, f"{where}.responseJsonSchema")
        return ir.Format("schema", schema=schema)
    if older is not None:
        schema = read_schema(plain_object(older, f"{where}.responseSchema"))
        return ir.Format("schema", schema=schema)
    if mime == _JSON:
        return ir.Format("json")
    return ir.Format("text") if mime else None


def _newer_format(given: Json, where: str) -> ir.Format | None:
    """`responseFormat`: one entry for each modality of the answer; the one for text where it stands alone."""
    if "responseFormat" not in given:
        return None
    where = f"{where}.responseFormat"
    entries = [an_object(entry, where) for entry in a_list(given["responseFormat"], where)]
    if len(entries) != 1 or entries[0].keys() != {"text"}:
        return None
    text = an_object(entries[0]["text"], f"{where}.text")
    if not text.keys() <= {"mimeType", "jsonSchema", "schema"}:
        return None
    del given["responseFormat"]
    schema = text.get("jsonSchema", text.get("schema"))
    if schema is not None:
        return ir.Format("schema", schema=plain_object(schema, f"{where}.text.schema"))
    mime = a_text(text.get("mimeType", ""), f"{where}.text.mimeType").lower().replace("_", "/")
    return ir.Format("json" if mime == _JSON else "text")


def write_settings(request: ir.Request, model: str, loss: Loss, *, same: bool) -> Json:
    """`generationConfig` for a provider."""
    made: Json = {}
    for name, (attribute, _) in _READERS.items():
        value = getattr(request, attribute)
        if value is None or value is False or value == []:
            continue
        made[name] = value if same else _fitting(attribute, value, loss)
    if made.get("candidateCount") == 1 and not same:
        del made["candidateCount"]
    if "logprobs" in made and "responseLogprobs" not in made and not same:
        made["responseLogprobs"] = True
    modalities = [word.upper() for word in request.modalities]
    if modalities and (same or modalities != ["TEXT"]):
        made["responseModalities"] = modalities
    thinking = thinking_config(request, model, loss, same=same)
    if thinking is not None:
        made["thinkingConfig"] = thinking
    made.update(_written_format(request.format, loss, same=same))
    if same:
        for name, value in request.extras.items():
            if name.startswith(PREFIX):
                made[name.removeprefix(PREFIX)] = value
    return made


def _fitting(attribute: str, value: object, loss: Loss) -> object:
    if attribute == "stop" and isinstance(value, list):
        kept = [word for word in value if word]
        if len(kept) > _STOPS:
            loss.drop("stop")
        return kept[:_STOPS]
    limits = _RANGES.get(attribute)
    if limits is None or not isinstance(value, int | float):
        return value
    least, most = limits
    if least <= value <= most:
        return value
    loss.drop(attribute)
    return min(max(value, least), most)


def _written_format(wanted: ir.Format | None, loss: Loss, *, same: bool) -> Json:
    if wanted is None or (wanted.kind == "text" and not same):
        return {}
    if wanted.kind == "text":
        return {"responseMimeType": "text/plain"}
    if wanted.schema is None:
        return {"responseMimeType": _JSON}
    schema = wanted.schema
    if not same:
        schema, lost = write_schema(schema)
        if lost:
            loss.drop("format.schema")
    return {"responseMimeType": _JSON, "responseJsonSchema": schema}
