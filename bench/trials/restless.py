"""A provider that takes all it is given, and is never equally quick: a ceiling must not hold it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.trials.clockwork import Clock, arrivals
from bench.trials.fleet import SIZE, Fleet, model
from bench.trials.found import Found, Goal, Measured, Scale
from bench.trials.lines import Chart
from bench.trials.providers import Restless
from proxy.core.model import Overload

if TYPE_CHECKING:
    from bench.trials.clockwork import Steps

LENGTH, QUICK_LENGTH = 600.0, 400.0
"""Seconds, from the first request on: what the ceiling has to learn is part of it."""
PATIENCE = 60.0
OVERLOAD = Overload(queue=0.2)
LARGE = ("x",) * 8
"""A prompt that takes eight times as long to read, eight times as large."""

PROVIDERS = {
    "spread": (Restless(1.0), 20.0, 0.0),
    "large prompts": (Restless(0.6), 20.0, 0.2),
    "cold for 20 s": (Restless(0.6, cold=20.0), 10.0, 0.0),
    "wanders": (Restless(0.6, wander=60.0), 20.0, 0.0),
    "slow for 60 s": (Restless(0.6, spell=(60.0, 120.0)), 20.0, 0.0),
    "batches": (Restless(0.6, batch=64.0), 20.0, 0.0),
}
"""Each with the requests a second it is given, and the share of them that have a large prompt."""
SHOWN = "slow for 60 s"


def run(scale: Scale) -> Found:
    """What is lost by the ceiling, of each; the worst of the seeds."""
    goals: list[Goal] = []
    seen: list[tuple[float, float, int]] = []
    for name in PROVIDERS:
        lost = 0.0
        for seed in range(scale.seed, scale.seed + scale.runs):
            length = LENGTH if scale.stride == 1 else QUICK_LENGTH
            with_one, line = _answered(seed, name, OVERLOAD, length)
            lost = max(lost, 1.0 - with_one / _answered(seed, name, None, length)[0])
            if name == SHOWN and not seen:
                seen = line
        goals.append(Goal(f"{name}: answers lost by the ceiling, %", 100 * lost, 2.0))
    return Found(
        goals,
        [Measured("seeds, the worst counts", scale.runs)],
        Chart(
            "A provider that is slow by itself: what it is given, and what it may be given",
            "seconds", "requests at once",
            [
                ("ceiling", [(at, limit) for at, limit, _ in seen]),
                ("in flight", [(at, float(inflight)) for at, _, inflight in seen]),
            ],
            span=(60.0, 120.0, "three times as slow"),
        ),
    )  # fmt: skip


def _answered(
    seed: int, name: str, how: Overload | None, length: float
) -> tuple[int, list[tuple[float, float, int]]]:
    """Answers in time; and each second the ceiling and what was in flight."""
    clock = Clock(seed)
    provider, rate, large = PROVIDERS[name]
    fleet = Fleet(clock, model(1, overload=how), [provider])
    seen: list[tuple[float, float, int]] = []

    def begin() -> Steps:
        if clock.rng.random() < large:
            return fleet.request(LARGE, size=len(LARGE) * SIZE)
        return fleet.request()

    def look() -> Steps:
        (state,) = fleet.live.deployments.values()
        while True:
            yield 1.0
            if state.ceiling is not None:
                seen.append((clock.elapsed, state.ceiling.limit, state.inflight))

    clock.spawn(arrivals(clock, lambda: rate, begin))
    clock.spawn(look())
    clock.run(length)
    good = [one for one in fleet.answers if one.ok and one.end - one.asked <= PATIENCE]
    return len(good), seen[:240]
