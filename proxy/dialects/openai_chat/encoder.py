"""A stream for a client: chunks, all of one id, then usage if it was asked for, then `[DONE]`.

A piece of text is the bytes before it, computed when its block began, its JSON, and the bytes after it. Lists in a
delta carry an `index`, strings that must not grow are sent once: clients add deltas up by those rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from proxy.core.clock import now
from proxy.dialects import identity, ir
from proxy.dialects import usage as reports
from proxy.dialects.choices import DONE
from proxy.dialects.ir import Json
from proxy.dialects.joined import joined
from proxy.dialects.loss import Loss
from proxy.dialects.openai_chat import thoughts
from proxy.dialects.openai_chat.completion import (
    SOUND_LIVES,
    annotation,
    drop_media,
    image,
    reason_of,
    sealed,
)
from proxy.dialects.openai_chat.fields import NAME, TIERS, encode
from proxy.dialects.openai_chat.told import Block, Spoken
from proxy.dialects.render import openai_stream_error

_PING = b": ping\n\n"


class ChatEncoder:
    """Writes one stream."""

    __slots__ = (
        "_after", "_before", "_blocks", "_created", "_heads", "_lengths", "_loss", "_origin", "_request", "_spoken",
        "_texts", "_usage",
    )  # fmt: skip

    sequence = 0

    def __init__(self, request: ir.Request, loss: Loss) -> None:
        self._request = request
        self._loss = loss
        self._before = b""
        self._after = b'},"logprobs":null,"finish_reason":null}]}\n\n'
        self._texts: dict[int, bytes] = {}
        """Block to all that comes before a piece of its text."""
        self._blocks: dict[int, Block] = {}
        self._spoken: dict[int, Spoken] = {}
        self._lengths: dict[int, int] = {}
        """Block of citable text to its characters so far, kept only where somebody may cite."""
        self._usage: ir.Usage | None = None
        self._created = 0
        self._origin = ""

    def encode(self, event: ir.Event) -> bytes:
        """The chunks one event becomes."""
        if type(event) is ir.TextDelta:
            head = self._texts.get(event.index)
            if head is not None:
                self._lengths[event.index] += len(event.text)
                return head + encode(event.text) + self._after
        write = _WRITERS.get(type(event))
        return write(self, event) if write is not None else b""

    # --- the whole ------------------------------------------------------------------------------------------

    def _start(self, event: ir.ResponseStart) -> bytes:
        self._origin = event.origin
        self._created = event.created or int(now())
        head: Json = dict(event.extras) if event.origin == NAME else {}
        head |= {
            "id": identity.kept(event.id, "chatcmpl-", own=event.origin == NAME),
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": event.model or self._request.model,
        }
        if event.service_tier in TIERS:
            head["service_tier"] = event.service_tier
        tail = b',"usage":null' if self._request.include_usage else b""
        self._after = b'},"logprobs":null,"finish_reason":null}]%b}\n\n' % tail
        self._before = b'data: %b,"choices":[' % encode(head)[:-1]
        self._usage = event.usage
        return self._role(0)

    def _role(self, choice: int) -> bytes:
        """Who speaks: the first chunk of a choice."""
        if choice in self._spoken:
            return b""
        self._spoken[choice] = Spoken()
        role = b'"role":"assistant","content":"","refusal":null'
        return self._head(choice) + role + self._after

    def _head(self, choice: int) -> bytes:
        return self._before + b'{"index":%d,"delta":{' % choice

    def _chunk(
        self,
        choice: int,
        delta: Json,
        reason: str | None = None,
        logprobs: Json | None = None,
        extras: Json | None = None,
    ) -> bytes:
        """A chunk of its own."""
        made: Json = {
            "index": choice,
            "delta": delta,
            "logprobs": logprobs,
            "finish_reason": reason,
        }
        tail = b'],"usage":null}\n\n' if self._request.include_usage else b"]}\n\n"
        return self._before + encode({**extras, **made} if extras else made) + tail

    def _choice_end(self, event: ir.ChoiceEnd) -> bytes:
        spoken = self._role(event.choice)
        state = self._spoken[event.choice]
        found = [
            annotation(cited, begin, self._lengths.get(block, 0))
            for cited, begin, block in state.citations
        ]
        cited = [made for made in found if made is not None]
        if len(cited) < len(found):
            self._loss.drop("citations")
        if cited:
            spoken += self._chunk(event.choice, {"annotations": cited})
        reason = reason_of(event.finish, event.reason, self._request)
        if reason == "tool_calls" and not state.calls:
            reason = "stop"
        more = dict(event.extras) if self._origin == NAME else {}
        delta = more.pop("message", None)
        return spoken + self._chunk(
            event.choice, delta if isinstance(delta, dict) else {}, reason, extras=more
        )

    def _report(self, event: ir.UsageReport) -> bytes:
        self._usage = event.usage
        return b""

    def _end(self, event: ir.ResponseEnd) -> bytes:
        if not self._request.include_usage or self._usage is None:
            return DONE
        usage = encode(reports.completion(self._usage))
        return b'%b],"usage":%b}\n\n%b' % (self._before, usage, DONE)

    def _fail(self, event: ir.StreamError) -> bytes:
        return openai_stream_error(event.code or "upstream_error", event.message, "", 0)

    def _ping(self, event: ir.Ping) -> bytes:
        return _PING

    # --- blocks ---------------------------------------------------------------------------------------------

    def _block_start(self, event: ir.BlockStart) -> bytes:
        spoken = self._role(event.choice)
        begin = _BEGINNINGS.get(type(event.block))
        if begin is None:
            self._loss.drop("opaque")
            return spoken
        state = self._blocks[event.index] = Block(event.block, event.choice)
        return spoken + begin(self, event.index, state)

    def _block_end(self, event: ir.BlockEnd) -> bytes:
        state = self._blocks.pop(event.index, None)
        if state is None:
            return b""
        spoken = self._spoken[state.choice]
        block = state.block
        if self._texts.pop(event.index, None) is not None and isinstance(block, ir.Text):
            spoken.length += self._lengths[event.index]
        if isinstance(block, ir.ToolCall) and state.head and not state.filled and not block.custom:
            return state.head + b'"{}"' + state.tail
        if isinstance(block, ir.Media):
            return self._media_end(state, spoken)
        return b""

    def _begin_text(self, index: int, state: Block) -> bytes:
        block = state.block
        assert isinstance(block, ir.Text)
        spoken = self._spoken[state.choice]
        state.begin = spoken.length
        self._texts[index] = self._head(state.choice) + b'"content":'
        self._lengths[index] = len(block.text)
        made = b""
        if block.text:
            made = self._texts[index] + encode(block.text) + self._after
        if block.logprobs:
            made += self._tokens(state, block.logprobs)
        spoken.citations += [(cited, state.begin, index) for cited in block.citations]
        if block.signature:
            made += self._sign_text(state, block.signature, block.origin)
        return made

    def _begin_refusal(self, index: int, state: Block) -> bytes:
        block = state.block
        assert isinstance(block, ir.Refusal)
        head = self._texts[index] = self._head(state.choice) + b'"refusal":'
        self._lengths[index] = 0
        return head + encode(block.text) + self._after if block.text else b""

    def _begin_thought(self, index: int, state: Block) -> bytes:
        block = state.block
        assert isinstance(block, ir.Reasoning)
        if block.redacted:
            return self._sealed(state, block) if block.signature else b""
        state.head = self._head(state.choice)
        made = self._thought(state, block.text) if block.text else b""
        if block.signature:
            made += self._sign_thought(state, block.signature, block.origin)
        return made

    def _begin_call(self, index: int, state: Block) -> bytes:
        block = state.block
        assert isinstance(block, ir.ToolCall)
        spoken = self._spoken[state.choice]
        state.entry = spoken.calls
        spoken.calls += 1
        state.filled = bool(block.arguments)
        if self._request.functions:
            return self._begin_function(state, block)
        kind, field = ("custom", "input") if block.custom else ("function", "arguments")
        call: Json = {
            "index": state.entry,
            "id": identity.tool_id(block.id),
            "type": kind,
            kind: {"name": block.name, field: block.arguments},
        }
        if block.signature:
            call["extra_content"] = sealed(block.signature, block.origin)
        state.head = self._head(state.choice) + b'"tool_calls":[{"index":%d,"%b":{"%b":' % (
            state.entry,
            kind.encode(),
            field.encode(),
        )
        state.tail = b"}}]" + self._after
        return self._chunk(state.choice, {"tool_calls": [call]})

    def _begin_function(self, state: Block, block: ir.ToolCall) -> bytes:
        if state.entry:
            self._loss.drop("tool_call")
            return b""
        state.head = self._head(state.choice) + b'"function_call":{"arguments":'
        state.tail = b"}" + self._after
        call = {"name": block.name, "arguments": block.arguments}
        return self._chunk(state.choice, {"function_call": call})

    def _begin_media(self, index: int, state: Block) -> bytes:
        block = state.block
        assert isinstance(block, ir.Media)
        spoken = self._spoken[state.choice]
        if block.kind == "image" and not block.file_id:
            state.data.append(block.data)
            return b""
        if block.kind != "audio" or spoken.sound or block.url:
            drop_media(block, self._loss)
            return b""
        spoken.sound = True
        state.head = self._head(state.choice)
        id = block.extras.get("id") or block.file_id or identity.new_id("audio_")
        sound = {"id": id, "data": block.data, "transcript": block.transcript}
        return self._chunk(state.choice, {"audio": sound})

    def _media_end(self, state: Block, spoken: Spoken) -> bytes:
        block = state.block
        assert isinstance(block, ir.Media)
        if block.kind == "image" and not block.file_id:
            whole = ir.Media("image", mime=block.mime, data=joined(state.data), url=block.url)
            spoken.images += 1
            return self._chunk(state.choice, {"images": [image(whole, spoken.images - 1)]})
        if not state.head:
            return b""
        until = block.extras.get("expires_at") or self._created + SOUND_LIVES
        return self._chunk(state.choice, {"audio": {"expires_at": until}})

    # --- pieces ---------------------------------------------------------------------------------------------

    def _text(self, event: ir.TextDelta) -> bytes:
        """Text that is not a `Text`'s or a `Refusal`'s: what a sound says."""
        state = self._blocks.get(event.index)
        if state is None or not state.head or not isinstance(state.block, ir.Media):
            return b""
        return state.head + b'"audio":{"transcript":%b}' % encode(event.text) + self._after

    def _data(self, event: ir.DataDelta) -> bytes:
        state = self._blocks.get(event.index)
        if state is None:
            return b""
        if not state.head:
            state.data.append(event.data)
            return b""
        return state.head + b'"audio":{"data":%b}' % encode(event.data) + self._after

    def _reason(self, event: ir.ReasoningDelta) -> bytes:
        state = self._blocks.get(event.index)
        return b"" if state is None else self._thought(state, event.text)

    def _thought(self, state: Block, text: str) -> bytes:
        """A piece of thoughts, twice: to be read, and for the list in which a signature may follow."""
        said = encode(text)
        first = b""
        if state.entry < 0:
            block = state.block
            assert isinstance(block, ir.Reasoning)
            spoken = self._spoken[state.choice]
            state.entry = spoken.details
            spoken.details += 1
            summary = not block.raw and self._origin == "openai.responses"
            kind, field = (thoughts.SUMMARY, "summary") if summary else (thoughts.TEXT, "text")
            entry = {"type": kind, "index": state.entry, field: ""}
            first = b',"id":' + encode(block.id) if block.id else b""
            state.tail = encode(entry)[:-3]  # up to the empty text
        state.filled = True
        return b'%b"reasoning_content":%b,"reasoning_details":[%b%b%b}]%b' % (
            state.head,
            said,
            state.tail,
            said,
            first,
            self._after,
        )

    def _signature(self, event: ir.SignatureDelta) -> bytes:
        state = self._blocks.get(event.index)
        match state and state.block:
            case ir.Reasoning():
                assert state is not None
                return self._sign_thought(state, event.signature, event.origin)
            case ir.Text():
                assert state is not None
                return self._sign_text(state, event.signature, event.origin)
            case ir.ToolCall() if state is not None and not self._request.functions:
                call: Json = {"index": state.entry, "function": {"arguments": ""}}
                call["extra_content"] = sealed(event.signature, event.origin)
                return self._chunk(state.choice, {"tool_calls": [call]})
            case _:
                return b""

    def _sign_thought(self, state: Block, signature: str, origin: str) -> bytes:
        block = state.block
        assert isinstance(block, ir.Reasoning)
        if state.entry < 0 or b'"summary"' in state.tail:
            signed = ir.Reasoning(signature=signature, origin=origin, id=block.id)
            signed.redacted = block.redacted or origin == "openai"
            return self._sealed(state, signed)
        entry = {
            "type": thoughts.TEXT,
            "index": state.entry,
            "signature": signature,
            "format": thoughts.format_of(origin),
        }
        return self._chunk(state.choice, {"reasoning_details": [entry]})

    def _sign_text(self, state: Block, signature: str, origin: str) -> bytes:
        signed = ir.Text(signature=signature, origin=origin)
        carrier = next(found for found in identity.carriers(signed) if found is not None)
        return self._sealed(state, carrier)

    def _sealed(self, state: Block, block: ir.Reasoning) -> bytes:
        """Sealed state, in one piece."""
        spoken = self._spoken[state.choice]
        entries = thoughts.entries(block, spoken.details)
        spoken.details += len(entries)
        return self._chunk(state.choice, {"reasoning_details": entries})

    def _arguments(self, event: ir.ArgumentsDelta) -> bytes:
        state = self._blocks.get(event.index)
        if state is None or not state.head:
            return b""
        state.filled = True
        return state.head + encode(event.text) + state.tail

    def _citation(self, event: ir.CitationDelta) -> bytes:
        state = self._blocks.get(event.index)
        if state is not None:
            cited = (event.citation, state.begin, event.index)
            self._spoken[state.choice].citations.append(cited)
        return b""

    def _logprobs(self, event: ir.LogprobsDelta) -> bytes:
        state = self._blocks.get(event.index)
        return b"" if state is None else self._tokens(state, event.tokens)

    def _tokens(self, state: Block, tokens: list[Json]) -> bytes:
        return self._chunk(state.choice, {}, logprobs={"content": tokens, "refusal": None})


_BEGINNINGS: Mapping[type, Callable[[ChatEncoder, int, Block], bytes]] = {
    ir.Text: ChatEncoder._begin_text,
    ir.Refusal: ChatEncoder._begin_refusal,
    ir.Reasoning: ChatEncoder._begin_thought,
    ir.ToolCall: ChatEncoder._begin_call,
    ir.Media: ChatEncoder._begin_media,
}
"""How a block begins."""

_WRITERS: Mapping[type, Callable[[ChatEncoder, Any], bytes]] = {
    ir.ReasoningDelta: ChatEncoder._reason,
    ir.ArgumentsDelta: ChatEncoder._arguments,
    ir.BlockStart: ChatEncoder._block_start,
    ir.BlockEnd: ChatEncoder._block_end,
    ir.TextDelta: ChatEncoder._text,
    ir.SignatureDelta: ChatEncoder._signature,
    ir.DataDelta: ChatEncoder._data,
    ir.CitationDelta: ChatEncoder._citation,
    ir.LogprobsDelta: ChatEncoder._logprobs,
    ir.ResponseStart: ChatEncoder._start,
    ir.ChoiceEnd: ChatEncoder._choice_end,
    ir.UsageReport: ChatEncoder._report,
    ir.ResponseEnd: ChatEncoder._end,
    ir.StreamError: ChatEncoder._fail,
    ir.Ping: ChatEncoder._ping,
}
"""How each event is told."""
