"""The small OpenAI endpoints: completions, embeddings, images, audio, moderations, rerank.

Their bodies pass as they are; a tap only looks for an error inside a 200 and for what is to be counted. What is no
JSON (speech, a transcript as text) is no body for a tap: the caller tells by the content type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from math import ceil

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from proxy.core.errors import Cause, UpstreamError
from proxy.dialects import usage as reports
from proxy.dialects.base import BAD, CONTENT, ERROR, FINISH, Dialect, Usage
from proxy.dialects.choices import NULL, ChoicesTap
from proxy.dialects.errors import fault_in, in_band, parse_error
from proxy.dialects.lenient import is_idle, last_object, mended, object_at
from proxy.dialects.render import openai_stream_error, render_error

_encode = msgspec.json.Encoder().encode


class _Choice(Struct, gc=False):
    index: int = 0
    text: str | None = None
    finish_reason: str | None = None


class _Chunk(Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Raw = NULL
    error: object = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class CompletionsTap(ChoicesTap):
    """Watches a text completion."""

    __slots__ = ()

    shown = ("text",)

    def event(self, name: bytes, data: bytes) -> int:
        try:
            chunk = _decode_chunk(data)
        except (ValueError, RecursionError):
            return self.odd(name, data)
        if chunk.error or name == b"error":
            return self.fail(data)
        if not chunk.choices:
            return self.without_choices(data, chunk.usage, is_empty=chunk.choices is not None)
        flags = 0
        for choice in chunk.choices:
            if choice.text:
                flags = CONTENT
            if choice.index not in self._seen:
                self.meet(choice.index)
            if choice.finish_reason:
                flags |= self.end(choice.index, choice.finish_reason, data)
        if chunk.usage != NULL:
            self._report = chunk.usage
        return flags


class _Nothing(Struct, gc=False):
    """An object nobody looks into."""


class _Event(Struct, gc=False):
    type: str = ""
    delta: str | None = None
    audio: Raw = NULL
    text: str | None = None
    usage: Raw = NULL
    error: object = None


class _Billed(Struct, gc=False):
    search_units: float = 0


class _Meta(Struct, gc=False):
    tokens: Raw = NULL
    billed_units: Raw = NULL


class _Body(Struct, gc=False):
    usage: Raw = NULL
    meta: _Meta | None = None
    error: object = None
    duration: float | None = None


class _Pictures(Struct, gc=False):
    data: list[_Nothing] | None = None


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_body = msgspec.json.Decoder(_Body).decode
_decode_billed = msgspec.json.Decoder(_Billed).decode
_decode_pictures = msgspec.json.Decoder(_Pictures).decode

_TYPE = re.compile(rb'(?:\Aevent: ?|"type"\s*:\s*")([a-z_.]+)')
_LAST = (".completed", ".done")
_MOST_SEARCHES = 1000
"""Of one request: 100,000 documents."""


class PlainTap:
    """Watches any of the others, whose streams are typed events ended by one that is done or completed."""

    __slots__ = (
        "_done",
        "_images",
        "_report",
        "_searches",
        "_seconds",
        "bad",
        "error",
        "finish_reason",
    )

    sequence = 0
    closing = b""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.error: UpstreamError | None = None
        self.bad = 0
        self._report: Raw | bytes = NULL
        self._images = 0
        self._seconds = 0.0
        self._searches = 0
        self._done = False

    @property
    def usage(self) -> Usage | None:
        usage = reports.openai(self._report, self._images)
        if self._searches:
            return replace(usage or Usage(), searches=self._searches)
        return reports.heard(self._seconds) if usage is None else usage

    def complete(self) -> bool:
        return self._done

    def event(self, name: bytes, data: bytes) -> int:
        try:
            found = _decode_event(data)
        except (ValueError, RecursionError):
            return self._odd(name, data)
        kind = found.type or name.decode("latin-1")
        if kind == "error" or found.error:
            self.error = in_band(data)
            return ERROR
        if found.usage != NULL:
            self._told(kind, found.usage)
        shows = found.delta or found.text or found.audio != NULL
        flags = CONTENT if shows or kind.startswith("image_") else 0
        return flags | self._ends(kind)

    def _told(self, kind: str, usage: Raw | bytes) -> None:
        """Each picture has a report of its own; of anything else the last is the right one."""
        is_further = self._images and kind.startswith("image_")
        self._report = reports.added(self._report, usage) if is_further else usage

    def _ends(self, kind: str) -> int:
        if not kind.endswith(_LAST):
            return 0
        self._done = True
        self._images += kind.startswith("image_")
        return FINISH

    def _odd(self, name: bytes, data: bytes) -> int:
        if data.strip() == b"[DONE]":
            self._done = True
            return FINISH
        if is_idle(data):
            return 0
        found = object_at(data)
        if found is None:
            self.bad += 1
            found = object_at(mended(data))
        if name == b"error" or (found is not None and found.get("error")):
            self.error = in_band(data)
            return ERROR
        return BAD if found is None else 0

    def oversized(self, head: bytes, tail: bytes) -> int:
        match = _TYPE.search(head)
        kind = match[1].decode("ascii") if match else ""
        usage = last_object(tail, "usage")
        if usage is not None:
            self._told(kind, usage)
        return CONTENT | self._ends(kind)

    def body(self, raw: bytes) -> int:
        try:
            found = _decode_body(raw)
        except (ValueError, RecursionError):
            return self._odd_body(raw)
        if found.error:
            self.error = in_band(raw)
            return ERROR
        self._done = True
        self._report = found.usage
        if found.meta is not None:
            self._billed(found.meta)
        self._seconds = found.duration or 0.0  # of a recording, said beside its text
        return CONTENT | FINISH

    def _billed(self, meta: _Meta) -> None:
        """Cohere keeps what it counts elsewhere: tokens, or what it charges for."""
        if self._report == NULL:
            self._report = meta.tokens if meta.tokens != NULL else meta.billed_units
        try:
            units = _decode_billed(meta.billed_units).search_units
        except ValueError:
            return
        if 0 < units <= _MOST_SEARCHES:
            self._searches = ceil(units)

    def _odd_body(self, raw: bytes) -> int:
        found = object_at(raw)
        if found is None:
            self.bad += 1
            return BAD
        if found.get("error"):
            self.error = in_band(raw, fault_in(found))
            return ERROR
        self._done = True
        self._report = _encode(found.get("usage"))
        return CONTENT | FINISH


class ImagesTap(PlainTap):
    """Watches images being made; they are counted too."""

    __slots__ = ()

    def body(self, raw: bytes) -> int:
        flags = super().body(raw)
        if flags & FINISH:
            try:
                self._images = len(_decode_pictures(raw).data or ())
            except ValueError:
                self._images = 0
        return flags


class RerankTap(PlainTap):
    """Watches a ranking. One server, asked in its own way, answers with a bare list."""

    __slots__ = ()

    def body(self, raw: bytes) -> int:
        if raw.lstrip().startswith(b"["):
            try:
                msgspec.json.decode(raw, type=list[_Nothing])
            except ValueError:
                self.bad += 1
                return BAD
            self._done = True
            return CONTENT | FINISH
        return super().body(raw)


def _tools_error(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> UpstreamError:
    """Of a server of tools: 403 is about what was asked. One that does not take the credential says 401 (MCP, Authorization)."""
    error = parse_error(status, headers, body)
    if status == 403 and error.cause is Cause.AUTH:
        error.cause = Cause.CLIENT
    return error


def _dialect(
    name: str,
    tap: type[CompletionsTap | PlainTap],
    family: str = "openai",
    parse_error: Callable[..., UpstreamError] = parse_error,
) -> Dialect:
    return Dialect(
        name=name,
        family=family,
        tap=tap,
        parse_error=parse_error,
        render_error=partial(render_error, family),
        render_stream_error=openai_stream_error,
        last=tap is CompletionsTap,
    )


ALL = (
    _dialect("openai.completions", CompletionsTap),
    _dialect("openai.embeddings", PlainTap),
    _dialect("openai.images", ImagesTap),
    _dialect("openai.audio", PlainTap),
    _dialect("openai.moderations", PlainTap),
    _dialect("openai.rerank", RerankTap),
    # These two are not looked into.
    _dialect("openai.other", PlainTap),
    _dialect("mcp.http", PlainTap, "mcp", _tools_error),
)
