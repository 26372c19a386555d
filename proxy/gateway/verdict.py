"""What each way of failing permits next, as a table; and what the client is told when nothing is left.

Nothing here knows deployments or time. `plan.py` asks the table and finds who is next.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from msgspec import Struct

from proxy.core.errors import Cause, ProxyError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Rule(Struct, frozen=True):
    """What one cause permits."""

    harm: float = 0.0
    """How much of a failure it is for the health of the deployment."""
    again: int = 0
    """Retries on the same deployment while a healthy sibling waits."""
    alone: bool = False
    """Without one, the same deployment may be tried `retry.count` times."""
    key: bool = False
    """It is about the credential: another one may do."""
    sibling: bool = True
    fallback: bool = True
    worked: bool = False
    """The provider did work: a retry costs a token of the budget."""


class Attempt(Struct, frozen=True, gc=False):
    """One failed attempt, for logs and for the last word."""

    deployment: str
    cause: Cause
    status: int


_UNREACHED = Rule(harm=1.0, alone=True)
_SERVER = Rule(harm=1.0, again=1, alone=True, worked=True)
_SLOW = Rule(harm=1.0, worked=True)
_FINAL = Rule(sibling=False, fallback=False)

RULES: Mapping[Cause, Rule] = {
    Cause.CONNECT: _UNREACHED,
    Cause.STALE: _UNREACHED,
    Cause.TLS: Rule(harm=1.0),
    Cause.TIMEOUT_CONNECT: Rule(harm=1.0),
    Cause.POOL: Rule(fallback=False),
    Cause.TIMEOUT_TTFT: _SLOW,
    Cause.TIMEOUT_IDLE: _SLOW,
    # The time of the whole answer is used up: there is none left for another try, nor proof of a fault.
    Cause.TIMEOUT_TOTAL: Rule(harm=0.5, sibling=False, fallback=False),
    # Nor is there time of the client's. What it asked for too little time for is nobody's fault.
    Cause.DEADLINE: _FINAL,
    Cause.RATE_LIMIT: Rule(key=True),
    Cause.AUTH: Rule(key=True),
    Cause.QUOTA: Rule(key=True),
    Cause.NOT_FOUND: Rule(fallback=False),
    # Siblings have the same window and the same policy: only another model, chosen for this, may help.
    Cause.CONTEXT: Rule(sibling=False),
    Cause.TOO_LARGE: Rule(sibling=False),
    Cause.CONTENT: Rule(sibling=False),
    Cause.CLIENT: _FINAL,
    Cause.REDIRECT: Rule(harm=1.0),
    Cause.SERVER: _SERVER,
    Cause.EMPTY: _SERVER,
    Cause.MALFORMED: _SERVER,
    Cause.TRUNCATED: _SERVER,
    Cause.MISMATCH: Rule(worked=True),
    Cause.LOCAL: _FINAL,
    # Nothing was sent. Somebody who speaks the client's own dialect may be next.
    Cause.UNTRANSLATABLE: Rule(),
    # Nothing was sent here either, and nobody did anything wrong.
    Cause.VETOED: Rule(),
    # Nothing was sent either. What of it was the credential's another one may not meet.
    Cause.FULL: Rule(key=True),
}

GOES_ON = Rule(worked=True)
"""What an answer permits that broke off after the client had seen some of it: others first, as they are."""

_IN_BAND: Mapping[int, Cause] = {
    401: Cause.AUTH,
    402: Cause.QUOTA,
    403: Cause.AUTH,
    404: Cause.NOT_FOUND,
    408: Cause.SERVER,
    409: Cause.SERVER,
    429: Cause.RATE_LIMIT,
}

TIMEOUTS = frozenset(
    {Cause.TIMEOUT_CONNECT, Cause.TIMEOUT_TTFT, Cause.TIMEOUT_IDLE, Cause.TIMEOUT_TOTAL}
)
_CLIENTS_OWN = frozenset({Cause.CLIENT, Cause.CONTEXT, Cause.TOO_LARGE, Cause.CONTENT})
_UNASKED = frozenset({Cause.UNTRANSLATABLE, Cause.VETOED})
_SDK_PATIENCE = 60.0
"""Client libraries do not wait longer than this; being told so they do not try either."""


def cause_of(error: UpstreamError) -> Cause:
    """The cause to act on: an error inside a 200 counts as the status it stands for."""
    if error.cause is not Cause.IN_BAND:
        return error.cause
    if 400 <= error.status < 500:
        return _IN_BAND.get(error.status, Cause.CLIENT)
    return Cause.SERVER


def harm_of_cut(error: UpstreamError) -> float:
    """Half a failure when an answer breaks off; a whole one when the provider says that it failed."""
    if error.cause is Cause.IN_BAND:
        return RULES[cause_of(error)].harm
    return 0.5 if RULES[error.cause].harm else 0.0


RATES = frozenset({"rpm", "tpm", "concurrency"})
"""Limits of ours that leave room again soon; the others do when a clock strikes."""
MOMENT = 1.0
"""Seconds until slots are asked for again: nobody knows when one comes free."""


def used_up(wait: float) -> ProxyError:
    """Quotas of ours are all that is in the way, for so long."""
    return ProxyError("no_quota", retry_after=max(wait, MOMENT) if wait < inf else None)


def unknown() -> ProxyError:
    """What was spent is not known, and something may only be used as long as it is."""
    return ProxyError(
        "no_state",
        "The gateway does not know at the moment what has been spent. Try again shortly.",
        retry_after=5.0,
    )


def limited(retry_after: float) -> ProxyError:
    """Every credential waits for its rate limit, or every deployment for one of ours."""
    if retry_after == inf:
        return ProxyError(
            "limit", "This request is larger than any rate limit allows.", should_retry=False
        )
    return ProxyError(
        "limit",
        retry_after=retry_after,
        should_retry=False if retry_after > _SDK_PATIENCE else None,
    )


def out_of_quota() -> ProxyError:
    return ProxyError(
        "up_spent",
        "The gateway's accounts with the providers of this model are out of quota.",
        code="upstream_quota_exhausted",
        should_retry=False,
    )


def last_word(
    attempts: Sequence[Attempt],
    causes: Sequence[Cause],
    error: UpstreamError,
    retry_after: float,
) -> ProxyError | UpstreamError:
    """What the client is told. An UpstreamError means: pass on the provider's own status and body.

    `causes` are those acted on, one for each attempt; `retry_after` is the wait for the first rate limit to end.
    """
    kinds = set(causes)
    if not kinds.isdisjoint(_UNASKED):
        if error.refusal is not None and kinds <= _UNASKED:
            return error.refusal
        # What those who were asked made of it says more.
        kinds -= _UNASKED
    if causes[-1] in _CLIENTS_OWN or kinds == {Cause.NOT_FOUND}:
        return error
    if Cause.LOCAL in kinds:
        return ProxyError("oops")
    if kinds == {Cause.RATE_LIMIT}:
        return limited(retry_after)
    if kinds == {Cause.AUTH}:
        return ProxyError("up_auth")
    if kinds == {Cause.QUOTA}:
        return out_of_quota()
    if kinds == {Cause.POOL}:
        return ProxyError("shed", retry_after=1.0)
    if kinds <= TIMEOUTS:
        return ProxyError("up_time")
    return _of_the_providers(attempts, kinds, error)


def _of_the_providers(
    attempts: Sequence[Attempt], kinds: set[Cause], error: UpstreamError
) -> ProxyError | UpstreamError:
    if kinds <= {Cause.CONNECT, Cause.STALE} and not error.sent:
        return ProxyError("no_up", retry_after=1.0)
    if all(attempt.status == 529 for attempt in attempts):
        return ProxyError("no_up", retry_after=error.retry_after or 1.0)
    if kinds <= {Cause.TLS, Cause.REDIRECT}:
        return ProxyError("bad_up")
    if len(attempts) == 1:
        # One plain refusal and nothing else to try: the provider's own words say most.
        return error if error.status >= 400 else ProxyError("bad_up")
    return _spent(attempts, error.retry_after)


def without_retry(word: ProxyError | UpstreamError, attempts: Sequence[Attempt]) -> ProxyError:
    """The same, said so that the client does not try again either: its retries are what the budget is against."""
    error = word if isinstance(word, ProxyError) else _spent(attempts, None)
    error.should_retry = False
    return error


def _spent(attempts: Sequence[Attempt], retry_after: float | None) -> ProxyError:
    """Names causes only: no provider, address or account."""
    causes = ", ".join(attempt.cause.value for attempt in attempts)
    noun = "attempt" if len(attempts) == 1 else "attempts"
    return ProxyError(
        "up_spent",
        f"Every provider that could serve this model failed. {len(attempts)} {noun}: {causes}.",
        retry_after=retry_after,
    )
