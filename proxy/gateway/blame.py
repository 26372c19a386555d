"""What an attempt that failed says of its deployment, its credential and its host.

health      was it the provider's fault, and how much of one
load        does it refuse because it is asked too much
pace        how long did it take at least
credential  does it have to rest
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.core.errors import Cause, UpstreamError
from proxy.gateway.verdict import RULES, cause_of, harm_of_cut
from proxy.state.health import NO_PROBE, PROBE
from proxy.state.rests import Refusal

if TYPE_CHECKING:
    from random import Random

    from proxy.gateway.candidate import Candidate

_TOO_MUCH = (503, 529)
"""Statuses by which a provider says that it has too much to do."""


def failed(
    candidate: Candidate,
    cause: Cause,
    error: UpstreamError,
    now: float,
    rng: Random,
    *,
    size: int,
    choice: bool,
) -> None:
    """The client saw nothing of it. `size` is the request's, in bytes; `choice`: there was another to ask."""
    state, rule = candidate.state, RULES[cause]
    if state.ceiling is not None and (
        cause in (Cause.RATE_LIMIT, Cause.TIMEOUT_TTFT) or error.status in _TOO_MUCH
    ):
        state.ceiling.bad(now, state.latency.estimate(now))
    if rule.key:
        _cool(candidate, cause, error, now, rng)
    elif error.status >= 500 and candidate.held.soft:
        # Whoever is refused for the number of its requests does not get as far as to fail: the guess is over.
        candidate.held.worked(candidate.started)
    if rule.harm:
        state.penalise(now)
        if choice and not 200 <= error.status < 300:
            state.acceptance.refused(now)
        if state.pace is not None:
            state.pace.failed(now, rule.harm)
    if cause is Cause.TIMEOUT_TTFT:
        took_longer(candidate, now, size)
    elif cause is Cause.DEADLINE:
        # Whoever has little time would teach it that this is how long it takes.
        state.latency.exceeded(now, max(now - candidate.started, 0.0))
    if rule.harm or (cause is Cause.RATE_LIMIT and candidate.probe == PROBE):
        state.bad(now, rule.harm, candidate.probe, rng)
    elif candidate.probe == PROBE:
        state.release_probe()
    candidate.probe = NO_PROBE


def cut(candidate: Candidate, error: UpstreamError, now: float, rng: Random) -> None:
    """It broke off after the client had seen some of it."""
    state, harm = candidate.state, harm_of_cut(error)
    if harm:
        state.cut(now, harm, candidate.streak, rng)
        state.penalise(now)
        if state.pace is not None:
            state.pace.cut(now, harm)
    elif RULES[cause_of(error)].key:
        _cool(candidate, cause_of(error), error, now, rng)


def took_longer(candidate: Candidate, now: float, size: int) -> None:
    """It has shown no content until now: without that a p95 never learns that a provider got slower."""
    state, seconds = candidate.state, max(now - candidate.started, 0.0)
    state.latency.observe(now, seconds)
    state.by_size.observe(now, size, seconds)
    if state.pace is not None:
        state.pace.first.add(now, seconds)


def _cool(
    candidate: Candidate, cause: Cause, error: UpstreamError, now: float, rng: Random
) -> None:
    if candidate.slot.apart and cause is not Cause.RATE_LIMIT:
        return  # a model finds out by itself whether the credential is still good
    held = candidate.held
    last = not any(
        state is not held and state.until <= now for _, state in candidate.slot.pool.keys
    )
    held.cool(Refusal(cause, candidate.started, error.status, error.retry_after, last), now, rng)
    if cause is Cause.RATE_LIMIT:
        candidate.state.penalise(now, error.retry_after or 0.0)
