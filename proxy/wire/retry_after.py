"""When a provider says it may be asked again, in whatever words it says so.

The first carrier that can be read wins: `retry-after-ms`, `x-ms-retry-after-ms`, `retry-after` (seconds or a date,
measured against the answer's own `Date`), Google's `RetryInfo` in the body, and last the reset headers of limits of
which nothing remains. One hint, however absurd, never means longer than LONGEST.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec
from msgspec import Struct

SHORTEST = 0.25
LONGEST = 300.0

_NUMBER = re.compile(r"[+-]?\d{1,30}(?:\.\d{0,30})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_SPAN = re.compile(
    r"(?=\d)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)s)?(?:([\d.]+)ms)?", re.ASCII
)
_SPAN_UNITS = (86400.0, 3600.0, 60.0, 1.0, 0.001)
_UNIX_SECONDS, _UNIX_MILLISECONDS = 1e9, 1e12
"""Reset values beyond these are moments, not spans."""
_MAX_BODY = 64 * 1024


class _Detail(Struct, rename="camel"):
    retry_delay: str = ""


class _Fault(Struct):
    details: list[_Detail] = []


class _Body(Struct):
    error: _Fault


_decode = msgspec.json.Decoder(_Body | list[_Body]).decode


def retry_after(headers: Iterable[tuple[bytes, bytes]], body: bytes, now: float) -> float | None:
    """Seconds to wait, from SHORTEST to LONGEST, or None when the answer gives no usable hint.

    `now` is Unix time; it matters only where the provider names a moment and no `Date`.
    """
    given: dict[str, list[str]] = {}
    for name, value in headers:
        given.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip())
    date = _largest(given.get("date", ()), _moment)
    now = now if date is None else date
    seconds = _from_headers(given, now)
    if seconds is None:
        seconds = _from_body(body)
    if seconds is None:
        seconds = _from_limits(given, now)
    return None if seconds is None else min(max(seconds, SHORTEST), LONGEST)


def _from_headers(given: dict[str, list[str]], now: float) -> float | None:
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        milliseconds = _largest(given.get(name, ()), _number)
        if milliseconds is not None:
            return milliseconds / 1000
    return _largest(given.get("retry-after", ()), lambda value: _seconds_or_moment(value, now))


def _from_body(body: bytes) -> float | None:
    if b"retryDelay" not in body or len(body) > _MAX_BODY:
        return None
    try:
        found = _decode(body)
    except (ValueError, RecursionError):
        return None
    faults = found if isinstance(found, list) else [found]
    delays = [detail.retry_delay for fault in faults for detail in fault.error.details]
    return _largest(delays, _span)


def _from_limits(given: dict[str, list[str]], now: float) -> float | None:
    """The longest reset among limits whose remaining is 0: all of them must have passed."""
    resets: list[float] = []
    for name, values in given.items():
        remaining = _remaining_of(name)
        if remaining is None or _largest(given.get(remaining, ()), _number) != 0:
            continue
        seconds = _largest(values, lambda value: _reset(value, now))
        if seconds is not None:
            resets.append(seconds)
    return max(resets, default=None)


def _remaining_of(name: str) -> str | None:
    """The header that says how much is left of the limit whose reset is `name`."""
    if name.startswith("x-ratelimit-reset"):
        return name.replace("-reset", "-remaining", 1)
    if name.startswith("anthropic-ratelimit-") and name.endswith("-reset"):
        return name.removesuffix("reset") + "remaining"
    return None


def _largest(values: Iterable[str], read: Callable[[str], float | None]) -> float | None:
    return max((found for value in values if (found := read(value)) is not None), default=None)


def _number(value: str) -> float | None:
    if _NUMBER.fullmatch(value) is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _seconds_or_moment(value: str, now: float) -> float | None:
    seconds = _number(value)
    if seconds is not None:
        return seconds
    moment = _moment(value)
    return None if moment is None else moment - now


def _span(value: str) -> float | None:
    """`22s`, `1.5s`, `6m0s`, `1h30m`, `250ms`."""
    match = _SPAN.fullmatch(value) if len(value) < 64 else None
    if match is None:
        return None
    parts = [_number(part) if part else 0.0 for part in match.groups()]
    total = 0.0
    for part, unit in zip(parts, _SPAN_UNITS, strict=True):
        if part is None:
            return None
        total += part * unit
    return total


def _reset(value: str, now: float) -> float | None:
    """A span, a bare number of seconds, or a moment."""
    number = _number(value)
    if number is not None:
        if number >= _UNIX_MILLISECONDS:
            return number / 1000 - now
        return number - now if number >= _UNIX_SECONDS else number
    span = _span(value)
    if span is not None:
        return span
    moment = _moment(value)
    return None if moment is None else moment - now


def _moment(value: str) -> float | None:
    """Unix time of an HTTP date or an RFC 3339 one; what names no zone is UTC."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            found = read(value)
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):  # a foreign string: whatever these two dislike
            continue
    return None
