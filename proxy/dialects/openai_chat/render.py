"""A request for a provider: the parameters, within the ranges the API takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from proxy.dialects import effort, ir, orphans
from proxy.dialects.base import Target
from proxy.dialects.gpt import reasons
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss
from proxy.dialects.openai_chat import tools
from proxy.dialects.openai_chat.fields import (
    FIELDS,
    NAME,
    OWN_FIELDS,
    TIERS,
    efforts,
    encode,
    is_openais,
)
from proxy.dialects.openai_chat.names import schema_name
from proxy.dialects.openai_chat.prompt import Prompt
from proxy.dialects.survey import survey

_RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "top_logprobs": (0, 20),
}
_SAID: Mapping[str, str] = {
    "temperature": "temperature",
    "top_p": "top_p",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "stop": "stop",
    "seed": "seed",
    "logit_bias": "logit_bias",
    "logprobs": "logprobs",
    "top_logprobs": "top_logprobs",
    "n": "n",
    "verbosity": "verbosity",
    "user": "user",
    "metadata": "metadata",
    "service_tier": "service_tier",
    "cache_key": "prompt_cache_key",
    "cache_retention": "prompt_cache_retention",
}
"""Attribute to field; sent when it says something."""
_USUAL: Mapping[str, object] = {
    "temperature": 1,
    "top_p": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "stop": [],
    "logit_bias": {},
    "logprobs": False,
    "top_logprobs": None,
}
"""What OpenAI's reasoning models take: nothing but these, and they may as well be left out."""
_HINTS: Mapping[str, Callable[[str], bool]] = {
    "verbosity": reasons,
    "cache_key": is_openais,
    "cache_retention": is_openais,
}
"""What is refused by models that do not know it, and is no loss to the answer: attribute to who takes it."""
_MOST_STOPS = 4
_KNOWN: Mapping[str, frozenset[str]] = {
    "service_tier": TIERS,
    "verbosity": frozenset({"low", "medium", "high"}),
    "cache_retention": frozenset({"in_memory", "24h"}),
}
"""Words of a closed set."""
_MOST_LABELS = 16
_JSON = "Answer in JSON."


def render_request(request: ir.Request, target: Target, loss: Loss) -> bytes:
    """The body of a `POST …/chat/completions`."""
    own = request.origin == NAME
    survey(request, NAME, OWN_FIELDS if own else FIELDS, loss)
    request = orphans.mended(request, NAME, loss)
    body: Json = {
        "model": target.model,
        "messages": Prompt(request, target.model, loss).messages(),
    }
    body.update(_parameters(request, target.model, loss, own=own))
    body.update(tools.render(request, target.model, loss, own=own))
    if request.format is not None and (own or request.format.kind != "text"):
        body["response_format"] = _format(request.format, own=own)
        if not own and body["response_format"]["type"] == "json_object":
            _say_json(body["messages"])
    modalities = request.modalities if own else _modalities(request.modalities, target.model, loss)
    if modalities:
        body["modalities"] = modalities
    if request.max_tokens is not None:
        newer = reasons(target.model)
        body["max_completion_tokens" if newer else "max_tokens"] = request.max_tokens
    if request.thinking is not None:
        body.update(_thinking(request.thinking, target.model, loss, own=own))
    if own:
        body.update(request.extras | request.aside)
    if target.stream:
        options = body.get("stream_options")
        body["stream"] = True
        more = options if isinstance(options, dict) else {}
        body["stream_options"] = {**more, "include_usage": True}
    else:
        body.pop("stream_options", None)
    return encode(body)


def _say_json(messages: list[Json]) -> None:
    """OpenAI, DeepSeek and Groq refuse to answer in JSON unless the messages speak of it."""
    if any("json" in text.lower() for message in messages for text in _texts(message)):
        return
    first = messages[0] if messages else {}
    if first.get("role") == "system" and isinstance(first["content"], str):
        # Some take one message of the system's, and no second.
        first["content"] = f"{first['content']}\n\n{_JSON}".strip()
    else:
        messages.insert(0, {"role": "system", "content": _JSON})


def _texts(message: Json) -> list[str]:
    content = message["content"]
    if isinstance(content, list):
        return [part["text"] for part in content if part["type"] == "text"]
    return [content] if content else []


def _parameters(request: ir.Request, model: str, loss: Loss, *, own: bool) -> Json:
    body: Json = {}
    thinks = not own and reasons(model)
    for attribute, field in _SAID.items():
        value = getattr(request, attribute)
        # Not by truth: a temperature of 0 is said.
        if value is None or value is False or value in ("", [], {}):
            continue
        if not own and attribute in _HINTS and not _HINTS[attribute](model):
            loss.drop(attribute)
            continue
        if thinks and attribute in _USUAL:
            if value != _USUAL[attribute]:
                loss.drop(attribute)
            continue
        made = value if own else _clamped(attribute, value, loss)
        if made not in (None, [], {}):
            body[field] = made
    if not own and "logprobs" not in body and body.pop("top_logprobs", None) is not None:
        loss.drop("top_logprobs")
    if own and request.top_k is not None:
        body["top_k"] = request.top_k
    return body


def _clamped(attribute: str, value: object, loss: Loss) -> object:
    if attribute in _KNOWN and value not in _KNOWN[attribute]:
        loss.drop(attribute)
        return None
    if attribute in _FEW:
        kept = _FEW[attribute](value)
        if kept != value:
            loss.drop(attribute)
        return kept
    if attribute not in _RANGES or not isinstance(value, int | float):
        return value
    low, high = _RANGES[attribute]
    clamped = min(max(value, low), high)
    if clamped != value:
        loss.drop(attribute)
    return clamped


def _stops(value: Any) -> list[str]:
    return [text for text in value if text][:_MOST_STOPS]


def _labels(value: Any) -> Json:
    kept = [
        (key, label)
        for key, label in value.items()
        if len(key) <= 64 and isinstance(label, str) and len(label) <= 512
    ]
    return dict(kept[:_MOST_LABELS])


def _biases(value: Any) -> Json:
    return {
        token: min(max(bias, -100), 100)
        for token, bias in value.items()
        if isinstance(bias, int | float)
    }


_FEW: Mapping[str, Callable[[Any], object]] = {
    "stop": _stops,
    "metadata": _labels,
    "logit_bias": _biases,
}
"""What is left of a list or an object that is larger than the API takes, or holds what it does not."""


def _modalities(wanted: list[str], model: str, loss: Loss) -> list[str]:
    """Images come from models made for it, and for a sound no voice is known."""
    others = [modality for modality in wanted if modality != "text"]
    kept = [modality for modality in others if modality == "image" and "image" in model]
    if len(kept) < len(others):
        loss.drop("modalities")
    return ["text", *kept] if kept else []


def _thinking(thinking: ir.Thinking, model: str, loss: Loss, *, own: bool) -> Json:
    if own:
        return thinking.extras
    word = effort.effort(thinking)
    if not word:
        return {}
    known = efforts(model)
    if not known:
        if word != "none":
            loss.drop("thinking.effort" if thinking.effort else "thinking.budget")
        return {}
    nearest = effort.nearest(word, known)
    if word == "none" != nearest:
        loss.drop("thinking.off")
    elif nearest != word and thinking.effort:
        loss.drop("thinking.effort")
    return {"reasoning_effort": nearest}


def _format(wanted: ir.Format, *, own: bool) -> Json:
    if wanted.kind != "schema" or wanted.schema is None:
        return {"type": "text" if wanted.kind == "text" else "json_object"}
    schema: Json = {"name": wanted.name if own and wanted.name else schema_name(wanted.name)}
    if wanted.description:
        schema["description"] = wanted.description
    schema["schema"] = wanted.schema
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    return {"type": "json_schema", "json_schema": schema}
