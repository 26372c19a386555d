"""How long what was refused is left alone."""

from __future__ import annotations

from contextlib import nullcontext
from math import inf, isfinite
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from proxy.core.errors import Cause

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from random import Random

_HINT_MIN, _HINT_MAX, _HINT_MAX_LAST = 0.25, 300.0, 60.0
_GUESS_MAX = 30.0
_AUTH_PAUSES = (300.0, 1800.0)
_QUOTA_PAUSE, _QUOTA_MAX = 600.0, 3600.0
_PROVED = frozenset({Cause.AUTH, Cause.QUOTA})
"""After these everybody would be refused, if one is."""
_PROOF = 5.0
_ALONE = nullcontext()


class Refusal(Struct, frozen=True):
    """Why somebody is to rest: what the failed attempt said, and what else there is."""

    reason: Cause
    started: float
    """When the attempt was sent."""
    status: int = 0
    hint: float | None = None
    last: bool = False
    """No other credential of this provider may be used now."""


class Follower(Protocol):
    def follow(self) -> None:
        """A rest it goes by has changed."""


class Rest:
    """One pause after another, of a credential or of what it may do. `followers` hear of each change."""

    __slots__ = ("cooled_at", "followers", "reason", "soft", "strikes", "until")

    def __init__(self) -> None:
        self.until = 0.0
        self.reason: Cause | None = None
        """RATE_LIMIT, AUTH or QUOTA; stays when the time is up, until something worked."""
        self.soft = False
        """The pause is a guess."""
        self.strikes = 0
        """Refusals for the same reason in a row."""
        self.cooled_at = -inf
        """When the last pause began."""
        self.followers: list[Follower] = []

    def change(self) -> AbstractContextManager[None]:
        """What is done within is one step, which begins with what other workers have made of it."""
        return _ALONE

    def cool(self, refusal: Refusal, now: float, rng: Random) -> None:
        with self.change():
            self._cool(refusal, now, rng)
        self.tell()

    def lend(self, now: float) -> None:
        """Its time is up, and one attempt finds out what came of it. Until that is back the others wait, but not for long."""
        if self.until <= now and self.reason in _PROVED:
            with self.change():
                if self.until <= now:
                    self.until = now + _PROOF
            self.tell()

    def worked(self, started: float) -> None:
        """An attempt succeeded. One that began after the last pause ends it."""
        if self.reason is not None and started > self.cooled_at:
            with self.change():
                if started > self.cooled_at:
                    self.until, self.reason, self.soft, self.strikes = 0.0, None, False, 0
            self.tell()

    def tell(self) -> None:
        for follower in self.followers:
            follower.follow()

    def _cool(self, refusal: Refusal, now: float, rng: Random) -> None:
        if refusal.reason is not self.reason:
            self.strikes = 0
        elif refusal.started <= self.cooled_at and refusal.hint is None and self.until > now:
            return  # sent before this pause began: the same news again
        pause, soft = self._pause(refusal, rng)
        if refusal.started > self.cooled_at:
            self.strikes += 1
        if now + pause >= self.until or refusal.reason is not self.reason:
            self.until, self.soft = now + pause, soft
        self.reason = refusal.reason
        self.cooled_at = now

    def _pause(self, refusal: Refusal, rng: Random) -> tuple[float, bool]:
        if refusal.reason is Cause.AUTH:
            return _AUTH_PAUSES[min(self.strikes, 1)], False
        if refusal.reason is Cause.QUOTA:
            return min(_QUOTA_PAUSE * 2.0 ** min(self.strikes, 9), _QUOTA_MAX), False
        if refusal.hint is not None and isfinite(refusal.hint):
            cap = _HINT_MAX_LAST if refusal.last else _HINT_MAX
            return min(max(refusal.hint, _HINT_MIN) * rng.uniform(1.0, 1.2), cap), False
        return min(2.0 ** min(self.strikes, 9) * rng.uniform(1.0, 2.0), _GUESS_MAX), True
