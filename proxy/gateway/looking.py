"""What choices want to know, found in a request. Nothing is looked for before it is asked for, and nothing twice."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from proxy.gateway import sizing
from proxy.gateway.hints import LONGEST, Hints, digest

if TYPE_CHECKING:
    from proxy.core.model import Snapshot
    from proxy.gateway.exchange import Exchange
    from proxy.wire.envelope import Envelope

_SESSIONS = ("prompt_cache_key", "safety_identifier", "user")
"""Fields of OpenAI's dialects that tell callers apart, the narrowest first."""
_BEGINNING = (
    "tools",
    "functions",
    "system",
    "systemInstruction",
    "system_instruction",
    "instructions",
    "messages",
    "contents",
    "input",
    "prompt",
)
"""Fields that a prompt is made of, in the order in which providers put them together; whatever the dialect."""
_MARK = b'"cache_control"'
_MARKS = re.compile(rb',?\s*"cache_control"\s*:\s*(?:\{[^{}]*\}|null)')
"""Anthropic's marks of what to cache move on with each turn, while what is before them stays the same."""

_decode_map = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


class Asked(Hints):
    """Of a request that has been read."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange, snapshot: Snapshot) -> None:
        super().__init__(snapshot, stream=exchange.stream, caller=None, head=None, sizes=None)
        self._exchange = exchange

    def _find_caller(self) -> int:
        return digest(_caller(self._exchange))

    def _find_head(self) -> bytes:
        envelope = self._exchange.envelope
        return b"" if envelope is None else _head(envelope)

    def _find_sizes(self) -> tuple[int, int]:
        size = sizing.size(self._exchange)
        return size.prompt, size.limit or 0


def _caller(exchange: Exchange) -> bytes:
    """The key and the session; without either, where it comes from."""
    key = exchange.key
    session = _session(exchange)
    if key is None and not session:
        return (exchange.request.remote or "").encode()
    who = "" if key is None else key.id or key.name
    return f"{who}\0{session}".encode(errors="surrogatepass")


def _session(exchange: Exchange) -> str:
    """As the header says, or else the body."""
    named = exchange.request.headers.get("x-session-id")
    envelope = exchange.envelope
    if named or envelope is None:
        return named or ""
    if exchange.endpoint.family != "anthropic":
        return next(filter(None, map(envelope.text, _SESSIONS)), "")
    raw = envelope.raw("metadata")
    if raw is None:
        return ""
    try:
        return _decode_text(_decode_map(raw)["user_id"])
    except (ValueError, KeyError):
        return ""


def _head(envelope: Envelope) -> bytes:
    """The first LONGEST bytes of the prompt, as the client wrote them."""
    parts: list[bytes] = []
    left = LONGEST
    for name in _BEGINNING:
        part = envelope.beginning(name, 2 * LONGEST)
        if part is None:
            continue
        if _MARK in part:
            part = _MARKS.sub(b"", part)
        parts.append(part)
        left -= len(part)
        if left <= 0:
            break
    return b"".join(parts)[:LONGEST]
