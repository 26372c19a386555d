"""A provider's stream, read.

Blocks come one after another, each with its start, deltas and stop. Imitators leave out any of these, pings, names of
events and the last one; a whole input may come with the start of its block. What is opaque comes in one piece, when
it has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec import Raw, Struct

from proxy.dialects import identity, ir, json_tool
from proxy.dialects import usage as reports
from proxy.dialects.anthropic import blocks as reading
from proxy.dialects.anthropic.fields import FINISH
from proxy.dialects.anthropic.read import FAMILY, NAME, TOOLS, Wrong, decode, encode
from proxy.dialects.anthropic.response import service_tier, uncounted
from proxy.dialects.arguments import FreeText, free_tools
from proxy.dialects.errors import fault_in, status_of
from proxy.dialects.ir import Json
from proxy.dialects.lenient import is_idle, mended, object_at
from proxy.dialects.names import Names

_NULL = Raw(b"null")
_DELTA = "content_block_delta"


class _Delta(Struct, gc=False):
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None


class _Event(Struct, gc=False):
    type: str
    index: int = -1
    delta: _Delta | None = None


_decode_event = msgspec.json.Decoder(_Event).decode


class _Open:
    """A block that has begun."""

    __slots__ = ("block", "free", "index", "is_json", "json", "pending")

    def __init__(self, index: int, block: ir.Block) -> None:
        self.index = index
        self.block = block
        self.pending = ""
        """The input its start came with: it counts if none follows."""
        self.json = ""
        """The input that followed."""
        self.is_json = False
        """A call whose input is the answer."""
        self.free: FreeText | None = None
        """Of a call whose input holds free text."""

    def more(self, fragment: str) -> list[ir.Event]:
        """What more of its input says."""
        self.json += fragment
        if self.is_json:
            return [ir.TextDelta(self.index, fragment)] if fragment else []
        said = fragment if self.free is None else self.free.feed(fragment)
        return [ir.ArgumentsDelta(self.index, said)] if said else []

    def rest(self) -> list[ir.Event]:
        """What has not been said of it, now that it is complete."""
        events = self.more(self.pending) if self.pending and not self.json else []
        said = self.free.end() if self.free is not None else ""
        return [*events, ir.ArgumentsDelta(self.index, said)] if said else events


class MessagesDecoder:
    """Reads one stream."""

    __slots__ = (
        "_calls",
        "_closed",
        "_emulated",
        "_extras",
        "_finish",
        "_free",
        "_last",
        "_names",
        "_next",
        "_open",
        "_sequence",
        "_started",
        "_usage",
    )

    def __init__(self, request: ir.Request) -> None:
        self._names = Names(TOOLS, request)
        self._free = free_tools(request)
        self._emulated = json_tool.may_answer(request)
        self._open: dict[int, _Open] = {}
        self._next = 0
        self._last = -1
        self._started = False
        self._closed = False
        self._calls = False
        self._finish: str | None = None
        self._sequence = ""
        self._extras: Json = {}
        self._usage: list[Json | None] = [None, None]

    def feed(self, name: bytes, data: bytes) -> list[ir.Event]:
        """What one event says."""
        try:
            found = _decode_event(data)
        except (ValueError, RecursionError):
            return self._odd(name, data)
        if found.type == _DELTA and found.delta is not None:
            opened = self._open.get(found.index)
            if opened is not None:
                delta = found.delta
                if delta.text:
                    if type(opened.block) is ir.Text:
                        return [ir.TextDelta(opened.index, delta.text)]
                elif delta.thinking:
                    if type(opened.block) is ir.Reasoning:
                        return [ir.ReasoningDelta(opened.index, delta.thinking)]
                elif delta.partial_json and type(opened.block) is ir.ToolCall:
                    return opened.more(delta.partial_json)
        return self._odd(name, data)

    def _odd(self, name: bytes, data: bytes) -> list[ir.Event]:
        """Everything but a plain delta."""
        if self._closed or is_idle(data):
            return []
        if data.strip() == b"[DONE]":
            return self._end() if self._started else []
        value = object_at(data) or object_at(mended(data))
        if value is None:
            return []
        kind = value.get("type")
        if not isinstance(kind, str) or not kind:
            kind = name.decode("latin-1")
        if kind == "error" or value.get("error"):
            return self._failed(value)
        read = _EVENTS.get(kind)
        return read(self, value) if read is not None else []

    def end(self) -> list[ir.Event]:
        """The end of the stream: of a whole answer if a reason for it has been given."""
        return self._end() if self._finish is not None and not self._closed else []

    def _failed(self, value: Json) -> list[ir.Event]:
        self._closed = True
        fault = fault_in(value)
        inner = value.get("error")
        message = inner.get("message") if isinstance(inner, dict) else inner
        return [
            ir.StreamError(
                status_of(fault),
                message if isinstance(message, str) else "",
                fault.words[0] if fault.words else "",
            )
        ]

    # --- the message -------------------------------------------------------------------------------------

    def _begin(self, message: Json) -> list[ir.Event]:
        if self._started:
            return []
        self._started = True
        usage = message.get("usage")
        self._usage[0] = usage if isinstance(usage, dict) else None
        known = {"id", "type", "role", "content", "model", "stop_reason", "stop_sequence", "usage"}
        extras = {
            name: value
            for name, value in message.items()
            if name not in known and value is not None
        }
        return [
            ir.ResponseStart(
                id=_word(message, "id"),
                model=_word(message, "model"),
                service_tier=service_tier(self._usage[0] or {}),
                origin=NAME,
                extras={**extras, **uncounted(self._usage[0] or {})},
                usage=self._report(),
            )
        ]

    def _report(self) -> ir.Usage | None:
        start, last = (_NULL if usage is None else encode(usage) for usage in self._usage)
        return reports.anthropic(start, last)

    def _message_start(self, value: Json) -> list[ir.Event]:
        message = value.get("message")
        return self._begin(message if isinstance(message, dict) else {})

    def _message_delta(self, value: Json) -> list[ir.Event]:
        made = self._begin({})
        delta = value.get("delta")
        fields = dict(delta) if isinstance(delta, dict) else {}
        word = fields.pop("stop_reason", None)
        if isinstance(word, str) and word:
            self._finish = word
        sequence = fields.pop("stop_sequence", None)
        if isinstance(sequence, str):
            self._sequence = sequence
        usage = value.get("usage")
        if isinstance(usage, dict):
            self._usage[1] = usage
        beside = {k: v for k, v in value.items() if k not in ("type", "delta", "usage")}
        for name, item in [*fields.items(), *beside.items()]:
            if item is not None:
                self._extras[name] = item
        return made

    def _message_stop(self, value: Json) -> list[ir.Event]:
        return self._begin({}) + self._end()

    def _end(self) -> list[ir.Event]:
        self._closed = True
        made: list[ir.Event] = []
        for at in list(self._open):
            made += self._stop(at)
        word = self._finish or ""
        finish = FINISH.get(word, "stop") if word else "tool_calls" if self._calls else "stop"
        if finish == "tool_calls" and not self._calls and self._emulated:
            finish, word = "stop", ""
        made.append(ir.ChoiceEnd(finish, stop_sequence=self._sequence, reason=word))
        usage = self._report()
        if usage is not None:
            made.append(ir.UsageReport(usage))
        merged = {**(self._usage[0] or {}), **(self._usage[1] or {})}
        made.append(ir.ResponseEnd({**self._extras, **uncounted(merged)}))
        return made

    # --- blocks ------------------------------------------------------------------------------------------

    def _block_start(self, value: Json) -> list[ir.Event]:
        made = self._begin({})
        at = _index(value, self._last + 1)
        made += self._give_way(at)
        block = value.get("content_block")
        try:
            begun = reading.block(_filled(block), "content_block")
        except (Wrong, RecursionError):
            return made
        self._last = at
        opened = self._open[at] = _Open(self._next, begun)
        if isinstance(begun, ir.Opaque):
            return made  # told when it is whole
        self._next += 1
        return made + self._told(opened)

    def _told(self, opened: _Open) -> list[ir.Event]:
        """The start of a block, and what it came with."""
        index, block = opened.index, opened.block
        match block:
            case ir.Text(text=text, citations=citations):
                block.text, block.citations = "", []
                made: list[ir.Event] = [ir.BlockStart(index, block)]
                made += [ir.TextDelta(index, text)] if text else []
                return made + [ir.CitationDelta(index, one) for one in citations]
            case ir.Reasoning(redacted=False, text=text, signature=signature):
                block.text = block.signature = block.origin = ""
                made = [ir.BlockStart(index, block)]
                made += [ir.ReasoningDelta(index, text)] if text else []
                return made + ([ir.SignatureDelta(index, signature, FAMILY)] if signature else [])
            case ir.ToolCall():
                return [self._call(opened, block)]
            case _:
                return [ir.BlockStart(index, block)]

    def _call(self, opened: _Open, block: ir.ToolCall) -> ir.Event:
        opened.pending = block.arguments or "{}"
        block.arguments = ""
        if self._emulated and block.name == json_tool.NAME:
            opened.is_json = True
            opened.block = text = ir.Text()
            return ir.BlockStart(opened.index, text)
        self._calls = True
        block.id = block.id or identity.new_id("call_")
        block.name = self._names.back(block.name)
        if block.name in self._free:
            block.custom, opened.free = True, FreeText()
        return ir.BlockStart(opened.index, block)

    def _give_way(self, at: int) -> list[ir.Event]:
        """End what a new block at `at` puts an end to, where its stop was left out."""
        made: list[ir.Event] = []
        for other, opened in list(self._open.items()):
            unfinished = isinstance(opened.block, ir.ToolCall) and not _is_whole(opened.json)
            if other == at or not unfinished:
                made += self._stop(other)
        return made

    def _block_stop(self, value: Json) -> list[ir.Event]:
        return self._stop(_index(value, self._last))

    def _stop(self, at: int) -> list[ir.Event]:
        opened = self._open.pop(at, None)
        if opened is None:
            return []
        index, block = opened.index, opened.block
        made: list[ir.Event] = []
        if isinstance(block, ir.Opaque):
            if opened.json:
                block.value["input"] = _parsed(opened.json)
            index = self._next
            self._next += 1
            made = [ir.BlockStart(index, block)]
        else:
            made = opened.rest()
        return [*made, ir.BlockEnd(index)]

    def _block_delta(self, value: Json) -> list[ir.Event]:
        delta = value.get("delta")
        if not isinstance(delta, dict):
            return []
        made: list[ir.Event] = []
        at = _index(value, self._last)
        opened = self._open.get(at)
        if opened is None:
            kind = next((kind for name, kind in _BEGUN.items() if delta.get(name)), None)
            if kind is None:
                return []
            made = self._block_start({"index": at, "content_block": {"type": kind}})
            opened = self._open[at]
        return made + _grown(opened, delta)


def _grown(opened: _Open, delta: Json) -> list[ir.Event]:
    """What a delta adds to a block."""
    index = opened.index
    match opened.block:
        case ir.Text() if opened.is_json:
            return opened.more(_word(delta, "partial_json"))
        case ir.Text():
            text = _word(delta, "text")
            made: list[ir.Event] = [ir.TextDelta(index, text)] if text else []
            return made + _cited(index, delta.get("citation"))
        case ir.Reasoning():
            text, signature = _word(delta, "thinking"), _word(delta, "signature")
            made = [ir.ReasoningDelta(index, text)] if text else []
            return made + ([ir.SignatureDelta(index, signature, FAMILY)] if signature else [])
        case ir.ToolCall():
            return opened.more(_word(delta, "partial_json"))
        case ir.Opaque() as block:
            opened.json += _word(delta, "partial_json")
            rest = {k: v for k, v in delta.items() if k not in ("type", "partial_json")}
            for name, more in rest.items():
                old = block.value.get(name)
                both = isinstance(old, str) and isinstance(more, str)
                block.value[name] = old + more if both else more
        case _:
            pass
    return []


def _cited(index: int, value: object) -> list[ir.Event]:
    if not isinstance(value, dict):
        return []
    try:
        return [ir.CitationDelta(index, reading.citation(value, "citation"))]
    except Wrong:
        return []


_BEGUN = {"text": "text", "thinking": "thinking"}
"""Deltas that say what block they belong to, to the block they begin where its start was left out."""
_MISSING: dict[str, Json] = {
    "text": {"text": ""},
    "thinking": {"thinking": ""},
    "tool_use": {"input": {}},
}


def _filled(block: object) -> object:
    """The start of a block with what its kind must have."""
    if not isinstance(block, dict):
        return block
    kind = block.get("type")
    return {**_MISSING.get(kind, {}), **block} if isinstance(kind, str) else block


def _index(value: Json, default: int) -> int:
    index = value.get("index")
    return index if isinstance(index, int) and not isinstance(index, bool) else default


def _word(value: Json, name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""


def _parsed(text: str) -> object:
    try:
        return decode(text)
    except (ValueError, RecursionError):
        return {}


def _is_whole(text: str) -> bool:
    try:
        decode(text)
    except (ValueError, RecursionError):
        return False
    return True


_EVENTS: Mapping[str, Callable[[MessagesDecoder, Json], list[ir.Event]]] = {
    "message_start": MessagesDecoder._message_start,
    "message_delta": MessagesDecoder._message_delta,
    "message_stop": MessagesDecoder._message_stop,
    "content_block_start": MessagesDecoder._block_start,
    _DELTA: MessagesDecoder._block_delta,
    "content_block_stop": MessagesDecoder._block_stop,
    "ping": lambda self, value: [ir.Ping()],
}
"""How each kind of event is read."""
