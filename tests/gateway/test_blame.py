"""What an attempt that failed says of whom."""

from __future__ import annotations

from random import Random

import pytest

from proxy.core.errors import Cause, UpstreamError
from proxy.gateway import blame
from proxy.gateway.candidate import Candidate
from tests.gateway.fleet import Fleet, error, model, provider


def tried(keys: int = 1) -> tuple[Fleet, Candidate]:
    fleet = Fleet(model("m", provider("a", keys)))
    return fleet, fleet.plan().first(fleet.now)


def failed(cause: Cause, status: int = 0, *, choice: bool = True) -> tuple[Fleet, Candidate]:
    fleet, candidate = tried()
    fleet.now += 3.0
    found = error(cause, status, after=5.0)
    blame.failed(candidate, cause, found, fleet.now, Random(1), size=10, choice=choice)
    return fleet, candidate


@pytest.mark.parametrize(
    ("cause", "status", "harm", "rests", "refused"),
    [
        (Cause.SERVER, 503, 1.0, False, 1),
        (Cause.CONNECT, 0, 1.0, False, 1),
        (Cause.TIMEOUT_TTFT, 200, 1.0, False, 0),
        (Cause.RATE_LIMIT, 429, 0.0, True, 0),
        (Cause.AUTH, 401, 0.0, True, 0),
        (Cause.CLIENT, 400, 0.0, False, 0),
        (Cause.DEADLINE, 0, 0.0, False, 0),
    ],
)
def test_each_cause_is_held_against_whom_it_is_about(
    cause: Cause, status: int, harm: float, rests: bool, refused: int
) -> None:
    fleet, candidate = failed(cause, status)

    assert candidate.state.streak == harm
    assert (candidate.held.until > fleet.now) is rests
    assert sum(candidate.state.acceptance._refused) == refused


def test_where_there_is_no_choice_refusals_are_not_counted() -> None:
    _, candidate = failed(Cause.SERVER, 503, choice=False)

    assert not sum(candidate.state.acceptance._refused)


@pytest.mark.parametrize(("cause", "learned"), [(Cause.TIMEOUT_TTFT, 1), (Cause.DEADLINE, 0)])
def test_a_timeout_of_ours_is_what_it_takes_and_the_clients_is_not(
    cause: Cause, learned: int
) -> None:
    _, candidate = failed(cause)

    assert candidate.state.ewma_ttft == 3.0
    assert len(candidate.state.latency._ordered) == learned


@pytest.mark.parametrize(
    ("found", "harm"),
    [
        (error(Cause.TRUNCATED), 0.5),
        (error(Cause.IN_BAND, 500), 1.0),
        (error(Cause.IN_BAND, 400), 0.0),
    ],
)
def test_an_answer_that_breaks_off_is_half_a_failure(found: UpstreamError, harm: float) -> None:
    fleet, candidate = tried()

    blame.cut(candidate, found, fleet.now, Random(1))

    assert candidate.state.streak == harm


def test_a_rate_limit_in_mid_stream_lets_the_credential_rest() -> None:
    fleet, candidate = tried()

    blame.cut(candidate, error(Cause.IN_BAND, 429, after=9.0), fleet.now, Random(1))

    assert candidate.held.until > fleet.now
    assert candidate.state.streak == 0.0


def test_what_took_longer_is_learned_by_size() -> None:
    fleet, candidate = tried()
    for _ in range(20):
        blame.took_longer(candidate, fleet.now + 4.0, 10)

    assert candidate.state.by_size.p95(10) == pytest.approx(4.0)
    assert candidate.state.by_size.p95(10**6) is None
