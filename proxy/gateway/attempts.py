"""Walking the plan until a deployment answers."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from proxy.core.errors import Cause, UpstreamError
from proxy.gateway import admission, hedging
from proxy.gateway.attempt import CUT, Attempt

if TYPE_CHECKING:
    from proxy.gateway.exchange import Exchange
    from proxy.gateway.meter import Meter
    from proxy.gateway.plan import Candidate, Plan, Step
    from proxy.upstream.pool import UpstreamPool


async def first_answer(exchange: Exchange, plan: Plan, pool: UpstreamPool, meter: Meter) -> Attempt:
    """The first attempt whose gate opened; its connection is the caller's to finish or close.

    Raises ProxyError (nothing left to try: whose fault, and when to come back) or UpstreamError (a provider's
    refusal of this very request, to be passed on).
    """
    plan.deadline, plan.size = exchange.deadline, len(exchange.body)
    candidate = plan.first(monotonic())
    delay = plan.pause
    while True:
        if delay > 0:
            await _pause(plan, candidate, delay)
            meter.paused(delay)
        model = candidate.model
        if candidate.slot.limited or (model is not plan.model and model.limits is not None):
            try:
                step = await admission.enter(exchange, plan, candidate, meter.state)
            except BaseException:
                plan.ended(candidate)
                raise
            if step is not None:
                candidate, delay = _next(step)
                continue
        attempt = Attempt(exchange, candidate)
        if meter.state.spool is not None or exchange.hold is not None:
            meter.begin(attempt)
        try:
            if plan.route.hedges is None:
                await attempt.run(
                    pool.of(candidate.deployment.provider),
                    plan.ttft_limit(candidate),
                    eager=not plan.alternatives,
                )
            else:
                attempt = await hedging.run(attempt, plan, pool, meter)
                candidate = attempt.candidate
        except BaseException:
            _left(attempt.heir or attempt, plan, meter)
            raise
        now = attempt.answered_at
        if attempt.error is None:
            plan.succeeded(candidate, now, now - attempt.started if attempt.is_stream else None)
            meter.answered(attempt)
            if plan.deadline is not None:
                plan.deadline = exchange.deadline = plan.deadline.begun()
            return attempt
        plan.ended(candidate)
        if candidate.subjects:
            meter.given_back(candidate, sent=attempt.error.sent)
        step = plan.failed(candidate, attempt.error, now)
        meter.failed(attempt, step)
        candidate, delay = _next(step)


def _next(step: Step) -> tuple[Candidate, float]:
    """The next candidate, and the pause before it. Raises what the client is told when there is none."""
    if step.candidate is None:
        assert step.error is not None
        raise step.error
    return step.candidate, step.delay


def _left(attempt: Attempt, plan: Plan, meter: Meter) -> None:
    """The client is gone, or there was a mistake, while this was under way."""
    plan.ended(attempt.candidate)
    meter.cancelled(attempt)
    if not meter.linger():
        attempt.close()


async def _pause(plan: Plan, candidate: Candidate, delay: float) -> None:
    """Wait before an attempt; a client that leaves meanwhile gives its candidate back."""
    try:
        await asyncio.sleep(delay)
    except BaseException:
        plan.ended(candidate)
        raise


def ended(plan: Plan, attempt: Attempt) -> None:
    """The response of an attempt that had answered is over; a stream cut short counts against its deployment."""
    candidate = attempt.candidate
    if not candidate.in_flight:
        return  # it has been over: somebody else went on with it
    plan.ended(candidate)
    relay = attempt.relay
    cause = None if relay is None else CUT.get(relay.reason)
    if cause is not None:
        # What the provider said itself tells whether it or the request is to blame.
        error = attempt.gate.tap.error if cause is Cause.IN_BAND else None
        plan.cut(candidate, error or UpstreamError(cause), monotonic())
