"""Reads a provider's answer, chunk by chunk: each is a whole response that holds a part of the answer.

A text goes on from chunk to chunk, everything else comes whole. Nothing says that a block has ended but the next one,
and nothing that a candidate has but the end of the stream: Google has been seen to write on after `STOP`. A signature
in an empty text belongs to the block before it.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from proxy.dialects import ir
from proxy.dialects import usage as reports
from proxy.dialects.arguments import free_text, free_tools, freed
from proxy.dialects.base import Usage
from proxy.dialects.errors import fault_in, status_of
from proxy.dialects.gemini.finish import finish_of, read_finish, read_tier, read_time
from proxy.dialects.gemini.fragments import add
from proxy.dialects.gemini.grounding import Place, citations
from proxy.dialects.gemini.names import NAME, TOOLS, camel
from proxy.dialects.gemini.parts import lenient_part
from proxy.dialects.gemini.probabilities import read_probabilities
from proxy.dialects.identity import new_id
from proxy.dialects.ir import Json
from proxy.dialects.lenient import mended, object_at
from proxy.dialects.names import Names

_NULL = Raw(b"null")
_MOST_CANDIDATES = 256


class _Part(Struct, forbid_unknown_fields=True, gc=False):
    text: str
    thought: bool = False


class _Content(Struct, forbid_unknown_fields=True, gc=False):
    parts: tuple[_Part]
    role: str = ""


class _Candidate(Struct, forbid_unknown_fields=True, gc=False):
    content: _Content
    index: int = 0


class _Chunk(Struct, forbid_unknown_fields=True, rename="camel", gc=False):
    """More of a text and nothing else: what nearly every chunk is."""

    candidates: tuple[_Candidate]
    usage_metadata: Raw = _NULL
    model_version: Raw = _NULL
    response_id: Raw = _NULL
    create_time: Raw = _NULL


_decode = msgspec.json.Decoder(_Chunk).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

_NOTHING: Json = {}
_WILL_CONTINUE = "functionCall.willContinue"
_PARTIAL = "functionCall.partialArgs"


class _Choice:
    """One candidate so far."""

    __slots__ = (
        "arguments", "calls", "cited", "extras", "is_free", "is_signed", "kind", "known", "number", "open", "parts",
        "pieces", "reason", "texts",
    )  # fmt: skip

    def __init__(self, number: int) -> None:
        self.number = number
        self.open = -1
        self.kind: type[ir.Block] | None = None
        """Of the open block."""
        self.known: Json = _NOTHING
        """Its unknown fields: a text goes on only in parts that have the same."""
        self.is_signed = False
        """The open block has its signature, so nothing can be added to it."""
        self.pieces: list[str] = []
        """Of the open text."""
        self.texts: list[tuple[int, list[str]]] = []
        """Index and pieces of every text."""
        self.arguments: Json | None = None
        """Of the open call, while they come piece by piece."""
        self.is_free = False
        """They hold free text."""
        self.parts: dict[int, Place] = {}
        """In a whole answer, the text of each part."""
        self.calls = False
        self.reason = ""
        self.extras: Json = {}
        self.cited: set[tuple[str, str, int | None, int | None]] = set()


class Decoder:
    """Reads one answer. `whole`: it is a single body, in which nothing comes in pieces and nothing is missing."""

    __slots__ = (
        "_blocked", "_choices", "_extras", "_failed", "_free", "_model", "_names", "_next", "_report", "_started",
        "_whole",
    )  # fmt: skip

    def __init__(self, request: ir.Request, *, whole: bool = False) -> None:
        self._whole = whole
        self._model = request.model
        self._names = Names(TOOLS, request)
        self._free = free_tools(request)
        self._choices: dict[int, _Choice] = {}
        self._next = 0
        self._report: Raw | bytes = b""
        self._started = False
        self._failed = False
        self._blocked = ""
        self._extras: Json = {}

    def feed(self, name: bytes, data: bytes) -> list[ir.Event]:
        """What one event says."""
        try:
            chunk = _decode(data)
            candidate = chunk.candidates[0]
            choice = self._choices[candidate.index]
        except (ValueError, KeyError, RecursionError):
            return self._any(name, data)
        part = candidate.content.parts[0]
        is_thought = part.thought
        if choice.kind is not (ir.Reasoning if is_thought else ir.Text) or choice.is_signed:
            return self._any(name, data)
        # Vertex sends reports that name only the kind of traffic.
        if b"okenCount" in bytes(chunk.usage_metadata):
            self._report = chunk.usage_metadata
        text = part.text
        if not text:
            return []
        if is_thought:
            return [ir.ReasoningDelta(choice.open, text)]
        choice.pieces.append(text)
        return [ir.TextDelta(choice.open, text)]

    def end(self) -> list[ir.Event]:
        """What the end says: nothing, when there was no sign that the answer is complete."""
        if self._failed or not self._started or not self._is_complete():
            return []
        events: list[ir.Event] = []
        for choice in self._choices.values():
            self._close(choice, events)
        for number in sorted(self._choices):
            choice = self._choices[number]
            finish = finish_of(choice.reason or self._blocked, calls=choice.calls)
            reason = choice.reason or self._blocked
            if self._blocked and not choice.reason:
                finish = "content_filter"
            events.append(ir.ChoiceEnd(finish, number, reason=reason, extras=choice.extras))
        if not self._choices:
            events.append(ir.ChoiceEnd("content_filter", reason=self._blocked))
        usage = self._usage()
        if usage is not None:
            events.append(ir.UsageReport(usage))
        events.append(ir.ResponseEnd(self._extras))
        self._fail()  # nothing comes after the end
        return events

    def _fail(self) -> None:
        self._failed = True
        self._choices = {}

    def _is_complete(self) -> bool:
        if self._blocked or (self._whole and self._choices):
            return True
        return bool(self._choices) and all(choice.reason for choice in self._choices.values())

    def _usage(self) -> Usage | None:
        return reports.gemini(self._report) if self._report else None

    # --- chunks ----------------------------------------------------------------------------------------------

    def _any(self, name: bytes, data: bytes) -> list[ir.Event]:
        """Any chunk, or what is none."""
        if self._failed:
            return []
        found = object_at(data)
        if found is None:
            found = object_at(mended(data))
        if found is None:
            found = _first(data)
        if found is None:
            return []
        if found.get("error") or name == b"error":
            self._fail()
            return [_failure(found)]
        return self._chunk(camel(found))

    def _chunk(self, fields: Json) -> list[ir.Event]:
        events: list[ir.Event] = []
        report = fields.pop("usageMetadata", None)
        if isinstance(report, dict):
            report = camel(report)
            encoded = _encode(report)
            if b"okenCount" in encoded:
                self._report = encoded
        candidates = fields.pop("candidates", None)
        candidates = candidates if isinstance(candidates, list) else []
        feedback = fields.get("promptFeedback")
        if isinstance(feedback, dict):
            self._blocked = read_finish(camel(feedback).get("blockReason")) or self._blocked
        if not (self._started or candidates or self._blocked or report):
            return []
        if self._started:
            for name in ("modelVersion", "responseId", "createTime"):
                fields.pop(name, None)
            self._extras.update(fields)
        else:
            events.append(self._start(fields, report if isinstance(report, dict) else {}))
        for candidate in candidates:
            if isinstance(candidate, dict):
                self._candidate(camel(candidate), events)
        return events

    def _start(self, fields: Json, report: Json) -> ir.ResponseStart:
        self._started = True
        named = {
            name: value
            for name in ("responseId", "modelVersion")
            if isinstance(value := fields.pop(name, None), str)
        }
        created = read_time(fields.pop("createTime", None))
        return ir.ResponseStart(
            named.get("responseId", ""),
            named.get("modelVersion", self._model),
            created,
            read_tier(report.get("serviceTier")),
            NAME,
            fields,
            self._usage(),
        )

    def _candidate(self, candidate: Json, events: list[ir.Event]) -> None:
        number = candidate.pop("index", 0)
        if not isinstance(number, int) or not 0 <= number < _MOST_CANDIDATES:
            number = 0
        choice = self._choices.get(number)
        if choice is None:
            choice = self._choices[number] = _Choice(number)
        content = candidate.pop("content", None)
        parts = content.get("parts") if isinstance(content, dict) else None
        for at, part in enumerate(parts if isinstance(parts, list) else ()):
            block = lenient_part(part)
            if block is not None:
                self._block(choice, block, at, events)
        choice.reason = read_finish(candidate.pop("finishReason", None)) or choice.reason
        tokens = read_probabilities(candidate.get("logprobsResult"))
        if tokens and choice.texts:
            index = choice.texts[-1][0]
            if self._whole or index == choice.open:
                events.append(ir.LogprobsDelta(index, tokens))
                if not self._whole:
                    del candidate["logprobsResult"]  # of this chunk alone
        if "groundingMetadata" in candidate or "citationMetadata" in candidate:
            self._cite(choice, candidate, events)
        choice.extras.update(candidate)

    def _cite(self, choice: _Choice, candidate: Json, events: list[ir.Event]) -> None:
        places = [Place(index, "".join(pieces)) for index, pieces in choice.texts]
        for found in citations(candidate, places, choice.parts if self._whole else None):
            index, cited = found.block, found.citation
            if not self._whole and index != choice.open:
                if choice.kind is not ir.Text:
                    continue  # its text has ended, and there is no other
                index, cited.start, cited.end = choice.open, None, None
            key = (cited.url, cited.title, cited.start, cited.end)
            if key not in choice.cited:
                choice.cited.add(key)
                events.append(ir.CitationDelta(index, cited))

    # --- blocks ----------------------------------------------------------------------------------------------

    def _block(self, choice: _Choice, block: ir.Block, part: int, events: list[ir.Event]) -> None:
        match block:
            case ir.Text() | ir.Reasoning():
                self._text(choice, block, part, events)
            case ir.ToolCall():
                self._call(choice, block, events)
            case _:
                self._open(choice, block, events)
                self._close(choice, events)

    def _text(
        self, choice: _Choice, block: ir.Text | ir.Reasoning, part: int, events: list[ir.Event]
    ) -> None:
        kind, text, signature, extras = type(block), block.text, block.signature, block.extras
        if not text and not extras and self._sign(choice, block, events):
            return
        if choice.kind is not kind or choice.is_signed or extras != choice.known:
            empty = (
                ir.Reasoning(redacted=bool(signature) and not text, extras=extras)
                if kind is ir.Reasoning
                else ir.Text(extras=extras)
            )
            self._open(choice, empty, events)
        if kind is ir.Text:
            if self._whole:
                choice.parts[part] = Place(choice.open, text, sum(map(len, choice.pieces)))
            choice.pieces.append(text)
            if text:
                events.append(ir.TextDelta(choice.open, text))
        elif text:
            events.append(ir.ReasoningDelta(choice.open, text))
        if signature:
            choice.is_signed = True
            events.append(ir.SignatureDelta(choice.open, signature, block.origin))

    def _sign(self, choice: _Choice, block: ir.Text | ir.Reasoning, events: list[ir.Event]) -> bool:
        """Whether an empty text was only there for a signature, or for nothing."""
        if not block.signature:
            return True
        if choice.open < 0 or choice.is_signed:
            return False
        if isinstance(block, ir.Reasoning) and choice.kind is not ir.Reasoning:
            return False
        choice.is_signed = True
        events.append(ir.SignatureDelta(choice.open, block.signature, block.origin))
        return True

    def _call(self, choice: _Choice, block: ir.ToolCall, events: list[ir.Event]) -> None:
        more = block.extras.pop(_WILL_CONTINUE, None) is True
        pieces = block.extras.pop(_PARTIAL, None)
        if choice.arguments is None or block.name:
            block.id = block.id or new_id("call_")
            block.name = self._names.back(block.name)
            if block.name in self._free:
                freed(block)
            arguments, block.arguments = block.arguments, ""
            self._open(choice, block, events)
            choice.calls = True
            choice.is_signed = bool(block.signature)
            choice.is_free = block.custom
            if more or pieces:
                choice.arguments = {}
            elif arguments:
                events.append(ir.ArgumentsDelta(choice.open, arguments))
        if choice.arguments is not None:
            for piece in pieces if isinstance(pieces, list) else ():
                add(choice.arguments, piece)
            if not more:
                self._arguments(choice, events)

    def _arguments(self, choice: _Choice, events: list[ir.Event]) -> None:
        """Those that came piece by piece, now that they are complete."""
        if choice.arguments is not None:
            text = _encode(choice.arguments).decode()
            text = free_text(text) if choice.is_free else text
            events.append(ir.ArgumentsDelta(choice.open, text))
            choice.arguments = None

    def _open(self, choice: _Choice, block: ir.Block, events: list[ir.Event]) -> None:
        self._close(choice, events)
        choice.open, self._next = self._next, self._next + 1
        choice.kind, choice.is_signed = type(block), False
        choice.known = getattr(block, "extras", _NOTHING)
        if choice.kind is ir.Text:
            choice.pieces = []
            choice.texts.append((choice.open, choice.pieces))
        events.append(ir.BlockStart(choice.open, block, choice.number))

    def _close(self, choice: _Choice, events: list[ir.Event]) -> None:
        if choice.open >= 0:
            self._arguments(choice, events)
            events.append(ir.BlockEnd(choice.open))
            choice.open, choice.kind = -1, None


def _first(data: bytes) -> dict[str, object] | None:
    """The object in a list of one: an error, where a stream is a JSON array."""
    try:
        found = _decode_any(data)
    except (ValueError, RecursionError):
        return None
    return found[0] if isinstance(found, list) and found and isinstance(found[0], dict) else None


def _failure(found: dict[str, object]) -> ir.StreamError:
    error = found.get("error")
    error = error if isinstance(error, dict) else {"message": error, **found}
    message, code = error.get("message"), error.get("status")
    return ir.StreamError(
        status_of(fault_in(found)),
        message if isinstance(message, str) else "The provider failed.",
        code if isinstance(code, str) else "",
    )
