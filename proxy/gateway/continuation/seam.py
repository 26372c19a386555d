"""Another answer as a part of the first: what is old of it left out, what is new told as the first would have gone on.

A decoder like any other, around the one that reads the other answer. Blocks are renumbered behind those the client
has; the text goes on in the client's own block as long as that is open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from proxy.dialects import ir
from proxy.gateway.continuation.asking import tokens_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from proxy.dialects.base import Decoder
    from proxy.gateway.continuation.rungs import Rung
    from proxy.gateway.continuation.sent import Sent
    from proxy.gateway.exchange import Witness

_UNHEARD = (
    ir.ReasoningDelta,
    ir.SignatureDelta,
    ir.CitationDelta,
    ir.LogprobsDelta,
    ir.BlockEnd,
    ir.ResponseStart,
    ir.UsageReport,
)
"""What the other answer may say before the place is found, and nobody needs to know."""


class Seam:
    """Reads one answer; `join` is called once, when the place is found and before anything new is given out."""

    __slots__ = (
        "_added",
        "_blocks",
        "_decoder",
        "_join",
        "_old",
        "_out",
        "_rung",
        "_sent",
        "_texts",
        "_witness",
        "joined",
        "missed",
    )

    def __init__(
        self,
        decoder: Decoder,
        rung: Rung,
        sent: Sent,
        added: str,
        join: Callable[[], None],
        witness: Witness | None = None,
    ) -> None:
        """`added` is what the other answer was asked with besides the client's request."""
        self._decoder = decoder
        self._rung = rung
        self._sent = sent
        self._old = sent.text
        self._added = added
        self._join = join
        self._witness = witness
        self._out: list[ir.Event] = []
        self._texts: list[int] = []
        """Blocks of text of the other answer."""
        self._blocks: dict[int, int] = {}
        """Its blocks, as the client counts them."""
        self.joined = False
        self.missed = False
        """It does not go on where the first ended."""

    def feed(self, name: bytes, data: bytes) -> list[ir.Event]:
        """What one event of the other answer adds to the first."""
        return self.take(self._decoder.feed(name, data))

    def end(self) -> list[ir.Event]:
        """What its end adds."""
        return self.take(self._decoder.end())

    def take(self, events: Iterable[ir.Event]) -> list[ir.Event]:
        """The same of events."""
        self._out = []
        for event in events:
            if self.joined:
                self._after(event)
            elif not self.missed:
                self._before(event)
        return self._out

    def _tell(self, event: ir.Event) -> None:
        self._out.append(event)
        self._sent.add((event,))
        if self._witness is not None and isinstance(event, ir.TextDelta):
            self._witness.said(event.text)

    # --- until the place is found ---

    def _before(self, event: ir.Event) -> None:
        sent = self._sent
        if not self._old and not sent.thought and sent.open < 0:
            # The client has nothing yet: all of it is new.
            self._found()
            self._after(event)
            return
        match event:
            case ir.BlockStart(index=index, block=ir.Text(text=text), choice=0):
                self._texts.append(index)
                if text:
                    self._look(index, text)
            case ir.TextDelta(index=index, text=text) if index in self._texts:
                self._look(index, text)
            case ir.Ping() | ir.StreamError():
                self._out.append(event)
            case ir.BlockStart(block=ir.Reasoning()):
                pass
            case _ if not isinstance(event, _UNHEARD):
                self._turn(event)  # its end, or a call
            case _:
                pass

    def let_go(self) -> None:
        """Nothing more comes: whom `join` knows must not be kept by it."""
        self._join = _nothing

    def _look(self, index: int, text: str) -> None:
        rest = self._rung.feed(text)
        if rest is not None:
            self._found()
            if self._sent.open >= 0:
                self._blocks[index] = self._sent.open
            if rest:
                self._say(index, rest)
        elif self._rung.missed:
            self.missed = True

    def _turn(self, event: ir.Event) -> None:
        """No more text before `event`."""
        rest = self._rung.end()
        if rest is None:
            self.missed = True
            return
        self._found()
        if rest:
            place = self._sent.open
            if place < 0:
                place = self._place()
                self._tell(ir.BlockStart(place, ir.Text()))
            self._tell(ir.TextDelta(place, rest))
        self._after(event)

    def _found(self) -> None:
        self.joined = True
        self._sent.hops += 1
        join, self._join = self._join, _nothing
        join()

    # --- behind it ---

    def _after(self, event: ir.Event) -> None:
        match event:
            case ir.TextDelta(index=index, text=text):
                self._say(index, text)
            case ir.BlockStart():
                self._close()
                self._blocks[event.index] = place = self._place()
                self._tell(replace(event, index=place))
            case ir.ResponseStart():
                if not self._sent.started:
                    self._tell(event)
            case ir.UsageReport(usage=usage):
                self._tell(ir.UsageReport(self._true(usage)))
            case ir.ChoiceEnd():
                self._close()
                self._tell(event)
            case _:
                self._renumbered(event)

    def _renumbered(self, event: ir.Event) -> None:
        index = getattr(event, "index", None)
        if index is None:
            self._tell(event)
        elif index in self._blocks:
            self._tell(replace(event, index=self._blocks[index]))

    def _say(self, index: int, text: str) -> None:
        """More of a text, whose block begins when it has to."""
        place = self._blocks.get(index)
        if place is None:
            if index not in self._texts:
                return
            place = self._blocks[index] = self._place()
            self._tell(ir.BlockStart(place, ir.Text()))
        self._tell(ir.TextDelta(place, text))

    def _place(self) -> int:
        """The index of a new block."""
        self._sent.next += 1
        return self._sent.next - 1

    def _close(self) -> None:
        """End the client's block, where the other answer has none that could."""
        place = self._sent.open
        if place >= 0 and place not in self._blocks.values():
            self._tell(ir.BlockEnd(place))

    def _true(self, usage: ir.Usage) -> ir.Usage:
        """What the other answer used, as if it were all that the client has: what was said before is estimated."""
        if not self._added:
            return usage
        said, first = tokens_in(self._old), self._sent.usage
        output = usage.output + said
        if first is not None and (first.input or first.cache_read or first.cache_write):
            return replace(first, output=output, reasoning=usage.reasoning)
        return replace(usage, input=max(usage.input - tokens_in(self._added), 0), output=output)


def _nothing() -> None:
    """What a place that is found twice comes to."""
