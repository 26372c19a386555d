"""Checks of deployments that clients do not ask at the moment. Requests are what finds out first; these are for the rest.

Checked is who is out or degraded, or failed the last check, every 30 s; and who was not asked for `health.interval`. Never
more than four at once, each within 5 s, by one worker of a host. One question for a provider's list of models stands for
all of its deployments that are due. Of several hosts one looks at those that nobody asks, for all of them (`leading`).

A check of a deployment that is out is a probe, for which there is one place for all workers, clients' requests included.
What a list of models cannot show is not concluded from it: it does not undo failures of requests, and a credential that it
is refused for may be one that is allowed to do nothing but what clients want.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING

from proxy.control import asking
from proxy.control.leading import STAND_IN, Leading, Word, digest
from proxy.core import tasks
from proxy.core.clock import monotonic
from proxy.core.errors import Cause
from proxy.core.log import logger
from proxy.state.checks import COMPLETION, MASKED, OFF, Check, way
from proxy.state.health import CLOSED, NO_PROBE, PROBE
from proxy.state.rests import Refusal

if TYPE_CHECKING:
    from proxy.core.model import Deployment, Snapshot
    from proxy.state.live import DeploymentState
    from proxy.state.state import State
    from proxy.upstream.pool import UpstreamPool

EVERY = 30.0
"""Seconds from one check of somebody in trouble to the next, give or take a fifth; `health.interval`, if that is less."""
AT_ONCE = 4
PATIENCE = 5.0
"""Seconds until another configuration is noticed."""

Due = tuple["Deployment", "DeploymentState"]


class Prober:
    """One a worker; it does nothing until `tick` is called."""

    def __init__(self, state: State, pool: UpstreamPool, leading: Leading | None = None) -> None:
        self.leading = leading or Leading()
        self.leading.hear = self._told
        self._state = state
        self._pool = pool
        self.due = 0.0
        """Before this there is nothing to do."""
        self._began = monotonic()
        self._snapshot: Snapshot | None = None
        self._deployments: dict[str, Deployment] = {}
        self._next: dict[str, float] = {}
        """When each is looked at again."""
        self._seen: dict[str, float] = {}
        """When another host looked at it for us."""
        self._doubted: set[str] = set()
        """Which of them did not answer there."""
        self._waiting: deque[tuple[Sequence[Due], bool]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._turns: dict[str, int] = {}
        """Which credential of a provider is next."""

    def tick(self, now: float) -> None:
        """See who is due, and begin what there is room for."""
        state = self._state
        if state.live.snapshot is not self._snapshot:
            self._follow(now)
        rules = state.live.rules
        if not self._waiting and rules.enabled and rules.probe != OFF:
            self._enqueue(now)
        while self._waiting and len(self._running) < AT_ONCE:
            group, costs = self._waiting.popleft()
            task = tasks.spawn(self._check(group, costs=costs), name="health check")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        soonest = 0.0 if self._waiting else min(self._next.values(), default=now + PATIENCE)
        self.due = min(soonest, now + PATIENCE)

    def close(self) -> None:
        """Give up what is under way."""
        self._waiting.clear()
        for task in self._running:
            task.cancel()

    def _follow(self, now: float) -> None:
        """Another configuration is served. Who is new is not looked at right away: requests may come first."""
        snapshot = self._snapshot = self._state.live.snapshot
        self._waiting.clear()
        self._deployments = {}
        if snapshot is not None:
            for model in (*snapshot.models.values(), *(one for _, one in snapshot.wildcards)):
                self._deployments.update((one.id, one) for tier in model.tiers for one in tier)
        self._next = {id: self._next.get(id) or now + self._pause() for id in self._deployments}
        self._seen = {id: at for id, at in self._seen.items() if id in self._deployments}
        self._doubted &= self._deployments.keys()

    def _pause(self) -> float:
        every = min(EVERY, self._state.live.rules.interval)
        return every * self._state.rng.uniform(0.8, 1.2)

    def _enqueue(self, now: float) -> None:
        live = self._state.live
        together: dict[str, list[Due]] = {}
        for id, at in self._next.items():
            if at > now:
                continue
            deployment, state = self._deployments[id], live.deployments.get(id)
            how = way(deployment, live.rules)
            if state is None or how in (MASKED, OFF):
                self._next[id] = now + EVERY
                continue
            wait = self._wait(state, now)
            self._next[id] = now + (wait or self._pause())
            if wait:
                continue
            if how == COMPLETION:
                self._waiting.append(([(deployment, state)], True))
            else:
                together.setdefault(deployment.provider.name, []).append((deployment, state))
        self._waiting.extend((group, False) for group in together.values())

    def _wait(self, state: DeploymentState, now: float) -> float:
        """Seconds until it may be due; 0: it is."""
        if state.phase != CLOSED:
            return min(max(state.until - now, 0.0), 1.0)
        if state.health < 1.0 or state.streak or state.checked == Check.FAILED:
            return 0.0
        if state.id in self._doubted:
            return 0.0
        interval = self._state.live.rules.interval
        if not self.leading.leads:
            interval *= STAND_IN
        seen = max(state.last_used, state.checked_at, self._began, self._seen.get(state.id, 0.0))
        return min(max(seen + interval - now, 0.0), EVERY)

    def _told(self, word: Word) -> None:
        """The leader has looked at some of ours."""
        now, states = monotonic(), self._state.live.deployments
        for id in self._deployments:
            state = states.get(id)
            if state is None or digest(state) not in word.digests:
                continue
            if word.doubt and now - state.last_used > self._state.live.rules.interval:
                self._doubted.add(id)
                # Not all hosts at the same moment.
                self._next[id] = now + self._state.rng.uniform(0.0, PATIENCE)
            else:
                self._seen[id] = now

    async def _check(self, group: Sequence[Due], *, costs: bool) -> None:
        """Ask for all of them together, and let each know."""
        provider = group[0][0].provider
        question = asking.for_token(group[0][0]) if costs else None
        question = question or asking.for_models(provider)
        if question is None:
            self._conclude([(*one, NO_PROBE) for one in group], Check.UNKNOWN, costs=False)
            return
        live, now = self._state.live, monotonic()
        for one in group:  # what rests for one model may be asked about another
            free = [key for key in live.pool(*one).keys if key[1].until <= now]
            if free:
                break
        else:
            return  # they rest for a reason that is known
        turn = self._turns[provider.name] = self._turns.get(provider.name, -1) + 1
        credential, held = free[turn % len(free)]
        started = monotonic()
        asked = [(*one, probe) for one in group if (probe := _begin(one[1], started)) is not None]
        if not asked:
            return
        clock, outcome, status = perf_counter(), Check.UNKNOWN, 0
        try:
            outcome, status = await asking.ask(self._pool.of(provider), question, credential)
        finally:
            self._conclude(asked, outcome, costs=question.costs)
        self._state.metrics.health_check_seconds.child(provider.name).observe(
            perf_counter() - clock
        )
        if outcome is Check.REFUSED:
            if self._state.alert(f"check {provider.name}"):
                logger.warning("provider %s refused a health check: %d", provider.name, status)
            if question.costs:
                cause = Cause.QUOTA if status == 402 else Cause.AUTH
                held.cool(Refusal(cause, started, status), monotonic(), self._state.rng)

    def _conclude(
        self,
        asked: Sequence[tuple[Deployment, DeploymentState, int]],
        outcome: Check,
        *,
        costs: bool,
    ) -> None:
        now, rng = monotonic(), self._state.rng
        self.leading.tell((state for _, state, _ in asked), doubt=outcome is Check.FAILED)
        for deployment, state, probe in asked:
            if outcome is Check.FAILED:
                state.bad(now, 1.0, probe, rng)
            elif outcome is Check.LIMITED and probe == PROBE:
                state.bad(now, 0.0, probe, rng)
            elif outcome is Check.OK and (costs or probe == PROBE):
                state.good(now, probe)
            elif probe == PROBE:
                state.release_probe()
            state.note_check(now, outcome)
            self._doubted.discard(deployment.id)
            self._state.metrics.health_checks.child(deployment.id, outcome.name.lower()).inc()


def _begin(state: DeploymentState, now: float) -> int | None:
    """How the check relates to the circuit; None: somebody else is finding out already."""
    if state.phase == CLOSED:
        return NO_PROBE
    if not state.take_probe(now):
        return None
    return PROBE if state.phase != CLOSED else NO_PROBE
