"""Who is next for one request: its position among deployments, credentials and fallback models.

    another credential -> the same deployment again -> a sibling -> the end of a short rate limit -> another model

Nothing is begun here and no health is recorded: `plan.py` does both with what it is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.core.errors import Cause
from proxy.gateway.hints import NOTHING, Hints
from proxy.gateway.resort import Met, soonest, use_guess
from proxy.gateway.selection import Kind, Move, Route, Slot
from proxy.gateway.verdict import RATES, TIMEOUTS, Rule
from proxy.state.credentials import CredentialState
from proxy.state.health import CLOSED, WELL

if TYPE_CHECKING:
    from random import Random

    from proxy.gateway.deadline import Deadline
    from proxy.state.room import Room

_SPREAD, _SPREAD_EACH = 0.05, 0.001
"""Seconds over which a crowd moves from one deployment to others: at most, and for each of its requests."""
_STRETCH = 1.2
"""A cooldown is up to this much longer than the provider asked; `retry_after_max` is about what it asked."""


class Search:
    """Where one request has been. Each model is visited once, each deployment until it is given up."""

    __slots__ = (
        "_again",
        "_deadline",
        "_deferred",
        "_explicit",
        "_failed",
        "_full",
        "_pending",
        "_refused",
        "_rng",
        "_visited",
        "_waits",
        "held_back",
        "hints",
        "matched",
        "met",
        "route",
    )

    def __init__(self, route: Route, matched: str, rng: Random) -> None:
        self.route = route
        """Of the model being tried now."""
        self.matched = matched
        self.hints: Hints = NOTHING
        """What choices may want to know of the request."""
        self._rng = rng
        self._failed: list[Slot] = []
        self._visited: tuple[Route, ...] = (route,)
        self._pending = route.fallbacks
        self._refused: list[CredentialState] = []
        """Credentials that were refused in this request: whatever rests of them rests for a reason just seen."""
        self._full: list[Room] = []
        """Of credentials that limits of ours keep this request from, whatever model it asks them for."""
        self.met: list[Met] = []
        """Those limits, and when there is room again."""
        self._deadline: Deadline | None = None
        self._deferred: list[Move] = []
        """What would usually be too late for the client: for when nothing else is left."""
        self.held_back = False
        """There is somebody to ask, whose host takes too little of what it is asked already."""
        self._again = 0
        self._waits = 0
        self._explicit = False
        """A provider refused the content: only models named for this case may see it."""

    def first(self, now: float) -> Move | None:
        """Where to begin. None: everything is out."""
        move = self._pick(now, probes=True)
        if move is not None:
            return move
        move = self._wait(now)
        if move is not None:
            # A guess never takes the last credential away; the provider's word does, for as long as it said.
            move.delay = 0.0 if move.key[1].soft else move.delay
            if not self._fallback_ready(now):
                self._waits = 0  # nobody has been asked yet: all tries again are still to come
            return move
        begun_with = self.route
        return self._fallback(now) or use_guess(begun_with, now)

    def refused(self, held: CredentialState) -> None:
        """A provider would not serve this credential."""
        self._refused.append(held)

    def full(self, slot: Slot, held: CredentialState | None, met: Met) -> None:
        """A limit of ours keeps this request from `slot`; with `held`, from that credential only."""
        self.met.append(met)
        if held is None:
            self._failed.append(slot)
        else:
            self._full.append(held.room)
            self._refused.append(held)

    def shut(self, met: Met) -> None:
        """A limit of ours keeps this request from the model it has come to, whose deployments have room for who asks for
        them by its name."""
        self.met.append(met)
        self._failed += self.route.slots

    def limits(self, now: float) -> list[Met]:
        """The limits of ours that are in the way of this request: those it met, and those that others met."""
        met = list(self.met)
        for route in self._visited:
            for slot in route.slots:
                rooms = [slot.state.room, *(held.room for _, held in slot.pool.keys)]
                met += [(room.what, room.end) for room in rooms if room.until > now]
        return met

    def next(self, slot: Slot, cause: Cause, rule: Rule, now: float) -> Move | None:
        """After a failure on `slot`."""
        move = self._other_key(slot, rule, now) or self._retry(slot, rule, now)
        if move is not None:
            return move
        if not rule.key:  # with its credentials cooling it is out of the way until they are not
            self._failed.append(slot)
        self._again = 0
        if rule.sibling or (cause is Cause.CONTEXT and self._larger(slot)):
            move = self._pick(now)
            if move is None and self._deferred:
                move = self._overdue(now)
        if move is None and cause is Cause.RATE_LIMIT:
            move = self._wait(now)
        if move is None and rule.fallback:
            self._narrow(cause)
            move = self._fallback(now)
        if move is None and rule.sibling:
            move = self._wait(now)
        if move is not None:
            if move.slot is slot:
                move.kind = "retry"
            elif rule.harm and cause not in TIMEOUTS:
                move.delay = max(move.delay, self._spread(slot))
        return move

    def _spread(self, slot: Slot) -> float:
        """A random pause before somebody else is asked: all that was under way at a deployment may fail in one moment, and
        would be there in the next. The more that is, the longer; alone, at once."""
        crowd = slot.state.inflight
        if not crowd:
            return 0.0
        return self._rng.uniform(0.0, min(_SPREAD, crowd * _SPREAD_EACH))

    def out(self, slot: Slot) -> None:
        """It was asked, and is not to be asked again."""
        self._failed.append(slot)

    def beside(self, current: Slot, held: CredentialState, now: float) -> Move | None:
        """Who could be asked besides `current` with `held`, without delay: another deployment that is well, or else another
        credential of the same."""
        without = [
            slot
            for slot in self.route.slots
            if slot is current or slot in self._failed or slot.state.health != WELL
        ]
        slot = self.route.pick(now, self._rng, without=without, probes=False, hints=self.hints)
        move = None if slot is None else self._take(slot, "switch", now)
        if move is None and current.state.until <= now:
            key = current.pool.pick(now, [*self._full, held.room])
            move = None if key is None else Move(current, key, "switch")
        return move

    def in_time(self, move: Move, deadline: Deadline, now: float) -> Move | None:
        """`move`, or what is to be tried in its place; None: nobody can answer in time any more.

        One that usually would not comes after all who would, and before another model.
        """
        self._deadline = deadline
        found: Move | None = move
        while found is not None:
            while found is not None and not deadline.meets(found.slot.state, now, found.delay):
                self._deferred.append(found)
                self._failed.append(found.slot)
                found = self._pick(now)
            found = found or self._overdue(now)
            if found is not None:
                return found
            found = self._fallback(now)
        return None

    def _overdue(self, now: float) -> Move | None:
        deadline = self._deadline
        assert deadline is not None
        while self._deferred:
            move = self._deferred.pop(0)
            slot, (_, held) = move.slot, move.key
            if (
                slot in self.route.slots
                and slot.state.until <= now
                and held.until <= now + move.delay
                and deadline.holds(slot.state, now, move.delay)
            ):
                return move
        return None

    def alternatives(
        self, current: Slot | None, now: float, deadline: Deadline | None = None, delay: float = 0.0
    ) -> bool:
        """Somebody other than `current` could take over; with `deadline`, in time, and after `delay` seconds."""
        for slot in self.route.slots:
            if (
                slot is not current
                and slot not in self._failed
                and slot.usable(now)
                and (deadline is None or deadline.holds(slot.state, now, delay))
            ):
                return True
        return self._fallback_ready(now)

    def rate_limit_left(self, now: float) -> float:
        """Seconds until the first rate limit of the models visited ends, a provider's or one of ours; 1 when none is
        known."""
        moves = [soonest(route, now) for route in self._visited]
        waits = [move.delay for move in moves if move is not None]
        waits += [end - now for what, end in self.met if what in RATES]
        return min(waits, default=1.0)

    def _larger(self, slot: Slot) -> bool:
        """Whether the model has deployments with a larger window, as far as that is known; all others are done with."""
        if not self.route.windows or self.route.windows[0] <= slot.window:
            return False
        self._failed += [one for one in self.route.slots if one.window <= slot.window]
        return True

    def once_more(self, slot: Slot, now: float) -> Move | None:
        """The same deployment, whatever it was given up for."""
        return self._take(slot, "retry", now) if slot.usable(now) else None

    def _other_key(self, slot: Slot, rule: Rule, now: float) -> Move | None:
        if not rule.key or slot.state.until > now or slot in self._failed:
            return None
        return self._take(slot, "switch", now)

    def _retry(self, slot: Slot, rule: Rule, now: float) -> Move | None:
        """The same deployment, after a random pause."""
        retry = slot.deployment.retry
        allowed = retry.count if rule.alone else 0
        for other in self.route.slots:
            if other is not slot and other not in self._failed and other.healthy(now):
                allowed = min(allowed, rule.again)
                break
        if self._again >= allowed or slot.state.until > now:
            return None
        move = self._take(slot, "retry", now)
        if move is not None:
            move.delay = self._rng.uniform(0.0, min(retry.cap, retry.base * 2.0**self._again))
            self._again += 1
        return move

    def _pick(
        self,
        now: float,
        route: Route | None = None,
        matched: str | None = None,
        *,
        probes: bool = False,
    ) -> Move | None:
        route = route or self.route
        hints = self.hints
        if hints is not NOTHING:
            hints.matched, hints.pinned = self.matched if matched is None else matched, None
        held: list[Slot] = []
        while True:
            without = [*self._failed, *held] if held else self._failed
            slot = route.pick(now, self._rng, without=without, probes=probes, hints=hints)
            if slot is None:
                self.held_back = self.held_back or bool(held)
                return None
            state = slot.state
            if (
                state.phase == CLOSED
                and not state.acceptance.calm
                and state.rules.enabled
                and state.acceptance.holds_back(now, self._rng)
            ):
                held.append(slot)
                continue
            move = self._take(slot, "switch", now)
            if move is not None:
                return move
            self._failed.append(slot)  # the credentials it has left are full for this request

    def _take(self, slot: Slot, kind: Kind, now: float) -> Move | None:
        key = self.hints.pinned
        self.hints.pinned = None  # for this choice only
        if key is None or key not in slot.pool.keys or key[1].room in self._full:
            key = slot.pool.pick(now, self._full)
        return Move(slot, key, kind) if key is not None else None

    def _wait(self, now: float) -> Move | None:
        """Until a rate limit ends, if that is soon: once, or about `retry.count` times when there is no other model.

        How long a provider rests that gave no hint is a guess of ours: without another way it is not taken literally.
        """
        move = soonest(self.route, now, without=self._failed, apart=self._refused, guesses=True)
        if move is not None:
            move.delay = (
                0.0  # only a guess speaks against it, and this request has not asked it yet
            )
            return move
        move = soonest(self.route, now, without=self._failed)
        if move is None:
            return None
        retry = self.route.model.retry
        guessed, otherwise = move.key[1].soft, self._fallback_ready(now)
        if self._waits >= (1 if otherwise else max(retry.count, 1) + guessed):
            return None
        if move.delay > retry.retry_after_max * _STRETCH:
            if otherwise or not guessed:
                return None
            move.delay = retry.retry_after_max
        self._waits += 1
        return move

    def _narrow(self, cause: Cause) -> None:
        """Some refusals may only go to models that are named for them."""
        if cause is Cause.CONTENT:
            self._pending, self._explicit = self.route.fallbacks_content, True
        elif cause is Cause.TOO_LARGE or (
            cause is Cause.CONTEXT and self.route.fallbacks_context and not self._explicit
        ):
            self._pending = self.route.fallbacks_context

    def _fallback(self, now: float) -> Move | None:
        """The next model that has somebody to ask. Fallbacks of fallbacks come after all of its own."""
        while self._pending:
            (route, matched), self._pending = self._pending[0], self._pending[1:]
            if route in self._visited:
                continue
            self._visited += (route,)
            if not self._explicit:
                self._pending += route.fallbacks
            move = self._pick(now, route, matched) or use_guess(route, now)
            if move is not None:
                move.kind = "fallback"
                self.route, self.matched = route, matched
                self._again = self._waits = 0
                return move
        return None

    def _fallback_ready(self, now: float) -> bool:
        return any(route not in self._visited and route.usable(now) for route, _ in self._pending)
