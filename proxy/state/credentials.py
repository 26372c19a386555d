"""Which of a provider's credentials is used next, and how long one that was refused rests."""

from __future__ import annotations

from contextlib import nullcontext
from math import inf, isfinite
from typing import TYPE_CHECKING

from msgspec import Struct

from proxy.core.errors import Cause
from proxy.core.model import Credential
from proxy.state.room import Room

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from random import Random

    from proxy.core.secret import Secret

_HINT_MIN, _HINT_MAX, _HINT_MAX_LAST = 0.25, 300.0, 60.0
_GUESS_MAX = 30.0
_AUTH_PAUSES = (300.0, 1800.0)
_QUOTA_PAUSE, _QUOTA_MAX = 600.0, 3600.0
_ALONE = nullcontext()


class Refusal(Struct, frozen=True):
    """Why a credential is to rest: what the failed attempt said, and what else there is."""

    reason: Cause
    started: float
    """When the attempt was sent."""
    status: int = 0
    hint: float | None = None
    last: bool = False
    """No other credential of this provider may be used now."""


class CredentialState:
    """One credential: when it may be used again, and how much it was used.

    A deployment whose provider needs no credential has one of these for itself, so that a 429 has a place to go.
    """

    __slots__ = (
        "cooled_at",
        "id",
        "inflight",
        "last_used",
        "reason",
        "room",
        "secret",
        "soft",
        "strikes",
        "turn",
        "until",
        "used",
    )

    def __init__(self, id: str, secret: Secret | None = None) -> None:
        self.id = id
        self.secret = secret
        self.until = 0.0
        self.reason: Cause | None = None
        """Why it cools: RATE_LIMIT, AUTH or QUOTA."""
        self.soft = False
        """The pause is a guess: when nothing else is left the credential is used all the same."""
        self.room = Room()
        self.inflight = 0
        self.used = 0
        self.last_used = 0.0
        self.turn = 0.0
        self.strikes = 0
        """Refusals for the same reason in a row."""
        self.cooled_at = -inf
        """When the last pause began."""

    def change(self) -> AbstractContextManager[None]:
        """What is done within is one step, which begins with what other workers have made of it."""
        return _ALONE

    def cool(self, refusal: Refusal, now: float, rng: Random) -> None:
        """Leave it alone for a while. `refusal` says why and for how long."""
        with self.change():
            self._cool(refusal, now, rng)

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

    def worked(self, started: float) -> None:
        """An attempt that began after the last pause succeeded."""
        if self.reason is not None and started > self.cooled_at:
            with self.change():
                if started > self.cooled_at:
                    self.until, self.reason, self.soft, self.strikes = 0.0, None, False, 0

    def remaining(self, now: float) -> float:
        """Seconds until it may be used."""
        return max(0.0, self.until - now)

    def _pause(self, refusal: Refusal, rng: Random) -> tuple[float, bool]:
        if refusal.reason is Cause.AUTH:
            return _AUTH_PAUSES[min(self.strikes, 1)], False
        if refusal.reason is Cause.QUOTA:
            return min(_QUOTA_PAUSE * 2.0 ** min(self.strikes, 9), _QUOTA_MAX), False
        if refusal.hint is not None and isfinite(refusal.hint):
            cap = _HINT_MAX_LAST if refusal.last else _HINT_MAX
            return min(max(refusal.hint, _HINT_MIN) * rng.uniform(1.0, 1.2), cap), False
        return min(2.0 ** min(self.strikes, 9) * rng.uniform(1.0, 2.0), _GUESS_MAX), True


Key = tuple[Credential | None, CredentialState]


class Pool:
    """The credentials of one provider, used in turn.

    Each pick moves a credential's `turn` on; the smallest is next. One that comes back from a pause starts at the
    turn of the others instead of making up for what it missed, which would send it straight back.
    """

    __slots__ = ("_turn", "keys")

    def __init__(self, keys: tuple[Key, ...]) -> None:
        self.keys = keys
        self._turn = min((state.turn for _, state in keys if state.used), default=0.0)

    def ready(self, now: float) -> bool:
        # A plain loop: this runs for every deployment at each choice.
        for _, state in self.keys:  # noqa: SIM110
            if state.until <= now and state.room.until <= now:
                return True
        return False

    def pick(self, now: float, without: Sequence[CredentialState] = ()) -> Key | None:
        """The least used of those that may be used; None when all cool, are full or are among `without`."""
        keys = self.keys
        if len(keys) == 1:
            state = keys[0][1]
            is_free = state.until <= now and state.room.until <= now and state not in without
            return keys[0] if is_free else None
        best: Key | None = None
        least = (inf, inf)
        for key in keys:
            state = key[1]
            if state.until <= now and state.room.until <= now and state not in without:
                rank = (max(state.turn, self._turn), state.last_used)
                if rank < least:
                    best, least = key, rank
        if best is not None:
            credential, state = best
            self._turn = least[0]
            weight = credential.weight if credential is not None else 1
            state.turn = least[0] + 1.0 / max(weight, 0.001)
        return best
