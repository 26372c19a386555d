"""Streams of choices: what `/v1/chat/completions` and `/v1/completions` have in common.

Everybody imitates these formats and nobody exactly. A tap decodes a chunk into the shape it should have, which costs
a quarter of a microsecond; only when that fails is it decoded again, into whatever it has instead.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from proxy.core.errors import UpstreamError
from proxy.dialects import usage as reports
from proxy.dialects.base import BAD, CONTENT, ERROR, FINISH, USAGE_ONLY, Usage
from proxy.dialects.errors import fault_in, in_band
from proxy.dialects.lenient import is_idle, last_object, last_word, mended, object_at
from proxy.dialects.several import Several

DONE = b"data: [DONE]\n\n"
NULL = Raw(b"null")
_MAX_CHOICES = 1024

_encode = msgspec.json.Encoder().encode


class _Ended(Struct, gc=False):
    finish_reason: str | None = None
    usage: Raw = NULL
    """Moonshot's place for it."""


class _Body(Struct, gc=False):
    choices: list[_Ended] | None = None
    usage: Raw = NULL
    error: object = None


_decode_body = msgspec.json.Decoder(_Body).decode


class ChoicesTap(Several):
    """The part of a tap that is the same for both; `event` is each one's own."""

    __slots__ = ("_report", "bad", "error", "finish_reason")

    sequence = 0
    shown: tuple[str, ...] = ()
    """Keys under which a choice of odd shape may carry content."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.error: UpstreamError | None = None
        self.bad = 0
        self._report: Raw | bytes = NULL
        self._done = False
        self._seen = set()
        self._ended = set()
        self.awaited = 1

    @property
    def usage(self) -> Usage | None:
        return reports.openai(self._report)

    @property
    def closing(self) -> bytes:
        return b"" if self._done else DONE

    def meet(self, index: int) -> None:
        """A choice is seen for the first time."""
        if len(self._seen) < _MAX_CHOICES:
            self._seen.add(index)

    def end(self, index: int, reason: str, data: bytes) -> int:
        """A choice has its finish reason. OpenRouter's `error` is none."""
        self.finish_reason = reason
        if reason == "error":
            self.error = in_band(data)
            return ERROR
        if index in self._seen:
            self._ended.add(index)
        return 0

    def fail(self, data: bytes) -> int:
        """An error event."""
        self.error = in_band(data)
        return ERROR

    def without_choices(self, data: bytes, usage: Raw, *, is_empty: bool) -> int:
        """A chunk whose `choices` are empty or missing: usage, the news of a content filter, or an error unwrapped."""
        if usage != NULL:
            self._report = usage
            return USAGE_ONLY if is_empty else 0
        if not is_empty and _is_bare_error(object_at(data)):
            return self.fail(data)
        return 0

    def odd(self, name: bytes, data: bytes) -> int:
        """An event that is not a chunk as it should be: the end, a chunk of odd types, or nothing we know."""
        if data.strip() == b"[DONE]":
            self._done = True
            return FINISH
        if is_idle(data):
            return 0
        chunk = object_at(data)
        if chunk is None:
            self.bad += 1
            chunk = object_at(mended(data))
        if name == b"error" or (chunk is not None and chunk.get("error")):
            return self.fail(data)
        if chunk is None:
            return BAD
        if chunk.get("usage"):
            self._report = _encode(chunk["usage"])
        flags = 0
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                flags |= self._odd_choice(choice, data)
        return flags

    def _odd_choice(self, choice: dict[str, object], data: bytes) -> int:
        index = choice.get("index")
        index = index if isinstance(index, int) else 0
        self.meet(index)
        reason = choice.get("finish_reason")
        flags = self.end(index, reason, data) if reason and isinstance(reason, str) else 0
        delta = choice.get("delta", choice)
        if isinstance(delta, dict) and any(delta.get(key) for key in self.shown):
            flags |= CONTENT
        return flags

    def oversized(self, head: bytes, tail: bytes) -> int:
        self.meet(0)
        reason = last_word(tail, "finish_reason")
        if reason is not None:
            self.end(0, reason, b"")
        usage = last_object(tail, "usage")
        if usage is not None:
            self._report = usage
        return CONTENT

    def body(self, raw: bytes) -> int:
        try:
            found = _decode_body(raw)
        except (ValueError, RecursionError):
            return self._odd_body(raw)
        if found.error or (found.choices is None and _is_bare_error(object_at(raw))):
            return self.fail(raw)
        if not found.choices:
            return BAD
        self.finish_reason = found.choices[-1].finish_reason
        if self.finish_reason == "error":
            return self.fail(raw)
        self._done = True
        self._report = found.usage if found.usage != NULL else found.choices[-1].usage
        return CONTENT | FINISH

    def _odd_body(self, raw: bytes) -> int:
        """Not of the usual types: an answer all the same if it is an object and holds a choice."""
        found = object_at(raw) or object_at(mended(raw))
        if found is None:
            self.bad += 1
            return BAD
        if found.get("error"):
            self.error = in_band(raw, fault_in(found))
            return ERROR
        if not found.get("choices"):
            return BAD
        self._done = True
        self._report = _encode(found.get("usage"))
        return CONTENT | FINISH


def _is_bare_error(found: dict[str, object] | None) -> bool:
    """Whether an object without choices is an error that nobody put into `error`."""
    if found is None:
        return False
    return found.get("object") == "error" or not found.keys().isdisjoint(_ERROR_KEYS)


_ERROR_KEYS = frozenset({"detail", "errors", "message"})
