"""Two workers of a host that know together choose together: one probe, one last resort, one timer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from proxy.core.errors import Cause, ProxyError
from proxy.core.model import Health, Model, Retry
from proxy.gateway.plan import Plan
from proxy.limits.board import Board
from proxy.state.health import CLOSED, HALF_OPEN, NO_PROBE, PANIC, PROBE
from proxy.state.live import Live
from proxy.state.sharing import Sharing
from tests.gateway.fleet import SERVER, Fleet, error, model, provider

ONCE = Retry(count=0)


@pytest.fixture
def board() -> Iterator[Board]:
    one = Board.make()
    yield one
    one.close()


def workers(board: Board, *models: Model) -> tuple[Fleet, Fleet]:
    """Two that serve the same."""
    found = []
    for seat in range(2):
        one = Fleet(*models, health=Health(max_errors=1))
        one.live = Live(one.snapshot, Sharing(board.sit(seat)))
        found.append(one)
    return found[0], found[1]


def look(one: Fleet) -> None:
    assert one.live.sharing is not None
    one.live.sharing.look()


def break_it(one: Fleet, name: str) -> None:
    one.live.deployments[name].bad(one.now, 1.0, NO_PROBE, one.rng)


def ordered(*names: str) -> Model:
    """A deployment at each, the first first."""
    priorities = tuple(range(1, len(names) + 1))
    return model("m", *map(provider, names), priorities=priorities, retry=ONCE)


def begun(one: Fleet) -> tuple[Plan, str, int]:
    plan = one.plan()
    candidate = plan.first(one.now)
    return plan, candidate.deployment.provider.name, candidate.probe


def test_who_comes_second_with_a_probe_asks_somebody_else(board: Board) -> None:
    one, other = workers(board, ordered("a", "b"))
    break_it(one, "m/0:a")
    look(other)
    one.now = other.now = 2000.0

    assert begun(one)[1:] == ("a", PROBE)
    assert begun(other)[1:] == ("b", NO_PROBE)
    assert other.live.deployments["m/0:a"].phase == HALF_OPEN


def test_so_does_a_request_that_has_failed_elsewhere(board: Board) -> None:
    one, other = workers(board, ordered("a", "b", "c"))
    for name in ("m/1:b", "m/2:c"):
        break_it(one, name)
    look(other)
    one.now = other.now = 2000.0
    plan = other.plan()
    first = plan.first(other.now)
    assert first.deployment.provider.name == "a"
    assert one.live.deployments["m/1:b"].take_probe(one.now)

    step = other.fail(plan, first, SERVER)

    assert step.candidate is not None
    assert (step.candidate.deployment.provider.name, step.candidate.probe) == ("c", PROBE)


def test_with_nobody_else_a_request_is_told_so(board: Board) -> None:
    one, other = workers(board, ordered("a"))
    break_it(one, "m/0:a")
    look(other)
    one.now = other.now = 2000.0
    assert begun(one)[1:] == ("a", PROBE)

    assert begun(other)[1:] == ("a", PANIC)
    for each in (one, other):
        with pytest.raises(ProxyError) as refused:
            each.plan().first(each.now)
        assert refused.value.ref == "no_up"


def test_a_last_resort_goes_out_once_a_second_for_both(board: Board) -> None:
    one, other = workers(board, ordered("a", "b"))
    for name in ("m/0:a", "m/1:b"):
        break_it(one, name)
    look(other)

    assert {begun(one)[1:], begun(other)[1:]} == {("a", PANIC), ("b", PANIC)}
    with pytest.raises(ProxyError):
        begun(one)


def test_a_credential_that_one_was_refused_with_is_not_used_by_the_other(board: Board) -> None:
    one, other = workers(board, model("m", provider("a", keys=2), retry=ONCE))
    plan = one.plan()
    candidate = plan.first(one.now)
    one.fail(plan, candidate, error(Cause.AUTH, 401))
    look(other)

    for _ in range(3):
        used = other.plan().first(other.now).credential
        assert used is not None
        assert used is not candidate.credential
    assert other.live.deployments["m/0:a"].phase == CLOSED
