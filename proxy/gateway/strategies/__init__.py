"""How one of several equal deployments is chosen, by the name of the strategy.

A strategy is a function: it is given those of a tier that may be used, two or more of them, and returns one. It is told the
time, and draws what it needs of chance from the generator it is given, so that the same choice can be made again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING

from msgspec import Struct

from proxy.core.model import Strategy
from proxy.gateway.strategies import affinity, load, pareto, turns

if TYPE_CHECKING:
    from proxy.gateway.hints import Hints
    from proxy.gateway.slots import Slot, Tier

Choose = Callable[["Tier", "list[Slot]", float, Random, "Hints"], "Slot"]


class How(Struct, frozen=True):
    """A strategy, and what has to be there for it."""

    choose: Choose
    compares: bool = False
    """It reads the figures of `state.pace`: somebody has to keep them."""
    looks: bool = False
    """It reads the hints: at the request, or at what a wildcard matched."""
    hashes: bool = False
    """It reads the seeds of slots."""
    pins: bool = False
    """It names a credential too, so it is asked even where there is one deployment only."""


STRATEGIES: Mapping[Strategy, How] = {
    Strategy.P2C: How(load.p2c),
    Strategy.ROUND_ROBIN: How(turns.round_robin),
    Strategy.WEIGHTED_ROUND_ROBIN: How(turns.weighted_round_robin),
    Strategy.RANDOM: How(turns.random),
    Strategy.WEIGHTED_RANDOM: How(turns.weighted_random),
    Strategy.LEAST_USED: How(turns.least_used),
    Strategy.LEAST_INFLIGHT: How(load.least_inflight),
    Strategy.TTFT: How(load.ttft, compares=True, looks=True),
    Strategy.PERFORMANCE: How(pareto.performance, compares=True, looks=True),
    Strategy.COST: How(pareto.cost, compares=True, looks=True),
    Strategy.PARETO: How(pareto.pareto, compares=True, looks=True),
    Strategy.STICKY: How(affinity.sticky, looks=True, hashes=True),
    Strategy.PREFIX: How(affinity.prefix, compares=True, looks=True, hashes=True, pins=True),
}
