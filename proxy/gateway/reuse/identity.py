"""What makes two requests the same, and whether an answer to one could be an answer to the other.

Two are the same when whoever asks, the route, the model and the body are: the body as JSON, so that neither the order
of its keys nor white space matters, and every field of it counts. The model is the one that answers, as well as the one that
was named: rules may lead two requests for one name apart, and what their clients prefer may leave them different providers.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import orjson

from proxy.gateway import effects

if TYPE_CHECKING:
    from proxy.core.model import Model
    from proxy.gateway.exchange import Exchange

MOST = 256 * 1024
"""Bytes of a body that are put in order; a longer one, and one that cannot be, is the same only byte for byte."""
SHAREABLE = frozenset(
    {"chat", "completions", "responses", "embeddings", "moderations", "rerank", "images", "speech",
     "messages", "generate"}
)  # fmt: skip
"""Operations whose answer is all that they do."""
CERTAIN = frozenset({"embeddings", "moderations", "rerank"})
"""Operations that say the same each time."""
_MEANING = (b"anthropic-", b"openai-", b"x-goog-")
"""Beginnings of header names that change what is answered."""
_LONG = re.compile(rb"\d{17}")
"""Digits that might not all be left once a number has been read."""


def shareable(exchange: Exchange) -> bool:
    """Nothing happens but that it is answered, and what is answered depends on nothing else."""
    if exchange.endpoint.operation not in SHAREABLE or exchange.envelope is None or exchange.http10:
        return False
    return effects.none(exchange)


def certain(exchange: Exchange) -> bool:
    """It would be answered the same again, as far as anybody promises: nothing is drawn by lot."""
    if exchange.endpoint.operation in CERTAIN:
        return True
    envelope = exchange.envelope
    assert envelope is not None
    raw = envelope.raw("temperature")
    if raw is None and exchange.endpoint.operation == "generate":
        config = envelope.raw("generationConfig") or envelope.raw("generation_config")
        found = None if config is None else _loaded(config)
        return isinstance(found, dict) and _is_zero(found.get("temperature"))
    return raw is not None and _is_zero(_loaded(raw))


def identity(exchange: Exchange, scope: str, model: Model) -> bytes:
    """24 bytes that two requests have in common if, and only if (BLAKE2b, RFC 7693), they are the same.

    `scope` says whose requests may be the same: of one `key`, of one `team` (a key without one stands alone), of `all`;
    `model` is who answers this one.
    """
    digest = blake2b(digest_size=24)
    parts = [
        _whose(exchange, scope).encode(),
        exchange.endpoint.route.encode(),
        exchange.query.encode(),
        exchange.model.encode(),
        _who(model),
        b"stream" if exchange.stream else b"",
        *(
            name.lower() + b":" + value
            for name, value in sorted(exchange.request.raw_headers)
            if name.lower().startswith(_MEANING)
        ),
        _ordered(exchange.body),
    ]
    if exchange.hooks is not None:
        parts.append(exchange.hooks.mark)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def _who(model: Model) -> bytes:
    """Who may answer, and in which order they are asked."""
    places = ["\n".join(one.id for one in tier) for tier in model.tiers]
    how = f"{model.strict} {model.private}"
    return "\0".join((model.name, how, *model.fallbacks, "", *places)).encode()


def _whose(exchange: Exchange, scope: str) -> str:
    key = exchange.key
    if exchange.hooks is not None and exchange.hooks.alone:
        scope = "key"
    if scope == "all" or key is None:
        return "all" if scope == "all" else "nobody"
    if scope == "team" and key.team:
        return f"team {key.team}"
    return f"key {key.id}"


def _ordered(body: bytes) -> bytes:
    if len(body) > MOST or _LONG.search(body):
        return body
    found = _loaded(body)
    return body if found is None else orjson.dumps(found, option=orjson.OPT_SORT_KEYS)


def _loaded(raw: bytes) -> Any:
    """None for what the envelope lets pass and nobody can hold: a number beyond any double."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _is_zero(value: Any) -> bool:
    return type(value) in (int, float) and value == 0
