"""Overlapping blocks put one after another, for dialects in which only one may be open at a time."""

from __future__ import annotations

from proxy.dialects import ir

_OF_A_BLOCK = (
    ir.TextDelta,
    ir.ReasoningDelta,
    ir.ArgumentsDelta,
    ir.SignatureDelta,
    ir.DataDelta,
    ir.CitationDelta,
    ir.LogprobsDelta,
    ir.BlockEnd,
)


class Sequencer:
    """Lets the open block's events through at once and holds those of the blocks behind it until it has ended."""

    __slots__ = ("_held", "_open")

    def __init__(self) -> None:
        self._open = -1
        self._held: dict[int, list[ir.Event]] = {}

    def feed(self, event: ir.Event) -> list[ir.Event]:
        """The events that may go out now."""
        kind = type(event)
        if kind is ir.BlockStart:
            assert isinstance(event, ir.BlockStart)
            if self._open >= 0:
                self._held[event.index] = [event]
                return []
            self._open = event.index
            return [event]
        if kind not in _OF_A_BLOCK:
            return [event]
        index: int = event.index  # type: ignore[union-attr]
        if index != self._open:
            held = self._held.get(index)
            if held is not None:
                held.append(event)
            return []
        if kind is not ir.BlockEnd:
            return [event]
        return [event, *self._next()]

    def _next(self) -> list[ir.Event]:
        """Blocks that have waited: whole ones, and the first that is not."""
        found: list[ir.Event] = []
        self._open = -1
        for index in list(self._held):
            events = self._held.pop(index)
            found += events
            if type(events[-1]) is not ir.BlockEnd:
                self._open = index
                break
        return found
