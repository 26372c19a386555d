"""Rates in the words of each family, as its clients read them."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import clock
from proxy.core.model import Limits
from proxy.gateway.ratelimit_headers import duration, of, render
from proxy.limits.accounts import Accounts, Ask, Refused, Standing
from proxy.limits.subjects import subject
from proxy.wire.retry_after import retry_after

REQUESTS, TOKENS = Standing(100, 42, 34.5), Standing(1000, 0, 0.02)


_UNITS = {b"ms": 1, b"s": 1000, b"m": 60_000, b"h": 3_600_000}


def _milliseconds(said: bytes) -> float:
    _, _, duration = said.strip().rpartition(b": ")
    parts = re.findall(rb"([\d.]+)(ms|h|m|s)", duration)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def lines(rendered: bytes) -> dict[bytes, bytes]:
    """Header lines by their names."""
    assert rendered.endswith(b"\r\n")
    return dict(line.split(b": ") for line in rendered.split(b"\r\n")[:-1])


@pytest.mark.parametrize("family", ["openai", "gemini"])
def test_both_rates_in_openais_words(family: str) -> None:
    assert lines(render(family, REQUESTS, TOKENS)) == {
        b"x-ratelimit-limit-requests": b"100",
        b"x-ratelimit-remaining-requests": b"42",
        b"x-ratelimit-reset-requests": b"34.5s",
        b"x-ratelimit-limit-tokens": b"1000",
        b"x-ratelimit-remaining-tokens": b"0",
        b"x-ratelimit-reset-tokens": b"20ms",
    }


def test_both_rates_in_anthropics_words() -> None:
    with clock.held(now=1_800_000_000.0):
        said = lines(render("anthropic", REQUESTS, TOKENS))

    assert said == {
        b"anthropic-ratelimit-requests-limit": b"100",
        b"anthropic-ratelimit-requests-remaining": b"42",
        b"anthropic-ratelimit-requests-reset": b"2027-01-15T08:00:35Z",
        b"anthropic-ratelimit-tokens-limit": b"1000",
        b"anthropic-ratelimit-tokens-remaining": b"0",
        b"anthropic-ratelimit-tokens-reset": b"2027-01-15T08:00:01Z",
    }
    datetime.fromisoformat(said[b"anthropic-ratelimit-tokens-reset"].decode())


@pytest.mark.parametrize("family", ["openai", "anthropic"])
def test_what_has_no_limit_is_not_mentioned(family: str) -> None:
    assert render(family, None, None) == b""
    assert b"tokens" not in render(family, REQUESTS, None)
    assert b"requests" not in render(family, None, TOKENS)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, b"0s"),
        (-1.0, b"0s"),
        (0.0001, b"1ms"),
        (0.25, b"250ms"),
        (1.0, b"1s"),
        (7.66, b"7.66s"),
        (60.0, b"1m0s"),
        (360.0, b"6m0s"),
        (3600.0, b"1h0m0s"),
        (3725.5, b"1h2m5.5s"),
    ],
)
def test_durations_are_spelled_as_go_does(seconds: float, text: bytes) -> None:
    assert duration(seconds) == text


@given(st.floats(0.25, 299.0))
def test_who_reads_it_waits_as_long(seconds: float) -> None:
    headers = [
        (b"x-ratelimit-remaining-requests", b"0"),
        (b"x-ratelimit-reset-requests", duration(seconds)),
    ]

    wait = retry_after(headers, b"", 0.0)

    assert wait is not None
    assert seconds - 1e-6 <= wait <= seconds + 0.0011


@pytest.mark.parametrize("family", ["openai", "anthropic"])
def test_a_wait_without_end_is_still_a_header(family: str) -> None:
    said = lines(render(family, Standing(1, 0, inf), None))

    assert all(said.values())


@given(
    st.sampled_from([1, 7, 60, 6000, 10**8]), st.integers(1, 5), st.integers(0, 4), st.floats(0, 90)
)
def test_what_was_admitted_is_said_as_its_standings_are(
    rpm: int, burst: int, before: int, later: float
) -> None:
    one = subject("key", "a", "a", Limits(rpm=rpm, burst=burst))
    assert one is not None
    with clock.held() as hands:
        accounts = Accounts.memory()
        hold = accounts.admit((), Ask())
        for _ in range(before + 1):
            hands.advance(later)
            with suppress(Refused):
                hold = accounts.admit((one,), Ask())

    said, rendered = (of("openai", hold), render("openai", *hold.standings()))

    assert said.rpartition(b"reset")[0] == rendered.rpartition(b"reset")[0]
    assert of("anthropic", hold) == render("anthropic", *hold.standings())
    exact, rounded = (_milliseconds(each) for each in (said, rendered))
    assert abs(exact - rounded) <= 1
