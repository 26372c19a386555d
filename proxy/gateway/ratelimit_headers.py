"""What a client is told of its rates: in OpenAI's words, on Anthropic's routes in Anthropic's. Never a provider's own."""

from __future__ import annotations

from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING

from proxy.core.clock import now

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.gateway.exchange import Headers
    from proxy.limits.accounts import Standing

_YEAR = 366 * 86400.0


def render(family: str, requests: Standing | None, tokens: Standing | None) -> Headers:
    """The headers of both rates; none of one that has no limit."""
    write = _FAMILIES.get(family, _openai)
    headers: Headers = []
    if requests is not None:
        headers += write(b"requests", requests)
    if tokens is not None:
        headers += write(b"tokens", tokens)
    return headers


def _openai(kind: bytes, rate: Standing) -> Headers:
    return [
        (b"x-ratelimit-limit-" + kind, b"%d" % rate.limit),
        (b"x-ratelimit-remaining-" + kind, b"%d" % max(rate.remaining, 0)),
        (b"x-ratelimit-reset-" + kind, duration(rate.reset)),
    ]


def _anthropic(kind: bytes, rate: Standing) -> Headers:
    prefix = b"anthropic-ratelimit-" + kind
    moment = datetime.fromtimestamp(ceil(now() + _bounded(rate.reset)), UTC)
    return [
        (prefix + b"-limit", b"%d" % rate.limit),
        (prefix + b"-remaining", b"%d" % max(rate.remaining, 0)),
        (prefix + b"-reset", moment.strftime("%Y-%m-%dT%H:%M:%SZ").encode()),
    ]


_FAMILIES: Mapping[str, Callable[[bytes, Standing], Headers]] = {"anthropic": _anthropic}


def duration(seconds: float) -> bytes:
    """As Go writes it, and so OpenAI: `250ms`, `1s`, `7.5s`, `6m0s`, `1h0m0s`. Rounded up to a millisecond."""
    thousandths = ceil(_bounded(seconds) * 1000)
    if thousandths == 0:
        return b"0s"
    if thousandths < 1000:
        return b"%dms" % thousandths
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
