"""Strategies that go by what is in flight, and by how long an answer takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.gateway.strategies.fairness import draw, lowest, overdue
from proxy.gateway.strategies.figures import waits

if TYPE_CHECKING:
    from random import Random

    from proxy.gateway.hints import Hints
    from proxy.gateway.slots import Slot, Tier


def p2c(tier: Tier, ready: list[Slot], now: float, rng: Random, hints: Hints) -> Slot:
    """The better of two chosen at random, so that workers who know the same do not all do the same."""
    one, other = ready[0], ready[1]
    if len(ready) > 2:
        first = int(rng.random() * len(ready))
        second = int(rng.random() * (len(ready) - 1))
        one, other = ready[first], ready[second + (second >= first)]
    here, there = _score(one, now), _score(other, now)
    if here == there:
        return one if one.state.last_used <= other.state.last_used else other
    return one if here < there else other


def _score(slot: Slot, now: float) -> float:
    return slot.state.cost(now) / (slot.weight * slot.state.factor(now))


def least_inflight(tier: Tier, ready: list[Slot], now: float, rng: Random, hints: Hints) -> Slot:
    """The fewest requests in flight for its weight; of several, any by weight."""
    loads = [(slot.state.inflight + 1) / slot.share(now) for slot in ready]
    least = min(loads)
    return draw([slot for slot, load in zip(ready, loads, strict=True) if load == least], now, rng)


def ttft(tier: Tier, ready: list[Slot], now: float, rng: Random, hints: Hints) -> Slot:
    """The shortest time to the first content, or to the whole answer where it is not streamed; longer where more is in flight."""
    found = overdue(ready, now, rng)
    return found or lowest(ready, waits(ready, now, hints), now, rng)
