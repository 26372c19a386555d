"""What strategies that look for the best have in common: who shares, who is thinned out, who is looked at again.

The best of several figures is a bad rule by itself. Two deployments as good as each other would take all of the traffic
in turns, one that has just recovered would get everything at once, and one that was slow once would never be asked again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from proxy.gateway.slots import Slot

EXPLORE = 0.05
"""The part of requests that may go to somebody only to hear from them."""
FRESH = 5.0
"""Seconds for which what was heard last is good enough."""
AS_GOOD = 1.1
"""Figures that differ by less than a tenth are noise."""


def draw(some: Sequence[Slot], now: float, rng: Random) -> Slot:
    """One at random, in proportion to weight."""
    weights = [slot.weight * slot.state.factor(now) for slot in some]
    left = rng.random() * sum(weights)
    for slot, weight in zip(some, weights, strict=True):
        left -= weight
        if left < 0.0:
            return slot
    return some[-1]


def overdue(ready: Sequence[Slot], now: float, rng: Random) -> Slot | None:
    """One request in twenty goes to the deployment that was asked the longest ago, unless that is a moment ago."""
    if rng.random() >= EXPLORE:
        return None
    oldest = min(ready, key=_last_used)
    return oldest if now - oldest.state.last_used > FRESH else None


def _last_used(slot: Slot) -> float:
    return slot.state.last_used


def lowest(
    ready: Sequence[Slot], scores: Sequence[float], now: float, rng: Random, slack: float = AS_GOOD
) -> Slot:
    """The one with the lowest score, which is not negative. Those within `slack` times as much share by weight.

    One that is degraded or newly recovered takes only the part of what falls to it that its health allows; the rest goes
    to the next best.
    """
    left = sorted(zip(scores, ready, strict=True), key=_score)
    while True:
        most = left[0][0] * slack
        near = [slot for score, slot in left if score <= most] or [left[0][1]]
        if len(near) > 1:
            return draw(near, now, rng)
        one = near[0]
        if len(left) == 1:
            return one
        factor = one.state.factor(now)
        if factor >= 1.0 or rng.random() < factor:
            return one
        del left[0]


def _score(pair: tuple[float, Slot]) -> float:
    return pair[0]
