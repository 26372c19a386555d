"""What a client is told that met a limit of ours: which one, and the true time until it may ask again."""

from __future__ import annotations

from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING

from proxy.core.clock import now
from proxy.core.errors import ProxyError
from proxy.gateway.verdict import MOMENT, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.limits.accounts import Refused, What
    from proxy.limits.subjects import Subject

_BLIND = 5.0
"""Seconds until somebody knows again, probably."""

_WHO: Mapping[str, str] = {
    "key": "This API key",
    "team": "The team of this API key",
    "model": "All clients of this model together",
    "global": "All clients of this gateway together",
}
"""By the kind of a subject. Deployments and credentials are nobody's business outside."""

_BUDGETS: Mapping[str, str] = {
    "key": "The budget of this API key",
    "team": "The budget of the team of this API key",
    "model": "The budget of this model",
    "global": "The budget of this gateway",
}

_MAY: Mapping[What, Callable[[Subject], str]] = {
    "rpm": lambda one: f"make {_many(one.rpm, 'request')} a minute{_at_once(one)}",
    "tpm": lambda one: f"use {_many(one.tpm, 'token')} a minute",
    "concurrency": lambda one: f"have {_many(one.concurrency, 'request')} at once",
    "quota_requests": lambda one: (
        f"make {_many(one.quota.requests if one.quota else 0, 'request')}"
    ),
    "quota_tokens": lambda one: f"use {_many(one.quota.tokens if one.quota else 0, 'token')}",
}


def refusal(refused: Refused) -> ProxyError:
    """In words: 429 (402 for money on Anthropic's routes), 503 while nobody knows what was spent."""
    subject, what, wait = refused.subject, refused.what, refused.wait
    who = _WHO.get(subject.kind, "This gateway")
    if what == "blind":
        return unknown()
    if what == "budget":
        message = f"{_BUDGETS.get(subject.kind, 'The budget')} leaves no room for this request."
        if 0 < wait < inf:
            return ProxyError(
                "budget", f"{message} It begins anew at {_moment(now() + wait)}.", retry_after=wait
            )
        if wait == inf:
            return ProxyError("budget", message)
        # It is requests under way that have reserved the rest.
        return ProxyError("budget", message, retry_after=MOMENT, should_retry=True)
    message = f"{who} may {_MAY[what](subject)}."
    if wait == inf:
        return ProxyError("limit", f"{message} This request is larger.", should_retry=False)
    return ProxyError("limit", message, retry_after=wait or MOMENT)


def unrecorded() -> ProxyError:
    """What is used cannot be written down, and must be."""
    return ProxyError(
        "no_state",
        "The gateway cannot record what is used at the moment. Try again shortly.",
        retry_after=_BLIND,
    )


def _moment(at: float) -> str:
    return datetime.fromtimestamp(min(at, 253402300799.0), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _at_once(one: Subject) -> str:
    """Who sends a minute's requests together meets this, not what a minute allows."""
    return f", and {one.burst:,} in one instant" if one.burst != one.rpm else ""


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
