"""What a trial finds, and how large it is."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from bench.trials.lines import Chart


class Scale(Struct, frozen=True):
    """How much of everything."""

    seed: int = 1
    runs: int = 10
    """With seeds that follow each other; the worst counts."""
    requests: int = 100_000
    """Where nothing else says how many."""
    step: int = 1
    """Of the places where a stream is cut: every one, every second, …"""
    stride: int = 1
    """Of the points of a curve."""


QUICK = Scale(runs=1, requests=6_000, step=211, stride=5)


class Goal(Struct, frozen=True):
    """Something that has to hold."""

    text: str
    value: float
    limit: float
    most: bool = True
    """It must not be more than the limit; else not less."""

    @property
    def held(self) -> bool:
        return self.value <= self.limit if self.most else self.value >= self.limit


class Measured(Struct, frozen=True):
    """A figure beside the goals."""

    text: str
    value: float
    unit: str = ""


class Found(Struct, frozen=True):
    """Of one trial."""

    goals: Sequence[Goal]
    figures: Sequence[Measured]
    chart: Chart
