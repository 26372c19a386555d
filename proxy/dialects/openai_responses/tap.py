"""`/v1/responses`: numbered, typed events around a response object, ended by the object itself."""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw, Struct, field

from proxy.core.errors import UpstreamError
from proxy.dialects import usage as reports
from proxy.dialects.base import BAD, CONTENT, ERROR, FINISH, Usage
from proxy.dialects.errors import fault_in, in_band
from proxy.dialects.lenient import is_idle, last_object, mended, object_at

_NULL = Raw(b"null")
_encode = msgspec.json.Encoder().encode

_TERMINAL = {
    "response.completed": FINISH,
    "response.incomplete": FINISH,
    "response.cancelled": FINISH,
    "response.failed": FINISH | ERROR,
}
_SILENT_ITEMS = frozenset({"message", "reasoning"})
"""Items that say nothing by beginning; every other kind is a call of some tool."""
_SHOWING = (".partial_image", ".annotation.added")
_TYPE = re.compile(rb'(?:\Aevent: ?|"type"\s*:\s*")([a-z_.]+)')


class _Item(Struct, gc=False):
    type: str = ""


class _Why(Struct, gc=False):
    reason: str | None = None


class _Response(Struct, gc=False):
    kind: str = field(default="", name="object")
    status: str | None = None
    usage: Raw = _NULL
    error: object = None
    incomplete_details: _Why | None = None
    background: bool | None = None


class _Event(Struct, gc=False):
    type: str = ""
    sequence_number: int = -1
    delta: str | None = None
    item: _Item | None = None
    response: _Response | None = None
    text: str | None = None
    arguments: str | None = None
    refusal: str | None = None
    error: object = None


_decode = msgspec.json.Decoder(_Event).decode
_decode_body = msgspec.json.Decoder(_Response).decode


class ResponsesTap:
    """Watches a response."""

    __slots__ = ("_done", "_report", "bad", "error", "finish_reason", "sequence")

    closing = b""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.error: UpstreamError | None = None
        self.bad = 0
        self.sequence = 0
        self._report: Raw | bytes = _NULL
        self._done = False

    @property
    def usage(self) -> Usage | None:
        return reports.openai(self._report)

    def complete(self) -> bool:
        return self._done

    def event(self, name: bytes, data: bytes) -> int:
        try:
            found = _decode(data)
        except (ValueError, RecursionError):
            return self._odd(name, data)
        if found.sequence_number >= self.sequence:
            self.sequence = found.sequence_number + 1
        if found.delta:
            return CONTENT
        kind = found.type or name.decode("latin-1")
        if kind in _TERMINAL:
            return self._finish(kind, found.response or _Response(), data)
        if kind == "error" or (found.error and found.response is None):
            self.error = in_band(data)
            return ERROR
        if found.text or found.arguments or found.refusal or kind.endswith(_SHOWING):
            return CONTENT
        return CONTENT if found.item is not None and found.item.type not in _SILENT_ITEMS else 0

    def _finish(self, kind: str, response: _Response, data: bytes) -> int:
        self._done = True
        if response.usage != _NULL:
            self._report = response.usage
        why = response.incomplete_details
        self.finish_reason = (why and why.reason) or response.status or kind.partition(".")[2]
        flags = _TERMINAL[kind]
        if flags & ERROR:
            self.error = in_band(data, fault_in(response.error))
        return flags

    def _odd(self, name: bytes, data: bytes) -> int:
        """An event of odd types, or no event at all."""
        if is_idle(data) or data.strip() == b"[DONE]":  # OpenAI's older end; some send it here too
            return 0
        found = object_at(data)
        if found is None:
            self.bad += 1
            found = object_at(mended(data))
        if name == b"error":
            self.error = in_band(data)
            return ERROR
        if found is None:
            return BAD
        kind = str(found.get("type") or name.decode("latin-1"))
        response = found.get("response")
        if kind in _TERMINAL:
            fields = response if isinstance(response, dict) else {}
            self._done = True
            self.finish_reason = str(fields.get("status") or kind)
            self._report = _encode(fields.get("usage"))
            if _TERMINAL[kind] & ERROR:
                self.error = in_band(data, fault_in(fields.get("error")))
            return _TERMINAL[kind]
        if kind == "error":
            self.error = in_band(data)
            return ERROR
        return CONTENT if found.get("delta") or found.get("text") else 0

    def oversized(self, head: bytes, tail: bytes) -> int:
        match = _TYPE.search(head)
        kind = match[1].decode("ascii") if match else ""
        if kind not in _TERMINAL:
            return CONTENT
        self._done = True
        self.finish_reason = kind.partition(".")[2]
        usage = last_object(tail, "usage")
        if usage is not None:
            self._report = usage
        if _TERMINAL[kind] & ERROR:
            self.error = in_band(b"")
        return _TERMINAL[kind]

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
            found = _Response(usage=Raw(_encode(fields.get("usage"))))
        # One that failed in the background is asked for by its id: then the failure is the answer.
        if found.error and not (found.kind == "response" and found.background):
            self.error = in_band(raw, fault_in(found.error))
            return ERROR
        self._done = True
        why = found.incomplete_details
        self.finish_reason = (why and why.reason) or found.status
        self._report = found.usage
        return CONTENT | FINISH


def render_stream_error(code: str, message: str, request_id: str, sequence: int) -> bytes:
    """The event that ends a broken stream: as documented, with the `error` that client libraries look for."""
    fields = {"type": "upstream_error", "code": code, "message": message, "param": None}
    event = {**fields, "type": "error", "sequence_number": sequence, "error": fields}
    return b"event: error\ndata: %b\n\n" % _encode(event)
