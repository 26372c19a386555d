"""One request's way through the deployments that could serve it, decided step by step without I/O.

The caller asks `first`, sends, and reports `succeeded` or `failed`; the answer to `failed` is what to do next. Each
candidate that was handed out, by `first` or in a `Step`, counts as in flight until `ended` is called with it.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from proxy.core.errors import Cause, ProxyError, UpstreamError
from proxy.gateway import blame
from proxy.gateway.candidate import Candidate, Step
from proxy.gateway.deadline import late
from proxy.gateway.resort import last_resort, nobody
from proxy.gateway.search import Search
from proxy.gateway.verdict import (
    GOES_ON,
    MOMENT,
    RULES,
    Attempt,
    Rule,
    cause_of,
    last_word,
    without_retry,
)
from proxy.state.health import CLOSED, NO_PROBE, PANIC, PROBE

if TYPE_CHECKING:
    from random import Random

    from proxy.gateway.deadline import Deadline
    from proxy.gateway.hints import Hints
    from proxy.gateway.selection import Move, Route, Slot
    from proxy.limits.accounts import Refused

__all__ = ["Candidate", "Plan", "Step"]

_HELD_BACK = 1.0
"""Seconds after which a host that refuses most requests is asked once more, in any case."""
_TTFT_FACTOR, _TTFT_MIN, _TTFT_MAX = 3.0, 2.0, 12.0


class Plan:
    """See the module. `pause` is how long the first candidate has to wait: 0, but for a short rate limit."""

    __slots__ = (
        "_alternatives",
        "_causes",
        "_error",
        "_now",
        "_rng",
        "_search",
        "_slot",
        "attempts",
        "deadline",
        "matched",
        "model",
        "pause",
        "route",
        "size",
    )

    def __init__(self, route: Route, matched: str, rng: Random) -> None:
        self.model = route.model
        """The model that was asked for; a candidate's own may be a fallback."""
        self.pause = 0.0
        self.deadline: Deadline | None = None
        """Of the client; None: it gives none."""
        self.size = 0
        """Bytes of the request's body."""
        self.attempts: list[Attempt] = []
        self._alternatives: bool | None = None
        self._causes: list[Cause] = []
        self._error: UpstreamError | None = None
        """The last one."""
        self.route = route
        """Of the model that was asked for."""
        self.matched = matched
        """What a wildcard matched of its name."""
        self._search = Search(route, matched, rng)
        self._rng = rng
        self._now = 0.0
        self._slot: Slot | None = None

    def led(self, route: Route) -> Plan:
        """The same request by another route."""
        plan = Plan(route, self.matched, self._rng)
        plan._search.hints = self._search.hints
        return plan

    def look(self, hints: Hints) -> None:
        """What choices may want to know of the request. Before `first`."""
        self._search.hints = hints

    def first(self, now: float) -> Candidate:
        """Raises ProxyError (no_up, limit, up_auth, up_spent, late) when there is nobody to ask."""
        self._now = now
        route = self.route
        route.budget.deposit(now, route.model.retry.budget)
        sole, deadline = route.sole, self.deadline
        if (
            sole is not None
            and (deadline is None or deadline.end == inf)
            and sole.slot.state.until <= now
            and sole.slot.state.room.until <= now
            and not sole.slot.state.full
            and sole.key[1].until <= now
            and sole.key[1].room.until <= now
            and (sole.slot.state.acceptance.calm or not route.choice)
            and (sole.slot.state.phase == CLOSED or sole.slot.state.take_probe(now))
        ):
            return self._begin(sole, now)
        move = self._search.first(now)
        if move is None:
            if self._search.held_back:
                raise ProxyError("no_up", retry_after=_HELD_BACK)
            move = last_resort(route, now)
            if move is None:
                raise nobody(route, now, self._search.limits(now))
            return self._begin(move, now, PANIC)
        if deadline is not None and deadline.end < inf:
            move = self._search.in_time(move, deadline, now)
            if move is None:
                raise late(deadline)
        if move.slot.state.phase != CLOSED:
            move = self._won(move, now)
            if move is None:
                raise nobody(route, now, self._search.limits(now))
        self.pause = move.delay
        return self._begin(move, now + move.delay)

    def failed(self, candidate: Candidate, error: UpstreamError, now: float) -> Step:
        """The attempt failed before the client saw anything of it."""
        cause, rule = self._note(candidate, error, now)
        move = None
        if len(self.attempts) < self.model.retry.max_attempts:
            move = self._search.next(candidate.slot, cause, rule, now)
        if self.deadline is not None:
            if move is not None:
                move = self._search.in_time(move, self.deadline, now)
                cause = cause if move is not None else Cause.DEADLINE
            if cause is Cause.DEADLINE:
                return Step(None, 0.0, late(self.deadline), "stop")
        if move is not None and (not rule.worked or self.route.budget.take(now)):
            move = self._won(move, now)
            if move is not None:
                return Step(self._begin(move, now + move.delay), move.delay, None, move.kind)
        word = self._word(now)
        if move is not None:
            word = without_retry(word, self.attempts)
        return Step(None, 0.0, word, "stop")

    def beside(self, candidate: Candidate, now: float) -> Candidate | None:
        """Somebody who is asked at the same time as `candidate`, which is slow; None: nobody is well, or in time."""
        move = self._search.beside(candidate.slot, candidate.held, now)
        if move is None:
            return None
        deadline = self.deadline
        if deadline is not None and not deadline.meets(move.slot.state, now):
            return None
        return self._begin(move, now)

    def lost(self, candidate: Candidate, error: UpstreamError, now: float) -> None:
        """It failed while another attempt is still under way."""
        _, rule = self._note(candidate, error, now)
        if not rule.key:
            self._search.out(candidate.slot)

    def beaten(self, candidate: Candidate, now: float) -> None:
        """It was given up for one that was quicker, after longer than it usually takes."""
        blame.took_longer(candidate, now, self.size)

    def resumed(
        self, candidate: Candidate, error: UpstreamError | None, now: float, *, same: bool = False
    ) -> Step:
        """Somebody to go on with an answer that broke off: after `candidate`, which gave it or should have gone on.

        `error` is what became of that, and blames nobody here; None: it was not asked. `same`: ask it once more.
        """
        self._now = now
        if error is not None:
            self._error = error
            self.attempts.append(Attempt(candidate.deployment.id, error.cause, error.status))
            self._causes.append(cause_of(error))
        move, search, slot = None, self._search, candidate.slot
        if len(self.attempts) < self.model.retry.max_attempts:
            if not same:
                move = search.next(slot, Cause.TRUNCATED, GOES_ON, now)
            if move is None and error is not None:
                move = search.once_more(slot, now)
        if move is not None and self.deadline is not None:
            move = search.in_time(move, self.deadline, now)
        if move is None or not self.route.budget.take(now):
            return Step(None, 0.0, None, "stop")
        return Step(self._begin(move, now + move.delay), move.delay, None, move.kind)

    def full(self, candidate: Candidate, refused: Refused, now: float) -> Step:
        """A limit of ours is met: the deployment was not asked, and nothing is held against it."""
        self._now = now
        wait = refused.wait or MOMENT
        met, whose = (refused.what, now + wait), refused.subject.kind
        if whose == "model":
            self._search.shut(met)
        else:
            held = candidate.held if whose == "credential" else None
            (held or candidate.state).room.fill(refused.what, wait, now)
            self._search.full(candidate.slot, held, met)
        candidate.state.used -= 1
        candidate.held.used -= 1
        move = self._search.next(candidate.slot, Cause.FULL, RULES[Cause.FULL], now)
        if self.deadline is not None and move is not None:
            move = self._search.in_time(move, self.deadline, now)
            if move is None:
                return Step(None, 0.0, late(self.deadline), "stop")
        move = self._won(move, now)
        if move is not None:
            return Step(self._begin(move, now + move.delay), move.delay, None, move.kind)
        return Step(None, 0.0, self._word(now), "stop")

    def succeeded(self, candidate: Candidate, now: float, ttft: float | None) -> None:
        """The first content, or the whole body, is here."""
        state = candidate.state
        ceiling = state.ceiling
        if ceiling is not None:
            seconds, size = now - candidate.started, self.size.bit_length()
            ceiling.good(state.inflight)
            kind = size if ttft is None else -size
            ceiling.took(now, candidate.started, seconds, state.inflight, kind)
        candidate.streak = state.streak
        state.good(now, candidate.probe)
        if candidate.probe != NO_PROBE and state.phase == CLOSED:
            state.acceptance.forget()
        candidate.probe = NO_PROBE
        candidate.held.worked(candidate.started)
        if ttft is not None:
            state.latency.observe(now, ttft)
            if self.route.choice:  # else nobody will ask
                state.by_size.observe(now, self.size, ttft)
        if state.pace is not None:
            seconds = now - candidate.started if ttft is None else ttft
            state.pace.succeeded(now, seconds, stream=ttft is not None)

    def cut(self, candidate: Candidate, error: UpstreamError, now: float) -> None:
        """The answer broke off after the client had seen some of it."""
        blame.cut(candidate, error, now, self._rng)

    def ended(self, candidate: Candidate) -> None:
        """The attempt holds nothing any more. Once for each candidate; again does no harm."""
        if candidate.in_flight:
            candidate.in_flight = False
            state = candidate.state
            state.inflight -= 1
            candidate.held.inflight -= 1
            if state.ceiling is not None:
                state.full = state.ceiling.freed(state.inflight)
            if candidate.probe == PROBE:
                candidate.state.release_probe()

    @property
    def dialects(self) -> set[str]:
        """What the deployments of the model are asked in."""
        return {slot.dialect for slot in self.route.slots}

    @property
    def alternatives(self) -> bool:
        """Another deployment or model could still take over, should the current attempt fail."""
        if self._alternatives is None:  # asked more than once about each attempt
            more = len(self.attempts) + 1 < self.model.retry.max_attempts
            self._alternatives = more and self._search.alternatives(self._slot, self._now)
        return self._alternatives

    def ttft_limit(self, candidate: Candidate) -> float:
        """How long to wait for the first content, in seconds: not long while somebody else could serve."""
        limit = candidate.deployment.timeouts.ttft
        if not self.alternatives:
            return limit
        p95 = self.p95(candidate)
        adaptive = _TTFT_MAX if p95 is None else max(_TTFT_FACTOR * p95, _TTFT_MIN)
        limit = min(adaptive, _TTFT_MAX, limit)
        deadline = self.deadline
        if deadline is not None and not self._search.alternatives(
            candidate.slot, self._now, deadline, limit
        ):
            return candidate.deployment.timeouts.ttft  # nobody could take over by then
        return limit

    def p95(self, candidate: Candidate) -> float | None:
        """Seconds in which its deployment has shown content in 95 of 100 requests of about this size; None: not known."""
        return candidate.state.by_size.p95(self.size)

    def p50(self, candidate: Candidate) -> float | None:
        """The same for half of them."""
        return candidate.state.by_size.p50(self.size)

    # --- what comes of a failure ---

    def _note(self, candidate: Candidate, error: UpstreamError, now: float) -> tuple[Cause, Rule]:
        self._now = now
        self._error = error
        cause = cause_of(error)
        rule = RULES[cause]
        self.attempts.append(Attempt(candidate.deployment.id, error.cause, error.status))
        self._causes.append(cause)
        choice = self.route.choice
        blame.failed(candidate, cause, error, now, self._rng, size=self.size, choice=choice)
        if rule.key:
            self._search.refused(candidate.held)
        return cause, rule

    def _word(self, now: float) -> ProxyError | UpstreamError:
        """What the client is told. What those who were asked made of the request says more than our limits do."""
        search = self._search
        if self._error is None:
            return nobody(self.route, now, search.limits(now))
        left = search.rate_limit_left(now)
        return last_word(self.attempts, self._causes, self._error, left)

    def _won(self, move: Move | None, now: float) -> Move | None:
        """Take the place of the probe, if it is one. Where another worker was quicker: what there is instead."""
        while move is not None:
            state = move.slot.state
            if state.phase == CLOSED or state.take_probe(now):
                break
            move = self._search.first(now)
        return move

    def _begin(self, move: Move, now: float, probe: int = NO_PROBE) -> Candidate:
        """A move whose circuit is not closed has the place of the probe, unless it is a last resort."""
        slot, (credential, held) = move.slot, move.key
        state = slot.state
        if probe == NO_PROBE and state.phase != CLOSED:
            probe = PROBE
        if self.route.choice:
            state.acceptance.sent(now)
        state.inflight += 1
        if state.ceiling is not None:
            state.full = state.ceiling.full(state.inflight)
        state.used += 1
        held.inflight += 1
        held.used += 1
        state.last_used = held.last_used = now
        if held.reason is not None:
            held.lend(now)
        self._slot, self._alternatives = slot, None
        search = self._search
        return Candidate(
            search.route.model,
            slot.deployment,
            credential,
            slot.name(search.matched),
            state,
            held if credential is not None else None,
            slot,
            held,
            now,
            probe,
            slot.dialect,
        )
