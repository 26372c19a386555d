"""A storm of 429: every provider refuses a part of all requests at random, whoever asks."""

from __future__ import annotations

from bench.trials.clockwork import Clock, arrivals
from bench.trials.fleet import Fleet, model
from bench.trials.found import Found, Goal, Measured, Scale
from bench.trials.lines import Chart
from bench.trials.providers import refusing

RATE = 20.0
SHARE = 0.1
HINTS = {"without retry-after": None, "retry-after: 1": 1.0}
FLEETS = {"4 deployments": (4, 1), "4 credentials": (1, 4)}
SHARES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)


def run(scale: Scale) -> Found:
    """All four combinations at 10 %; the chart goes on from there."""
    goals, figures = [], []
    for what, (deployments, keys) in FLEETS.items():
        for hint, after in HINTS.items():
            fleet = _run(scale.seed, deployments, keys, SHARE, after, scale.requests)
            name = f"{what}, {hint}"
            goals.append(Goal(f"answered: {name}", _answered(fleet), 99.9, most=False))
            figures.append(Measured(f"attempts a request: {name}", _tries(fleet)))
    few = scale.requests // 5
    lines = [
        (
            f"{what}, {hint}",
            [
                (100 * share, _answered(_run(scale.seed, deployments, keys, share, after, few)))
                for share in SHARES[:: scale.stride]
            ],
        )
        for what, (deployments, keys) in FLEETS.items()
        for hint, after in HINTS.items()
    ]
    return Found(
        goals,
        figures,
        Chart(
            "A storm of 429: how many requests are answered",
            "% of attempts that are refused", "% of requests", lines, top=105.0,
        ),
    )  # fmt: skip


def _run(
    seed: int, deployments: int, keys: int, share: float, after: float | None, requests: int
) -> Fleet:
    clock = Clock(seed)
    fleet = Fleet(clock, model(deployments, keys), [refusing(share, after)] * deployments)
    clock.spawn(arrivals(clock, lambda: RATE, fleet.request))
    clock.run(requests / RATE)
    return fleet


def _answered(fleet: Fleet) -> float:
    return 100 * sum(one.ok for one in fleet.answers) / len(fleet.answers)


def _tries(fleet: Fleet) -> float:
    return len(fleet.tries) / len(fleet.answers)
