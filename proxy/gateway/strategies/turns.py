"""Strategies that know nothing of how deployments do: each has its turn, or its share."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from proxy.gateway.strategies.fairness import draw

if TYPE_CHECKING:
    from random import Random

    from proxy.gateway.hints import Hints
    from proxy.gateway.slots import Slot, Tier


def round_robin(tier: Tier, ready: list[Slot], now: float, rng: Random, hints: Hints) -> Slot:
    """The next in the order of the configuration; those that are out are stepped over."""
    count = len(tier.slots)
    for step in range(1, count + 1):
        slot = tier.slots[(tier.cursor + step) % count]
        if slot in ready:
            tier.cursor = (tier.cursor + step) % count
            return slot
    return ready[0]


def weighted_round_robin(
    tier: Tier, ready: list[Slot], now: float, rng: Random, hints: Hints
) -> Slot:
    """Smooth: everybody gains its weight, the richest is chosen and pays the sum (as nginx does)."""
    total, best = 0.0, ready[0]
    for slot in ready:
        weight = slot.weight * slot.state.factor(now)
        slot.state.current += weight
        total += weight
        if slot.state.current > best.state.current:
            best = slot
    best.state.current -= total
    return best


def random(tier: Tier, ready: list[Slot], now: float, rng: Random, hints: Hints) -> Slot:
    """Any."""
    return ready[int(rng.random() * len(ready))]


def weighted_random(tier: Tier, ready: list[Slot], now: float, rng: Random, hints: Hints) -> Slot:
    """Any, in proportion to weight."""
    return draw(ready, now, rng)


def least_used(tier: Tier, ready: list[Slot], now: float, rng: Random, hints: Hints) -> Slot:
    """Fewest requests begun, then the longest unused. One that was away does not make up for what it missed."""
    best, least = ready[0], (inf, inf)
    for slot in ready:
        rank = (max(slot.state.turn, tier.turn), slot.state.last_used)
        if rank < least:
            best, least = slot, rank
    tier.turn = least[0]
    best.state.turn = least[0] + 1.0
    return best
