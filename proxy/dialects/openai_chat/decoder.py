"""A provider's stream of chunks, told block by block.

Nearly every chunk is a piece of text or of thoughts and nothing else: it is decoded into the shape that has, where
any other thing in it is a mistake, and takes the slow way then. A choice ends only with the stream, since usage,
citations and even text have been seen behind its finish reason.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from proxy.dialects import ir
from proxy.dialects.errors import fault_in, status_of
from proxy.dialects.ir import Json
from proxy.dialects.lenient import is_idle, mended, object_at
from proxy.dialects.openai_chat import answer
from proxy.dialects.openai_chat.choice import Choice
from proxy.dialects.openai_chat.fields import NAME

_MOST_CHOICES = 1024


class _Delta(Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: None = None
    reasoning_details: None = None
    tool_calls: None = None
    function_call: None = None
    annotations: None = None
    audio: None = None
    images: None = None
    extra_content: None = None


class _Choice(Struct, gc=False):
    delta: _Delta
    index: int = 0
    finish_reason: None = None
    logprobs: None = None
    usage: None = None


class _Chunk(Struct, gc=False):
    choices: tuple[_Choice]
    usage: None = None
    x_groq: None = None
    error: None = None


_decode = msgspec.json.Decoder(_Chunk).decode


class ChatDecoder:
    """Reads one stream."""

    __slots__ = ("_choices", "_done", "_next", "_request", "_started", "_usage")

    def __init__(self, request: ir.Request) -> None:
        self._request = request
        self._choices: dict[int, Choice] = {}
        self._next = 0
        self._started = False
        self._done = False
        self._usage: ir.Usage | None = None

    def feed(self, name: bytes, data: bytes) -> list[ir.Event]:
        """What one chunk says."""
        try:
            chunk = _decode(data)
        except (ValueError, RecursionError):
            return self._odd(name, data)
        found = chunk.choices[0]
        choice = self._choices.get(found.index)
        delta = found.delta
        if choice is not None and not self._done and name != b"error":
            text = delta.content
            if text:
                if choice.text >= 0 and not delta.reasoning_content and not delta.reasoning:
                    return [ir.TextDelta(choice.text, text)]
            elif choice.thought >= 0:
                text = delta.reasoning_content or delta.reasoning
                if text:
                    return [ir.ReasoningDelta(choice.thought, text)]
        return self._odd(name, data)

    def end(self) -> list[ir.Event]:
        """The stream is over: complete only if every choice has its finish reason."""
        finished = bool(self._choices) and all(choice.reason for choice in self._choices.values())
        return self._close() if finished and not self._done else []

    def index(self) -> int:
        """Of the next block."""
        self._next += 1
        return self._next - 1

    def _odd(self, name: bytes, data: bytes) -> list[ir.Event]:
        """Anything that is not a plain piece of text."""
        if self._done or is_idle(data):
            return []
        if data.strip() == b"[DONE]":
            return self._close()
        chunk = object_at(data) or object_at(mended(data))
        if chunk is None:
            return self._fail({}) if name == b"error" else []
        if name == b"error" or _is_error(chunk):
            return self._fail(chunk)
        return self._chunk(chunk)

    def _chunk(self, chunk: Json) -> list[ir.Event]:
        events: list[ir.Event] = []
        choices = answer.objects(chunk.get("choices"))
        self._usage = answer.usage_of(chunk) or self._usage
        if not self._started and (choices or chunk.get("id")):
            events.append(self._start(chunk))
        cited = answer.sources(chunk)
        for found in choices:
            number = answer.number(found.get("index")) or 0
            choice = self._choices.get(number)
            if choice is None:
                if len(self._choices) >= _MOST_CHOICES:
                    continue
                choice = self._choices[number] = Choice(number, self.index, self._request)
            choice.sources = cited or choice.sources
            choice.take(found, events)
        return events

    def _start(self, chunk: Json) -> ir.ResponseStart:
        self._started = True
        return ir.ResponseStart(
            id=answer.string(chunk.get("id")),
            model=answer.string(chunk.get("model")),
            created=max(answer.number(chunk.get("created")) or 0, 0),
            service_tier=answer.string(chunk.get("service_tier")),
            origin=NAME,
            extras=answer.head_extras(chunk),
        )

    def _close(self) -> list[ir.Event]:
        self._done = True
        events: list[ir.Event] = []
        if not self._started:
            return events
        if not self._choices:
            self._choices[0] = Choice(0, self.index, self._request)
        ends = [self._choices[number].end(events) for number in sorted(self._choices)]
        events += ends
        if self._usage is not None:
            events.append(ir.UsageReport(self._usage))
        events.append(ir.ResponseEnd())
        return events

    def _fail(self, chunk: Json) -> list[ir.Event]:
        self._done = True
        fault = fault_in(chunk)
        error = chunk.get("error")
        if error is None:
            # OpenRouter may put it beside the finish reason of the choice that failed.
            failed = (choice.get("error") for choice in answer.objects(chunk.get("choices")))
            error = next((found for found in failed if found), None)
            fault = fault_in({"error": error}) if error else fault
        inner = answer.an_object(error)
        message = answer.string(error) or answer.string(inner.get("message"))
        message = message or answer.string(chunk.get("message"))
        code = inner.get("code") or inner.get("type")
        return [
            ir.StreamError(
                status_of(fault),
                message or "The provider reported an error.",
                str(code) if isinstance(code, str | int) else "",
            )
        ]


def _is_error(chunk: Json) -> bool:
    choices = answer.objects(chunk.get("choices"))
    if answer.is_error(chunk) or any(found.get("finish_reason") == "error" for found in choices):
        return True
    bare = not {"detail", "errors", "message"}.isdisjoint(chunk)
    return chunk.get("choices") is None and bare and not chunk.get("usage")
