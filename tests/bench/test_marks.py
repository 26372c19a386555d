"""What passes is the phase's that was entered last."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from bench.marks import OUTSIDE, Marks, Place, Toll, marked, tenth, toll


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_phase_has_what_the_phases_within_have_not() -> None:
    hand = Hand()
    marks = Marks(hand)

    class Line:
        def outer(self) -> str:
            hand.now += 10
            self.inner()
            hand.now += 5
            return "done"

        def inner(self) -> None:
            hand.now += 3

    places = (Place("outer", Line, "outer"), Place("inner", Line, "inner"))
    with marked(marks, places):
        hand.now += 100
        assert Line().outer() == "done"

    assert marks.spent == {OUTSIDE: 100, "outer": 15, "inner": 3}
    assert marks.net(Toll(inside=1, around=2)) == {"outer": 15 - 1 - 2, "inner": 3 - 1}


def test_waiting_is_not_the_phases() -> None:
    hand = Hand()
    marks = Marks(hand)

    async def wait() -> str:
        hand.now += 1
        await asyncio.sleep(0)
        hand.now += 2
        return "done"

    line = SimpleNamespace(wait=wait)

    async def run() -> None:
        task = asyncio.ensure_future(line.wait())
        await asyncio.sleep(0)
        hand.now += 1000
        assert await task == "done"

    with marked(marks, (Place("waits", line, "wait"),)):
        asyncio.run(run())

    assert marks.spent["waits"] == 3
    assert line.wait is wait


def test_an_error_goes_through_a_mark_both_ways() -> None:
    marks = Marks(Hand())
    seen: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def run() -> None:
        task = asyncio.ensure_future(marks.wrapped(wait, "waits")())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())

    assert seen == ["cancelled"]
    assert marks.calls == {"waits": 2}


def test_a_function_that_is_gone_is_named() -> None:
    with (
        pytest.raises(AttributeError, match="no_such_function"),
        marked(Marks(), (Place("any", Hand, "no_such_function"),)),
    ):
        pass


def test_a_mark_costs_something() -> None:
    assert toll(50).around > 0


def test_the_tenth() -> None:
    assert tenth([float(number) for number in range(100, 0, -1)]) == 11.0
