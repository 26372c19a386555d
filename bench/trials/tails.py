"""Hedging: one answer in twenty takes five seconds instead of a third of one. With a second attempt, and without.

When a second attempt is begun, and whether one may be, is decided by the proxy's own code (`state.hedges`, `Plan.beside`);
the race of the two is acted out by `fleet.Fleet`, since in the proxy it is made of tasks and sockets.
"""

from __future__ import annotations

from bench.trials.clockwork import Clock, arrivals
from bench.trials.fleet import Fleet, model, quantile
from bench.trials.found import Found, Goal, Measured, Scale
from bench.trials.lines import Chart
from bench.trials.providers import tailed
from proxy.core.model import Hedge

RATE = 20.0
SLOW, SECONDS = 0.05, 5.0
WARM = 60.0
WAYS = {"without": None, "hedge: {after: 1s}": Hedge(after=1.0), "hedge: {} (p95)": Hedge()}


def run(scale: Scale) -> Found:
    """Three ways on the same arrivals."""
    waits, extra = {}, {}
    for name, hedge in WAYS.items():
        clock = Clock(scale.seed)
        fleet = Fleet(clock, model(4, hedge=hedge), [tailed(SLOW, SECONDS)] * 4)
        clock.spawn(arrivals(clock, lambda: RATE, fleet.request))
        clock.run(WARM + scale.requests / RATE)
        answers = [one for one in fleet.answers if one.asked >= WARM]
        waits[name] = [one.ttft for one in answers]
        extra[name] = 100 * fleet.beside / len(fleet.answers)
    goals, figures = [], []
    for name in WAYS:
        p99 = quantile(waits[name], 0.99)
        if name != "without":
            part = p99 / quantile(waits["without"], 0.99)
            goals.append(Goal(f"p99, as a part of that without: {name}", part, 0.5))
            goals.append(Goal(f"second attempts, % of requests: {name}", extra[name], 5.0))
        figures.append(Measured(f"p99 of the first token: {name}", p99, "s"))
        figures.append(Measured(f"p50 of the first token: {name}", quantile(waits[name], 0.5), "s"))
    steps = [at / 10 for at in range(800, 1000)]
    return Found(
        goals,
        figures,
        Chart(
            "Hedging: the wait for the first token",
            "% of requests that wait no longer", "seconds",
            [(name, [(at, quantile(some, at / 100)) for at in steps]) for name, some in waits.items()],
        ),
    )  # fmt: skip
