"""What a plan hands out is as the routing found it."""

from __future__ import annotations

from proxy.gateway.candidate import Candidate, Step
from tests.gateway.fleet import SERVER, Fleet, model, ordered, provider


def test_a_candidate_says_where_and_as_whom_and_in_what_words() -> None:
    fleet = Fleet(model("m", provider("a"), upstream="there"))
    candidate = fleet.plan().first(fleet.now)

    assert isinstance(candidate, Candidate)
    assert candidate.deployment.id == "m/0:a"
    assert candidate.credential is not None
    assert (candidate.credential.id, candidate.credential_state) == ("a#0", candidate.held)
    assert (candidate.upstream_model, candidate.dialect) == ("there", "openai.chat")


def test_without_a_credential_the_deployment_itself_rests() -> None:
    fleet = Fleet(model("m", provider("a", 0)))
    candidate = fleet.plan().first(fleet.now)

    assert (candidate.credential, candidate.credential_state) == (None, None)
    assert candidate.held is fleet.live.deployments["m/0:a"].cooldown


def test_each_attempt_has_a_candidate_of_its_own() -> None:
    fleet = ordered("a")
    plan = fleet.plan()
    candidate = plan.first(fleet.now)

    step = fleet.fail(plan, candidate, SERVER)

    assert isinstance(step, Step)
    assert step.candidate is not None
    assert step.candidate is not candidate
    assert (candidate.in_flight, step.candidate.in_flight) == (False, True)
