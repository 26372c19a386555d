"""Which of several models a request is for: the first rule that holds says it. All that a rule names has to be so.

What a client says of a request in `metadata` (OpenAI, Anthropic), and in the header `x-headrace-metadata` as a JSON
object, is one: names to values, compared as text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from proxy.dialects.asked import wrong
from proxy.gateway.looking import Asked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from proxy.core.model import Rule, Snapshot, When
    from proxy.gateway.exchange import Exchange

METADATA = "x-headrace-metadata"
_MOST = 8 * 1024
"""Bytes of metadata that are read."""
_IMAGE = re.compile(
    rb'"type"\s*:\s*"(?:image_url|input_image|image)"|"mime_?[Tt]ype"\s*:\s*"image/', re.ASCII
)
_TOOLS = ("tools", "functions")


def first(
    rules: tuple[Rule, ...], exchange: Exchange, snapshot: Snapshot, rng: Random
) -> Rule | None:
    """The one that holds; None: there is none. Raises ProxyError bad_req where one asks for metadata that cannot be read."""
    case = _Case(exchange, snapshot)
    for rule in rules:
        if case.is_so(rule.when) and (rule.share >= 1.0 or rng.random() < rule.share):
            return rule
    return None


class _Case:
    """One request; what is dear to find out is found out once, and only if a rule asks."""

    __slots__ = ("_asked", "_exchange", "_metadata")

    def __init__(self, exchange: Exchange, snapshot: Snapshot) -> None:
        self._exchange = exchange
        self._asked = Asked(exchange, snapshot)
        self._metadata: dict[str, str] | None = None

    def is_so(self, when: When) -> bool:
        exchange, key = self._exchange, self._exchange.key
        return (
            (not when.keys or (key is not None and key.name in when.keys))
            and (not when.teams or (key is not None and key.team in when.teams))
            and (when.stream is None or exchange.stream is when.stream)
            and all(exchange.request.headers.get(n) in some for n, some in when.headers.items())
            and (when.tools is None or self._has_tools() is when.tools)
            and self._says(when.metadata)
            and (when.images is None or (_IMAGE.search(exchange.body) is not None) is when.images)
            and self._fits(when.min_tokens, when.max_tokens)
        )

    def _fits(self, least: int, most: int) -> bool:
        return not (least or most) or (
            self._asked.prompt >= least and (not most or self._asked.prompt <= most)
        )

    def _has_tools(self) -> bool:
        envelope = self._exchange.envelope
        return envelope is not None and any(
            envelope.raw(name) not in (None, b"null", b"[]") for name in _TOOLS
        )

    def _says(self, wanted: Mapping[str, tuple[str, ...]]) -> bool:
        if not wanted:
            return True
        if self._metadata is None:
            self._metadata = _metadata(self._exchange)
        return all(self._metadata.get(name) in some for name, some in wanted.items())


def _metadata(exchange: Exchange) -> dict[str, str]:
    """The header's go over the body's, which is the provider's to judge."""
    envelope = exchange.envelope
    in_body = None if envelope is None else envelope.raw("metadata")
    in_head = exchange.request.headers.get(METADATA, "").encode(errors="surrogateescape")
    found: dict[str, Any] = {}
    if in_body and len(in_body) <= _MOST:
        found |= _object(in_body) or {}
    if in_head:
        said = _object(in_head)
        if said is None:
            raise wrong(METADATA, "a JSON object")
        found |= said
    return {name: _text(value) for name, value in found.items()}


def _object(raw: bytes) -> dict[str, Any] | None:
    """None: it is none."""
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
