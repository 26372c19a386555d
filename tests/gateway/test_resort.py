"""Who is asked when nobody should be, and what is said when nobody may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.core.errors import Cause
from proxy.gateway.resort import last_resort, nobody, soonest, use_guess
from proxy.state.rests import Refusal
from tests.gateway.fleet import Fleet, ordered

if TYPE_CHECKING:
    from proxy.gateway.selection import Move, Route


def route(fleet: Fleet) -> Route:
    return fleet.plan().route


def out(fleet: Fleet, id: str, seconds: float) -> None:
    """Its circuit is open for so long."""
    state = fleet.live.deployments[id]
    for _ in range(5):
        state.bad(fleet.now, 1.0, 0, fleet.rng)
    state.until = fleet.now + seconds


def cooling(fleet: Fleet, key: str, cause: Cause, after: float | None) -> None:
    status = {Cause.RATE_LIMIT: 429, Cause.AUTH: 401, Cause.QUOTA: 402}[cause]
    refusal = Refusal(cause, fleet.now, status, after)
    fleet.live.accounts[key].state("up").cool(refusal, fleet.now, fleet.rng)


def named(move: Move | None) -> str:
    return "" if move is None else move.slot.deployment.id


def test_the_first_that_comes_back_is_asked_and_each_once_a_second() -> None:
    fleet = ordered("a", "b")
    out(fleet, "m/0:a", 9.0)
    out(fleet, "m/1:b", 5.0)

    tried = [named(last_resort(route(fleet), fleet.now)) for _ in range(3)]

    assert tried == ["m/1:b", "m/0:a", ""]
    assert named(last_resort(route(fleet), fleet.now + 1.0)) == "m/1:b"


def test_one_that_answers_half_of_what_it_is_asked_is_asked_by_everybody() -> None:
    fleet = ordered("a", "b")
    out(fleet, "m/0:a", 9.0)
    state = fleet.live.deployments["m/1:b"]
    for _ in range(10):
        state.good(fleet.now)
        state.bad(fleet.now, 1.0, 0, fleet.rng)

    tried = [named(last_resort(route(fleet), fleet.now)) for _ in range(4)]

    assert state.opened == 1
    assert tried == ["m/1:b"] * 4


def test_a_rate_limit_that_was_announced_is_kept() -> None:
    fleet = ordered("a")
    cooling(fleet, "a#0", Cause.RATE_LIMIT, 30.0)

    assert last_resort(route(fleet), fleet.now) is None
    word = nobody(route(fleet), fleet.now)
    assert word.ref == "limit"
    assert word.retry_after is not None
    assert word.retry_after >= 30.0


def test_one_that_was_guessed_is_used_when_nothing_else_is_left() -> None:
    fleet = ordered("a")
    cooling(fleet, "a#0", Cause.RATE_LIMIT, None)

    move = use_guess(route(fleet), fleet.now)

    assert (named(move), move is not None and move.delay) == ("m/0:a", 0.0)


def test_the_limit_that_ends_first_is_found() -> None:
    fleet = ordered("a", "b")
    cooling(fleet, "a#0", Cause.RATE_LIMIT, 30.0)
    cooling(fleet, "b#0", Cause.RATE_LIMIT, 3.0)
    slots = route(fleet).slots

    assert named(soonest(route(fleet), fleet.now)) == "m/1:b"
    assert named(soonest(route(fleet), fleet.now, without=slots[1:])) == "m/0:a"


def test_what_is_in_the_way_is_said() -> None:
    fleet = ordered("a")
    cooling(fleet, "a#0", Cause.QUOTA, None)
    assert nobody(route(fleet), fleet.now).code == "upstream_quota_exhausted"

    fleet = ordered("a")
    cooling(fleet, "a#0", Cause.AUTH, None)
    assert nobody(route(fleet), fleet.now).ref == "up_auth"

    fleet = ordered("a")
    out(fleet, "m/0:a", 7.0)
    word = nobody(route(fleet), fleet.now)
    assert (word.ref, word.retry_after) == ("no_up", 7.0)
    assert nobody(route(fleet), fleet.now, [("rpm", fleet.now + 2.0)]).ref == "limit"

    fleet = ordered("a")
    met = [("quota_requests", fleet.now + 60.0)]
    assert nobody(route(fleet), fleet.now, met).ref == "no_quota"  # type: ignore[arg-type]
    assert nobody(route(fleet), fleet.now, [("blind", fleet.now + 5.0)]).ref == "no_state"
