"""Strategies that send the same to the same place: the same caller, or prompts that begin alike.

Rendezvous hashing (Thaler and Ravishankar, 1998; weighted as by Schindler and Lüßmann): each place gets a number made of
it and of what is to be placed, the largest wins. Nobody remembers anything, so all workers agree, and a place that
comes or goes moves only what was there. A place with more than LOAD times its part of what is in flight is passed over
(Mirrokni, Thorup and Zadimoghaddam, 2016).
"""

from __future__ import annotations

from math import ceil, log
from typing import TYPE_CHECKING

from msgspec import Struct

from proxy.gateway.strategies.fairness import EXPLORE, FRESH
from proxy.gateway.strategies.figures import pace
from proxy.gateway.strategies.load import p2c

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from random import Random

    from proxy.gateway.hints import Hints
    from proxy.gateway.slots import Slot, Tier
    from proxy.state.credentials import Key

LOAD = 1.25
IDLE = 4
"""Requests in flight at one place that are no load: moving for them would cost a warm cache and gain nothing."""
NOISE = 1.25
"""How many times slower is not slower."""

_BITS = (1 << 64) - 1
_WHOLE = float(1 << 52)


class Place(Struct, eq=False, gc=False):
    """Where something can be sent: a deployment, or one credential there."""

    slot: Slot
    key: Key | None
    seed: int
    weight: float
    load: int


def sticky(tier: Tier, ready: list[Slot], now: float, rng: Random, hints: Hints) -> Slot:
    """The same deployment for the same caller."""
    places = [Place(slot, None, slot.seed, slot.share(now), slot.state.inflight) for slot in ready]
    return _nearest(_with_room(places), hints.caller).slot


def prefix(tier: Tier, ready: list[Slot], now: float, rng: Random, hints: Hints) -> Slot:
    """The same deployment and credential for prompts that begin alike, as their cache at the provider is there.

    All that begin alike go to one place until it has its part; then those that are alike for twice as long go to another
    together, and so on. Where another is quicker by more than the cache saves, there.
    """
    hints.pinned = None
    places = [place for slot in ready for place in _places(slot, now)]
    free = _with_room(places)
    found = _alike(places, free, hints)
    if found is None:  # too short for any cache
        return p2c(tier, ready, now, rng, hints) if len(ready) > 1 else ready[0]
    others = [place for place in free if place.slot is not found.slot]
    if others:
        other = _nearest(others, next(iter(hints.beginnings())))
        if _is_slower(found.slot, other.slot, now, rng, hints):
            found = other
    hints.pinned = found.key
    return found.slot


def _places(slot: Slot, now: float) -> Iterable[Place]:
    """A place for each credential that may be used."""
    keys = slot.pool.keys
    share = slot.share(now)
    if len(keys) == 1:
        yield Place(slot, keys[0], slot.seeds[0], share, slot.state.inflight)
        return
    usable = [
        (key, seed)
        for key, seed in zip(keys, slot.seeds, strict=True)
        if key[1].until <= now and key[1].room.until <= now
    ]
    total = sum(key[0].weight for key, _ in usable if key[0] is not None)
    for key, seed in usable:
        credential, held = key
        assert credential is not None
        yield Place(slot, key, seed, share * credential.weight / total, held.inflight)


def _with_room(places: Sequence[Place]) -> list[Place]:
    """Those that would not have more than LOAD times their part with one more. Never nobody: somebody is below its part."""
    weight = sum(place.weight for place in places)
    load = sum(place.load for place in places) + 1
    return [
        place
        for place in places
        if place.load < max(ceil(LOAD * load * place.weight / weight), IDLE)
    ]


def _alike(places: Sequence[Place], free: Sequence[Place], hints: Hints) -> Place | None:
    """Where the first beginning belongs whose place is free. None: there is no beginning."""
    last = None
    for beginning in hints.beginnings():
        last = beginning
        found = _nearest(places, beginning)
        if found in free:
            return found
    return None if last is None else _nearest(free, last)


def _is_slower(one: Slot, other: Slot, now: float, rng: Random, hints: Hints) -> bool:
    """By more than the cache saves: the time that the other takes to read what is cached here. Now and then it is asked all the
    same, so that it is known when it is well again."""
    here, there = pace(one), pace(other)
    wait, instead = (each.latency(now, stream=hints.stream) for each in (here, there))
    if wait is None or instead is None:
        return False
    if wait - NOISE * instead <= there.reading(hints.prompt * here.cached(now)):
        return False
    return not (now - one.state.last_used > FRESH and rng.random() < EXPLORE)


def _nearest(places: Sequence[Place], what: int) -> Place:
    """Where it belongs: in proportion to weight, whatever else there is."""
    best, most = places[0], -1.0
    for place in places:
        # 52 bits and a half: a float holds them, so it is never 1, whose logarithm is 0.
        rank = place.weight / -log(((_mixed(place.seed ^ what) >> 12) + 0.5) / _WHOLE)
        if rank > most:
            best, most = place, rank
    return best


def _mixed(value: int) -> int:
    """The last step of SplitMix64 (Steele, Lea and Flood, 2014): each bit depends on all bits."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _BITS
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _BITS
    return value ^ value >> 31
