"""How one deployment is, in the words of the health pages."""

from __future__ import annotations

from math import inf
from random import Random

import pytest

from proxy.control.admin.conditions import circuit, condition, grade, last_check
from proxy.core.clock import Hands
from proxy.core.model import Deployment, Health, Model, Price, Provider, Snapshot
from proxy.state.checks import Check
from proxy.state.health import NO_PROBE, OPEN
from proxy.state.live import Live

PROVIDER = Provider("p", "http://p.invalid", {})


def live(*some: Deployment, **health: float) -> Live:
    models = {one.id: Model(one.id, ((one,),)) for one in some}
    return Live(Snapshot(models=models, health=Health(**health)))  # type: ignore[arg-type]


def test_one_that_is_well(hands: Hands) -> None:
    one = Deployment("m/0:p", PROVIDER, "up")

    assert condition(one, live(one)) == {
        "id": "m/0:p",
        "provider": "p",
        "model": "up",
        "status": "healthy",
        "circuit": "closed",
        "retry_in": 0.0,
        "outage": False,
        "slow": False,
        "check": "models",
        "last_check": None,
    }


def test_one_that_nobody_knows_yet_is_well() -> None:
    one = Deployment("m/0:p", PROVIDER, "up")

    assert condition(one, Live())["status"] == "healthy"


def test_one_that_is_masked_says_so_and_what_requests_have_shown(hands: Hands) -> None:
    one = Deployment("m/0:p", PROVIDER, "up", price=Price(output=75.0))
    known = live(one, mask_above=50.0)
    for _ in range(5):
        known.deployments[one.id].bad(hands.monotonic(), 1.0, NO_PROBE, Random(1))

    found = condition(one, known)

    assert (found["check"], found["status"], found["circuit"]) == ("masked", "unhealthy", "open")
    assert 0.8 <= found["retry_in"] <= 1.2
    assert found["last_check"] is None


def test_when_one_is_tried_again(hands: Hands) -> None:
    one = Deployment("m/0:p", PROVIDER, "up")
    known = live(one)
    state = known.deployments[one.id]

    state.phase, state.until = OPEN, hands.monotonic() - 5.0
    assert condition(one, known)["retry_in"] == 0.0
    state.take_probe(hands.monotonic())
    assert (condition(one, known)["retry_in"], state.until, circuit(state)) == (
        None,
        inf,
        "half_open",
    )


def test_the_last_check_of_several_and_when_it_was(hands: Hands) -> None:
    some = [Deployment(f"m/{at}:p", PROVIDER, "up") for at in range(3)]
    known = live(*some)
    known.deployments["m/0:p"].note_check(hands.monotonic(), Check.OK)
    hands.advance(10.0)
    known.deployments["m/1:p"].note_check(hands.monotonic(), Check.REFUSED)
    hands.advance(10.0)

    assert last_check(known.deployments.values()) == {
        "outcome": "refused",
        "at": hands.now() - 10.0,
    }
    assert last_check([]) is None


@pytest.mark.parametrize(
    ("value", "word"), [(1.0, "healthy"), (0.5, "degraded"), (0.0, "unhealthy")]
)
def test_a_health_in_a_word(value: float, word: str) -> None:
    assert grade(value) == word
