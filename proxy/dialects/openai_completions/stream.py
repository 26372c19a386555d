"""The text of an answer in pieces: chunks of the same shape as a whole one, ended by `[DONE]`."""

from __future__ import annotations

from proxy.core.clock import now
from proxy.dialects import identity, ir
from proxy.dialects import usage as reports
from proxy.dialects.choices import DONE
from proxy.dialects.ir import Json
from proxy.dialects.lenient import is_idle, object_at
from proxy.dialects.loss import Loss
from proxy.dialects.openai_completions.request import NAME
from proxy.dialects.openai_completions.response import (
    choices_of,
    encode,
    finish_out,
    lose,
    more_logprobs,
    parse_response,
)
from proxy.dialects.render import openai_stream_error

_TAIL = b',"logprobs":null,"finish_reason":null}]}\n\n'
_PING = b": ping\n\n"


class CompletionsEncoder:
    """Writes one stream."""

    __slots__ = ("_before", "_heads", "_loss", "_request", "_said", "_usage")

    sequence = 0

    def __init__(self, request: ir.Request, loss: Loss) -> None:
        self._request = request
        self._loss = loss
        self._before = b""
        self._heads: dict[int, tuple[bytes, int]] = {}
        """Block of text to all that comes before a piece of it, and its choice."""
        self._said: dict[int, int] = {}
        """Choice to its characters so far."""
        self._usage: ir.Usage | None = None

    def encode(self, event: ir.Event) -> bytes:
        """The chunks one event becomes."""
        if type(event) is ir.TextDelta:
            found = self._heads.get(event.index)
            if found is None:
                return b""
            head, choice = found
            self._said[choice] += len(event.text)
            return head + encode(event.text) + _TAIL
        return self._other(event)

    def _other(self, event: ir.Event) -> bytes:
        made = b""
        match event:
            case ir.ResponseStart():
                self._start(event)
            case ir.BlockStart():
                made = self._begin(event)
            case ir.BlockEnd(index=index):
                self._heads.pop(index, None)
            case ir.LogprobsDelta():
                made = self._tokens(event)
            case ir.CitationDelta():
                self._loss.drop("citations")
            case ir.ChoiceEnd():
                made = self._chunk(event.choice, finish_reason=finish_out(event.finish))
            case ir.UsageReport(usage=usage):
                self._usage = usage
            case ir.ResponseEnd():
                made = self._end()
            case ir.StreamError():
                made = openai_stream_error(event.code or "upstream_error", event.message, "", 0)
            case ir.Ping():
                made = _PING
            case _:
                pass
        return made

    def _start(self, event: ir.ResponseStart) -> None:
        head = {
            "id": identity.renamed(event.id, "cmpl-"),
            "object": "text_completion",
            "created": event.created or int(now()),
            "model": event.model or self._request.model,
        }
        self._before = b'data: %b,"choices":[' % encode(head)[:-1]
        self._usage = event.usage

    def _begin(self, event: ir.BlockStart) -> bytes:
        lose(event.block, self._loss)
        if not isinstance(event.block, ir.Text | ir.Refusal):
            return b""
        self._said.setdefault(event.choice, 0)
        head = self._before + b'{"index":%d,"text":' % event.choice
        self._heads[event.index] = head, event.choice
        text = event.block.text
        return self.encode(ir.TextDelta(event.index, text)) if text else b""

    def _tokens(self, event: ir.LogprobsDelta) -> bytes:
        found = self._heads.get(event.index)
        if found is None:
            return b""
        words = sum(len(str(token.get("token", ""))) for token in event.tokens)
        offset = max(self._said[found[1]] - words, 0)
        return self._chunk(found[1], logprobs=more_logprobs(None, event.tokens, offset))

    def _chunk(
        self, choice: int, *, logprobs: Json | None = None, finish_reason: str | None = None
    ) -> bytes:
        made = {"index": choice, "text": "", "logprobs": logprobs, "finish_reason": finish_reason}
        return self._before + encode(made) + b"]}\n\n"

    def _end(self) -> bytes:
        if not self._request.include_usage or self._usage is None:
            return DONE
        usage = encode(reports.completion(self._usage))
        return b'%b],"usage":%b}\n\n%b' % (self._before, usage, DONE)


class CompletionsDecoder:
    """Reads one stream, put together and told at its end: no provider is asked in this."""

    __slots__ = ("_choices", "_error", "_first", "_request", "_usage")

    def __init__(self, request: ir.Request) -> None:
        self._request = request
        self._choices: dict[int, ir.Choice] = {}
        self._first: ir.Response | None = None
        self._usage: ir.Usage | None = None
        self._error = False

    def feed(self, name: bytes, data: bytes) -> list[ir.Event]:
        """What one chunk says: nothing yet, but for an error."""
        if is_idle(data) or self._error:
            return []
        chunk = object_at(data)
        if chunk is None:
            return []
        if chunk.get("error"):
            self._error = True
            return [ir.StreamError(502, "The provider reported an error.")]
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self._usage = reports.openai(encode(usage))
        try:
            found = parse_response(data, self._request)
        except ValueError:
            return []
        self._first = self._first or found
        for place, more in zip(choices_of(chunk), found.choices, strict=True):
            self._add(place, more)
        return []

    def _add(self, place: Json, more: ir.Choice) -> None:
        index = place.get("index")
        choice = self._choices.setdefault(index if isinstance(index, int) else 0, ir.Choice())
        choice.blocks += more.blocks
        if more.reason:
            choice.finish, choice.reason = more.finish, more.reason

    def end(self) -> list[ir.Event]:
        """All of it."""
        ended = all(choice.reason for choice in self._choices.values())
        if self._first is None or not ended or self._error:
            return []
        first = self._first
        events: list[ir.Event] = [
            ir.ResponseStart(first.id, first.model, first.created, origin=NAME)
        ]
        choices = sorted(self._choices.items())
        for index, (number, choice) in enumerate(choices):
            text = "".join(block.text for block in choice.blocks if isinstance(block, ir.Text))
            events += [
                ir.BlockStart(index, ir.Text(), number),
                ir.TextDelta(index, text),
                ir.BlockEnd(index),
            ]
        events += [
            ir.ChoiceEnd(choice.finish or "stop", number, reason=choice.reason)
            for number, choice in choices
        ]
        if self._usage is not None:
            events.append(ir.UsageReport(self._usage))
        return [*events, ir.ResponseEnd()]
