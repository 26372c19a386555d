"""Which of a provider's credentials is used next, and whether it may be.

Providers limit by model: a 429 lets a credential rest for the model that was asked for. That it is not accepted, or has
nothing left to spend, is true for all of them.
"""

from __future__ import annotations

from math import inf
from random import Random
from typing import TYPE_CHECKING

from proxy.core.errors import Cause
from proxy.core.model import Credential, KeyStrategy
from proxy.state.rests import Rest
from proxy.state.room import Room

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from proxy.core.secret import Secret
    from proxy.state.rests import Refusal


class CredentialState:
    """One credential, as far as one model of its provider goes: when it may be used again, and how much it was used.

    A deployment whose provider needs no credential has one of these for itself, so that a 429 has a place to go.
    """

    __slots__ = (
        "account",
        "id",
        "inflight",
        "last_used",
        "own",
        "reason",
        "room",
        "soft",
        "turn",
        "until",
        "used",
    )

    def __init__(self, id: str, own: Rest | None = None, account: Account | None = None) -> None:
        self.id = id
        self.own = own or Rest()
        """Its rate limits; everything, where there is no account."""
        self.account = account
        """What is the same for all models."""
        self.until = 0.0
        """When the later of both rests ends; `reason` and `soft` are of that one."""
        self.reason: Cause | None = None
        """Why it rests: RATE_LIMIT, AUTH or QUOTA."""
        self.soft = False
        """The pause is a guess: when nothing else is left the credential is used all the same."""
        self.room = Room() if account is None else account.room
        """Limits of ours count all models together."""
        self.inflight = 0
        self.used = 0
        self.last_used = 0.0
        self.turn = 0.0
        self.own.followers.append(self)
        if account is not None:
            account.rest.followers.append(self)
        self.follow()

    def follow(self) -> None:
        rest = self.own
        if self.account is not None and self.account.rest.until > rest.until:
            rest = self.account.rest
        self.until, self.reason, self.soft = rest.until, rest.reason, rest.soft

    def cool(self, refusal: Refusal, now: float, rng: Random) -> None:
        """Leave it alone for a while. `refusal` says why and for how long."""
        account = self.account
        if account is None:
            self.own.cool(refusal, now, rng)
        elif refusal.reason is Cause.RATE_LIMIT:
            account.rest.worked(refusal.started)  # whoever is counted was let in
            self.own.cool(refusal, now, rng)
        else:
            account.rest.cool(refusal, now, rng)

    def lend(self, now: float) -> None:
        """An attempt begins that finds out whether the reason of the last pause still holds."""
        self.own.lend(now)
        if self.account is not None:
            self.account.rest.lend(now)

    def worked(self, started: float) -> None:
        """An attempt that began after the last pause succeeded."""
        if self.reason is not None:
            self.own.worked(started)
            if self.account is not None:
                self.account.rest.worked(started)

    def remaining(self, now: float) -> float:
        """Seconds until it may be used."""
        return max(0.0, self.until - now)


def _alone(*model: str) -> Rest:
    return Rest()


class Account:
    """One credential, whatever it is used for."""

    __slots__ = ("_rest", "id", "rest", "room", "secret", "states")

    def __init__(
        self, id: str, secret: Secret | None = None, rest: Callable[..., Rest] = _alone
    ) -> None:
        """`rest()` makes what is remembered of all models, `rest(model)` of one."""
        self.id = id
        self.secret = secret
        self._rest = rest
        self.rest = rest()
        """After it was refused, or when it has nothing left to spend."""
        self.room = Room()
        self.states: dict[str, CredentialState] = {}
        """By the model of the provider; those that were asked for."""

    def state(self, model: str) -> CredentialState:
        """What is known of it and this model."""
        found = self.states.get(model)
        if found is None:
            found = self.states[model] = CredentialState(self.id, self._rest(model), self)
        return found

    def keep(self, models: frozenset[str]) -> None:
        """Forget all others."""
        if not self.states.keys() <= models:
            self.states = {name: one for name, one in self.states.items() if name in models}
            self.rest.followers = list(self.states.values())


Key = tuple[Credential | None, CredentialState]


class Pool:
    """The credentials of one provider for one of its models, used in turn.

    Each pick moves a credential's `turn` on; the smallest is next. One that comes back from a pause starts at the
    turn of the others instead of making up for what it missed, which would send it straight back.
    """

    __slots__ = ("_otherwise", "_turn", "keys")

    def __init__(
        self, keys: tuple[Key, ...], strategy: KeyStrategy = KeyStrategy.LEAST_USED
    ) -> None:
        self.keys = keys
        self._otherwise = _OTHERWISE.get(strategy)
        """None: by turns and weights."""
        self._turn = min((state.turn for _, state in keys if state.used), default=0.0)

    def ready(self, now: float) -> bool:
        # A plain loop: this runs for every deployment at each choice.
        for _, state in self.keys:  # noqa: SIM110
            if state.until <= now and state.room.until <= now:
                return True
        return False

    def pick(self, now: float, without: Sequence[Room] = ()) -> Key | None:
        """The least used of those that may be used; None when all cool, are full or have a room among `without`."""
        keys = self.keys
        if len(keys) == 1:
            state = keys[0][1]
            is_free = state.until <= now and state.room.until <= now and state.room not in without
            return keys[0] if is_free else None
        if self._otherwise is not None:
            free = [
                key
                for key in keys
                if key[1].until <= now and key[1].room.until <= now and key[1].room not in without
            ]
            return self._otherwise(free) if free else None
        best: Key | None = None
        least = (inf, inf)
        for key in keys:
            state = key[1]
            if state.until <= now and state.room.until <= now and state.room not in without:
                rank = (max(state.turn, self._turn), state.last_used)
                if rank < least:
                    best, least = key, rank
        if best is not None:
            credential, state = best
            self._turn = least[0]
            weight = credential.weight if credential is not None else 1
            state.turn = least[0] + 1.0 / max(weight, 0.001)
        return best


_rng = Random()


def _in_turn(free: Sequence[Key]) -> Key:
    """The one that was used the longest ago."""
    found = min(free, key=lambda key: key[1].turn)
    found[1].turn = 1.0 + max(state.turn for _, state in free)
    return found


def _by_lot(free: Sequence[Key]) -> Key:
    weights = [1.0 if one is None else max(one.weight, 0.001) for one, _ in free]
    return _rng.choices(free, weights)[0]


_OTHERWISE: Mapping[KeyStrategy, Callable[[Sequence[Key]], Key]] = {
    KeyStrategy.ROUND_ROBIN: _in_turn,
    KeyStrategy.RANDOM: _by_lot,
    KeyStrategy.FAILOVER: lambda free: free[0],
}
"""From those that may be used to the next one."""
