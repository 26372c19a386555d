"""Which deployment takes the next request: the first tier that has one that may be used, and there the strategy's choice.

A `Route` is a model as one dialect sees it, with the state of everything in it at hand: compiled once for a snapshot,
then only read. Deployments of weight 0 form tiers of their own behind all others: never, unless nothing else is left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any

from proxy.core.model import Model
from proxy.gateway.hints import NOTHING
from proxy.gateway.slots import Kind, Move, Slot, Tier
from proxy.gateway.strategies import STRATEGIES
from proxy.state.health import CLOSED
from proxy.state.pace import Pace

if TYPE_CHECKING:
    from proxy.gateway.hints import Hints
    from proxy.state.hedges import Hedges
    from proxy.state.live import RetryBudget
    from proxy.state.waiting import Waiting

__all__ = ["Fallback", "Kind", "Move", "Route", "Slot", "Tier"]

_CLEARLY = 1.15
"""How much longer than a window a request has to look: it is an estimate, and must not keep from anybody what would do."""


class Route:
    """A model as one dialect sees it. Each fallback is a route and what a wildcard matched of its name."""

    __slots__ = (
        "budget",
        "choice",
        "choose",
        "curious",
        "fallbacks",
        "fallbacks_content",
        "fallbacks_context",
        "hedges",
        "homes",
        "limited",
        "looks",
        "model",
        "pins",
        "slots",
        "sole",
        "tariffs",
        "tiers",
        "waiting",
        "windows",
    )

    def __init__(
        self, model: Model, tiers: Sequence[tuple[Slot, ...]], budget: RetryBudget
    ) -> None:
        weighted = [tuple(slot for slot in slots if slot.deployment.weight > 0) for slots in tiers]
        unweighted = [
            tuple(slot for slot in slots if slot.deployment.weight <= 0) for slots in tiers
        ]
        self.model = model
        self.tiers = tuple(
            Tier(slots, model.performance) for slots in weighted + unweighted if slots
        )
        self.slots = tuple(slot for tier in self.tiers for slot in tier.slots)
        self.budget = budget
        how = STRATEGIES[model.strategy]
        self.choose = how.choose
        self.pins = how.pins
        windows = {slot.window for slot in self.slots}
        self.windows = () if windows <= {inf} else tuple(sorted(windows, reverse=True))
        """The different windows of its deployments, the largest first; empty where nobody said any."""
        self.looks = how.looks or bool(self.windows)
        """A choice may depend on the request."""
        self.curious = self.looks
        """The same, here or at a fallback."""
        if how.compares:
            for slot in self.slots:
                if slot.state.pace is None:
                    slot.state.pace = Pace()
        if how.hashes:
            twins: Counter[tuple[str, str]] = Counter()
            for slot in self.slots:
                place = slot.deployment.provider.name, slot.deployment.model
                slot.sow(twins[place])
                twins[place] += 1
        self.sole: Move | None = None
        """The one deployment with its one credential, where there is no choice at all."""
        if len(self.slots) == 1 and len(self.slots[0].pool.keys) == 1:
            self.sole = Move(self.slots[0], self.slots[0].pool.keys[0], "switch")
        self.choice = self.sole is None
        """There may be more than one to ask, here or at a fallback."""
        self.limited: dict[Any, Any] = {}
        """Who is limited (`limited.Limited`), by the key and what a wildcard matched."""
        self.tariffs: dict[str, Any] = {}
        """What it may cost (`estimating.Tariff`), by what a wildcard matched."""
        self.hedges: Hedges | None = None
        """What may still be begun beside a slow attempt; None: nothing ever is."""
        self.homes: dict[Any, Any] | None = None
        """The same route as far as it leads to one account (`gateway.homes`), by that; None: what it is for is nowhere kept,
        or there is one account alone."""
        self.waiting: Waiting | None = None
        """Where requests wait for a place; None: they do not."""
        self.fallbacks: tuple[Fallback, ...] = ()
        self.fallbacks_context: tuple[Fallback, ...] = ()
        self.fallbacks_content: tuple[Fallback, ...] = ()

    def usable(self, now: float) -> bool:
        return any(slot.usable(now) for slot in self.slots)

    def pick(
        self,
        now: float,
        rng: Random,
        *,
        without: Sequence[Slot] = (),
        probes: bool,
        hints: Hints = NOTHING,
    ) -> Slot | None:
        """The next deployment, from the first tier that has one that may be used.

        One whose timer has ended waits for a request that finds out whether it is well. With `probes` this request
        does so at once; without, only when there is no healthy one left in any tier. Those whose window is clearly too
        small are used when there is none larger, the largest first.
        """
        if self.windows:
            need = hints.tokens / _CLEARLY
            if need > self.windows[-1]:
                for least in (need, *self.windows):
                    small = [slot for slot in self.slots if slot.window < least]
                    found = self._pick(now, rng, [*without, *small], hints, probes=probes)
                    if found is not None:
                        return found
                return None
        return self._pick(now, rng, without, hints, probes=probes)

    def _pick(
        self, now: float, rng: Random, without: Sequence[Slot], hints: Hints, *, probes: bool
    ) -> Slot | None:
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
                if len(ready) == 1 and not self.pins:
                    return ready[0]
                return self.choose(tier, ready, now, rng, hints)
        return late


Fallback = tuple[Route, str]
