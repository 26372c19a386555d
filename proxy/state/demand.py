"""Who asks for how much, and what part of it each is given where there is not enough for all.

Those of a more urgent class are given what they ask for before any other. Within a class all have an equal share; what one
does not use is shared among the rest (max-min fairness). What one has of that goes to its most urgent requests first. So
nobody gains by asking more often, or by calling everything urgent.
"""

from __future__ import annotations

URGENCIES = 3
"""0 is the most urgent."""
_NEW = 0.5
"""How much of what is seen is believed at once."""
_GONE = 0.5
"""Requests a second below which somebody is forgotten."""
_UNKNOWN = 0.5
"""The chance of all, until it is known who asks."""


class Demand:
    """Rates are requests a second."""

    __slots__ = ("_chances", "_counts", "_known", "_rates", "total")

    def __init__(self) -> None:
        self.total = 0.0
        """What all ask for."""
        self._counts: dict[tuple[int, str], list[int]] = {}
        self._rates: dict[tuple[int, str], list[float]] = {}
        """By class and name: of each urgency."""
        self._chances: dict[tuple[int, str], tuple[float, ...]] = {}
        self._known = False

    def asked(self, rank: int, name: str, urgency: int) -> float:
        """Somebody of this class asks for something this urgent; the chance that it is given."""
        who = rank, name
        counts = self._counts.get(who)
        if counts is None:
            counts = self._counts[who] = [0] * URGENCIES
        counts[urgency] += 1
        chances = self._chances.get(who)
        if chances is None:
            return 1.0 if self._known else _UNKNOWN
        return chances[urgency]

    def divide(self, quota: float, seconds: float) -> None:
        """The last so many seconds are over; from now on there are `quota` requests a second for all."""
        part = _NEW if self._known else 1.0
        nothing, nobody = [0] * URGENCIES, [0.0] * URGENCIES
        rates = {}
        for who in self._rates.keys() | self._counts.keys():
            seen, before = self._counts.get(who, nothing), self._rates.get(who, nobody)
            now = [
                old + (new / seconds - old) * part for old, new in zip(before, seen, strict=True)
            ]
            if sum(now) >= _GONE:
                rates[who] = now
        self._rates, self._counts, self._known = rates, {}, True
        self.total = sum(map(sum, rates.values()))
        self._chances = {}
        for rank in sorted({rank for rank, _ in rates}):
            mine = sorted((sum(rates[who]), who) for who in rates if who[0] == rank)
            for at, (wanted, who) in enumerate(mine):
                given = min(wanted, quota / (len(mine) - at))
                quota -= given
                self._chances[who] = _chances(rates[who], given)


def _chances(rates: list[float], given: float) -> tuple[float, ...]:
    """The part of each urgency that can be had for so much."""
    chances = []
    for rate in rates:
        chances.append(min(given / rate, 1.0) if rate > 0.0 else float(given > 0.0))
        given = max(given - rate, 0.0)
    return tuple(chances)
