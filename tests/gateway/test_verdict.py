"""The table of failures, and what a client is told in the end."""

from __future__ import annotations

import pytest

from proxy.core.errors import Cause, ProxyError, UpstreamError
from proxy.gateway.verdict import (
    RULES,
    Attempt,
    cause_of,
    harm_of_cut,
    last_word,
    limited,
    without_retry,
)


def word(*failures: tuple[Cause, int], sent: bool = True) -> ProxyError | UpstreamError:
    attempts = [Attempt("m/0:secret-host", cause, status) for cause, status in failures]
    cause, status = failures[-1]
    error = UpstreamError(cause, status=status, sent=sent)
    return last_word(attempts, [cause for cause, _ in failures], error, 7.5)


def test_every_cause_has_a_rule_but_the_one_that_stands_for_another() -> None:
    assert set(RULES) == set(Cause) - {Cause.IN_BAND}


@pytest.mark.parametrize(
    "cause", [Cause.CLIENT, Cause.CONTEXT, Cause.CONTENT, Cause.NOT_FOUND, Cause.LOCAL]
)
def test_what_is_the_clients_or_ours_harms_no_deployment(cause: Cause) -> None:
    assert RULES[cause].harm == 0.0
    assert not RULES[cause].worked


@pytest.mark.parametrize("cause", [Cause.RATE_LIMIT, Cause.AUTH, Cause.QUOTA])
def test_what_is_about_a_credential_harms_no_deployment(cause: Cause) -> None:
    assert RULES[cause].key
    assert RULES[cause].harm == 0.0


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (0, Cause.SERVER),
        (500, Cause.SERVER),
        (529, Cause.SERVER),
        (408, Cause.SERVER),
        (429, Cause.RATE_LIMIT),
        (401, Cause.AUTH),
        (403, Cause.AUTH),
        (402, Cause.QUOTA),
        (404, Cause.NOT_FOUND),
        (400, Cause.CLIENT),
        (422, Cause.CLIENT),
    ],
)
def test_an_error_inside_a_200_is_what_its_status_says(status: int, cause: Cause) -> None:
    assert cause_of(UpstreamError(Cause.IN_BAND, status=status)) is cause


@pytest.mark.parametrize(
    ("cause", "status", "harm"),
    [
        (Cause.TRUNCATED, 0, 0.5),
        (Cause.TIMEOUT_IDLE, 0, 0.5),
        (Cause.MALFORMED, 0, 0.5),
        (Cause.IN_BAND, 0, 1.0),
        (Cause.IN_BAND, 529, 1.0),
        (Cause.IN_BAND, 429, 0.0),
        (Cause.IN_BAND, 400, 0.0),
        (Cause.LOCAL, 0, 0.0),
    ],
)
def test_a_cut_is_half_a_failure_and_an_error_event_a_whole_one(
    cause: Cause, status: int, harm: float
) -> None:
    assert harm_of_cut(UpstreamError(cause, status=status)) == harm


@pytest.mark.parametrize(
    ("failures", "ref"),
    [
        ([(Cause.RATE_LIMIT, 429)] * 2, "limit"),
        ([(Cause.AUTH, 401)] * 2, "up_auth"),
        ([(Cause.QUOTA, 402)], "up_spent"),
        ([(Cause.POOL, 0)], "shed"),
        ([(Cause.TIMEOUT_TTFT, 0), (Cause.TIMEOUT_CONNECT, 0)], "up_time"),
        ([(Cause.TIMEOUT_TOTAL, 0)], "up_time"),
        ([(Cause.TLS, 0)], "bad_up"),
        ([(Cause.REDIRECT, 302)] * 2, "bad_up"),
        ([(Cause.MALFORMED, 200)], "bad_up"),
        ([(Cause.EMPTY, 200)], "bad_up"),
        ([(Cause.CONNECT, 0)], "bad_up"),
        ([(Cause.SERVER, 529)] * 2, "no_up"),
        ([(Cause.SERVER, 500), (Cause.TIMEOUT_TTFT, 0)], "up_spent"),
        ([(Cause.RATE_LIMIT, 429), (Cause.SERVER, 500)], "up_spent"),
        ([(Cause.SERVER, 503), (Cause.NOT_FOUND, 404)], "up_spent"),
        ([(Cause.LOCAL, 0)], "oops"),
    ],
)
def test_the_last_word_tells_whose_fault_it_was(
    failures: list[tuple[Cause, int]], ref: str
) -> None:
    error = word(*failures)

    assert isinstance(error, ProxyError)
    assert error.ref == ref


def test_nobody_reached_is_no_healthy_deployment() -> None:
    error = word((Cause.CONNECT, 0), (Cause.CONNECT, 0), sent=False)

    assert isinstance(error, ProxyError)
    assert error.ref == "no_up"


@pytest.mark.parametrize(
    "failures",
    [
        [(Cause.SERVER, 500)],
        [(Cause.CLIENT, 422)],
        [(Cause.SERVER, 500), (Cause.CLIENT, 422)],
        [(Cause.SERVER, 500), (Cause.CONTEXT, 400)],
        [(Cause.CONTENT, 400)],
        [(Cause.NOT_FOUND, 404)] * 2,
    ],
)
def test_a_providers_own_words_are_passed_on_where_they_say_most(
    failures: list[tuple[Cause, int]],
) -> None:
    assert isinstance(word(*failures), UpstreamError)


def test_the_message_counts_the_attempts_and_names_no_provider() -> None:
    error = word((Cause.SERVER, 503), (Cause.CONNECT, 0), (Cause.TIMEOUT_TTFT, 0))

    assert isinstance(error, ProxyError)
    assert "3 attempts: http_5xx, connect, timeout_ttft" in error.message
    assert "secret-host" not in error.message


def test_a_limit_says_when_to_come_back_and_beyond_a_minute_not_to_retry() -> None:
    error = word((Cause.RATE_LIMIT, 429))
    assert isinstance(error, ProxyError)
    assert (error.retry_after, error.should_retry) == (7.5, None)

    assert limited(61.0).should_retry is False


def test_an_empty_budget_says_so_to_the_client_whatever_the_word() -> None:
    attempts = [Attempt("m/0:p", Cause.SERVER, 500)]

    passed_on = without_retry(UpstreamError(Cause.SERVER, status=500), attempts)
    ours = without_retry(ProxyError("up_time"), attempts)

    assert (passed_on.ref, passed_on.should_retry) == ("up_spent", False)
    assert (ours.ref, ours.should_retry) == ("up_time", False)


@pytest.mark.parametrize("cause", [Cause.VETOED, Cause.UNTRANSLATABLE])
def test_nobody_was_asked_and_the_client_is_told_why(cause: Cause) -> None:
    refusal = ProxyError("hook_refused")
    error = UpstreamError(cause, sent=False)
    error.refusal = refusal
    vetoed = Attempt("m/0:p", cause, 0)

    assert last_word([vetoed], [cause], error, 0.0) is refusal
    both = [Cause.VETOED, Cause.UNTRANSLATABLE]
    assert last_word([vetoed, vetoed], both, error, 0.0) is refusal
    word = last_word([vetoed, vetoed], [Cause.TIMEOUT_TTFT, cause], error, 0.0)
    assert isinstance(word, ProxyError)
    assert word.ref == "up_time"
