"""A stream for a client: the life of every item told in order, and the whole response at the end.

Texts that follow one another are parts of one message. A message ends when something else begins, so its last events
come late; every other item ends with its block. Events are numbered from 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from proxy.core.clock import now
from proxy.dialects import identity, ir
from proxy.dialects.ir import Json
from proxy.dialects.joined import joined
from proxy.dialects.loss import Loss
from proxy.dialects.openai_responses.fields import FAMILY, NAME, finish_out
from proxy.dialects.openai_responses.items import ITEM, call_item, is_empty_thought, reasoning_item
from proxy.dialects.openai_responses.output import Item, Open, Output, delta_head
from proxy.dialects.openai_responses.parts import annotation, bare_logprobs, logprobs
from proxy.dialects.openai_responses.response import render_usage, skeleton

_PING = b": ping\n\n"
_THOUGHT_DONE = {
    True: ("response.reasoning_text.done", "response.content_part.done"),
    False: ("response.reasoning_summary_text.done", "response.reasoning_summary_part.done"),
}
"""What ends a part of a thought, raw or not."""


class ResponsesEncoder:
    """Writes one stream."""

    __slots__ = (
        "_blocks",
        "_created",
        "_loss",
        "_message",
        "_out",
        "_own",
        "_request",
        "_usage",
        "response",
    )

    def __init__(self, request: ir.Request, loss: Loss) -> None:
        self._out = Output()
        self._request = request
        self._loss = loss
        self._own = False
        self.response: Json = {}
        """The response object, whole at the end of the stream."""
        self._created = False
        self._blocks: dict[int, Open] = {}
        self._message: Item | None = None
        self._usage: ir.Usage | None = None

    @property
    def sequence(self) -> int:
        return self._out.sequence

    @sequence.setter
    def sequence(self, number: int) -> None:
        self._out.sequence = number

    def encode(self, event: ir.Event) -> bytes:
        kind = type(event)
        if kind is ir.TextDelta or kind is ir.ReasoningDelta or kind is ir.ArgumentsDelta:
            opened = self._blocks.get(event.index)  # type: ignore[union-attr]
            if opened is None:
                return b""
            text = event.text  # type: ignore[union-attr]
            return self._out.more(opened, text) if opened.delta else self._first(opened, text)
        handle = _HANDLERS.get(kind)
        return b"" if handle is None else handle(self, event)

    # --- events ---

    def _start(self, event: ir.ResponseStart) -> bytes:
        if self._created:
            return b""
        self._created = True
        self._own = event.origin == NAME
        self.response = skeleton(event, self._request)
        self._out.ids = self.response["id"].removeprefix("resp_")
        if event.usage is not None:
            self._usage = event.usage
        fields = {"response": self.response}
        event_of = self._out.event
        return event_of("response.created", fields) + event_of("response.in_progress", fields)

    def _usage_report(self, event: ir.UsageReport) -> bytes:
        self._usage = event.usage
        return b""

    def _error(self, event: ir.StreamError) -> bytes:
        fields = {"code": event.code or None, "message": event.message, "param": None}
        inner = {"type": "upstream_error", **fields}
        return self._out.event("error", {**fields, "error": inner})

    def _ping(self, event: ir.Ping) -> bytes:
        return _PING

    # --- items ---

    def _end_message(self, status: str = "completed") -> bytes:
        """Nothing more is said in the open message."""
        item = self._message
        self._message = None
        if item is None:
            return b""
        item.ends = True
        return b"" if item.open else self._message_done(item, status)

    def _message_done(self, item: Item, status: str = "completed") -> bytes:
        item.value["status"] = status
        item.value["content"] = item.parts
        return self._out.done(item)

    # --- blocks ---

    def _block_start(self, event: ir.BlockStart) -> bytes:
        if event.choice:
            self._loss.drop("n")
            return b""
        block = event.block
        begin = _BEGIN.get(type(block))
        if begin is None:
            return b""
        return begin(self, event.index, block)

    def _begin_part(self, index: int, block: ir.Text | ir.Refusal) -> bytes:
        own = block.extras.get(ITEM, {}) if self._own else {}
        out = b""
        item = self._message
        if item is not None and item.own != own:
            out = self._end_message()
            item = None
        if item is None:
            out += self._begin_message(own)
            item = self._message
            assert item is not None
        opened = Open(item, block)
        opened.place["content_index"] = len(item.parts)
        item.open += 1
        is_text = isinstance(block, ir.Text)
        if is_text:
            opened.part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        else:
            opened.part = {"type": "refusal", "refusal": ""}
        item.parts.append(opened.part)
        self._blocks[index] = opened
        out += self._out.event("response.content_part.added", {**opened.place, "part": opened.part})
        if is_text:
            opened.delta = delta_head(
                "response.output_text.delta", {**opened.place, "logprobs": []}
            )
        else:
            opened.delta = delta_head("response.refusal.delta", opened.place)
        out += self._out.more(opened, block.text)
        if isinstance(block, ir.Text):
            opened.signature = (block.signature, block.origin)
            if block.logprobs:
                out += self._logprobs(ir.LogprobsDelta(index, block.logprobs))
            for citation in block.citations:
                out += self._citation(ir.CitationDelta(index, citation))
        return out

    def _begin_message(self, own: Json) -> bytes:
        value = {
            **{name: value for name, value in own.items() if name not in ("id", "status")},
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }
        own_id = own.get("id")
        id = own_id if isinstance(own_id, str) else ""
        self._message = self._out.begin(value, "msg_", id, own)
        return self._out.added(self._message)

    def _begin_reasoning(self, index: int, block: ir.Reasoning) -> bytes:
        out = self._end_message()
        item = self._out.begin({"type": "reasoning", "summary": []}, "rs_", block.id)
        opened = Open(item, block)
        opened.signature = (block.signature, block.origin)
        self._blocks[index] = opened
        out += self._out.added(item)
        return out + self._first(opened, block.text)

    def _first(self, opened: Open, text: str) -> bytes:
        """The first words of a thought: its part begins with them. Other blocks have none, or begin with theirs."""
        block = opened.block
        if not text or not isinstance(block, ir.Reasoning):
            return b""
        return self._begin_thought(opened, block) + self._out.more(opened, text)

    def _begin_thought(self, opened: Open, block: ir.Reasoning) -> bytes:
        if block.raw:
            opened.place["content_index"] = 0
            opened.part = {"type": "reasoning_text", "text": ""}
            begun, kind = "response.content_part.added", "response.reasoning_text.delta"
        else:
            opened.place["summary_index"] = 0
            opened.part = {"type": "summary_text", "text": ""}
            begun = "response.reasoning_summary_part.added"
            kind = "response.reasoning_summary_text.delta"
        opened.delta = delta_head(kind, opened.place)
        return self._out.event(begun, {**opened.place, "part": opened.part})

    def _begin_call(self, index: int, block: ir.ToolCall) -> bytes:
        out = self._end_message()
        before, _ = identity.carriers(block)
        if before is not None:
            out += self._carrier(before)
        call_id = identity.tool_id(block.id)
        own = block.extras.get(ITEM, {}) if self._own else {}
        value = call_item(block, call_id)
        value["input" if block.custom else "arguments"] = ""
        if not block.custom:
            value["status"] = "in_progress"
        own_id = own.get("id")
        prefix = "ctc_" if block.custom else "fc_"
        item = self._out.begin(
            value, prefix, own_id if isinstance(own_id, str) and own_id else call_id
        )
        for name in ("namespace", "caller"):
            if name in own:
                item.value[name] = own[name]
        opened = Open(item, block)
        self._blocks[index] = opened
        name = "custom_tool_call_input" if block.custom else "function_call_arguments"
        opened.delta = delta_head(f"response.{name}.delta", opened.place)
        out += self._out.added(item)
        return out + self._out.more(opened, block.arguments)

    def _begin_opaque(self, index: int, block: ir.Opaque) -> bytes:
        if not self._own or not isinstance(block.value.get("id"), str):
            self._loss.drop("opaque")
            return b""
        out = self._end_message()
        return out + self._out.tell(block.value)

    def _begin_media(self, index: int, block: ir.Media) -> bytes:
        """A picture is what the provider's own tool would have made; sound has no place."""
        opened = Open(Item(-1, {"id": ""}, {}), block)
        opened.pieces.append(block.data)
        self._blocks[index] = opened
        return b""

    def _carrier(self, block: ir.Reasoning) -> bytes:
        """A thought that only carries sealed state for what is next to it."""
        state = identity.sealed(block.signature, block.origin, FAMILY)
        item = self._out.begin({"type": "reasoning", "summary": []}, "rs_", "")
        out = self._out.added(item)
        item.value = reasoning_item(block, item.id, state)
        return out + self._out.done(item)

    # --- more of a block ---

    def _citation(self, event: ir.CitationDelta) -> bytes:
        opened = self._blocks.get(event.index)
        if opened is None or "annotations" not in opened.part:
            return b""
        if event.citation.end is None and event.citation.origin != FAMILY:
            opened.citations.append(event.citation)  # about the whole text: told when there is one
            return b""
        return self._annotation(opened, event.citation, 0)

    def _annotation(self, opened: Open, citation: ir.Citation, length: int) -> bytes:
        noted = annotation(citation, length)
        if noted is None:
            self._loss.drop("citations")
            return b""
        notes = opened.part["annotations"]
        fields = {**opened.place, "annotation_index": len(notes), "annotation": noted}
        opened.part = {**opened.part, "annotations": [*notes, noted]}
        return self._out.event("response.output_text.annotation.added", fields)

    def _logprobs(self, event: ir.LogprobsDelta) -> bytes:
        opened = self._blocks.get(event.index)
        if opened is None or "logprobs" not in opened.part:
            return b""
        opened.tokens += event.tokens
        fields = {**opened.place, "delta": "", "logprobs": bare_logprobs(event.tokens)}
        return self._out.event("response.output_text.delta", fields)

    def _signature(self, event: ir.SignatureDelta) -> bytes:
        opened = self._blocks.get(event.index)
        if opened is None:
            return b""
        if isinstance(opened.block, ir.ToolCall):
            self._loss.drop("tool_call.signature")  # its carrier would have been before it
        else:
            opened.signature = (event.signature, event.origin)
        return b""

    def _data(self, event: ir.DataDelta) -> bytes:
        opened = self._blocks.get(event.index)
        if opened is not None:
            opened.pieces.append(event.data)
        return b""

    # --- the end of a block ---

    def _block_end(self, event: ir.BlockEnd) -> bytes:
        opened = self._blocks.pop(event.index, None)
        if opened is None:
            return b""
        end = _END.get(type(opened.block))
        return b"" if end is None else end(self, opened, opened.block)

    def _end_part(self, opened: Open, block: ir.Text | ir.Refusal) -> bytes:
        text = "".join(opened.pieces)
        item = opened.item
        if isinstance(block, ir.Refusal):
            part: Json = {"type": "refusal", "refusal": text}
            out = self._out.event("response.refusal.done", {**opened.place, "refusal": text})
        else:
            out = b"".join(self._annotation(opened, one, len(text)) for one in opened.citations)
            part = {**opened.part, "text": text, "logprobs": logprobs(opened.tokens)}
            said = {"text": text, "logprobs": bare_logprobs(opened.tokens)}
            out += self._out.event("response.output_text.done", {**opened.place, **said})
        item.parts[opened.place["content_index"]] = part
        out += self._out.event("response.content_part.done", {**opened.place, "part": part})
        item.open -= 1
        signature, origin = opened.signature
        if item.ends and not item.open:
            out += self._message_done(item)
        if signature:
            _, after = identity.carriers(ir.Text(signature=signature, origin=origin))
            assert after is not None
            out += self._end_message() + self._carrier(after)
        return out

    def _end_reasoning(self, opened: Open, block: ir.Reasoning) -> bytes:
        text = "".join(opened.pieces)
        signature, origin = opened.signature
        item = opened.item
        out = b""
        if not opened.delta and is_empty_thought(block, signature, origin):
            out = self._begin_thought(opened, block)
        if opened.delta:
            part = {**opened.part, "text": text}
            said, done = _THOUGHT_DONE[block.raw]
            out += self._out.event(said, {**opened.place, "text": text})
            out += self._out.event(done, {**opened.place, "part": part})
        whole = ir.Reasoning(text=text, raw=block.raw)
        item.value = reasoning_item(whole, item.id, identity.sealed(signature, origin, FAMILY))
        if opened.delta and not text:
            item.value["summary"] = [opened.part]
        return out + self._out.done(item)

    def _end_call(self, opened: Open, block: ir.ToolCall) -> bytes:
        out = b""
        if not block.custom and not "".join(opened.pieces).strip():
            out = self._out.more(opened, "{}")
        text = "".join(opened.pieces)
        item = opened.item
        if block.custom:
            item.value["input"] = text
            said = {"input": text}
            out += self._out.event("response.custom_tool_call_input.done", {**opened.place, **said})
        else:
            item.value["arguments"] = text
            item.value["status"] = "completed"
            said = {"arguments": text}
            out += self._out.event(
                "response.function_call_arguments.done", {**opened.place, **said}
            )
        return out + self._out.done(item)

    def _end_media(self, opened: Open, block: ir.Media) -> bytes:
        data = joined(opened.pieces)
        if block.kind != "image" or not data:
            self._loss.drop(f"{block.kind}.data")
            return b""
        out = self._end_message()
        value = {"type": "image_generation_call", "status": "in_progress", "result": None}
        item = self._out.begin(value, "ig_", "")
        out += self._out.added(item)
        item.value = {**item.value, "status": "completed", "result": data}
        return out + self._out.done(item)

    # --- the end ---

    def _choice_end(self, event: ir.ChoiceEnd) -> bytes:
        if event.choice:
            return b""
        refused = any(part["type"] == "refusal" for item in self._out.items for part in item.parts)
        status, why = finish_out(event.finish, event.reason, own=self._own, refused=refused)
        self.response = {
            **self.response,
            "status": status,
            "incomplete_details": {"reason": why} if why else None,
        }
        if status == "failed":
            self.response["error"] = {
                "code": "server_error",
                "message": "The provider could not complete the answer.",
            }
        return self._end_message("incomplete" if why else "completed")

    def _end(self, event: ir.ResponseEnd) -> bytes:
        out = self._end_message()
        if self._own:
            self.response = {**self.response, **event.extras}
        status = self.response.get("status", "completed")
        if status == "in_progress":
            status = "completed"
        self.response = {
            **self.response,
            "status": status,
            "output": [item.value for item in self._out.items],
            "usage": None if self._usage is None else render_usage(self._usage),
        }
        if not self._own:
            self.response["completed_at"] = int(now()) if status == "completed" else None
        return out + self._out.event(f"response.{status}", {"response": self.response})


_BEGIN: Mapping[type, Callable[..., bytes]] = {
    ir.Text: ResponsesEncoder._begin_part,
    ir.Refusal: ResponsesEncoder._begin_part,
    ir.Reasoning: ResponsesEncoder._begin_reasoning,
    ir.ToolCall: ResponsesEncoder._begin_call,
    ir.Opaque: ResponsesEncoder._begin_opaque,
    ir.Media: ResponsesEncoder._begin_media,
}
_END: Mapping[type, Callable[..., bytes]] = {
    ir.Text: ResponsesEncoder._end_part,
    ir.Refusal: ResponsesEncoder._end_part,
    ir.Reasoning: ResponsesEncoder._end_reasoning,
    ir.ToolCall: ResponsesEncoder._end_call,
    ir.Media: ResponsesEncoder._end_media,
}
_HANDLERS: Mapping[type, Callable[..., bytes]] = {
    ir.ResponseStart: ResponsesEncoder._start,
    ir.BlockStart: ResponsesEncoder._block_start,
    ir.BlockEnd: ResponsesEncoder._block_end,
    ir.CitationDelta: ResponsesEncoder._citation,
    ir.LogprobsDelta: ResponsesEncoder._logprobs,
    ir.SignatureDelta: ResponsesEncoder._signature,
    ir.DataDelta: ResponsesEncoder._data,
    ir.ChoiceEnd: ResponsesEncoder._choice_end,
    ir.UsageReport: ResponsesEncoder._usage_report,
    ir.ResponseEnd: ResponsesEncoder._end,
    ir.StreamError: ResponsesEncoder._error,
    ir.Ping: ResponsesEncoder._ping,
}
