"""One choice of a stream: which of its blocks is open, and what a chunk adds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from proxy.dialects import ir
from proxy.dialects.arguments import FreeText, free_tools
from proxy.dialects.ir import Json
from proxy.dialects.names import Names
from proxy.dialects.openai_chat import answer, messages, thoughts
from proxy.dialects.openai_chat.calls import Call, Calls
from proxy.dialects.openai_chat.fields import finish_in
from proxy.dialects.openai_chat.names import TOOLS

Events = list[ir.Event]


@dataclass(slots=True)
class _Open:
    """The block that text of one kind goes to."""

    kind: type
    index: int
    entry: object = None
    """Which entry of `reasoning_details` it is."""
    id: str = ""
    signed: bool = False


class Choice:
    """One choice. `text` and `thought` are the index of the open block of that kind, or -1."""

    __slots__ = (
        "_calls", "_cited", "_extras", "_finish", "_free", "_index", "_names", "_number", "_open", "_request", "_stop",
        "reason", "sources", "text", "thought",
    )  # fmt: skip

    def __init__(self, number: int, index: Callable[[], int], request: ir.Request) -> None:
        self.text = -1
        self.thought = -1
        self.reason = ""
        self.sources: list[ir.Citation] = []
        self._number = number
        self._index = index
        self._request = request
        self._names = Names(TOOLS, request)
        self._free = free_tools(request)
        self._open: _Open | None = None
        self._calls = Calls()
        self._stop = ""
        self._cited = False
        self._extras: Json = {}

    def take(self, found: Json, events: Events) -> None:
        """More of it."""
        delta = answer.an_object(found.get("delta") or found.get("message"))
        self._think(delta, events)
        self._say(delta, events)
        refusal = answer.string(delta.get("refusal"))
        if refusal:
            block = self._use(ir.Refusal, ir.Refusal(), events)
            events.append(ir.TextDelta(block.index, refusal))
        self._show(delta, events)
        self._call(delta, events)
        tokens = answer.tokens(found)
        if tokens and self._may_weigh():
            block = self._use(ir.Text, ir.Text(), events)
            events.append(ir.LogprobsDelta(block.index, tokens))
        cited = messages.citations(list(answer.objects(delta.get("annotations"))))
        if cited:
            self._cite(cited, events)
        self.reason = answer.string(found.get("finish_reason")) or self.reason
        self._stop = answer.string(found.get("stop_reason")) or self._stop
        self._extras.update(answer.choice_extras(found))

    def end(self, events: Events) -> ir.ChoiceEnd:
        """It is complete: its blocks are ended, and it is said why."""
        if self.sources and not self._cited:
            self._cite(self.sources, events)
        self.close(events)
        for call in self._calls.all:
            self._begin(call, events)
            self._finish_call(call, events)
        return ir.ChoiceEnd(
            finish_in(self.reason, calls=bool(self._calls.all)),
            self._number,
            self._stop,
            self.reason,
            self._extras,
        )

    def close(self, events: Events) -> None:
        """End the block that is open, calls apart."""
        if self._open is not None:
            events.append(ir.BlockEnd(self._open.index))
        self._open = None
        self.text = self.thought = -1

    def _may_weigh(self) -> bool:
        """Whether probabilities are of a text: those of thoughts and calls have no place, and end nothing."""
        return not self._calls.all if self._open is None else self._open.kind is ir.Text

    def _use(self, kind: type, block: ir.Block, events: Events) -> _Open:
        """The open block of a kind; a new one, `block`, if another or none is open."""
        now = self._open
        if now is None or now.kind is not kind:
            now = self._start(kind, block, events)
        return now

    def _start(self, kind: type, block: ir.Block, events: Events) -> _Open:
        self.close(events)
        self._finish_calls(events)
        now = self._open = _Open(kind, self._index())
        events.append(ir.BlockStart(now.index, block, self._number))
        if kind is ir.Text:
            self.text = now.index
        elif kind is ir.Reasoning:
            self.thought = now.index
        return now

    # --- thoughts -------------------------------------------------------------------------------------------

    def _think(self, delta: Json, events: Events) -> None:
        plain = answer.string(delta.get("reasoning_content")) or answer.string(
            delta.get("reasoning")
        )
        read = False
        for entry in answer.objects(delta.get("reasoning_details")):
            read = self._detail(entry, events) or read
        if plain and not read:
            block = self._use(ir.Reasoning, ir.Reasoning(), events)
            events.append(ir.ReasoningDelta(block.index, plain))

    def _detail(self, entry: Json, events: Events) -> bool:
        """One entry of the list. Whether there was something to read."""
        blocks = thoughts.parse([entry], "")
        if not blocks:
            return False
        found = blocks[0]
        place = (entry.get("index"), found.redacted)
        now = self._open
        if now is not None and now.kind is ir.Reasoning and self._belongs(now, found, place):
            if not found.redacted:
                now.entry = place
            self._more_thought(now, found, events)
            return bool(found.text)
        if not found.text:
            self._whole(found, events)
            return False
        now = self._start(ir.Reasoning, ir.Reasoning(id=found.id, raw=found.raw), events)
        now.entry, now.id = place, found.id
        self._more_thought(now, found, events)
        return True

    def _belongs(self, now: _Open, found: ir.Reasoning, place: object) -> bool:
        if now.signed:
            return False
        if found.redacted:
            # OpenAI's sealed thoughts beside their summary.
            return found.origin == "openai" and bool(now.id) and now.id == found.id
        return now.entry in (None, place)

    def _more_thought(self, now: _Open, found: ir.Reasoning, events: Events) -> None:
        if found.text:
            events.append(ir.ReasoningDelta(now.index, found.text))
        if found.signature:
            now.signed = True
            events.append(ir.SignatureDelta(now.index, found.signature, found.origin))

    # --- what is shown --------------------------------------------------------------------------------------

    def _say(self, delta: Json, events: Events) -> None:
        for block in answer.content(delta.get("content")):
            match block:
                case ir.Text():
                    now = self._use(ir.Text, ir.Text(), events)
                    events.append(ir.TextDelta(now.index, block.text))
                case ir.Reasoning() if block.text:
                    now = self._use(ir.Reasoning, ir.Reasoning(), events)
                    events.append(ir.ReasoningDelta(now.index, block.text))
                case ir.Reasoning():
                    pass
                case _:
                    self._whole(block, events)
        signature = messages.signature_of(delta)
        if signature:
            now = self._use(ir.Text, ir.Text(), events)
            events.append(ir.SignatureDelta(now.index, signature, "gemini"))

    def _whole(self, block: ir.Block, events: Events) -> None:
        self.close(events)
        index = self._index()
        events += [ir.BlockStart(index, block, self._number), ir.BlockEnd(index)]

    def _show(self, delta: Json, events: Events) -> None:
        for block in answer.pieces(delta.get("images")):
            self._whole(block, events)
        audio = delta.get("audio")
        if not isinstance(audio, dict):
            return
        piece = answer.sound(audio, self._request)
        data, piece.data = piece.data, ""
        transcript, piece.transcript = piece.transcript, ""
        if data or transcript or "id" in piece.extras:
            now = self._use(ir.Media, piece, events)
            if transcript:
                events.append(ir.TextDelta(now.index, transcript))
            if data:
                events.append(ir.DataDelta(now.index, data))

    def _cite(self, cited: list[ir.Citation], events: Events) -> None:
        self._cited = True
        now = self._use(ir.Text, ir.Text(), events)
        events += [ir.CitationDelta(now.index, citation) for citation in cited]

    # --- calls ----------------------------------------------------------------------------------------------

    def _call(self, delta: Json, events: Events) -> None:
        fragments = answer.objects(delta.get("tool_calls"))
        legacy = delta.get("function_call")
        if isinstance(legacy, dict) and not fragments:
            fragments = [{"index": 0, "function": legacy}]
        for fragment in fragments:
            before = len(self._calls.all)
            call = self._calls.take(fragment)
            if len(self._calls.all) > before:
                self.close(events)
                self._finish_calls(events, but=call)
            if call.pending and not call.ended:
                self._begin(call, events)
                said = call.said()
                if said:
                    events.append(ir.ArgumentsDelta(call.index, said))
            block = call.block
            if block.signature != call.given and call.index >= 0 and not call.ended:
                call.given = block.signature
                events.append(ir.SignatureDelta(call.index, block.signature, block.origin))

    def _begin(self, call: Call, events: Events) -> None:
        if call.index >= 0:
            return
        self._calls.ids(call)
        call.index = self._index()
        block = call.block
        call.given = block.signature
        started = ir.ToolCall(
            block.id,
            block.name,
            custom=block.custom,
            signature=block.signature,
            origin=block.origin,
        )
        started.name = self._names.back(block.name)
        if started.name in self._free and not block.custom:
            started.custom, call.free = True, FreeText()
        events.append(ir.BlockStart(call.index, started, self._number))

    def _finish_calls(self, events: Events, but: Call | None = None) -> None:
        """Something else begins: name the calls before it, and end those that can have no more to come."""
        for call in self._calls.all:
            if call is but or call.ended:
                continue
            self._begin(call, events)
            if call.block.custom or answer.is_complete(call.arguments):
                self._finish_call(call, events)

    def _finish_call(self, call: Call, events: Events) -> None:
        if not call.ended:
            call.ended = True
            rest = call.rest()
            if rest:
                events.append(ir.ArgumentsDelta(call.index, rest))
            events.append(ir.BlockEnd(call.index))
