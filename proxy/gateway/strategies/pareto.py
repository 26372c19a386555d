"""Strategies that weigh several figures: how long an answer takes, how often there is none, what it costs."""

from __future__ import annotations

from math import hypot, inf
from typing import TYPE_CHECKING

from proxy.gateway.strategies.fairness import AS_GOOD, lowest, overdue
from proxy.gateway.strategies.figures import costs, failures, latencies, waits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from proxy.gateway.hints import Hints
    from proxy.gateway.slots import Slot, Tier

SLOWER = 1.5
"""Times the best latency that a cheap deployment may take."""
RELIABLE = 0.95
"""The share of attempts that have to go well there."""
_FAILING = 1.0 - RELIABLE + 1e-9
_NOISE = 0.02
"""Failures of a share that differs by less say nothing."""
_SAME = 1e-9
_NO_SLACK = 1.0

Point = tuple[float, float, float]
"""Seconds, micro-dollars, share of failures."""


def performance(tier: Tier, ready: list[Slot], now: float, rng: Random, hints: Hints) -> Slot:
    """The least weighted sum of how long it takes (as a part of the longest) and of how often it fails."""
    found = overdue(ready, now, rng)
    if found is not None:
        return found
    seconds, failing = waits(ready, now, hints), failures(ready, now)
    longest, surest = max(seconds) or 1.0, min(failing) + _NOISE
    weighed = tier.weighed
    scores = [
        weighed.latency * latency / longest + weighed.success * max(share, surest)
        for latency, share in zip(seconds, failing, strict=True)
    ]
    return lowest(ready, scores, now, rng)


def cost(tier: Tier, ready: list[Slot], now: float, rng: Random, hints: Hints) -> Slot:
    """The cheapest of those that are nearly as quick as the best and reliable; with none such, of the quick, then of all."""
    found = overdue(ready, now, rng)
    if found is not None:
        return found
    seconds = latencies(ready, now, hints)
    failing = failures(ready, now)
    most = min(seconds) * SLOWER
    quick = [at for at, latency in enumerate(seconds) if latency <= most]
    fit = [at for at in quick if failing[at] <= _FAILING] or quick
    money = costs(ready, now, hints)
    return lowest([ready[at] for at in fit], [money[at] for at in fit], now, rng, _NO_SLACK)


def pareto(tier: Tier, ready: list[Slot], now: float, rng: Random, hints: Hints) -> Slot:
    """Of those that nobody beats in every respect, the one that is nearest to the best of each."""
    found = overdue(ready, now, rng)
    if found is not None:
        return found
    seconds, money = waits(ready, now, hints), costs(ready, now, hints)
    failing = failures(ready, now)
    quickest, surest = min(seconds) * AS_GOOD, min(failing) + _NOISE
    # What differs by no more than noise is the same: equals are to share, not to beat each other in turns.
    points = list(
        zip(
            [max(latency, quickest) for latency in seconds],
            money,
            [max(share, surest) for share in failing],
            strict=True,
        )
    )
    front = [point for point in points if not _is_beaten(point, points)]
    # Whoever is beaten is further away than who beats it, and has what those who have just recovered do not take yet.
    return lowest(ready, _distances(points, front), now, rng, 1.0 + _SAME)


def _is_beaten(point: Point, others: Sequence[Point]) -> bool:
    """Another is nowhere worse, and better somewhere."""
    late, dear, failing = point
    for other in others:
        if other[0] <= late and other[1] <= dear and other[2] <= failing and other != point:
            return True
    return False


def _distances(points: Sequence[Point], front: Sequence[Point]) -> list[float]:
    """To the point with the best of everything. Seconds and money are measured from the best, as a part of the worst in
    `front`: so a hundredth more counts a hundredth, however near the others are. Failures are a share already."""
    seconds, money, failing = zip(*points, strict=True)
    quickest, cheapest, surest = zip(*front, strict=True)
    return [
        hypot(late, dear, share - min(surest))
        for late, dear, share in zip(
            _scaled(seconds, quickest), _scaled(money, cheapest), failing, strict=True
        )
    ]


def _scaled(values: Sequence[float], front: Sequence[float]) -> list[float]:
    """0 for the best, towards 1 for what is much worse. What nobody knows is 1."""
    known = [value for value in front if value < inf]
    if not known:
        return [0.0] * len(values)
    best, worst = min(known), max(known) or 1.0
    return [1.0 if value == inf else (value - best) / worst for value in values]
