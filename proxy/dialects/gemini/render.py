"""A request for a provider, and for its counter of tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from proxy.dialects import ir, orphans
from proxy.dialects.base import Target
from proxy.dialects.gemini.fields import FIELDS
from proxy.dialects.gemini.names import NAME
from proxy.dialects.gemini.settings import PREFIX, write_settings
from proxy.dialects.gemini.tools import write_choice, write_tools
from proxy.dialects.gemini.turns import Turns
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss
from proxy.dialects.survey import survey

_encode = msgspec.json.Encoder().encode

_TIERS: Mapping[str, str] = {"default": "standard", "flex": "flex", "priority": "priority"}
_CONFIG = "toolConfig."
_LABEL = re.compile(r"[\w-]{0,63}")
"""What Google takes as a label's name and value, in lower case."""


def render_request(request: ir.Request, target: Target, loss: Loss) -> bytes:
    """The body for `target`."""
    survey(request, NAME, FIELDS, loss)
    same = request.origin == NAME
    body = _prompt(request, target, loss, same=same)
    settings = write_settings(request, target.model, loss, same=same)
    if settings:
        body["generationConfig"] = settings
    if request.metadata:
        labels = request.metadata if same else _labels(request.metadata, loss)
        if labels:
            body["labels"] = labels
    tier = _TIERS.get(request.service_tier, request.service_tier if same else "")
    if tier:
        body["serviceTier"] = tier
    elif request.service_tier not in ("", "auto"):
        loss.drop("service_tier")
    if same:
        _put_back(body, {**request.extras, **request.aside})
    return _encode(body)


def render_count(request: ir.Request, target: Target, loss: Loss) -> bytes:
    """The question how many tokens the prompt is."""
    same = request.origin == NAME
    inner = {"model": f"models/{target.model}", **_prompt(request, target, loss, same=same)}
    return _encode({"generateContentRequest": inner})


def _prompt(request: ir.Request, target: Target, loss: Loss, *, same: bool) -> Json:
    """What the model reads."""
    request = orphans.mended(request, NAME, loss)
    turns = Turns(request, target.model, loss)
    body: Json = {"contents": turns.contents}
    if turns.system:
        body["systemInstruction"] = {"parts": turns.system}
    tools = write_tools(request, loss, same=same)
    if tools:
        body["tools"] = tools
    choice = write_choice(request, target.model, same=same)
    if choice:
        body["toolConfig"] = choice
    return body


def _labels(metadata: Json, loss: Loss) -> Json:
    labels = {
        name: value
        for name, value in metadata.items()
        if isinstance(value, str)
        and name[:1].isalpha()
        and all(_LABEL.fullmatch(text) and text == text.lower() for text in (name, value))
    }
    if len(labels) < len(metadata):
        loss.drop("metadata")
    return labels


def _put_back(body: Json, extras: Json) -> None:
    for name, value in extras.items():
        if name.startswith(_CONFIG):
            inner = body.setdefault("toolConfig", {})
            inner.setdefault(name.removeprefix(_CONFIG), value)
        elif not name.startswith(PREFIX):
            body[name] = value
