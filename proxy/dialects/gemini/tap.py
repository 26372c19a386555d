"""`:generateContent` and `:streamGenerateContent`: every chunk is a whole response with a part of the answer.

Without `alt=sse` a stream is one JSON array that grows; only as a whole is it a body for this tap. Bodies of
`:countTokens` and `:embedContent` pass through the same tap.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from proxy.core.errors import UpstreamError
from proxy.dialects import usage as reports
from proxy.dialects.base import BAD, CONTENT, ERROR, FINISH, Usage
from proxy.dialects.errors import in_band
from proxy.dialects.lenient import is_idle, last_object, last_word, mended, object_at
from proxy.dialects.several import Several

_NULL = Raw(b"null")
_encode = msgspec.json.Encoder().encode
_MAX_CANDIDATES = 256


class _Part(Struct, gc=False, rename="camel"):
    text: str | None = None
    function_call: Raw = _NULL
    inline_data: Raw = _NULL
    file_data: Raw = _NULL
    executable_code: Raw = _NULL
    code_execution_result: Raw = _NULL


class _Content(Struct, gc=False):
    parts: list[_Part] | None = None


class _Candidate(Struct, gc=False, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None
    index: int = 0


class _Feedback(Struct, gc=False, rename="camel"):
    block_reason: str | None = None


class _Chunk(Struct, gc=False, rename="camel"):
    candidates: list[_Candidate] | None = None
    usage_metadata: Raw = _NULL
    prompt_feedback: _Feedback | None = None
    error: object = None


_decode = msgspec.json.Decoder(_Chunk).decode
_decode_array = msgspec.json.Decoder(list[Raw]).decode

_ENVELOPE = frozenset({"candidates", "createTime", "modelVersion", "responseId", "usageMetadata"})
"""An object with nothing else in it and no candidate is an answer that is missing."""
_NO_REASON = (None, "", "FINISH_REASON_UNSPECIFIED")


class GenerateTap(Several):
    """Watches generated content."""

    __slots__ = ("_report", "bad", "error", "finish_reason")

    sequence = 0
    closing = b""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.error: UpstreamError | None = None
        self.bad = 0
        self._report: Raw | bytes = _NULL
        self._done = False
        self._seen = set()
        self._ended = set()
        self.awaited = 1

    @property
    def usage(self) -> Usage | None:
        return reports.gemini(self._report)

    def event(self, name: bytes, data: bytes) -> int:
        try:
            chunk = _decode(data)
        except (ValueError, RecursionError):
            return self._odd(name, data)
        if chunk.error:
            self.error = in_band(data)
            return ERROR
        self._count(chunk.usage_metadata)
        flags = 0
        if chunk.prompt_feedback is not None and chunk.prompt_feedback.block_reason:
            self.finish_reason = chunk.prompt_feedback.block_reason
            self._done = True
            flags = CONTENT | FINISH
        for candidate in chunk.candidates or ():
            content = candidate.content
            if content is not None and content.parts and any(map(_shows, content.parts)):
                flags |= CONTENT
            self._candidate(candidate.index, candidate.finish_reason)
        if chunk.candidates and self.complete():
            flags |= FINISH
        return flags

    def _candidate(self, index: int, reason: str | None) -> None:
        if len(self._seen) < _MAX_CANDIDATES:
            self._seen.add(index)
        if reason not in _NO_REASON:
            self._ended.add(index)
            self.finish_reason = reason

    def _count(self, report: Raw) -> None:
        # Vertex sends reports that name only the kind of traffic; they count nothing.
        if report != _NULL and b"okenCount" in bytes(report):
            self._report = report

    def _odd(self, name: bytes, data: bytes) -> int:
        """A chunk of odd types, or no chunk at all."""
        if is_idle(data) or data.strip() == b"[DONE]":  # OpenAI's end; some send it here too
            return 0
        found = object_at(data)
        if found is None:
            self.bad += 1
            found = object_at(mended(data))
        if name == b"error" or (found is not None and found.get("error")):
            self.error = in_band(data)
            return ERROR
        if found is None:
            return BAD
        self._count(Raw(_encode(found.get("usageMetadata"))))
        flags = 0
        candidates = found.get("candidates")
        for candidate in candidates if isinstance(candidates, list) else ():
            if isinstance(candidate, dict):
                flags |= self._odd_candidate(candidate)
        return flags | (FINISH if flags and self.complete() else 0)

    def _odd_candidate(self, candidate: dict[str, object]) -> int:
        index, reason = candidate.get("index"), candidate.get("finishReason")
        self._candidate(
            index if isinstance(index, int) else 0, reason if isinstance(reason, str) else None
        )
        content = candidate.get("content")
        return CONTENT if isinstance(content, dict) and content.get("parts") else 0

    def oversized(self, head: bytes, tail: bytes) -> int:
        self._candidate(0, last_word(tail, "finishReason"))
        report = last_object(tail, "usageMetadata")
        if report is not None:
            self._count(Raw(report))
        return CONTENT | (FINISH if self.complete() else 0)

    def body(self, raw: bytes) -> int:
        if raw.lstrip().startswith(b"["):
            return self._array(raw)
        flags = self.event(b"", raw)
        if flags & (ERROR | BAD):
            return flags & (ERROR | BAD)
        if not self._seen and not self._done and self._is_empty(raw):
            return BAD
        self._done = True
        return CONTENT | FINISH

    def _is_empty(self, raw: bytes) -> bool:
        found = object_at(raw)
        return found is not None and found.keys() <= _ENVELOPE

    def _array(self, raw: bytes) -> int:
        """A stream without `alt=sse`, complete: the flags of all its chunks."""
        try:
            chunks = _decode_array(raw)
        except (ValueError, RecursionError):
            self.bad += 1
            return BAD
        flags = 0
        for chunk in chunks:
            flags |= self.event(b"", bytes(chunk))
            if flags & (ERROR | BAD):
                return flags & (ERROR | BAD)
        return flags if chunks else BAD


def _shows(part: _Part) -> bool:
    return (
        bool(part.text)
        or part.function_call != _NULL
        or part.inline_data != _NULL
        or part.file_data != _NULL
        or part.executable_code != _NULL
        or part.code_execution_result != _NULL
    )


def render_stream_error(code: str, message: str, request_id: str, sequence: int) -> bytes:
    """The event that ends a broken stream."""
    number, status = _STATUSES.get(code, (503, "UNAVAILABLE"))
    error = {"code": number, "message": message, "status": status}
    return b"data: %b\n\n" % _encode({"error": error})


_STATUSES = {
    "stream_limit": (504, "DEADLINE_EXCEEDED"),
    "upstream_idle_timeout": (504, "DEADLINE_EXCEEDED"),
    "upstream_timeout": (504, "DEADLINE_EXCEEDED"),
}
