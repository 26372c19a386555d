"""How many second attempts a model may still begin beside slow first ones, and whether they are of use.

A share of its requests and no more: when everything is slow, a second attempt for each would make it slower. And none
while everything is slow, or while those that were begun did not help.
"""

from __future__ import annotations

from math import inf
from typing import Literal

from proxy.core.model import Hedge

_MOST = 10.0
"""Attempts that can be saved up while all is well."""
_SEEN, _SLOW = 50.0, 0.2
"""Requests over which it is averaged how many were late; with more than this share of them late, everything is slow."""
_FEW = 20
"""Requests before that is believed."""
_TRIED, _LOSING = 10.0, 0.2
"""Second attempts over which it is averaged how many were quicker; with less than this share they are of no use."""
_AGAIN = 30.0
"""Seconds after which one is begun nevertheless, to see whether that has changed."""

Why = Literal["", "budget", "slow", "losing"]


class Hedges:
    """Of one model, in one worker."""

    __slots__ = ("_late", "_level", "_requests", "_tried_at", "_won", "rule")

    def __init__(self, rule: Hedge) -> None:
        self.rule = rule
        self._level = 0.0
        self._late = 0.0
        self._requests = 0
        self._won = 1.0
        self._tried_at = -inf

    def deposit(self) -> None:
        """A request of the model came in."""
        self._level = min(self._level + self.rule.share, _MOST)

    def seen(self, *, late: bool) -> None:
        """Whether a first attempt had shown content by the time at which a second may be begun."""
        self._requests += 1
        self._late += (late - self._late) / min(self._requests, _SEEN)

    def why(self, now: float) -> Why:
        """Why none may be begun now; empty: one may."""
        if self._requests >= _FEW and self._late > _SLOW:
            return "slow"
        if self._won < _LOSING and now - self._tried_at < _AGAIN:
            return "losing"
        if self._level < 1.0:
            return "budget"
        return ""

    def take(self, now: float) -> None:
        """One is begun."""
        self._level -= 1.0
        self._tried_at = now

    def ended(self, *, won: bool) -> None:
        """A second attempt is over: it was quicker than the first, or not."""
        self._won += (won - self._won) / _TRIED

    @property
    def level(self) -> float:
        """Second attempts that may be begun now."""
        return self._level
