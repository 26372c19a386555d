"""What is said to whom a limit of ours refuses."""

from __future__ import annotations

from math import inf

import orjson
import pytest

from proxy.core import clock
from proxy.core.model import Budget, Limits
from proxy.dialects import render_error
from proxy.gateway.refusals import refusal, unrecorded
from proxy.limits.accounts import Refused, What
from proxy.limits.subjects import Subject, subject

LIMITS = Limits(rpm=100, tpm=2000, concurrency=1, budget=Budget(25.0))


def of(kind: str) -> Subject:
    found = subject(kind, "x", "x", LIMITS)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("kind", "what", "message"),
    [
        ("key", "rpm", "This API key may make 100 requests a minute, and 10 in one instant."),
        ("team", "tpm", "The team of this API key may use 2,000 tokens a minute."),
        ("model", "concurrency", "All clients of this model together may have 1 request at once."),
        (
            "global",
            "rpm",
            "All clients of this gateway together may make 100 requests a minute, and 10 in one instant.",
        ),
    ],
)
def test_a_rate_is_named(kind: str, what: What, message: str) -> None:
    error = refusal(Refused(of(kind), what, 1.25))

    assert (error.ref, error.code, error.message) == ("limit", "rate_limit_exceeded", message)
    assert error.retry_after == 1.25


@pytest.mark.parametrize(
    ("rpm", "burst", "message"),
    [
        (1, 0, "This API key may make 1 request a minute."),
        (9, 0, "This API key may make 9 requests a minute, and 1 in one instant."),
        (60, 59, "This API key may make 60 requests a minute, and 59 in one instant."),
        (60, 60, "This API key may make 60 requests a minute."),
        (60, 90, "This API key may make 60 requests a minute, and 90 in one instant."),
    ],
)
def test_how_many_may_come_at_once_is_said_where_it_is_another_number(
    rpm: int, burst: int, message: str
) -> None:
    found = subject("key", "x", "x", Limits(rpm=rpm, burst=burst))
    assert found is not None

    assert refusal(Refused(found, "rpm", 1.0)).message == message


def test_when_a_slot_comes_free_nobody_knows() -> None:
    assert refusal(Refused(of("key"), "concurrency", 0.0)).retry_after == 1.0


def test_what_will_never_fit_need_not_be_tried_again() -> None:
    error = refusal(Refused(of("key"), "tpm", inf))

    assert (error.retry_after, error.should_retry) == (None, False)
    assert error.message.endswith("This request is larger.")


@pytest.mark.parametrize(
    ("family", "status", "type"),
    [
        ("openai", 429, "insufficient_quota"),
        ("anthropic", 402, "billing_error"),
        ("gemini", 429, "RESOURCE_EXHAUSTED"),
    ],
)
def test_a_budget_that_is_used_up(family: str, status: int, type: str) -> None:
    with clock.held(now=1_800_000_000.0):
        error = refusal(Refused(of("key"), "budget", 3600.0))

    found, headers, body = render_error(family, error, "id")
    said = orjson.loads(body)["error"]
    assert found == status
    assert dict(headers)[b"x-should-retry"] == b"false"
    assert dict(headers)[b"retry-after"] == b"3600"
    assert said.get("status", said.get("type")) == type
    assert said["message"].endswith("It begins anew at 2027-01-15T09:00:00Z.")


def test_a_budget_for_ever_does_not_begin_anew() -> None:
    error = refusal(Refused(of("team"), "budget", inf))

    assert error.retry_after is None
    assert (
        error.message == "The budget of the team of this API key leaves no room for this request."
    )


def test_while_nobody_knows_the_client_is_asked_to_come_back() -> None:
    for error in (refusal(Refused(of("key"), "blind", 5.0)), unrecorded()):
        assert (error.ref, error.should_retry, error.retry_after) == ("no_state", True, 5.0)


@pytest.mark.parametrize("kind", ["deployment", "credential"])
@pytest.mark.parametrize(
    "what", ["rpm", "tpm", "concurrency", "budget", "quota_requests", "quota_tokens", "blind"]
)
def test_what_is_inside_is_not_named(kind: str, what: What) -> None:
    error = refusal(Refused(of(kind), what, 1.0))

    assert kind not in error.message
    assert "x" not in error.message.split()
