"""A stream written for a client.

Clients rely on more than the order of events: indexes without a gap, one block open at a time, a signature exactly
once and last in its block, the first piece of an input empty. A block begins here when there is something in it, for
only then it is known what it is: thoughts that never get a text are redacted, texts that stay empty are none.
"""

from __future__ import annotations

from proxy.dialects import identity, ir
from proxy.dialects.anthropic.fields import stop_reason
from proxy.dialects.anthropic.read import FAMILY, NAME, encode
from proxy.dialects.anthropic.response import (
    call_head,
    head,
    is_redacted,
    render_citation,
    render_usage,
)
from proxy.dialects.arguments import as_object
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss
from proxy.dialects.sequence import Sequencer

_PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def _event(kind: str, **fields: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), encode({"type": kind, **fields}))


def _piece(index: int, kind: str, name: str) -> bytes:
    """The bytes of a delta up to its text."""
    return (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
        b'"delta":{"type":"%b","%b":' % (index, kind.encode(), name.encode())
    )


def _no_thoughts() -> Json:
    """What a block of thoughts begins with."""
    return {"type": "thinking", "thinking": "", "signature": ""}


class MessagesEncoder:
    """Writes one stream."""

    __slots__ = (
        "_beside",
        "_block",
        "_calls",
        "_done",
        "_end",
        "_index",
        "_input",
        "_loss",
        "_model",
        "_open",
        "_origin",
        "_other",
        "_prefix",
        "_refused",
        "_sequencer",
        "_signature",
        "_started",
        "_tier",
        "_usage",
    )

    sequence = 0

    def __init__(self, request: ir.Request, loss: Loss) -> None:
        self._loss = loss
        self._sequencer = Sequencer()
        self._model = request.model
        self._open = -1
        """The block whose events come, as the hub counts."""
        self._index = 0
        """The block that is written, as the client counts."""
        self._block: ir.Block | None = None
        self._prefix = b""
        """What a delta of it begins with; "" until it has been begun."""
        self._started = self._done = False
        self._signature = ("", "")
        self._other: set[int] = set()
        """Blocks of other choices."""
        self._calls: set[str] = set()
        """Ids of calls."""
        self._refused = False
        self._input = ""
        """Of a call, as long as it does not look like an object."""
        self._end: ir.ChoiceEnd | None = None
        self._usage: ir.Usage | None = None
        self._beside: Json = {}
        """What the first report said beside tokens."""
        self._tier = ""
        self._origin = ""

    def encode(self, event: ir.Event) -> bytes:
        """The bytes of one event."""
        kind = type(event)
        if (
            (kind is ir.TextDelta or kind is ir.ReasoningDelta or kind is ir.ArgumentsDelta)
            and self._prefix
            and event.index == self._open  # type: ignore[union-attr]
        ):
            return b"%b%b}}\n\n" % (self._prefix, encode(event.text))  # type: ignore[union-attr]
        if self._done:
            return b""
        if isinstance(event, ir.BlockStart) and event.choice:
            self._other.add(event.index)
            self._loss.drop("n")
            return b""
        if getattr(event, "index", -1) in self._other:
            return b""
        return b"".join(map(self._write, self._sequencer.feed(event)))

    def _write(self, event: ir.Event) -> bytes:
        match event:
            case ir.ArgumentsDelta():
                return self._arguments(event.text)
            case ir.TextDelta() | ir.ReasoningDelta():
                return self._more(event.text)
            case ir.BlockStart():
                return self._start(event)
            case ir.BlockEnd():
                return self._stop()
            case ir.SignatureDelta(signature=signature, origin=origin):
                self._signature = signature, origin
            case ir.CitationDelta(citation=citation):
                return self._cite(citation)
            case ir.LogprobsDelta():
                self._loss.drop("logprobs")
            case _:
                return self._about_the_whole(event)
        return b""

    def _about_the_whole(self, event: ir.Event) -> bytes:
        match event:
            case ir.ResponseStart():
                return self._message_start(event)
            case ir.ChoiceEnd(choice=0):
                self._end = event
            case ir.UsageReport(usage=usage):
                self._usage = usage
            case ir.ResponseEnd():
                return self._message_end(event)
            case ir.StreamError(status=status, message=message):
                self._done = True
                kind = _ERROR_TYPES.get(status, "api_error")
                return _event("error", error={"type": kind, "message": message})
            case ir.Ping():
                return _PING
            case _:
                pass
        return b""

    # --- the message -------------------------------------------------------------------------------------

    def _message_start(self, event: ir.ResponseStart) -> bytes:
        self._usage, self._tier, self._origin = event.usage, event.service_tier, event.origin
        extras = dict(event.extras) if event.origin == NAME else {}
        self._beside = extras.pop("usage", {})
        message: Json = {
            **head(event.id, event.model or self._model),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            **extras,
            "usage": {**render_usage(event.usage, event.service_tier), **self._beside},
        }
        return _event("message_start", message=message)

    def _message_end(self, event: ir.ResponseEnd) -> bytes:
        ended = self._end or ir.ChoiceEnd("stop")
        self._done = True
        own = self._origin == NAME
        extras = {**ended.extras, **event.extras} if own else {}
        told = self._beside.items()
        news = {key: v for key, v in extras.pop("usage", {}).items() if (key, v) not in told}
        usage = {**render_usage(self._usage), **news}
        beside = {name: extras.pop(name) for name in _BESIDE if name in extras}
        finish = "refusal" if ended.finish == "stop" and self._refused else ended.finish
        delta = {
            **stop_reason(
                finish, ended.reason, ended.stop_sequence, own=own, calls=bool(self._calls)
            ),
            **extras,
        }
        return _event("message_delta", delta=delta, usage=usage, **beside) + _event("message_stop")

    # --- blocks ------------------------------------------------------------------------------------------

    def _start(self, event: ir.BlockStart) -> bytes:
        block = event.block
        self._open, self._block, self._started = event.index, block, False
        self._prefix, self._signature = b"", ("", "")
        match block:
            case ir.Text():
                self._signature = block.signature, block.origin
                if block.logprobs:
                    self._loss.drop("logprobs")
                made = self._more(block.text) if block.text else b""
                return made + b"".join(map(self._cite, block.citations))
            case ir.Refusal(text=text):
                self._refused = True
                return self._more(text) if text else b""
            case ir.Reasoning():
                return self._start_reasoning(block)
            case ir.ToolCall():
                return self._start_call(block)
            case ir.Media(kind=kind, transcript=text):
                self._loss.drop(f"{kind}.data")
                return self._more(text) if text else b""
            case ir.Opaque():
                return self._opaque(block)
            case _:
                return b""

    def _start_reasoning(self, block: ir.Reasoning) -> bytes:
        self._signature = block.signature, block.origin
        return self._more(block.text) if block.text else b""

    def _start_call(self, block: ir.ToolCall) -> bytes:
        """Nothing yet, unless all is known: the state that goes before a call may come after its name."""
        self._input = ""
        self._signature = block.signature, block.origin
        return self._arguments(block.arguments)

    def _arguments(self, text: str) -> bytes:
        """More of an input. One that does not begin as an object must wait: it will have to be put into one."""
        if self._started:
            return self._more(text)
        self._input += text
        if not self._input.lstrip().startswith("{"):
            return b""
        return self._more(self._input)

    def _begin_call(self, block: ir.ToolCall) -> bytes:
        signature, origin = self._signature
        self._signature = ("", "")
        before, _ = identity.carriers(ir.ToolCall(signature=signature, origin=origin))
        made = self._redacted(before) if before is not None else b""
        begun = {**call_head(block, own=self._origin == NAME), "input": {}}
        if begun["id"] in self._calls:
            begun["id"] = identity.new_id("toolu_")
        self._calls.add(begun["id"])
        made += self._begin(begun, "input_json_delta", "partial_json")
        return made + b'%b""}}\n\n' % self._prefix

    def _stop_call(self, block: ir.ToolCall) -> bytes:
        made = b""
        if not self._started:
            made = self._begin_call(block)
            if self._input.strip():
                made += self._more(encode(as_object(self._input)).decode())
        if self._signature[0]:
            # It came after the first of the input: too late to go before it.
            self._loss.drop("tool_call.signature")
        return made + self._close()

    def _begin(self, block: Json, kind: str = "", name: str = "") -> bytes:
        self._started = True
        self._prefix = _piece(self._index, kind, name) if kind else b""
        return _event("content_block_start", index=self._index, content_block=block)

    def _more(self, text: str) -> bytes:
        """More of the open block, which begins now if it has not."""
        made = b""
        if not self._started:
            if isinstance(self._block, ir.Reasoning):
                made = self._begin(_no_thoughts(), "thinking_delta", "thinking")
            elif isinstance(self._block, ir.ToolCall):
                made = self._begin_call(self._block)
            else:
                made = self._begin({"type": "text", "text": ""}, "text_delta", "text")
        return made + b"%b%b}}\n\n" % (self._prefix, encode(text))

    def _cite(self, citation: ir.Citation) -> bytes:
        written = render_citation(citation)
        if written is None or not isinstance(self._block, ir.Text):
            self._loss.drop("citations")
            return b""
        made = b""
        if not self._started:
            made = self._begin({"type": "text", "text": ""}, "text_delta", "text")
        delta = {"type": "citations_delta", "citation": written}
        return made + _event("content_block_delta", index=self._index, delta=delta)

    def _stop(self) -> bytes:
        """The end of the open block, and what can only be said then."""
        block, self._block, self._open = self._block, None, -1
        signature, origin = self._signature
        if isinstance(block, ir.Reasoning):
            return self._stop_reasoning(block, signature, origin)
        if isinstance(block, ir.ToolCall):
            return self._stop_call(block)
        made = self._close() if self._started else b""
        if signature:
            _, after = identity.carriers(ir.Text(signature=signature, origin=origin))
            made += self._redacted(after) if after is not None else b""
        return made

    def _stop_reasoning(self, block: ir.Reasoning, signature: str, origin: str) -> bytes:
        whole = ir.Reasoning(
            text="." if self._started else "",
            signature=signature,
            origin=origin,
            redacted=block.redacted,
        )
        if not self._started and is_redacted(whole):
            return self._redacted(whole)
        if not self._started and not signature:
            return b""
        made = b"" if self._started else self._begin(_no_thoughts())
        seal = identity.sealed if self._origin == NAME else identity.sealed_anyhow
        sealed = seal(signature, origin, FAMILY)
        delta = {"type": "signature_delta", "signature": sealed}
        return made + _event("content_block_delta", index=self._index, delta=delta) + self._close()

    def _close(self) -> bytes:
        made = _event("content_block_stop", index=self._index)
        self._index += 1
        self._prefix, self._started = b"", False
        return made

    def _redacted(self, block: ir.Reasoning) -> bytes:
        """A whole block of sealed thoughts."""
        sealed = identity.sealed(block.signature, block.origin, FAMILY)
        return self._begin({"type": "redacted_thinking", "data": sealed}) + self._close()

    def _opaque(self, block: ir.Opaque) -> bytes:
        """A whole block. The input of a provider's own tool comes in pieces, as everybody expects of an input."""
        if block.origin != FAMILY:
            self._loss.drop("opaque")
            return b""
        given = block.value.get("input")
        if not block.kind.endswith("tool_use") or not isinstance(given, dict):
            return self._begin(block.value)
        made = self._begin({**block.value, "input": {}}, "input_json_delta", "partial_json")
        return made + self._more(encode(given).decode())


_BESIDE = ("context_management", "input_transformations")
"""Fields that stand beside the delta of a message, not in it."""
