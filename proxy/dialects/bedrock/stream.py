"""A streamed answer of Converse, read.

Only calls, images and the provider's own tools announce themselves (`contentBlockStart`); a text or a thought begins
with its first delta. `messageStop` says why it ended, `metadata` after it what it cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec import UNSET, Struct, UnsetType

from proxy.dialects import ir
from proxy.dialects import usage as reports
from proxy.dialects.arguments import FreeText
from proxy.dialects.bedrock import reading
from proxy.dialects.bedrock.words import CLAUDE, FAMILY, NAME, mime
from proxy.dialects.errors import fault_of, status_of
from proxy.dialects.ir import Json
from proxy.dialects.joined import joined
from proxy.dialects.lenient import mended, object_at

_encode = msgspec.json.Encoder().encode


class _Input(Struct, gc=False):
    input: str


class _Delta(Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    text: str | UnsetType = UNSET
    tool_use: _Input | UnsetType = UNSET


class _Event(Struct, rename="camel", gc=False):
    delta: _Delta
    content_block_index: int = 0


_decode = msgspec.json.Decoder(_Event).decode


class _Open(Struct):
    """A block that has begun and not ended."""

    index: int
    kind: str
    """`text`, `reasoning`, `redacted`, `toolUse`, `answer` (a call that is the answer), `image`, or `own`: what only
    Bedrock knows."""
    signature: str = ""
    sealed: str = ""
    """Thoughts so far: each piece is base64 of its own."""
    name: str = ""
    """Bedrock's word for what is `own`."""
    value: Json = {}
    free: FreeText | None = None
    """Of a call whose input holds free text."""
    said: bool = False
    """Something of an answer has been said."""


class ConverseDecoder:
    """Reads one stream."""

    __slots__ = (
        "_called", "_ended", "_finished", "_next", "_open", "_request", "_settled", "_started",
        "_text_at", "_text_index", "_tools",
    )  # fmt: skip

    def __init__(self, request: ir.Request) -> None:
        self._request = request
        self._tools = reading.Tools(request)
        self._open: dict[int, _Open] = {}
        self._next = 0
        self._started = False
        self._finished = False
        """The choice has ended."""
        self._settled = False
        """The report that comes last has come."""
        self._ended = False
        self._called = False
        self._text_at = -1
        """Bedrock's number of the text block that is open, and our own."""
        self._text_index = 0

    def feed(self, name: bytes, data: bytes) -> list[ir.Event]:
        """What one event says."""
        if self._ended:
            return []
        if name == b"contentBlockDelta":
            try:
                found = _decode(data)
            except (ValueError, RecursionError):
                return self._rare(data)
            delta = found.delta
            text = delta.text
            if text and found.content_block_index == self._text_at:
                return [ir.TextDelta(self._text_index, text)]
            if delta.tool_use is not UNSET:
                more = delta.tool_use.input
                return self._arguments(found.content_block_index, more)
            return self._text(found.content_block_index, text) if text else []
        if name == b"error" or name.endswith(b"Exception"):
            return self._fail(data)
        read = _EVENTS.get(name)
        fields = None if read is None else _object(data)
        return [] if read is None or fields is None else read(self, fields)

    def end(self) -> list[ir.Event]:
        """What the end of the stream says."""
        if self._ended or not (self._finished or self._settled):
            return []
        found: list[ir.Event] = []
        if not self._finished:
            found += self._finish("tool_use" if self._called else "end_turn", "")
        self._ended = True
        return [*found, ir.ResponseEnd()]

    # --- events ---

    def _start(self) -> list[ir.Event]:
        if self._started:
            return []
        self._started = True
        return [ir.ResponseStart(model=self._request.model, origin=NAME)]

    def _message_start(self, fields: Json) -> list[ir.Event]:
        return self._start()

    def _block_start(self, fields: Json) -> list[ir.Event]:
        at = _number(fields)
        start = reading.obj(fields.get("start"))
        call = reading.obj(start.get("toolUse"))
        if call and call.get("type") != "server_tool_use":
            return self._call(at, call)
        if isinstance(start.get("image"), dict):
            format = reading.text(start["image"].get("format"))
            made = ir.Media(kind="image", mime=mime("image", format))
            return self._begin(at, "image", made)[1]
        for kind in ("toolUse", "toolResult"):
            if isinstance(start.get(kind), dict):
                events = self._stop(at)
                self._open[at] = _Open(-1, "own", name=kind, value=dict(start[kind]))
                return [*self._start(), *events]
        return self._start()

    def _call(self, at: int, fields: Json) -> list[ir.Event]:
        if self._tools.is_answer(fields):
            return self._begin(at, "answer", ir.Text())[1]
        block = reading.call(fields, self._tools)
        held, events = self._begin(at, "toolUse", block)
        held.free = FreeText() if block.custom else None
        return events

    def _rare(self, data: bytes) -> list[ir.Event]:
        """A delta that is neither text nor arguments, or that is odd."""
        fields = _object(data)
        if fields is None:
            return []
        at = _number(fields)
        delta = reading.obj(fields.get("delta"))
        found: list[ir.Event] = []
        if text := reading.text(delta.get("text")):
            found += self._text(at, text)
        if more := reading.text(reading.obj(delta.get("toolUse")).get("input")):
            found += self._arguments(at, more)
        found += self._reasoning(at, reading.obj(delta.get("reasoningContent")))
        if isinstance(delta.get("citation"), dict):
            held, events = self._at(at, "text")
            found += [*events, ir.CitationDelta(held.index, reading.citation(delta["citation"]))]
        image = reading.obj(reading.obj(delta.get("image")).get("source"))
        if piece := reading.text(image.get("bytes")):
            held, events = self._at(at, "image")
            found += [*events, ir.DataDelta(held.index, piece)]
        if parts := reading.array(delta.get("toolResult")):
            own = self._open.get(at)
            if own is not None and own.kind == "own":
                own.value["content"] = [*reading.array(own.value.get("content")), *parts]
        return found

    def _text(self, at: int, text: str) -> list[ir.Event]:
        held, events = self._at(at, "text")
        return [*events, ir.TextDelta(held.index, text)]

    def _arguments(self, at: int, more: str) -> list[ir.Event]:
        own = self._open.get(at)
        if own is not None and own.kind == "own":
            own.value["input"] = reading.text(own.value.get("input")) + more
            return []
        if own is None or own.kind not in ("toolUse", "answer") or not more:
            return []  # of a call that nobody has named
        if own.kind == "answer":
            own.said = True
            return [ir.TextDelta(own.index, more)]
        said = more if own.free is None else own.free.feed(more)
        return [ir.ArgumentsDelta(own.index, said)] if said else []

    def _reasoning(self, at: int, delta: Json) -> list[ir.Event]:
        found: list[ir.Event] = []
        if text := reading.text(delta.get("text")):
            held, events = self._at(at, "reasoning")
            found += [*events, ir.ReasoningDelta(held.index, text)]
        if more := reading.text(delta.get("signature")):
            held, events = self._at(at, "reasoning")
            held.signature += more
            found += [*events, ir.SignatureDelta(held.index, held.signature, CLAUDE)]
        if sealed := reading.text(delta.get("redactedContent")):
            held, events = self._at(at, "redacted")
            held.sealed = joined((held.sealed, sealed))
            signature, origin = reading.opened(held.sealed)
            found += [*events, ir.SignatureDelta(held.index, signature, origin)]
        return found

    def _block_stop(self, fields: Json) -> list[ir.Event]:
        return [*self._start(), *self._stop(_number(fields))]

    def _message_stop(self, fields: Json) -> list[ir.Event]:
        if self._finished:
            return []
        more = reading.stop_sequence(fields.get("additionalModelResponseFields"))
        return self._finish(reading.text(fields.get("stopReason")), more)

    def _metadata(self, fields: Json) -> list[ir.Event]:
        found = self._start()
        usage = reports.bedrock(_encode(fields.get("usage")))
        if usage is not None:
            found.append(ir.UsageReport(usage))
        self._settled = True
        if self._finished:
            self._ended = True
            found.append(ir.ResponseEnd())
        return found

    def _fail(self, data: bytes) -> list[ir.Event]:
        self._ended = True
        fields = object_at(data) or {}
        code = reading.text(fields.get("type"))
        message = reading.text(fields.get("message")) or reading.text(fields.get("originalMessage"))
        return [ir.StreamError(status_of(fault_of(data)), message or code, code)]

    # --- blocks ---

    def _at(self, at: int, kind: str) -> tuple[_Open, list[ir.Event]]:
        """The open block of this number and kind, and what it takes to have one."""
        held = self._open.get(at)
        if held is not None and held.kind == kind:
            return held, []
        return self._begin(at, kind, _FRESH[kind]())

    def _begin(self, at: int, kind: str, block: ir.Block) -> tuple[_Open, list[ir.Event]]:
        events = [*self._start(), *self._stop(at)]
        held = self._open[at] = _Open(self._next, kind)
        self._next += 1
        if kind == "text":
            self._text_at, self._text_index = at, held.index
        self._called = self._called or kind == "toolUse"
        return held, [*events, ir.BlockStart(held.index, block)]

    def _stop(self, at: int) -> list[ir.Event]:
        held = self._open.pop(at, None)
        if held is None:
            return []
        if at == self._text_at:
            self._text_at = -1
        if held.kind != "own":
            return [*_rest(held), ir.BlockEnd(held.index)]
        index = self._next
        self._next += 1
        made = ir.Opaque(origin=FAMILY, kind=held.name, value=held.value)
        return [ir.BlockStart(index, made), ir.BlockEnd(index)]

    def _finish(self, reason: str, stop_sequence: str) -> list[ir.Event]:
        found = self._start()
        for at in list(self._open):
            found += self._stop(at)
        self._finished = True
        if self._tools.answers and reason == "tool_use" and not self._called:
            reason = ""
        end = ir.ChoiceEnd(reading.finish(reason), stop_sequence=stop_sequence, reason=reason)
        return [*found, end]


_EVENTS = {
    b"messageStart": ConverseDecoder._message_start,
    b"contentBlockStart": ConverseDecoder._block_start,
    b"contentBlockStop": ConverseDecoder._block_stop,
    b"messageStop": ConverseDecoder._message_stop,
    b"metadata": ConverseDecoder._metadata,
}

_FRESH: Mapping[str, Callable[[], ir.Block]] = {
    "text": ir.Text,
    "reasoning": ir.Reasoning,
    "redacted": lambda: ir.Reasoning(redacted=True),
    "image": lambda: ir.Media(kind="image"),
}


def _rest(held: _Open) -> list[ir.Event]:
    """What has not been said of a call, now that it is complete."""
    if held.kind == "answer":
        return [] if held.said else [ir.TextDelta(held.index, "{}")]
    said = held.free.end() if held.free is not None else ""
    return [ir.ArgumentsDelta(held.index, said)] if said else []


def _object(data: bytes) -> Json | None:
    found = object_at(data)
    return object_at(mended(data)) if found is None else found


def _number(fields: Json) -> int:
    at = fields.get("contentBlockIndex")
    return at if isinstance(at, int) and not isinstance(at, bool) else 0
