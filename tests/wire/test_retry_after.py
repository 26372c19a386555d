"""Every way in which a provider says when to come back."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.retry_after import LONGEST, SHORTEST, retry_after

NOW = 1_800_000_000.0


def wait(body: bytes = b"", /, **headers: str) -> float | None:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return retry_after(raw, body, NOW)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2", 2),
        ("1.5", 1.5),
        (" 7 ", 7),
        ("0", SHORTEST),
        ("-5", SHORTEST),
        ("0.0001", SHORTEST),
        ("301", LONGEST),
        ("1e12", LONGEST),
        ("1" * 25, LONGEST),
        ("NaN", None),
        ("inf", None),
        ("1e999", None),
        ("soon", None),
        ("1_000", None),
        ("9" * 5000, None),
        ("", None),
    ],
)
def test_seconds_are_read_and_kept_within_reason(value: str, seconds: float | None) -> None:
    assert wait(Retry_After=value) == seconds


def test_milliseconds_win() -> None:
    assert wait(retry_after="9", x_ms_retry_after_ms="800", retry_after_ms="300") == 0.3
    assert wait(retry_after="9", x_ms_retry_after_ms="800") == 0.8


def test_milliseconds_that_cannot_be_read_do_not() -> None:
    assert wait(retry_after="9", retry_after_ms="soon") == 9


def test_of_two_headers_the_larger_counts() -> None:
    assert retry_after([(b"retry-after", b"3"), (b"Retry-After", b"8")], b"", NOW) == 8


@pytest.mark.parametrize("skew", [0, 3600, -3600])
def test_a_date_is_measured_by_the_answers_own_clock(skew: int) -> None:
    date = formatdate(NOW + skew, usegmt=True)
    then = formatdate(NOW + skew + 30, usegmt=True)

    assert wait(date=date, retry_after=then) == 30


def test_a_date_without_a_clock_is_measured_by_ours() -> None:
    assert wait(retry_after=formatdate(NOW + 20, usegmt=True)) == 20


def test_a_date_that_has_passed_is_the_shortest_wait() -> None:
    assert wait(retry_after=formatdate(NOW - 20, usegmt=True)) == SHORTEST


@pytest.mark.parametrize(
    ("delay", "seconds"), [("22s", 22), ("1.5s", 1.5), ("0s", SHORTEST), ("soon", None), ("", None)]
)
def test_googles_retry_info_is_read_from_the_body(delay: str, seconds: float | None) -> None:
    detail = f'{{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"{delay}"}}'
    body = f'{{"error":{{"code":429,"details":[{{"@type":"x"}},{detail}]}}}}'.encode()

    assert wait(body) == seconds
    assert wait(b"[" + body + b"]") == seconds


def test_a_header_wins_over_the_body() -> None:
    assert wait(b'{"error":{"details":[{"retryDelay":"22s"}]}}', retry_after="3") == 3


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"details":[{"retryDelay":22}]}}',
        b'{"error":"retryDelay"}',
        b"retryDelay",
        b'{"error":{"details":[{"retryDelay":"2' + b"\xff" + b's"}]}}',
        b"[" * 100_000 + b"retryDelay",
    ],
)
def test_a_body_that_cannot_be_read_is_no_hint(body: bytes) -> None:
    assert wait(body) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("6m0s", 300),
        ("1m30s", 90),
        ("2m0.5s", 120.5),
        ("1h", 300),
        ("20ms", SHORTEST),
        ("750ms", 0.75),
        ("59.5", 59.5),
        (str(int(NOW) + 40), 40),
        (str((int(NOW) + 40) * 1000), 40),
        ("whenever", None),
    ],
)
def test_a_reset_is_a_span_or_a_moment(value: str, seconds: float | None) -> None:
    assert (
        wait(x_ratelimit_remaining_tokens="0", x_ratelimit_reset_tokens=value)
        == wait(x_ratelimit_remaining="0", x_ratelimit_reset=value)
        == seconds
    )


def test_only_a_limit_of_which_nothing_remains_counts() -> None:
    assert (
        wait(
            x_ratelimit_remaining_requests="12",
            x_ratelimit_reset_requests="4m0s",
            x_ratelimit_remaining_tokens="0",
            x_ratelimit_reset_tokens="7s",
        )
        == 7
    )
    assert wait(x_ratelimit_reset_requests="4m0s") is None


def test_anthropics_resets_are_moments() -> None:
    assert (
        wait(
            date=formatdate(1_767_225_600, usegmt=True),
            anthropic_ratelimit_requests_remaining="0",
            anthropic_ratelimit_requests_reset="2026-01-01T00:00:45Z",
            anthropic_ratelimit_tokens_remaining="0",
            anthropic_ratelimit_tokens_reset="2026-01-01T00:01:00Z",
            anthropic_ratelimit_input_tokens_remaining="5",
            anthropic_ratelimit_input_tokens_reset="2026-01-01T00:04:00Z",
        )
        == 60
    )


NAMES = st.sampled_from(
    [
        b"retry-after",
        b"retry-after-ms",
        b"date",
        b"x-ratelimit-reset-tokens",
        b"x-ratelimit-remaining-tokens",
        b"anthropic-ratelimit-tokens-reset",
        b"anthropic-ratelimit-tokens-remaining",
    ]
)
VALUES = st.binary(max_size=30) | st.text(
    st.sampled_from("0123456789.:-+msheZT,MonJanGMT "), max_size=32
).map(str.encode)


@given(st.lists(st.tuples(NAMES, VALUES | st.just(b"0")), max_size=5), st.binary(max_size=40))
def test_no_hint_is_beyond_reason(headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    seconds = retry_after(headers, body, NOW)

    assert seconds is None or SHORTEST <= seconds <= LONGEST
