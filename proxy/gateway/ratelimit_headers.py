"""What a client is told of its rates: in OpenAI's words, on Anthropic's routes in Anthropic's. Never a provider's own."""

from __future__ import annotations

from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING

from proxy.core.clock import now

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.limits.accounts import Hold, Standing

_YEAR = 366 * 86400.0
_SHORT = (b"0s", *(b"%dms" % thousandths for thousandths in range(1, 1000)))
"""Durations of less than a second, by their milliseconds."""
_SOON = 999_000_000
"""Nanoseconds."""
_REQUESTS = (
    b"x-ratelimit-limit-requests: %d\r\nx-ratelimit-remaining-requests: %d\r\n"
    b"x-ratelimit-reset-requests: %b\r\n"
)
"""As nearly all have it."""


def of(family: str, hold: Hold) -> bytes:
    """The same, of what was admitted."""
    parts = hold.parts
    if len(parts) == 1 and family != "anthropic":
        part = parts[0]
        place, arrival = part.place, part.requests
        ahead = arrival - part.moment
        if arrival and not part.tokens and ahead <= _SOON:
            gap = place.gap
            left = (place.slack + gap - ahead) // gap
            return _REQUESTS % (place.subject.rpm, left, _SHORT[-(-ahead // 1_000_000)])
    requests, tokens = hold.standings()
    return render(family, requests, tokens)


def render(family: str, requests: Standing | None, tokens: Standing | None) -> bytes:
    """The header lines of both rates; nothing of one that has no limit."""
    write = _FAMILIES.get(family, _openai)
    if tokens is None:
        return b"" if requests is None else write(b"requests", requests)
    lines = write(b"tokens", tokens)
    return lines if requests is None else write(b"requests", requests) + lines


def _openai(kind: bytes, rate: Standing) -> bytes:
    return (
        b"x-ratelimit-limit-%b: %d\r\nx-ratelimit-remaining-%b: %d\r\nx-ratelimit-reset-%b: %b\r\n"
        % (kind, rate.limit, kind, max(rate.remaining, 0), kind, duration(rate.reset))
    )


def _anthropic(kind: bytes, rate: Standing) -> bytes:
    moment = datetime.fromtimestamp(ceil(now() + _bounded(rate.reset)), UTC)
    return (
        b"anthropic-ratelimit-%b-limit: %d\r\nanthropic-ratelimit-%b-remaining: %d\r\n"
        b"anthropic-ratelimit-%b-reset: %b\r\n"
        % (
            kind,
            rate.limit,
            kind,
            max(rate.remaining, 0),
            kind,
            moment.strftime("%Y-%m-%dT%H:%M:%SZ").encode(),
        )
    )


_FAMILIES: Mapping[str, Callable[[bytes, Standing], bytes]] = {"anthropic": _anthropic}


def duration(seconds: float) -> bytes:
    """As Go writes it, and so OpenAI: `250ms`, `1s`, `7.5s`, `6m0s`, `1h0m0s`. Rounded up to a millisecond."""
    thousandths = ceil(min(max(seconds, 0.0), _YEAR) * 1000)
    if thousandths < 1000:
        return _SHORT[thousandths]
    whole, rest = divmod(thousandths, 1000)
    minutes, whole = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    text = b"%d" % whole
    if rest:
        text += (b".%03d" % rest).rstrip(b"0")
    text += b"s"
    if minutes or hours:
        text = b"%dm" % minutes + text
    return b"%dh" % hours + text if hours else text


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), _YEAR)
