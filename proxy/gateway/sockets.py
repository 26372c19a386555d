"""WebSockets: what a client asks for, and what the provider is asked.

Messages pass as they come, in both directions, so what one side and the other agree on is theirs; but for compression, which is not
offered: who counts tokens has to read what a provider says.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from proxy.core.errors import ProxyError
from proxy.wire.websocket import KEY, subprotocols

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

    from proxy.gateway.exchange import Exchange, Headers

_MODEL = ("model", "deployment")
_SUBPROTOCOL = "sec-websocket-protocol"
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")
"""Sixteen bytes in base64."""


def read(exchange: Exchange) -> None:
    """Who is to answer, from the query. Raises ProxyError for what is no handshake (RFC 6455, 4.2.1), or names no model."""
    headers = exchange.request.headers
    wants = headers.get("upgrade", "").lower() == "websocket"
    if not wants or headers.get("sec-websocket-version") != "13":
        raise ProxyError(
            "bad_req", "This path takes WebSockets only.", code="upgrade_required", status=426
        )
    if not _KEY.fullmatch(headers.get("sec-websocket-key", "")):
        raise ProxyError(
            "bad_req", "The field 'sec-websocket-key' is no key.", code="bad_handshake"
        )
    pairs = dict(parse_qsl(exchange.query))
    exchange.model = next((pairs[name] for name in _MODEL if pairs.get(name)), "")
    if not exchange.model:
        raise ProxyError(
            "bad_req", "The parameter 'model' is missing.", code="missing_field", param="model"
        )
    exchange.stream = True


def query(exchange: Exchange, model: str) -> str:
    """The client's, with the model's name there."""
    pairs = parse_qsl(exchange.query, keep_blank_values=True)
    return urlencode([(name, model if name in _MODEL else value) for name, value in pairs])


def handshake(headers: CIMultiDictProxy[str]) -> Headers:
    """The fields by which the provider is asked for the same."""
    asked = [
        (b"connection", b"Upgrade"),
        (b"upgrade", b"websocket"),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-key", headers["sec-websocket-key"].encode("latin-1")),
    ]
    offered = subprotocols(headers.getall(_SUBPROTOCOL, ()))
    names = [name for name in offered if not name.startswith(KEY)]
    if names:
        asked.append((_SUBPROTOCOL.encode(), ", ".join(names).encode("latin-1", "replace")))
    return asked
