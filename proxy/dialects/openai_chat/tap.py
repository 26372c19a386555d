"""`/v1/chat/completions`: chunks of deltas, ended by `[DONE]`."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from proxy.dialects.base import CONTENT
from proxy.dialects.choices import NULL, ChoicesTap


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None
    input: str | None = None


class _ToolCall(Struct, gc=False):
    function: _Function | None = None
    custom: _Function | None = None


class _Delta(Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_ToolCall] | None = None
    refusal: str | None = None
    function_call: _Function | None = None
    audio: Raw = NULL
    images: Raw = NULL


class _Choice(Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None
    usage: Raw = NULL
    """Moonshot's place for it."""


class _Chunk(Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Raw = NULL
    error: object = None


_decode = msgspec.json.Decoder(_Chunk).decode


class ChatTap(ChoicesTap):
    """Watches a chat completion."""

    __slots__ = ()

    shown = (
        "content",
        "reasoning_content",
        "reasoning",
        "tool_calls",
        "refusal",
        "function_call",
        "audio",
        "images",
    )

    def event(self, name: bytes, data: bytes) -> int:
        try:
            chunk = _decode(data)
        except (ValueError, RecursionError):
            return self.odd(name, data)
        if chunk.error or name == b"error":
            return self.fail(data)
        if not chunk.choices:
            return self.without_choices(data, chunk.usage, is_empty=chunk.choices is not None)
        flags = 0
        for choice in chunk.choices:
            delta = choice.delta
            if delta is not None and (delta.content or _shows(delta)):
                flags = CONTENT
            if choice.index not in self._seen:
                self.meet(choice.index)
            if choice.finish_reason:
                flags |= self.end(choice.index, choice.finish_reason, data)
            if choice.usage != NULL:
                self._report = choice.usage
        if chunk.usage != NULL:
            self._report = chunk.usage
        return flags


def _shows(delta: _Delta) -> bool:
    """Whether a delta without text holds anything else for a client to show."""
    if delta.reasoning_content or delta.reasoning or delta.refusal:
        return True
    if delta.tool_calls:
        return any(_names(call.function) or _names(call.custom) for call in delta.tool_calls)
    return _names(delta.function_call) or delta.audio != NULL or delta.images != NULL


def _names(function: _Function | None) -> bool:
    return function is not None and bool(function.name or function.arguments or function.input)
