"""The Realtime API of OpenAI, of which only the usage is read: events are JSON texts, each `response.done` reports its own.

https://platform.openai.com/docs/api-reference/realtime-server-events/response/done

A session that only writes down what it hears has no responses: each transcript reports its own instead. Those of a
conversation have the price of another model, which nobody has told us, and are no part of what the conversation used.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from msgspec import Struct

from proxy.core.errors import UpstreamError
from proxy.dialects import usage as reports
from proxy.dialects.base import CONTENT, Dialect, Usage
from proxy.dialects.errors import parse_error
from proxy.dialects.render import openai_stream_error, render_error

DONE, HEARD = "response.done", "conversation.item.input_audio_transcription.completed"
_DONE, _HEARD = DONE.encode(), HEARD.encode()


class _Response(Struct, gc=False):
    usage: dict[str, Any] | None = None
    status: str | None = None


class _Event(Struct, gc=False):
    type: str = ""
    response: _Response | None = None
    usage: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(_Event).decode
_encode = msgspec.json.Encoder().encode


class RealtimeTap:
    """Adds up what the responses of one session used, or its transcripts."""

    __slots__ = ("_heard", "_sum", "bad", "error", "finish_reason", "responses")

    sequence = 0
    closing = b""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.error: UpstreamError | None = None
        self.bad = 0
        self.responses = 0
        self._sum: dict[str, Any] = {}
        self._heard: dict[str, Any] = {}

    @property
    def usage(self) -> Usage | None:
        total = self._sum if self.responses else self._heard
        return reports.openai(_encode(total)) if total else None

    def message(self, text: bytes) -> None:
        """A text of the server's."""
        if _DONE not in text and _HEARD not in text:
            return
        try:
            event = _decode(text)
        except (ValueError, RecursionError):
            self.bad += 1
            return
        found = event.response
        if event.type == DONE and found is not None:
            self.responses += 1
            self.finish_reason = found.status
            reports.add(self._sum, found.usage or {})
        elif event.type == HEARD:
            reports.add(self._heard, event.usage or {})

    # What is asked of taps of answers: there is none here.

    def complete(self) -> bool:
        return self.responses > 0

    def event(self, name: bytes, data: bytes) -> int:
        return CONTENT

    def oversized(self, head: bytes, tail: bytes) -> int:
        return CONTENT

    def body(self, raw: bytes) -> int:
        return CONTENT


DIALECT = Dialect(
    name="openai.realtime",
    family="openai",
    tap=RealtimeTap,
    parse_error=parse_error,
    render_error=partial(render_error, "openai"),
    render_stream_error=openai_stream_error,
)
