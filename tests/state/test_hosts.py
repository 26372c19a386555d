"""Most of a host being out is one outage, with one probe."""

from __future__ import annotations

from math import inf
from random import Random

import pytest

from proxy.core.model import Deployment, Health, Model, Provider, Snapshot
from proxy.state.health import CLOSED, HALF_OPEN, NO_PROBE, OPEN, PANIC, PROBE
from proxy.state.live import DeploymentState, Live

RNG = Random(2)


def served(*names: str, spare: bool = True, url: str = "http://p.invalid/v1") -> Snapshot:
    """A model for each name, at one host, and with `spare` at another one too."""
    provider, other = Provider("p", url, {}), Provider("q", "http://q.invalid", {})
    models = {}
    for name in names:
        tier = [Deployment(f"{name}/0:p", provider, name)]
        tier += [Deployment(f"{name}/1:q", other, "the same")] if spare else []
        models[name] = Model(name, (tuple(tier),))
    return Snapshot(models=models)


def members(live: Live, *names: str) -> list[DeploymentState]:
    return [live.deployments[f"{name}/0:p"] for name in names]


def break_it(state: DeploymentState, now: float) -> None:
    for _ in range(5):
        state.bad(now, 1.0, NO_PROBE, RNG)


def answered(state: DeploymentState, now: float) -> None:
    """It was asked, and it worked."""
    state.used, state.last_used = 1, now
    state.good(now)


def test_one_model_that_fails_is_no_outage() -> None:
    live = Live(served("a", "b", "c"))
    a, b, c = members(live, "a", "b", "c")

    break_it(a, 10.0)

    assert [one.phase for one in (a, b, c)] == [OPEN, CLOSED, CLOSED]


def test_one_model_under_two_names_is_one_model() -> None:
    provider = Provider("p", "http://p.invalid", {})
    models = {name: Model(name, ((Deployment(name, provider, "same"),),)) for name in "ab"}
    live = Live(Snapshot(models=models))

    for state in live.deployments.values():
        break_it(state, 10.0)

    assert live.hosts == {}


def test_two_that_fail_take_along_whom_nobody_has_asked() -> None:
    live = Live(served("a", "b", "c"))
    states = members(live, "a", "b", "c")

    break_it(states[0], 10.0)
    break_it(states[1], 12.0)

    assert {one.phase for one in states} == {OPEN}
    assert len({one.until for one in states}) == 1
    assert 12.8 <= states[0].until <= 13.2
    assert {one.health for one in states} == {0.0}
    assert live.hosts["http://p.invalid"].opened == 1


def test_who_has_answered_lately_stays() -> None:
    live = Live(served("a", "b", "c", "d", "e", "f", "g", "h", "i"))
    states = members(live, *"abcdefghi")
    answered(states[8], 10.0)

    for state in states[:4]:
        break_it(state, 11.0)

    assert [one.phase for one in states] == [OPEN] * 8 + [CLOSED]


def test_two_of_four_that_are_known_are_no_outage() -> None:
    live = Live(served("a", "b", "c", "d", "e"))
    states = members(live, "a", "b", "c", "d", "e")
    answered(states[2], 10.0)
    answered(states[3], 10.0)

    break_it(states[0], 11.0)
    break_it(states[1], 11.0)

    assert [one.phase for one in states] == [OPEN, OPEN, CLOSED, CLOSED, CLOSED]


def test_who_has_failed_since_does_not_speak_for_it() -> None:
    live = Live(served("a", "b", "c", "d"))
    states = members(live, "a", "b", "c", "d")
    for state in states:
        answered(state, 10.0)
    states[2].bad(11.0, 1.0, NO_PROBE, RNG)
    states[3].bad(11.0, 1.0, NO_PROBE, RNG)

    break_it(states[0], 12.0)
    break_it(states[1], 12.0)

    assert {one.phase for one in states} == {OPEN}


def test_who_has_not_answered_yet_does_not_either() -> None:
    live = Live(served("a", "b", "c"))
    states = members(live, "a", "b", "c")
    states[2].used = states[2].inflight = 3
    states[2].last_used = 10.0

    break_it(states[0], 11.0)
    break_it(states[1], 11.0)

    assert {one.phase for one in states} == {OPEN}


def test_what_was_long_ago_is_not_known() -> None:
    live = Live(served("a", "b", "c", "d"))
    states = members(live, "a", "b", "c", "d")
    answered(states[2], 10.0)
    answered(states[3], 10.0)

    break_it(states[0], 400.0)
    break_it(states[1], 400.0)

    assert {one.phase for one in states} == {OPEN}


def test_the_last_that_a_model_has_is_not_taken_out_for_what_others_did() -> None:
    live = Live(served("a", "b", "c", spare=False))
    a, b, c = members(live, "a", "b", "c")

    break_it(a, 10.0)
    break_it(b, 10.0)

    assert [one.phase for one in (a, b, c)] == [OPEN, OPEN, CLOSED]


@pytest.fixture
def outage() -> Live:
    live = Live(served("a", "b", "c"))
    for one in members(live, "a", "b"):
        break_it(one, 10.0)
    return live


def test_one_probe_speaks_for_all(outage: Live) -> None:
    a, b, c = members(outage, "a", "b", "c")

    assert c.take_probe(20.0)

    assert {one.until for one in (a, b, c)} == {inf}
    assert not a.take_probe(20.0)


def test_proofs_of_one_bring_back_all_of_them_little_by_little(outage: Live) -> None:
    states = members(outage, "a", "b", "c")

    for number in range(2):
        assert states[number].take_probe(20.0)
        states[number].good(20.0, PROBE)

    assert {(one.phase, one.until) for one in states} == {(CLOSED, 0.0)}
    assert {one.factor(20.0) for one in states} == {0.1}
    break_it(states[0], 30.0)
    assert [one.phase for one in states] == [OPEN, CLOSED, CLOSED]


def test_a_probe_that_fails_holds_all_of_them_for_twice_as_long(outage: Live) -> None:
    states = members(outage, "a", "b", "c")
    states[2].take_probe(20.0)

    states[2].bad(20.0, 1.0, PROBE, RNG)

    assert len({one.until for one in states}) == 1
    assert 21.6 <= states[0].until <= 22.4


def test_a_probe_without_a_verdict_makes_room_for_another(outage: Live) -> None:
    a, b, _ = members(outage, "a", "b", "c")
    a.take_probe(20.0)

    a.release_probe()

    assert (b.phase, b.until) == (HALF_OPEN, 0.0)
    assert b.take_probe(20.0)


def test_a_last_resort_is_a_proof_too(outage: Live) -> None:
    states = members(outage, "a", "b", "c")

    states[0].good(20.0, PANIC)
    states[1].good(20.0, PANIC)

    assert {one.phase for one in states} == {CLOSED}


def test_switching_health_off_ends_an_outage(outage: Live) -> None:
    states = members(outage, "a", "b", "c")
    outage.swap(Snapshot(models=served("a", "b", "c").models, health=Health(enabled=False)))

    for one in members(outage, "a", "b", "c"):
        one.bad(20.0, 1.0, NO_PROBE, RNG)

    assert {(one.phase, one.until) for one in states} == {(CLOSED, 0.0)}


def test_an_outage_lasts_over_a_new_configuration(outage: Live) -> None:
    until = members(outage, "a")[0].until

    outage.swap(served("a", "b", "d"))

    assert {one.until for one in members(outage, "a", "b", "d")} == {until}


def test_who_is_left_alone_at_a_host_is_tried_again(outage: Live) -> None:
    outage.swap(served("a"))

    (one,) = members(outage, "a")
    assert (one.phase, one.until, one.host) == (HALF_OPEN, 0.0, None)
    assert one.take_probe(10.0)
    one.good(10.0, PROBE)
    assert one.take_probe(10.0)
    one.good(10.0, PROBE)
    assert one.phase == CLOSED


def test_hosts_are_told_apart_by_scheme_name_and_port() -> None:
    live = Live(served("a", "b", url="http://user@P.invalid:81/v1"))

    assert list(live.hosts) == ["http://p.invalid:81"]
