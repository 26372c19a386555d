"""A total outage: everything is down for a minute, and then well."""

from __future__ import annotations

from bench.trials.clockwork import Clock, arrivals
from bench.trials.fleet import Fleet, buckets, model
from bench.trials.found import Found, Goal, Measured, Scale
from bench.trials.lines import Chart
from bench.trials.providers import down, failed
from proxy.core.errors import Cause

RATE = 40.0
DOWN, UP, END = 60.0, 120.0, 180.0
SETTLED = 5.0
"""Seconds that circuits have to open."""
WAYS = {
    "connections are refused": failed(Cause.CONNECT),
    "503 at once": failed(Cause.SERVER, 503),
}


def run(scale: Scale) -> Found:
    """Of several seeds the worst counts; the chart is of the first, with a 503."""
    goals, figures = [], []
    fleets: dict[str, Fleet] = {}
    for name, error in WAYS.items():
        found = []
        for seed in range(scale.seed, scale.seed + scale.runs):
            clock = Clock(seed)
            fleet = Fleet(clock, model(4), [down(DOWN, UP, error)] * 4)
            clock.spawn(arrivals(clock, lambda: RATE, fleet.request))
            clock.run(END)
            fleets.setdefault(name, fleet)
            found.append(_judge(fleet))
        settled, begin, back = (max(one) for one in zip(*found, strict=True))
        goals += [
            Goal(f"attempts a request after 5 s: {name}", settled, 1.2),
            Goal(f"seconds until all are answered again: {name}", back, 5.0),
        ]
        figures.append(Measured(f"attempts a request in the first 5 s: {name}", begin))
    shown = fleets["503 at once"]
    return Found(
        goals,
        figures,
        Chart(
            "A total outage: attempts and answers",
            "seconds", "a second",
            [
                ("attempts", _rates([one.at for one in shown.tries])),
                ("answers", _rates([one.at for one in shown.answers if one.ok])),
            ],
            span=(DOWN, UP, "everything is down"),
        ),
    )  # fmt: skip


def _judge(fleet: Fleet) -> tuple[float, float, float]:
    """Attempts a request that arrived after the first seconds, and in them; and how long until all was well again.

    That is when the last request that failed had arrived.
    """
    begun = [one for one in fleet.answers if DOWN <= one.asked < DOWN + SETTLED]
    settled = [one for one in fleet.answers if DOWN + SETTLED <= one.asked < UP - SETTLED]
    wrong = [one.asked for one in fleet.answers if not one.ok]
    return (
        sum(one.tries for one in settled) / len(settled),
        sum(one.tries for one in begun) / len(begun),
        max(wrong) - UP,
    )


def _rates(times: list[float]) -> list[tuple[float, float]]:
    return [(at + 1.0, float(count)) for at, count in enumerate(buckets(times, 1.0, END))]
