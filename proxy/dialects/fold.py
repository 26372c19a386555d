"""A stream told as a whole answer, and a whole answer told as a stream."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from proxy.dialects import ir
from proxy.dialects.joined import joined


def _more(field: str, part: str) -> Callable[[Any, Any], None]:
    """Adds an event's `part` to a block's `field`."""

    def grow(block: Any, event: Any) -> None:
        setattr(block, field, getattr(block, field) + getattr(event, part))

    return grow


def _data(block: Any, event: Any) -> None:
    # Only in the last four characters may what was there have its end.
    block.data = block.data[:-4] + joined((block.data[-4:], event.data))


def _sign(block: Any, event: Any) -> None:
    block.signature, block.origin = event.signature, event.origin


def _cite(block: Any, event: Any) -> None:
    block.citations.append(event.citation)


_GROW: Mapping[tuple[type, type], Callable[[Any, Any], None]] = {
    (ir.TextDelta, ir.Text): _more("text", "text"),
    (ir.TextDelta, ir.Refusal): _more("text", "text"),
    (ir.TextDelta, ir.Media): _more("transcript", "text"),
    (ir.ReasoningDelta, ir.Reasoning): _more("text", "text"),
    (ir.ArgumentsDelta, ir.ToolCall): _more("arguments", "text"),
    (ir.DataDelta, ir.Media): _data,
    (ir.LogprobsDelta, ir.Text): _more("logprobs", "tokens"),
    (ir.CitationDelta, ir.Text): _cite,
    (ir.SignatureDelta, ir.Text): _sign,
    (ir.SignatureDelta, ir.Reasoning): _sign,
    (ir.SignatureDelta, ir.ToolCall): _sign,
}
"""What an event does to the block it is about. Events a block cannot take are left out."""


class Fold:
    """Collects the events of one stream. `response` is right at any time: what is there so far."""

    __slots__ = ("_blocks", "_choices", "ended", "error", "response")

    def __init__(self) -> None:
        self.response = ir.Response()
        self.error: ir.StreamError | None = None
        self.ended = False
        self._blocks: dict[int, ir.Block] = {}
        self._choices: dict[int, ir.Choice] = {}

    def add(self, events: Iterable[ir.Event]) -> None:
        """More of it."""
        for event in events:
            self._add(event)

    def _add(self, event: ir.Event) -> None:
        if isinstance(event, ir.BlockStart):
            block = self._blocks[event.index] = copy.deepcopy(event.block)
            self._choice(event.choice).blocks.append(block)
            return
        index = getattr(event, "index", -1)
        if index >= 0:
            grow = _GROW.get((type(event), type(self._blocks.get(index))))
            if grow is not None:
                grow(self._blocks[index], event)
            return
        self._about_the_whole(event)

    def _about_the_whole(self, event: ir.Event) -> None:
        response = self.response
        match event:
            case ir.ResponseStart():
                response.id, response.model = event.id, event.model
                response.created, response.origin = event.created, event.origin
                response.service_tier = event.service_tier
                response.extras.update(event.extras)
                response.usage = event.usage
            case ir.ChoiceEnd():
                choice = self._choice(event.choice)
                choice.finish, choice.reason = event.finish, event.reason
                choice.stop_sequence = event.stop_sequence
                choice.extras.update(event.extras)
            case ir.UsageReport(usage=usage):
                response.usage = usage
            case ir.ResponseEnd():
                response.extras.update(event.extras)
                self.ended = True
            case ir.StreamError():
                self.error = event
            case _:
                pass

    def _choice(self, number: int) -> ir.Choice:
        choice = self._choices.get(number)
        if choice is None:
            choice = self._choices[number] = ir.Choice()
            self.response.choices = [self._choices[key] for key in sorted(self._choices)]
        return choice


def unfold(response: ir.Response) -> Iterator[ir.Event]:
    """The events of a whole answer: each block in one piece, choice by choice, then how each of them ended."""
    yield ir.ResponseStart(
        response.id,
        response.model,
        response.created,
        response.service_tier,
        response.origin,
        response.extras,
    )
    index = 0
    for number, choice in enumerate(response.choices):
        for block in choice.blocks:
            yield from _unfold_block(index, block, number)
            index += 1
    for number, choice in enumerate(response.choices):
        yield ir.ChoiceEnd(
            choice.finish or "stop", number, choice.stop_sequence, choice.reason, choice.extras
        )
    if response.usage is not None:
        yield ir.UsageReport(response.usage)
    yield ir.ResponseEnd()


def _unfold_block(index: int, block: ir.Block, choice: int) -> Iterator[ir.Event]:
    start = copy.copy(block)
    match start:
        case ir.Text():
            text, citations, logprobs = start.text, start.citations, start.logprobs
            start.text, start.citations, start.logprobs = "", [], []
            yield ir.BlockStart(index, start, choice)
            if text:
                yield ir.TextDelta(index, text)
            if logprobs:
                yield ir.LogprobsDelta(index, logprobs)
            for citation in citations:
                yield ir.CitationDelta(index, citation)
        case ir.Refusal(text=text):
            start.text = ""
            yield ir.BlockStart(index, start, choice)
            yield ir.TextDelta(index, text)
        case ir.Reasoning(text=text, signature=signature, origin=origin) if not start.redacted:
            start.text = start.signature = start.origin = ""
            yield ir.BlockStart(index, start, choice)
            if text:
                yield ir.ReasoningDelta(index, text)
            if signature:
                yield ir.SignatureDelta(index, signature, origin)
        case ir.ToolCall(arguments=arguments):
            start.arguments = ""
            yield ir.BlockStart(index, start, choice)
            if arguments:
                yield ir.ArgumentsDelta(index, arguments)
        case _:
            yield ir.BlockStart(index, start, choice)
    yield ir.BlockEnd(index)
