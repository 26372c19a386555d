"""Grey failure: one of four deployments begins to fail half of the time and to take ten times as long, and recovers."""

from __future__ import annotations

from bench.trials.clockwork import Clock, arrivals
from bench.trials.fleet import Fleet, buckets, model
from bench.trials.found import Found, Goal, Measured, Scale
from bench.trials.lines import Chart
from bench.trials.providers import grey

RATE = 40.0
SICK, WELL, END = 60.0, 180.0, 420.0
ALLOWED, BACK = 30.0, 120.0
WINDOW = 5.0
FAIR = 0.25


def run(scale: Scale) -> Found:
    """Of several seeds the worst counts; the chart is of the first."""
    shares, sums = [], []
    good = asked = 0
    for seed in range(scale.seed, scale.seed + scale.runs):
        fleet = _run(seed)
        every = buckets([one.at for one in fleet.tries], WINDOW, END)
        ill = buckets([one.at for one in fleet.tries if one.where == 0], WINDOW, END)
        shares.append([a / b for a, b in zip(ill, every, strict=True)])
        good += sum(one.ok for one in fleet.answers)
        asked += len(fleet.answers)
        away = [one for one in fleet.tries if SICK + ALLOWED <= one.at < WELL]
        back = [one for one in fleet.tries if one.at >= WELL + BACK]
        sums.append([sum(one.where == 0 for one in some) / len(some) for some in (away, back)])
    return Found(
        [
            Goal(
                "share of its traffic from 30 s on (worst run)",
                100 * max(away for away, _ in sums), 10.0,
            ),
            Goal(
                "share again from 120 s after it is well (worst run)",
                100 * min(back for _, back in sums), 80 * FAIR, most=False,
            ),
            Goal("requests answered", 100 * good / asked, 99.9, most=False),
        ],
        [
            Measured("until it has less than a tenth", max(map(_away, shares)), "s"),
            Measured("until it has a fifth again", max(map(_back, shares)), "s"),
        ],
        Chart(
            "Grey failure: the share of one deployment of four",
            "seconds", "% of all attempts, in stretches of 5 s",
            [("its share", [(WINDOW * (at + 1), 100 * one) for at, one in enumerate(shares[0])])],
            goal=10.0, span=(SICK, WELL, "50 % fail, 10 x slower"), top=40.0,
        ),
    )  # fmt: skip


def _run(seed: int) -> Fleet:
    clock = Clock(seed)
    fleet = Fleet(clock, model(4), [grey(SICK, WELL), *[grey(END, END)] * 3])
    clock.spawn(arrivals(clock, lambda: RATE, fleet.request))
    clock.run(END)
    return fleet


def _away(shares: list[float]) -> float:
    """Seconds after which the share stays small."""
    sick = [at for at, one in enumerate(shares) if SICK <= at * WINDOW < WELL and one >= 0.1]
    return (sick[-1] + 1) * WINDOW - SICK if sick else 0.0


def _back(shares: list[float]) -> float:
    found = [at for at, one in enumerate(shares) if at * WINDOW >= WELL and one >= 0.8 * FAIR]
    return (found[0] + 1) * WINDOW - WELL if found else END
