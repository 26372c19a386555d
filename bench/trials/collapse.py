"""Overload: a provider that takes fifty requests at once, gets slower with more, and refuses with a fifth more or not before
there are twice as many."""

from __future__ import annotations

from bench.trials.clockwork import Clock, arrivals
from bench.trials.fleet import Fleet, model
from bench.trials.found import Found, Goal, Measured, Scale
from bench.trials.lines import Chart
from bench.trials.providers import Collapsing
from proxy.core.model import Overload

KNEE, SECONDS = 50, 1.0
PEAK = KNEE / SECONDS
PATIENCE = 10.0
"""Seconds after which nobody wants an answer any more."""
WARM, LENGTH = 60.0, 60.0
LOADS = (0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 3.0, 4.0)
REFUSES = {"refuses soon": 1.2, "refuses late": 2.0}
"""With how many times as many."""
OVERLOAD = Overload(queue=0.2)


def run(scale: Scale) -> Found:
    """Goodput over offered load, of a provider that refuses soon, and of one that gets slow first; the worst of the seeds at
    the last load."""
    lines = {
        f"{name}, {way}": [
            (load, _goodput(scale.seed, load, how, refuses)) for load in LOADS[:: scale.stride]
        ]
        for name, refuses in REFUSES.items()
        for way, how in (("ceiling", OVERLOAD), ("none", None))
    }
    goals, figures = [], []
    for name, refuses in REFUSES.items():
        peak = max(y for way in ("ceiling", "none") for _, y in lines[f"{name}, {way}"])
        last = [
            _goodput(scale.seed + run, LOADS[-1], OVERLOAD, refuses) for run in range(scale.runs)
        ]
        goals.append(
            Goal(
                f"{name}: answers at 4 x the load, as a part of the peak, %",
                100 * min(last) / peak, 90.0, most=False,
            )
        )  # fmt: skip
        figures += [
            Measured(f"{name}: peak of answers", peak, "a second"),
            Measured(f"{name}: at 4 x the load", min(last), "a second"),
            Measured(f"{name}: the same without", lines[f"{name}, none"][-1][1], "a second"),
        ]
    return Found(
        goals,
        figures,
        Chart(
            "Overload: answers in time, over what is asked",
            "load, as a multiple of what the provider takes", "answers a second",
            list(lines.items()), goal=0.9 * PEAK, top=60.0,
        ),
    )  # fmt: skip


def _goodput(seed: int, load: float, how: Overload | None, refuses: float) -> float:
    clock = Clock(seed)
    fleet = Fleet(clock, model(1, overload=how), [Collapsing(KNEE, SECONDS, refuses)])
    clock.spawn(arrivals(clock, lambda: load * PEAK, fleet.request))
    clock.run(WARM + LENGTH)
    done = [
        one
        for one in fleet.answers
        if one.ok and one.end >= WARM and one.end - one.asked <= PATIENCE
    ]
    return len(done) / LENGTH
