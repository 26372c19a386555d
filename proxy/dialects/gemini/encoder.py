"""Writes a client's stream: each event a whole response that holds a part of the answer.

Texts and thoughts go out as they come; a call goes out when it is complete, and so are those before it. The end of the candidates waits for the
end of the answer, because the last chunk holds both the reasons and the usage. Google's client throws a conversation
away in which a chunk has no part, so the last one has an empty text.

Without `alt=sse` the stream is one JSON array that grows.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from proxy.dialects import ir
from proxy.dialects.base import Usage
from proxy.dialects.gemini.answer import candidate_end, part_of, write_top
from proxy.dialects.gemini.finish import write_usage
from proxy.dialects.gemini.grounding import Written
from proxy.dialects.gemini.names import FAMILY, NAME
from proxy.dialects.identity import new_id, sealed
from proxy.dialects.ir import Json
from proxy.dialects.joined import joined
from proxy.dialects.loss import Loss

_encode = msgspec.json.Encoder().encode

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    504: "DEADLINE_EXCEEDED",
}


class _Open:
    """One block that has begun."""

    __slots__ = ("block", "choice", "cited", "head", "origin", "pieces", "signature", "tail")

    def __init__(self, block: ir.Block, choice: int, head: bytes, tail: bytes) -> None:
        self.block = block
        self.choice = choice
        self.head, self.tail = head, tail
        """What goes around a piece of its text; empty when the block goes out whole."""
        self.pieces: list[str] = []
        self.cited: list[ir.Citation] = []
        self.signature: str = getattr(block, "signature", "")
        self.origin: str = getattr(block, "origin", "")


class Encoder:
    """Writes one stream."""

    __slots__ = (
        "_array", "_begun", "_ends", "_held", "_loss", "_named", "_open", "_same", "_shown", "_texts", "_tier", "_tokens", "_top",
        "_usage", "_write",
    )  # fmt: skip

    sequence = 0

    def __init__(self, request: ir.Request, loss: Loss) -> None:
        self._loss = loss
        self._array = request.array
        self._begun = False
        self._same = False
        self._named: Json = {"modelVersion": request.model, "responseId": ""}
        self._top: Json = {}
        """Fields of the whole response that the last chunk holds."""
        self._open: dict[int, _Open] = {}
        self._held: dict[int, _Open] = {}
        """Calls that are complete before one that began earlier."""
        self._texts: list[_Open] = []
        """Every text of the answer, for the places of citations."""
        self._tokens: dict[int, list[Json]] = {}
        self._shown: set[int] = set()
        """Choices that have had a part."""
        self._ends: list[ir.ChoiceEnd] = []
        self._usage: Usage | None = None
        self._tier = ""
        self._write: dict[type, Callable[..., bytes]] = {
            ir.TextDelta: self._text,
            ir.ReasoningDelta: self._text,
            ir.ArgumentsDelta: self._text,
            ir.DataDelta: self._data,
            ir.BlockStart: self._block_start,
            ir.BlockEnd: self._block_end,
            ir.ResponseStart: self._start,
            ir.SignatureDelta: self._signature,
            ir.CitationDelta: self._citation,
            ir.LogprobsDelta: self._logprobs,
            ir.ChoiceEnd: self._choice_end,
            ir.UsageReport: self._report,
            ir.ResponseEnd: self._end,
            ir.StreamError: self._error,
            ir.Ping: self._ping,
        }

    def encode(self, event: ir.Event) -> bytes:
        """The bytes one event becomes."""
        if type(event) is ir.TextDelta and self._begun:
            opened = self._open.get(event.index)
            if opened is not None and opened.head:
                opened.pieces.append(event.text)
                return opened.head + _encode(event.text) + opened.tail
        return self._write[type(event)](event)

    # --- frames ----------------------------------------------------------------------------------------------

    def _frame(self, chunk: Json) -> bytes:
        """A chunk as the stream has it."""
        first, self._begun = not self._begun, True
        if self._array:
            return (b"[" if first else b",\r\n") + _encode(chunk)
        # Arguments are as the provider wrote them, which may be on several lines. In JSON such are only space.
        return b"data: %b\n\n" % _encode(chunk).translate(None, b"\r\n")

    def _part(self, part: Json, choice: int) -> bytes:
        """A chunk with one part."""
        self._shown.add(choice)
        content = {"parts": [part], "role": "model"}
        return self._frame({"candidates": [{"content": content, "index": choice}], **self._named})

    def _around(self, choice: int, *, thought: bool) -> tuple[bytes, bytes]:
        """What `_part` and `_frame` write around a piece of text."""
        begin = b",\r\n" if self._array else b"data: "
        end = b"" if self._array else b"\n\n"
        flag = b'"thought":true,' if thought else b""
        head = b'%b{"candidates":[{"content":{"parts":[{%b"text":' % (begin, flag)
        named = _encode(self._named)[1:]
        return head, b'}],"role":"model"},"index":%d}],%b%b' % (choice, named, end)

    # --- the answer ------------------------------------------------------------------------------------------

    def _start(self, event: ir.ResponseStart) -> bytes:
        self._named["modelVersion"] = event.model or self._named["modelVersion"]
        self._named["responseId"] = event.id or new_id("")
        self._same = event.origin == NAME
        self._top = write_top(event.created, event.extras if self._same else {})
        self._usage, self._tier = event.usage, event.service_tier
        return b""

    def _choice_end(self, event: ir.ChoiceEnd) -> bytes:
        self._ends.append(event)
        return b""

    def _report(self, event: ir.UsageReport) -> bytes:
        self._usage = event.usage
        return b""

    def _end(self, event: ir.ResponseEnd) -> bytes:
        if self._same:
            self._top.update(event.extras)
        chunk: Json = {}
        feedback = self._top.get("promptFeedback")
        blocked = isinstance(feedback, dict) and bool(feedback.get("blockReason"))
        if self._shown or not blocked:
            ends = self._ends or [ir.ChoiceEnd("stop")]
            chunk["candidates"] = [
                self._candidate(end) for end in sorted(ends, key=lambda end: end.choice)
            ]
        if self._usage is not None:
            chunk["usageMetadata"] = write_usage(self._usage, self._tier)
        chunk.update(self._named)
        chunk.update(self._top)
        return self._frame(chunk) + (b"]" if self._array else b"")

    def _candidate(self, end: ir.ChoiceEnd) -> Json:
        number = end.choice
        made = candidate_end(
            end, self._cited(number), self._tokens.get(number, []), same=self._same
        )
        if number not in self._shown:
            return made
        return {"content": {"parts": [{"text": ""}], "role": "model"}, **made}

    def _cited(self, choice: int) -> list[Written]:
        """The citations of a choice; a place is one in all the text there was."""
        found: list[Written] = []
        before = 0
        for opened in self._texts:
            if opened.choice == choice:
                text = "".join(opened.pieces)
                found += [Written(cited, text, before) for cited in opened.cited]
                before += len(text.encode("utf-8", "replace"))
        return found

    def _error(self, event: ir.StreamError) -> bytes:
        status = event.status if 400 <= event.status <= 599 else 500
        word = event.code if event.code.isupper() else _STATUSES.get(status, "UNAVAILABLE")
        error = {"code": status, "message": event.message, "status": word}
        return self._frame({"error": error}) + (b"]" if self._array else b"")

    def _ping(self, event: ir.Ping) -> bytes:
        # Google's own clients take a comment for a broken event; blank lines they step over.
        return b"\n" if self._array else b"\n\n"

    # --- blocks ----------------------------------------------------------------------------------------------

    def _block_start(self, event: ir.BlockStart) -> bytes:
        block, choice = event.block, event.choice
        head = tail = b""
        given = ""
        match block:
            case ir.Text(text=given):
                head, tail = self._around(choice, thought=False)
            case ir.Refusal(text=given):
                self._loss.drop("refusal")
                head, tail = self._around(choice, thought=False)
            case ir.Reasoning(text=given):
                head, tail = self._around(choice, thought=True)
            case ir.ToolCall(arguments=given) | ir.Media(data=given):
                pass
            case _:
                pass
        opened = self._open[event.index] = _Open(block, choice, head, tail)
        if isinstance(block, ir.Text):
            self._texts.append(opened)
            opened.cited += block.citations
            self._tokens.setdefault(choice, []).extend(block.logprobs)
        if not given:
            return b""
        opened.pieces.append(given)
        return self._said(opened, given) if head else b""

    def _said(self, opened: _Open, text: str) -> bytes:
        part: Json = {"text": text}
        if isinstance(opened.block, ir.Reasoning):
            part = {"thought": True, **part}
        return self._part(part, opened.choice)

    def _text(self, event: ir.TextDelta | ir.ReasoningDelta | ir.ArgumentsDelta) -> bytes:
        opened = self._open.get(event.index)
        if opened is None or not event.text or isinstance(opened.block, ir.Media):
            return b""
        opened.pieces.append(event.text)
        return self._said(opened, event.text) if opened.head else b""

    def _data(self, event: ir.DataDelta) -> bytes:
        opened = self._open.get(event.index)
        if opened is not None:
            opened.pieces.append(event.data)
        return b""

    def _signature(self, event: ir.SignatureDelta) -> bytes:
        opened = self._open.get(event.index)
        if opened is not None:
            opened.signature, opened.origin = event.signature, event.origin
        return b""

    def _citation(self, event: ir.CitationDelta) -> bytes:
        opened = self._open.get(event.index)
        if opened is not None:
            opened.cited.append(event.citation)
        return b""

    def _logprobs(self, event: ir.LogprobsDelta) -> bytes:
        opened = self._open.get(event.index)
        if opened is not None:
            self._tokens.setdefault(opened.choice, []).extend(event.tokens)
        return b""

    def _block_end(self, event: ir.BlockEnd) -> bytes:
        opened = self._open.pop(event.index, None)
        if opened is None:
            return b""
        if opened.head:
            return self._sealed(opened)
        if not isinstance(opened.block, ir.ToolCall):
            return self._whole(opened)
        self._held[event.index] = opened
        return b"".join(self._whole(self._held.pop(index)) for index in self._ready(opened.choice))

    def _ready(self, choice: int) -> list[int]:
        """The complete calls of a choice before which none is open."""
        open_calls = [
            index
            for index, other in self._open.items()
            if other.choice == choice and isinstance(other.block, ir.ToolCall)
        ]
        first = min(open_calls, default=None)
        return [
            index
            for index, held in sorted(self._held.items())
            if held.choice == choice and (first is None or index < first)
        ]

    def _whole(self, opened: _Open) -> bytes:
        """A block that goes out in one piece."""
        block = opened.block
        if isinstance(block, ir.ToolCall):
            signed = {"signature": opened.signature, "origin": opened.origin}
            block = replace(block, arguments="".join(opened.pieces), **signed)
        elif isinstance(block, ir.Media):
            block = replace(block, data=joined(opened.pieces))
        part = part_of(block, self._loss, same=self._same)
        return self._part(part, opened.choice) if part is not None else b""

    def _sealed(self, opened: _Open) -> bytes:
        """The signature of a text or a thought that has gone out."""
        if opened.pieces:
            self._shown.add(opened.choice)
        signature = sealed(opened.signature, opened.origin, FAMILY)
        if not signature:
            return b""
        part: Json = {"text": "", "thoughtSignature": signature}
        if isinstance(opened.block, ir.Reasoning):
            part["thought"] = True
        return self._part(part, opened.choice)
