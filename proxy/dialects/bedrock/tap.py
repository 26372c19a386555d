"""`/model/ID/converse`: a message, and its events in an event stream, ended by `messageStop` and `metadata`."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from proxy.core.errors import UpstreamError
from proxy.dialects import usage as reports
from proxy.dialects.base import BAD, CONTENT, ERROR, FINISH, Usage
from proxy.dialects.errors import in_band
from proxy.dialects.lenient import is_idle, mended, object_at

_NULL = Raw(b"null")
_encode = msgspec.json.Encoder().encode


class _Text(Struct, forbid_unknown_fields=True, gc=False):
    text: str


class _TextDelta(Struct, gc=False):
    """What nearly every event is."""

    delta: _Text


class _Delta(Struct, gc=False):
    delta: dict[str, Raw]


class _Body(Struct, rename="camel", gc=False):
    output: Raw = _NULL
    input_tokens: Raw = _NULL
    """All there is in a count of tokens."""
    stop_reason: str | None = None
    usage: Raw = _NULL


_decode_text = msgspec.json.Decoder(_TextDelta).decode
_decode_delta = msgspec.json.Decoder(_Delta).decode
_decode_body = msgspec.json.Decoder(_Body).decode
_EMPTY = (b'""', b"null", b"{}", b"[]", b'{"text":""}', b'{"input":""}')


class ConverseTap:
    """Watches a conversation's answer."""

    __slots__ = ("_report", "_settled", "_stopped", "bad", "error", "finish_reason")

    sequence = 0
    closing = b""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.error: UpstreamError | None = None
        self.bad = 0
        self._report: Raw | bytes = _NULL
        self._settled = False
        self._stopped = False

    @property
    def usage(self) -> Usage | None:
        return reports.bedrock(self._report)

    def complete(self) -> bool:
        return self._stopped

    def event(self, name: bytes, data: bytes) -> int:
        if name == b"contentBlockDelta":
            try:
                return CONTENT if _decode_text(data).delta.text else 0
            except (ValueError, RecursionError):
                return self._rare(data)
        if name == b"error" or name.endswith(b"Exception"):
            self.error = in_band(data)
            return ERROR
        if name in (b"messageStop", b"metadata", b"contentBlockStart"):
            return self._lifecycle(name, data)
        return 0 if is_idle(data) or object_at(data) is not None else self._odd(data)

    def _rare(self, data: bytes) -> int:
        """A delta that is more than a text."""
        try:
            shown = _decode_delta(data).delta
        except (ValueError, RecursionError):
            return self._odd(data)
        return CONTENT if any(bytes(part) not in _EMPTY for part in shown.values()) else 0

    def _lifecycle(self, name: bytes, data: bytes) -> int:
        found = object_at(data)
        bad = 0
        if found is None:
            bad = self._odd(data)
            found = object_at(mended(data)) or {}
        if name == b"contentBlockStart":
            return bad | (CONTENT if found.get("start") else 0)
        if name == b"messageStop":
            reason = found.get("stopReason")
            self.finish_reason = reason if isinstance(reason, str) else self.finish_reason
            self._stopped = True
            return FINISH
        if found.get("usage") is not None and not self._settled:
            self._report = _encode(found["usage"])
        # Once the answer is over, the first report is the last.
        self._settled = self._stopped
        return bad

    def _odd(self, data: bytes) -> int:
        """An event of odd types, or no event at all."""
        if is_idle(data):
            return 0
        found = object_at(data)
        if found is None:
            self.bad += 1
            found = object_at(mended(data))
        if found is None:
            return BAD
        return CONTENT if found.get("delta") else 0

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
            reason = fields.get("stopReason")
            found = _Body(
                output=Raw(_encode(fields.get("output"))),
                stop_reason=reason if isinstance(reason, str) else None,
                usage=Raw(_encode(fields.get("usage"))),
            )
        if found.output == _NULL and found.input_tokens == _NULL:
            self.error = in_band(raw)
            return ERROR
        self._stopped = True
        self.finish_reason = found.stop_reason
        self._report = found.usage
        return CONTENT | FINISH
