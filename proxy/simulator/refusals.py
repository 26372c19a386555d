"""Answers that say no: error statuses with their hints when to come back, a redirect, an error in a 200."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.simulator import errors
from proxy.simulator.http import date
from proxy.simulator.take import Fault, Take, head, sized

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.simulator.answers import Step


def refusal(word: str) -> Fault:
    """An error status with a body in the dialect's shape."""

    def play(take: Take) -> Iterator[Step]:
        hints = dict(take.steer.hints)
        status, body = errors.body(take.family, word, hints.get("rainfo", ""))
        lines = retry_headers(take)
        opening = head(take.family, status, b"application/json", take.serial)
        yield sized(opening + errors.headers(take.family, status) + lines, body)

    return play


def retry_headers(take: Take) -> bytes:
    """What the `ra…` words ask for. `Date` is there so that a date can be read against it."""
    hints = dict(take.steer.hints)
    skew = _number(hints.get("raskew", "0"))
    lines = [f"date: {date(skew)}"]
    if "ra" in hints:
        lines.append(f"retry-after: {hints['ra']}")
    if "radate" in hints:
        lines.append(f"retry-after: {date(skew + _number(hints['radate']))}")
    if "rams" in hints:
        lines.append(f"retry-after-ms: {hints['rams']}")
    if "ratwo" in hints:
        lines += ["retry-after: 1", "retry-after: 4"]
    if "rareset" in hints:
        lines += _reset_headers(take.family, hints["rareset"])
    return "".join([line + "\r\n" for line in lines]).encode()


def _reset_headers(family: str, value: str) -> list[str]:
    if family == "anthropic":
        return [
            "anthropic-ratelimit-requests-remaining: 0",
            f"anthropic-ratelimit-requests-reset: {value}",
        ]
    return ["x-ratelimit-remaining-requests: 0", f"x-ratelimit-reset-requests: {value}"]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def redirect(take: Take) -> Iterator[Step]:
    location = take.location or b"http://127.0.0.1:9/"
    opening = head(take.family, 302, b"text/plain", take.serial)
    yield sized(opening + b"location: " + location + b"\r\n", b"moved")


def error_in_200(take: Take) -> Iterator[Step]:
    opening = head(take.family, 200, b"application/json", take.serial)
    yield sized(opening, errors.inside_200(take.family))
