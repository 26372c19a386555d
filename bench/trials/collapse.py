"""Overload: a provider that takes fifty requests at once, gets slower with more, and refuses with a fifth more."""

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
SOON, LATE = 1.2, 2.0
"""With how many times as many it refuses."""
OVERLOAD = Overload(queue=0.2)


def run(scale: Scale) -> Found:
    """Goodput over offered load, of a provider that refuses soon, and of one that gets slow first."""
    ways = {
        "overload": (OVERLOAD, SOON),
        "without": (None, SOON),
        "overload, refuses late": (OVERLOAD, LATE),
        "without, refuses late": (None, LATE),
    }
    lines = {
        name: [(load, _goodput(scale, load, *how)) for load in LOADS[:: scale.stride]]
        for name, how in ways.items()
    }
    last = {name: line[-1][1] for name, line in lines.items()}
    peak = max(y for name in ("overload", "without") for _, y in lines[name])
    return Found(
        [
            Goal(
                "answers at 4 x the load, as a part of the peak, %",
                100 * last["overload"] / peak, 90.0, most=False,
            ),
        ],
        [
            Measured("peak of answers", peak, "a second"),
            *(Measured(f"at 4 x the load: {name}", y, "a second") for name, y in last.items()),
        ],
        Chart(
            "Overload: answers in time, over what is asked",
            "load, as a multiple of what the provider takes", "answers a second",
            list(lines.items()), goal=0.9 * peak, top=60.0,
        ),
    )  # fmt: skip


def _goodput(scale: Scale, load: float, how: Overload | None, refuses: float) -> float:
    clock = Clock(scale.seed)
    fleet = Fleet(clock, model(1, overload=how), [Collapsing(KNEE, SECONDS, refuses)])
    clock.spawn(arrivals(clock, lambda: load * PEAK, fleet.request))
    clock.run(WARM + LENGTH)
    done = [
        one
        for one in fleet.answers
        if one.ok and one.end >= WARM and one.end - one.asked <= PATIENCE
    ]
    return len(done) / LENGTH
