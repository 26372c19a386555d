"""What a client asks for in a handshake, and what the provider is asked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.core.errors import ProxyError
from proxy.gateway import sockets
from proxy.gateway.exchange import Exchange

GOOD = {
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def exchange(query: str = "model=m", **headers: str) -> Exchange:
    fields = CIMultiDictProxy(CIMultiDict({**GOOD, **headers}))
    found: Any = SimpleNamespace(query=query, request=SimpleNamespace(headers=fields), model="")
    return cast("Exchange", found)


@pytest.mark.parametrize("query", ["model=m&x=1", "x=1&deployment=m"])
def test_the_model_is_in_the_query(query: str) -> None:
    asked = exchange(query)
    sockets.read(asked)

    assert (asked.model, asked.stream) == ("m", True)
    assert sockets.query(asked, "other").endswith(("model=other&x=1", "x=1&deployment=other"))


@pytest.mark.parametrize(
    ("query", "headers", "code"),
    [
        ("model=m", {"Upgrade": "h2c"}, "upgrade_required"),
        ("model=m", {"Sec-WebSocket-Version": "8"}, "upgrade_required"),
        ("model=m", {"Sec-WebSocket-Key": "short"}, "bad_handshake"),
        ("model=m", {"Sec-WebSocket-Key": "€" * 24}, "bad_handshake"),
        ("model=m", {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ, "}, "bad_handshake"),
        ("model=", {}, "missing_field"),
    ],
)
def test_what_is_no_handshake_is_refused(query: str, headers: dict[str, str], code: str) -> None:
    with pytest.raises(ProxyError) as refused:
        sockets.read(exchange(query, **headers))

    assert refused.value.code == code


def test_the_provider_is_asked_for_the_same_without_key_and_compression() -> None:
    offered = "realtime, openai-insecure-api-key.sk-1"
    headers = exchange(
        **{"Sec-WebSocket-Protocol": offered, "Sec-WebSocket-Extensions": "permessage-deflate"}
    ).request.headers

    assert sockets.handshake(headers) == [
        (b"connection", b"Upgrade"),
        (b"upgrade", b"websocket"),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        (b"sec-websocket-protocol", b"realtime"),
    ]
