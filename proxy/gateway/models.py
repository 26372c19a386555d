"""The list of models, in the shape of the client that asks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from proxy.core.errors import ProxyError
from proxy.core.model import Snapshot, VirtualKey
from proxy.gateway.routing import permitted, resolve

_CREATED = 1_700_000_000
"""Models have no date of their own here; a constant keeps answers cacheable."""


def listing(snapshot: Snapshot, key: VirtualKey | None, family: str) -> bytes:
    """Every model this key may use, aliases included, wildcards left out."""
    names = [name for name in snapshot.models if permitted(key, name)]
    return orjson.dumps(_page(names, family, snapshot.owned_by))


def one(snapshot: Snapshot, key: VirtualKey | None, family: str, name: str) -> bytes:
    """One model. Raises ProxyError no_model when there is none or the key may not use it."""
    if not permitted(key, name):
        raise ProxyError("no_model", param="model")
    resolve(snapshot, name)
    return orjson.dumps(_entry(name, family, snapshot.owned_by))


def _page(names: Iterable[str], family: str, owner: str) -> dict[str, Any]:
    entries = [_entry(name, family, owner) for name in names]
    if family == "gemini":
        return {"models": entries}
    if family == "anthropic":
        return {
            "data": entries,
            "has_more": False,
            "first_id": entries[0]["id"] if entries else None,
            "last_id": entries[-1]["id"] if entries else None,
        }
    return {"object": "list", "data": entries}


def _entry(name: str, family: str, owner: str) -> dict[str, Any]:
    if family == "gemini":
        return {
            "name": f"models/{name}",
            "displayName": name,
            "supportedGenerationMethods": ["generateContent", "countTokens"],
        }
    if family == "anthropic":
        return {
            "type": "model",
            "id": name,
            "display_name": name,
            "created_at": "2023-11-14T22:13:20Z",
        }
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": owner}
