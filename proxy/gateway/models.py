"""The list of models, in the shape of the client that asks.

What is known of a model stands where that client's vendor says it, or, for OpenAI's clients, where OpenRouter does: what the
configuration says of it, else what its deployments have, all of them together. What nobody knows is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from proxy.core.errors import ProxyError
from proxy.core.model import Capabilities, Deployment, Model, Snapshot, VirtualKey
from proxy.gateway.routing import permitted, resolve

_CREATED = 1_700_000_000
"""Models have no date of their own here; a constant keeps answers cacheable."""
_TALKS = frozenset({"", "chat", "completion"})
_PARAMETERS = (
    ("tools", ("tools", "tool_choice")),
    ("reasoning", ("reasoning",)),
    ("structured", ("structured_outputs", "response_format")),
)
"""OpenRouter's names of what a request may have."""


class _Known:
    """The entries made for one configuration: there may be a thousand, and whoever asks, asks often."""

    __slots__ = ("entries", "snapshot")

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.entries: dict[tuple[str, str], bytes] = {}


_known = _Known()


def listing(snapshot: Snapshot, key: VirtualKey | None, family: str) -> bytes:
    """Every model this key may use, aliases included, wildcards left out."""
    names = [name for name in snapshot.models if permitted(key, name)]
    return orjson.dumps(_page(snapshot, names, family))


def one(snapshot: Snapshot, key: VirtualKey | None, family: str, name: str) -> bytes:
    """One model. Raises ProxyError no_model when there is none or the key may not use it."""
    if not permitted(key, name):
        raise ProxyError("no_model", param="model")
    model, matched = resolve(snapshot, name)
    return orjson.dumps(_entry(snapshot, name, model, family, wild=bool(matched)))


def _page(snapshot: Snapshot, names: Iterable[str], family: str) -> dict[str, Any]:
    if _known.snapshot is not snapshot:
        _known.snapshot, _known.entries = snapshot, {}
    kept = _known.entries
    entries, ids = [], []
    for name in names:
        entry = kept.get((family, name))
        if entry is None:
            model = snapshot.models[name]
            entry = kept[family, name] = orjson.dumps(_entry(snapshot, name, model, family))
        entries.append(orjson.Fragment(entry))
        ids.append(name)
    if family == "gemini":
        return {"models": entries}
    if family == "anthropic":
        return {
            "data": entries,
            "has_more": False,
            "first_id": ids[0] if ids else None,
            "last_id": ids[-1] if ids else None,
        }
    return {"object": "list", "data": entries}


def _entry(
    snapshot: Snapshot, name: str, model: Model, family: str, *, wild: bool = False
) -> dict[str, Any]:
    said, own = model.capabilities, [one for tier in model.tiers for one in tier]
    context = 0 if wild else said.context or _largest(own)
    if family == "gemini":
        return _gemini(name, model, context)
    if family == "anthropic":
        return _anthropic(name, said, context)
    entry = {"id": name, "object": "model", "created": _CREATED, "owned_by": snapshot.owned_by}
    return entry | _openrouter(model, context, [] if wild else own)


def _gemini(name: str, model: Model, context: int) -> dict[str, Any]:
    said = model.capabilities
    verbs = ["generateContent", "countTokens"] if model.type in _TALKS else []
    if model.type == "embedding":
        verbs = ["embedContent"]
    return _filled(
        {
            "name": f"models/{name}",
            "displayName": name,
            "description": model.description,
            "supportedGenerationMethods": verbs,
            "inputTokenLimit": context,
            "outputTokenLimit": said.max_output,
            "thinking": said.reasoning,
        }
    )


def _anthropic(name: str, said: Capabilities, context: int) -> dict[str, Any]:
    return _filled(
        {
            "type": "model",
            "id": name,
            "display_name": name,
            "created_at": "2023-11-14T22:13:20Z",
            "lifecycle": "active",
            "max_input_tokens": context,
            "max_tokens": said.max_output,
        }
    )


def _openrouter(model: Model, context: int, own: list[Deployment]) -> dict[str, Any]:
    """Source: openrouter.ai/docs, "List available models"."""
    said = model.capabilities
    return _filled(
        {
            "type": model.type,
            "description": model.description,
            "context_length": context,
            "architecture": _filled(
                {"input_modalities": list(said.input), "output_modalities": list(said.output)}
            ),
            "top_provider": _filled(
                {"context_length": context, "max_completion_tokens": said.max_output}
            ),
            "supported_parameters": [
                parameter
                for field, parameters in _PARAMETERS
                if getattr(said, field)
                for parameter in parameters
            ],
            "pricing": _pricing(own),
        }
    )


def _pricing(own: list[Deployment]) -> dict[str, str] | None:
    """US dollars for one token, in quotes: the least that any of them asks. None unless all are known."""
    prices = [one.price for one in own if one.price is not None]
    if not prices or len(prices) < len(own):
        return None
    found = {
        "prompt": min(one.input for one in prices),
        "completion": min(one.output for one in prices),
        "request": min(one.request for one in prices),
        "image": min(one.image for one in prices),
        "input_cache_read": min(one.input if one.cached is None else one.cached for one in prices),
    }
    return {name: f"{micro / 1e6:.12f}".rstrip("0").rstrip(".") for name, micro in found.items()}


def _largest(own: list[Deployment]) -> int:
    return max((one.max_context or one.window for one in own), default=0)


def _filled(entry: dict[str, Any]) -> dict[str, Any]:
    """Without what nobody knows."""
    return {name: value for name, value in entry.items() if value or value is False}
