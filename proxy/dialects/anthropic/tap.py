"""`/v1/messages`: a message, its blocks, and their deltas, each event named twice: in `event:` and in `type`.

Some who imitate it leave one of the names out; `type` decides where both are there.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from proxy.core.errors import UpstreamError
from proxy.dialects import usage as reports
from proxy.dialects.base import BAD, CONTENT, ERROR, FINISH, Usage
from proxy.dialects.errors import fault_in, in_band
from proxy.dialects.lenient import is_idle, mended, object_at

_NULL = Raw(b"null")
_encode = msgspec.json.Encoder().encode

_TEXT_BLOCKS = frozenset({"text", "thinking"})
"""Blocks that begin empty; every other kind says something by beginning."""


class _Delta(Struct, gc=False):
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None
    citation: Raw = _NULL


class _Block(Struct, gc=False):
    type: str = ""
    text: str | None = None
    thinking: str | None = None


class _Message(Struct, gc=False):
    usage: Raw = _NULL


class _Event(Struct, gc=False):
    type: str = ""
    delta: _Delta | None = None
    content_block: _Block | None = None
    message: _Message | None = None
    usage: Raw = _NULL
    error: object = None


class _Body(Struct, gc=False):
    stop_reason: str | None = None
    usage: Raw = _NULL
    error: object = None
    type: str = ""


_decode = msgspec.json.Decoder(_Event).decode
_decode_body = msgspec.json.Decoder(_Body).decode


class MessagesTap:
    """Watches a message."""

    __slots__ = ("_delta", "_done", "_start", "bad", "error", "finish_reason")

    sequence = 0
    closing = b""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.error: UpstreamError | None = None
        self.bad = 0
        self._start: Raw | bytes = _NULL
        self._delta: Raw | bytes = _NULL
        self._done = False

    @property
    def usage(self) -> Usage | None:
        return reports.anthropic(self._start, self._delta)

    def complete(self) -> bool:
        return self._done

    def event(self, name: bytes, data: bytes) -> int:
        try:
            found = _decode(data)
        except (ValueError, RecursionError):
            return self._odd(name, data)
        delta = found.delta
        if delta is not None:
            if delta.stop_reason:
                self.finish_reason = delta.stop_reason
            if found.usage != _NULL:
                self._delta = found.usage
            shows = delta.text or delta.thinking or delta.partial_json or delta.citation != _NULL
            return CONTENT if shows else 0
        return self._lifecycle(found.type or name.decode("latin-1"), found, data)

    def _lifecycle(self, kind: str, found: _Event, data: bytes) -> int:
        if kind == "error" or found.error:
            self.error = in_band(data)
            return ERROR
        if kind == "message_stop":
            self._done = True
            return FINISH
        block = found.content_block
        if block is not None:
            begins_full = block.type not in _TEXT_BLOCKS or block.text or block.thinking
            return CONTENT if begins_full else 0
        if kind == "message_start" and found.message is not None:
            self._start = found.message.usage
        elif kind == "message_delta" and found.usage != _NULL:
            self._delta = found.usage
        return 0

    def _odd(self, name: bytes, data: bytes) -> int:
        """An event of odd types, or no event at all."""
        if is_idle(data) or data.strip() == b"[DONE]":  # OpenAI's end; some send it here too
            return 0
        found = object_at(data)
        if found is None:
            self.bad += 1
            found = object_at(mended(data))
        kind = (found and found.get("type")) or name.decode("latin-1")
        if "error" in (kind, name.decode("latin-1")) or (found and found.get("error")):
            self.error = in_band(data)
            return ERROR
        if found is None:
            return BAD
        if kind == "message_stop":
            self._done = True
            return FINISH
        delta = found.get("delta")
        fields = delta if isinstance(delta, dict) else {}
        reason = fields.get("stop_reason")
        if isinstance(reason, str):
            self.finish_reason = reason
        if kind == "message_delta":
            self._delta = _encode(found.get("usage"))
        message = found.get("message")
        if kind == "message_start" and isinstance(message, dict):
            self._start = _encode(message.get("usage"))
        return CONTENT if any(fields.get(key) for key in _SHOWN) else 0

    def oversized(self, head: bytes, tail: bytes) -> int:
        return CONTENT

    def body(self, raw: bytes) -> int:
        try:
            found = _decode_body(raw)
        except (ValueError, RecursionError):
            fields = object_at(raw)
            if fields is None:
                self.bad += 1
                return BAD
            if fields.get("error"):
                self.error = in_band(raw, fault_in(fields))
                return ERROR
            found = _Body(usage=Raw(_encode(fields.get("usage"))))
        if found.error or found.type == "error":
            self.error = in_band(raw)
            return ERROR
        self._done = True
        self.finish_reason = found.stop_reason
        self._start = found.usage
        return CONTENT | FINISH


_SHOWN = ("text", "thinking", "partial_json", "citation")


def render_stream_error(code: str, message: str, request_id: str, sequence: int) -> bytes:
    """The event that ends a broken stream."""
    error = {"type": _TYPES.get(code, "api_error"), "message": message}
    event = {"type": "error", "error": error, "request_id": request_id}
    return b"event: error\ndata: %b\n\n" % _encode(event)


_TYPES = {
    "gateway_restart": "overloaded_error",
    "upstream_overloaded": "overloaded_error",
    "stream_limit": "timeout_error",
    "upstream_idle_timeout": "timeout_error",
    "upstream_timeout": "timeout_error",
}
"""Our codes in Anthropic's terms, where it has a better one than `api_error`."""
