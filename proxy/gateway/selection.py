"""Which deployment of a tier takes the next request, by the strategy of its model.

A `Route` is a model as one dialect sees it, with the state of everything in it at hand: compiled once for a snapshot,
then only read. Deployments of weight 0 form tiers of their own behind all others: never, unless nothing else is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from proxy.core.model import Credential, Deployment, Model, Strategy
from proxy.state.health import CLOSED
from proxy.state.prices import price_of

if TYPE_CHECKING:
    from proxy.core.model import Price, Snapshot
    from proxy.state.credentials import Key, Pool
    from proxy.state.live import DeploymentState, RetryBudget


class Slot:
    """One deployment of a route, ready to be asked."""

    __slots__ = (
        "deployment",
        "dialect",
        "limited",
        "pattern",
        "pool",
        "prices",
        "state",
        "upstream_model",
        "weight",
    )

    def __init__(
        self, deployment: Deployment, state: DeploymentState, pool: Pool, dialect: str = ""
    ) -> None:
        self.deployment = deployment
        self.dialect = dialect
        """What it is asked in."""
        self.state = state
        self.pool = pool
        self.limited = _is_limited(deployment) or any(
            key is not None and _is_limited(key) for key, _ in pool.keys
        )
        """By limits of ours: it has to be asked for room before it is asked anything else."""
        self.weight = float(deployment.weight) if deployment.weight > 0 else 1.0
        self.pattern = deployment.model.endswith("*")
        self.upstream_model = deployment.model[:-1] if self.pattern else deployment.model
        """Before a `*`, when there is one: what the wildcard matched follows."""
        self.prices: dict[str, tuple[object, Price | None]] = {}
        """What has been found for names that it matched, and the prices by which (`charging.price_of`)."""

    def usable(self, now: float) -> bool:
        """Its circuit lets a request through, no limit of ours is known to be met, and a credential is free."""
        state = self.state
        return state.until <= now and state.room.until <= now and self.pool.ready(now)

    def healthy(self, now: float) -> bool:
        state = self.state
        return state.phase == CLOSED and state.room.until <= now and self.pool.ready(now)

    def price(self, matched: str, snapshot: Snapshot) -> Price | None:
        """What its provider charges; None: nobody knows."""
        one = self.deployment
        if not self.pattern:
            return one.price  # looked up when the configuration was compiled
        return price_of(snapshot.prices, one.provider, self.name(matched), one.price)

    def name(self, matched: str) -> str:
        """What to call the model upstream. A lone `*` with nothing matched cannot happen: names are not empty."""
        return self.upstream_model + matched if self.pattern else self.upstream_model


def _is_limited(one: Deployment | Credential) -> bool:
    return one.limits is not None or one.quota is not None


Kind = Literal["retry", "switch", "fallback", "stop"]


class Move(Struct, gc=False):
    """A next attempt, found but not begun."""

    slot: Slot
    key: Key
    kind: Kind
    delay: float = 0.0


class Tier:
    """Equal deployments, and the memory of strategies that go round."""

    __slots__ = ("cursor", "slots", "turn")

    def __init__(self, slots: tuple[Slot, ...]) -> None:
        self.slots = slots
        self.cursor = -1
        self.turn = min((slot.state.turn for slot in slots if slot.state.used), default=0.0)


class Route:
    """A model as one dialect sees it. Each fallback is a route and what a wildcard matched of its name."""

    __slots__ = (
        "budget",
        "choose",
        "fallbacks",
        "fallbacks_content",
        "fallbacks_context",
        "model",
        "slots",
        "sole",
        "tariffs",
        "tiers",
    )

    def __init__(
        self, model: Model, tiers: Sequence[tuple[Slot, ...]], budget: RetryBudget
    ) -> None:
        weighted = [tuple(slot for slot in slots if slot.deployment.weight > 0) for slots in tiers]
        unweighted = [
            tuple(slot for slot in slots if slot.deployment.weight <= 0) for slots in tiers
        ]
        self.model = model
        self.tiers = tuple(Tier(slots) for slots in weighted + unweighted if slots)
        self.slots = tuple(slot for tier in self.tiers for slot in tier.slots)
        self.budget = budget
        self.choose = STRATEGIES[model.strategy]
        self.sole: Move | None = None
        """The one deployment with its one credential, where there is no choice at all."""
        if len(self.slots) == 1 and len(self.slots[0].pool.keys) == 1:
            self.sole = Move(self.slots[0], self.slots[0].pool.keys[0], "switch")
        self.tariffs: dict[str, Any] = {}
        """What it may cost (`estimating.Tariff`), by what a wildcard matched."""
        self.fallbacks: tuple[Fallback, ...] = ()
        self.fallbacks_context: tuple[Fallback, ...] = ()
        self.fallbacks_content: tuple[Fallback, ...] = ()

    def usable(self, now: float) -> bool:
        return any(slot.usable(now) for slot in self.slots)

    def pick(
        self, now: float, rng: Random, *, without: Sequence[Slot] = (), probes: bool
    ) -> Slot | None:
        """The next deployment, from the first tier that has one that may be used.

        One whose timer has ended waits for a request that finds out whether it is well. With `probes` this request
        does so at once; without, only when there is no healthy one left in any tier.
        """
        late: Slot | None = None
        for tier in self.tiers:
            ready = [slot for slot in tier.slots if slot.usable(now) and slot not in without]
            for slot in ready:
                if slot.state.phase != CLOSED:
                    if probes:
                        return slot
                    late = late or slot
            if late is not None:
                ready = [slot for slot in ready if slot.state.phase == CLOSED]
            if ready:
                return ready[0] if len(ready) == 1 else self.choose(tier, ready, now, rng)
        return late


Fallback = tuple[Route, str]
Choose = Callable[[Tier, list[Slot], float, Random], Slot]


def round_robin(tier: Tier, ready: list[Slot], now: float, rng: Random) -> Slot:
    """The next in the order of the configuration; those that are out are stepped over."""
    count = len(tier.slots)
    for step in range(1, count + 1):
        slot = tier.slots[(tier.cursor + step) % count]
        if slot in ready:
            tier.cursor = (tier.cursor + step) % count
            return slot
    return ready[0]


def weighted_round_robin(tier: Tier, ready: list[Slot], now: float, rng: Random) -> Slot:
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


def random(tier: Tier, ready: list[Slot], now: float, rng: Random) -> Slot:
    return ready[int(rng.random() * len(ready))]


def weighted_random(tier: Tier, ready: list[Slot], now: float, rng: Random) -> Slot:
    weights = [slot.weight * slot.state.factor(now) for slot in ready]
    left = rng.random() * sum(weights)
    for slot, weight in zip(ready, weights, strict=True):
        left -= weight
        if left < 0.0:
            return slot
    return ready[-1]


def least_used(tier: Tier, ready: list[Slot], now: float, rng: Random) -> Slot:
    """Fewest requests begun, then the longest unused. One that was away does not make up for what it missed."""
    best, least = ready[0], (inf, inf)
    for slot in ready:
        rank = (max(slot.state.turn, tier.turn), slot.state.last_used)
        if rank < least:
            best, least = slot, rank
    tier.turn = least[0]
    best.state.turn = least[0] + 1.0
    return best


def p2c(tier: Tier, ready: list[Slot], now: float, rng: Random) -> Slot:
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


STRATEGIES: Mapping[Strategy, Choose] = {
    Strategy.P2C: p2c,
    Strategy.ROUND_ROBIN: round_robin,
    Strategy.WEIGHTED_ROUND_ROBIN: weighted_round_robin,
    Strategy.RANDOM: random,
    Strategy.WEIGHTED_RANDOM: weighted_random,
    Strategy.LEAST_USED: least_used,
}
