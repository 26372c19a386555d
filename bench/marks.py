"""Says which part of a program what passes belongs to: functions that stand for a phase are wrapped while it is measured.

What passes between two marks is the phase's that was entered last and not left: each phase has what its own functions do,
less what other phases do within. The clock is any number that grows: nanoseconds, or bytecodes.

A mark costs time itself, of which a part falls into the phase and a part into the one around it. `toll` measures both with a
function that does nothing, and `Marks.net` takes them off again.
"""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from time import perf_counter_ns
from types import coroutine
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

OUTSIDE = ""
"""What is nobody's: the loop, and who drives it."""


class Place(Struct, frozen=True):
    """A function by where it is looked up: an attribute of a module or a class."""

    phase: str
    owner: Any
    name: str


class Toll(Struct, frozen=True):
    """What one mark adds to its own phase, and to the one around it."""

    inside: float = 0.0
    around: float = 0.0


class Marks:
    """Who is at work, and how much each has taken."""

    def __init__(self, clock: Callable[[], float] = perf_counter_ns) -> None:
        self._clock = clock
        self._stack = [OUTSIDE]
        self.restart()

    def restart(self) -> None:
        """Begin anew. Whoever is at work stays so."""
        self.spent: dict[str, float] = {}
        self.calls: dict[str, int] = {}
        """Times that a phase was entered."""
        self.around: dict[str, int] = {}
        """Times that another was entered out of it."""
        self._since = self._clock()

    def enter(self, phase: str) -> None:
        before = self._stack[-1]
        self.calls[phase] = self.calls.get(phase, 0) + 1
        self.around[before] = self.around.get(before, 0) + 1
        self._stack.append(phase)
        now = self._clock()
        self.spent[before] = self.spent.get(before, 0.0) + now - self._since
        self._since = now

    def leave(self) -> None:
        now = self._clock()
        phase = self._stack.pop()
        self.spent[phase] = self.spent.get(phase, 0.0) + now - self._since
        self._since = now

    def net(self, toll: Toll) -> dict[str, float]:
        """What each phase took, less what its marks did."""
        return {
            phase: spent
            - self.calls.get(phase, 0) * toll.inside
            - self.around.get(phase, 0) * toll.around
            for phase, spent in self.spent.items()
            if phase != OUTSIDE
        }

    def wrapped(self, function: Any, phase: str) -> Any:
        """The same function, its time the phase's. A coroutine's waiting is not: each of its steps is entered by itself."""
        if not inspect.iscoroutinefunction(function):

            def call(*given: Any, **named: Any) -> Any:
                self.enter(phase)
                try:
                    return function(*given, **named)
                finally:
                    self.leave()

            return call

        @coroutine
        def step(*given: Any, **named: Any) -> Generator[Any, Any, Any]:
            steps = function(*given, **named)
            thrown: BaseException | None = None
            while True:
                self.enter(phase)
                try:
                    waited = steps.send(None) if thrown is None else steps.throw(thrown)
                except StopIteration as end:
                    return end.value
                finally:
                    self.leave()
                thrown = None
                try:
                    yield waited
                except BaseException as error:
                    thrown = error

        return step


@contextmanager
def marked(marks: Marks, places: Sequence[Place]) -> Iterator[None]:
    """Wrap what is there, and put it back. Raises AttributeError for a name that is no more."""
    before = [(place, vars(place.owner).get(place.name)) for place in places]
    missing = [place.name for place, function in before if function is None]
    if missing:
        raise AttributeError(f"phases are told by functions that are gone: {', '.join(missing)}")
    try:
        for place, function in before:
            setattr(place.owner, place.name, marks.wrapped(function, place.phase))
        yield
    finally:
        for place, function in before:
            setattr(place.owner, place.name, function)


def toll(times: int = 2000) -> Toll:
    """What a mark costs on this machine now: nanoseconds, the tenth of the turns."""

    def nothing() -> None:
        pass

    marks = Marks()
    marked_one = marks.wrapped(nothing, "nothing")
    inside: list[float] = []
    around: list[float] = []
    for _ in range(times):
        marks.restart()
        marks.enter("around")
        marked_one()
        marks.leave()
        both = marks.spent["around"], marks.spent["nothing"]
        began = perf_counter_ns()
        nothing()
        plain = perf_counter_ns() - began
        around.append(both[0])
        inside.append(both[1] - plain)
    return Toll(max(tenth(inside), 0.0), max(tenth(around), 0.0))


def tenth(values: Sequence[float]) -> float:
    """The tenth percentile: what it takes when nothing is in the way."""
    return sorted(values)[len(values) // 10]
