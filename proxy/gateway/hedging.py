"""A second attempt beside a first one that is slow to show content, at somebody else: the quicker one is the answer.

Begun when the first takes longer than it does in 95 of 100 requests (or a fixed time), for a small share of the requests,
and only when that can help and does no harm. Only what is hedged pays for it: a model without the option never gets here.

After Dean and Barroso, "The Tail at Scale" (2013).
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from proxy.core.surfaces import CONVERSATION
from proxy.core.tasks import spawn
from proxy.gateway import admission, effects
from proxy.gateway.attempt import Attempt
from proxy.gateway.plan import Step
from proxy.gateway.verdict import RULES, cause_of
from proxy.state.health import NO_PROBE, WELL

if TYPE_CHECKING:
    from proxy.gateway.meter import Meter
    from proxy.gateway.plan import Candidate, Plan
    from proxy.upstream.pool import Upstream, UpstreamPool

_STREAMS = frozenset({"chat", "completions", "messages", "generate", "responses"})
"""Operations whose streams begin with content that somebody waits for."""


async def run(first: Attempt, plan: Plan, pool: UpstreamPool, meter: Meter) -> Attempt:
    """Run `first`, and perhaps a second attempt beside it: the one that answered, or the last that failed.

    The other one has been closed, given back and written down. Raises what `Attempt.run` does; then the one that is left is
    `first`, or `first.heir`.
    """
    upstream = pool.of(first.candidate.deployment.provider)
    limit, after = plan.ttft_limit(first.candidate), _after(first, plan)
    if after is None or after >= limit:
        await first.run(upstream, limit, eager=not plan.alternatives)
        return first
    race = Race(first, plan, pool, meter)
    try:
        return await race.run(limit, after)
    finally:
        race.stop()


def _after(first: Attempt, plan: Plan) -> float | None:
    """Seconds after which a second attempt is begun; None: never."""
    hedges, exchange, candidate = plan.route.hedges, first.exchange, first.candidate
    assert hedges is not None
    if plan.attempts:
        return None  # not the first any more
    hedges.deposit()
    if (
        not exchange.stream
        or exchange.endpoint.operation not in _STREAMS
        or not candidate.deployment.streams
    ):
        return None
    rule = hedges.rule
    if rule.after:
        return rule.after
    p95 = plan.p95(candidate)
    return None if p95 is None else max(p95, rule.floor)


class Race:
    """Two attempts of one request, of which one is wanted.

    Nothing is awaited but their outcome: who is given up is closed at once, so that a client that leaves at any moment
    leaves nothing behind.
    """

    __slots__ = ("_first", "_meter", "_plan", "_pool", "_second", "_tasks")

    def __init__(self, first: Attempt, plan: Plan, pool: UpstreamPool, meter: Meter) -> None:
        self._first = first
        self._second: Attempt | None = None
        self._plan = plan
        self._pool = pool
        self._meter = meter
        self._tasks: dict[asyncio.Task[Exception | None], Attempt] = {}
        """Those under way."""

    async def run(self, limit: float, after: float) -> Attempt:
        """See `run`."""
        hedges = self._plan.route.hedges
        assert hedges is not None
        self._start(self._first, limit)
        await asyncio.wait(self._tasks, timeout=after)
        late = not any(task.done() for task in self._tasks)
        hedges.seen(late=late)
        if late:
            self._begin_second(after)
        while True:
            done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            # Both may be done: the first was sent earlier.
            for task in sorted(done, key=lambda one: self._tasks[one].started):
                attempt = self._tasks[task]
                mistake = task.result()
                if mistake is not None:
                    raise mistake
                del self._tasks[task]
                if attempt.error is None or not self._tasks or not self._fails(attempt):
                    self._decided(attempt)
                    return attempt

    def stop(self) -> None:
        """It came to nothing: the client left, or there was a mistake. What becomes of one is for whoever began them."""
        running = list(self._tasks.values())
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        second = self._second
        if second is None or second not in running:
            return
        self._count("abandoned")
        if self._first in running:
            self._given_up(second, self._first)
            self._meter.chosen(self._first)
        else:
            self._first.heir = second

    def _start(self, attempt: Attempt, limit: float) -> None:
        upstream = self._pool.of(attempt.candidate.deployment.provider)
        task = spawn(_tried(attempt, upstream, limit), name="an attempt beside another")
        # It runs in the next turn of the loop, if it is not given up before: by then its provider may be out of use.
        upstream.attempts += 1
        task.add_done_callback(partial(_over, upstream))
        self._tasks[task] = attempt

    def _begin_second(self, after: float) -> None:
        candidate, why = _somebody(self._first, after, self._plan, self._meter)
        if candidate is None:
            metrics = self._meter.state.metrics
            metrics.hedges_suppressed.child(self._plan.model.name, why).inc()
            return
        second = self._second = Attempt(self._first.exchange, candidate)
        meter = self._meter
        if meter.state.spool is not None or second.exchange.hold is not None:
            meter.begin(second, beside=True)
        self._start(second, self._plan.ttft_limit(candidate))

    def _fails(self, attempt: Attempt) -> bool:
        """It failed while the other is under way: whether that may still do better."""
        assert attempt.error is not None
        plan, meter, candidate = self._plan, self._meter, attempt.candidate
        other = next(iter(self._tasks.values()))
        if not RULES[cause_of(attempt.error)].sibling:
            return False
        plan.ended(candidate)
        meter.given_back(candidate, sent=attempt.error.sent)
        plan.lost(candidate, attempt.error, attempt.answered_at)
        meter.failed(attempt, Step(other.candidate, 0.0, None, "switch"))
        meter.overlapped(attempt.answered_at - max(attempt.started, other.started))
        return True

    def _decided(self, attempt: Attempt) -> None:
        """`attempt` is the one; the other, if it is under way, is not."""
        second = self._second
        if second is None:
            return
        for task, other in self._tasks.items():
            task.cancel()
            if other is self._first:
                self._plan.beaten(other.candidate, monotonic())
            self._given_up(other, attempt)
        self._tasks.clear()
        hedges = self._plan.route.hedges
        assert hedges is not None
        won = attempt is second and attempt.error is None
        hedges.ended(won=won)
        self._count("won" if won else "lost" if attempt.error is None else "failed")
        self._meter.chosen(attempt)

    def _given_up(self, attempt: Attempt, other: Attempt) -> None:
        """Its connection is closed, what it held is free, and it is written down."""
        attempt.lingers = False
        attempt.close()
        attempt.answered_at = monotonic()
        self._plan.ended(attempt.candidate)
        self._meter.given_back(attempt.candidate, sent=attempt.connected_at > 0.0)
        self._meter.hedged(attempt, other)

    def _count(self, outcome: str) -> None:
        self._meter.state.metrics.hedges.child(self._plan.model.name, outcome).inc()


def _over(upstream: Upstream, task: asyncio.Task[Exception | None]) -> None:
    """Whoever waits for the last attempt is told, if it was that."""
    upstream.attempts -= 1
    upstream.tell_quiet()


async def _tried(attempt: Attempt, upstream: Upstream, limit: float) -> Exception | None:
    """What came of it is in the attempt; a mistake, of the client's or of ours, is for whoever waits for it."""
    try:
        await attempt.run(upstream, limit, eager=False)
    except Exception as mistake:
        return mistake
    return None


def _somebody(
    first: Attempt, after: float, plan: Plan, meter: Meter
) -> tuple[Candidate | None, str]:
    """Who is asked beside `first`; or nobody, and why."""
    exchange, state, now = first.exchange, meter.state, monotonic()
    hedges = plan.route.hedges
    assert hedges is not None
    if not effects.none(exchange):
        return None, "effects"
    if first.candidate.probe != NO_PROBE or first.candidate.state.health != WELL:
        return None, "unwell"
    if admission.strict(exchange, plan, state):
        return None, "strict"
    why: str = hedges.why(now)
    if why:
        return None, why
    candidate = plan.beside(first.candidate, now)
    if candidate is None:
        return None, "nobody"
    if candidate.dialect == CONVERSATION or not candidate.deployment.streams:
        why = "effects"
    elif _slow(first.candidate, candidate, after, plan):
        why = "slow"
    elif not admission.beside(exchange, plan, candidate, first.candidate, state):
        why = "limit"
    if why:
        plan.ended(candidate)
        return None, why
    hedges.take(now)
    return candidate, ""


def _slow(one: Candidate, other: Candidate, after: float, plan: Plan) -> bool:
    """Both usually take longer than what is waited for: it is no slow attempt then, but slow models."""
    return min(plan.p50(one) or 0.0, plan.p50(other) or 0.0) > after
