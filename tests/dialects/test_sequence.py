"""Overlapping blocks, one after another."""

from __future__ import annotations

from hypothesis import given

from proxy.dialects import ir
from proxy.dialects.fold import Fold
from proxy.dialects.sequence import Sequencer
from tests.dialects.examples import streams
from tests.dialects.laws import grammar


def sequenced(events: list[ir.Event]) -> list[ir.Event]:
    sequencer = Sequencer()
    return [out for event in events for out in sequencer.feed(event)]


def of_block(events: list[ir.Event], index: int) -> list[ir.Event]:
    return [event for event in events if getattr(event, "index", -1) == index]


@given(events=streams())
def test_no_two_blocks_are_open_at_once_and_nothing_is_lost(events: list[ir.Event]) -> None:
    found = sequenced(events)

    open_blocks = 0
    for event in found:
        open_blocks += isinstance(event, ir.BlockStart) - isinstance(event, ir.BlockEnd)
        assert open_blocks <= 1
    assert grammar(found) == []
    assert len(found) == len(events)
    for index in range(len(events)):
        assert of_block(found, index) == of_block(events, index)
    folds = Fold(), Fold()
    for fold, told in zip(folds, (events, found), strict=True):
        fold.add(told)
    assert folds[0].response == folds[1].response


@given(events=streams(overlapping=()))
def test_what_does_not_overlap_passes_at_once(events: list[ir.Event]) -> None:
    sequencer = Sequencer()

    assert [sequencer.feed(event) for event in events] == [[event] for event in events]


def test_the_open_block_is_never_held_back() -> None:
    sequencer = Sequencer()
    first, second = ir.BlockStart(0, ir.Text()), ir.BlockStart(1, ir.ToolCall("c", "f"))

    assert sequencer.feed(first) == [first]
    assert sequencer.feed(second) == []
    assert sequencer.feed(ir.ArgumentsDelta(1, "{}")) == []
    assert sequencer.feed(ir.TextDelta(0, "a")) == [ir.TextDelta(0, "a")]
    assert sequencer.feed(ir.BlockEnd(0)) == [ir.BlockEnd(0), second, ir.ArgumentsDelta(1, "{}")]
    assert sequencer.feed(ir.BlockEnd(1)) == [ir.BlockEnd(1)]


def test_an_error_passes_whatever_is_held() -> None:
    sequencer = Sequencer()
    for index in range(2):
        sequencer.feed(ir.BlockStart(index, ir.Text()))

    assert sequencer.feed(ir.StreamError(500, "m")) == [ir.StreamError(500, "m")]
    assert sequencer.feed(ir.TextDelta(7, "of no block")) == []
