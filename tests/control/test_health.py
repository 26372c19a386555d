"""The health pages tell an orchestrator what to do and an operator what is wrong."""

from __future__ import annotations

import random

import orjson
import pytest

from proxy import __version__
from proxy.control.health import health, live, ready, stats, watch
from proxy.core.clock import Hands
from proxy.core.errors import Cause
from proxy.core.metrics import Metrics
from proxy.core.model import Credential, Deployment, Model, Provider, Snapshot
from proxy.core.secret import Secret
from proxy.state.health import HALF_OPEN, NO_PROBE
from proxy.state.live import Live
from proxy.state.rests import Refusal

RNG = random.Random(1)


def provider(name: str, keys: int = 2) -> Provider:
    credentials = tuple(Credential(f"{name}#{n}", Secret(f"secret {n}")) for n in range(keys))
    return Provider(name, f"http://{name}.invalid", {}, credentials)


def two_providers() -> Snapshot:
    first, second, third = provider("first"), provider("second", 0), provider("third")
    a = Deployment("m/0:first", first, "up")
    b = Deployment("m/1:second", second, "up", priority=2)
    model = Model("m", ((a,), (b,)))
    return Snapshot(
        providers={"first": first, "second": second, "third": third},
        models={"m": model, "alias": model},
    )


def trip(at: Live, id: str, now: float) -> None:
    for _ in range(at.rules.max_errors):
        at.deployments[id].bad(now, 1.0, NO_PROBE, RNG)


def refuse(at: Live, id: str, reason: Cause, now: float) -> None:
    at.accounts[id].state("up").cool(Refusal(reason, now), now, RNG)


def test_a_process_that_answers_is_alive() -> None:
    assert live() == (200, {"status": "alive"})


def test_ready_when_something_can_be_served() -> None:
    snapshot = two_providers()

    assert ready(snapshot, Live(snapshot)) == (200, {"status": "ready", "store": "none"})


def test_ready_when_the_store_is_away() -> None:
    snapshot = two_providers()

    answer = ready(snapshot, Live(snapshot), store="degraded")

    assert answer == (200, {"status": "ready", "store": "degraded"})
    assert (
        health(snapshot, Live(snapshot), Metrics(), 0.0, store="degraded")[1]["store"] == "degraded"
    )


def test_not_ready_before_a_configuration_is_loaded() -> None:
    assert ready(None, Live()) == (503, {"status": "no configuration"})


def test_not_ready_without_any_deployment() -> None:
    snapshot = Snapshot()

    assert ready(snapshot, Live(snapshot)) == (503, {"status": "no usable deployment"})


def test_not_ready_while_draining() -> None:
    snapshot = two_providers()

    assert ready(snapshot, Live(snapshot), draining=True) == (503, {"status": "draining"})


def test_ready_as_long_as_one_deployment_is_left(hands: Hands) -> None:
    snapshot = two_providers()
    state = Live(snapshot)

    trip(state, "m/0:first", hands.monotonic())
    one_left = ready(snapshot, state)[0]
    trip(state, "m/1:second", hands.monotonic())
    none_left = ready(snapshot, state)[0]
    hands.advance(60)
    timers_over = ready(snapshot, state)[0]

    assert (one_left, none_left, timers_over) == (200, 503, 200)


def test_a_wildcard_alone_makes_ready() -> None:
    model = Model("up/*", ((Deployment("up/*/0:first", provider("first"), "*"),),))
    snapshot = Snapshot(wildcards=(("up/", model),))

    assert ready(snapshot, Live(snapshot))[0] == 200


@pytest.mark.parametrize(("reason", "status"), [(Cause.RATE_LIMIT, 200), (Cause.AUTH, 503)])
def test_credentials_that_are_refused_are_no_use_and_those_that_cool_are_back_soon(
    reason: Cause, status: int, hands: Hands
) -> None:
    one = provider("first")
    model = Model("m", ((Deployment("m/0:first", one, "up"),),))
    snapshot = Snapshot(providers={"first": one}, models={"m": model})
    state = Live(snapshot)

    for credential in one.credentials:
        refuse(state, credential.id, reason, hands.monotonic())

    assert ready(snapshot, state)[0] == status


def test_the_overview_of_a_fresh_start(hands: Hands) -> None:
    snapshot = two_providers()
    started = hands.monotonic()
    hands.advance(12.5)

    status, content = health(snapshot, Live(snapshot), Metrics(), started)

    assert status == 200
    assert content == {
        "status": "ok",
        "version": __version__,
        "uptime": 12.5,
        "providers": {"healthy": 2, "degraded": 0, "unhealthy": 0, "unused": 1},
        "keys": {"usable": 4, "cooling": 0, "bad": 0},
        "store": "none",
        "stats": {
            "requests": 0,
            "succeeded": 0,
            "failed": 0,
            "refused": 0,
            "client_gone": 0,
            "inflight": 0,
            "tokens": {},
        },
    }


def test_the_overview_shows_trouble_and_is_still_200(hands: Hands) -> None:
    snapshot = two_providers()
    state = Live(snapshot)
    trip(state, "m/0:first", hands.monotonic())
    refuse(state, "first#0", Cause.AUTH, hands.monotonic())
    refuse(state, "first#1", Cause.RATE_LIMIT, hands.monotonic())

    status, content = health(snapshot, state, Metrics(), 0.0)

    assert (status, content["status"]) == (200, "degraded")
    assert content["providers"] == {"healthy": 1, "degraded": 0, "unhealthy": 1, "unused": 1}
    assert content["keys"] == {"usable": 2, "cooling": 1, "bad": 1}


def test_a_credential_cools_that_rests_for_one_of_its_models(hands: Hands) -> None:
    snapshot = two_providers()
    state = Live(snapshot)
    state.accounts["first#0"].state("other")
    refuse(state, "first#0", Cause.RATE_LIMIT, hands.monotonic())

    assert health(snapshot, state, Metrics(), 0.0)[1]["keys"] == {
        "usable": 3,
        "cooling": 1,
        "bad": 0,
    }


def test_who_asks_with_a_token_sees_what_rests_and_for_how_long(hands: Hands) -> None:
    snapshot = two_providers()
    state = Live(snapshot)
    at = hands.monotonic()
    refusal = Refusal(Cause.RATE_LIMIT, at, 429, 20.0)
    state.accounts["first#0"].state("up").cool(refusal, at, RNG)
    refuse(state, "first#1", Cause.QUOTA, at)
    hands.advance(5.0)

    shown = health(snapshot, state, Metrics(), 0.0, detail=True)[1]["providers"]

    limited, spent = shown["first"]["rests"]
    assert 15.0 <= limited.pop("seconds") <= 19.0
    assert limited == {"credential": "first#0", "model": "up", "cause": "http_429"}
    assert spent == {"credential": "first#1", "model": None, "cause": "http_402", "seconds": 595.0}
    assert shown["second"]["rests"] == []
    hands.advance(600.0)
    again = health(snapshot, state, Metrics(), 0.0, detail=True)[1]["providers"]
    assert again["first"]["rests"] == []


def test_the_overview_says_when_nothing_works(hands: Hands) -> None:
    snapshot = two_providers()
    state = Live(snapshot)
    for id in state.deployments:
        trip(state, id, hands.monotonic())

    assert health(snapshot, state, Metrics(), 0.0)[1]["status"] == "unavailable"
    assert health(None, Live(), Metrics(), 0.0)[1]["status"] == "unavailable"


def test_a_load_balancer_sees_a_drain(hands: Hands) -> None:
    snapshot = two_providers()

    status, content = health(snapshot, Live(snapshot), Metrics(), 0.0, draining=True)

    assert (status, content["status"]) == (503, "draining")


def test_names_are_for_those_who_ask_with_a_token(hands: Hands) -> None:
    snapshot = two_providers()
    state = Live(snapshot)
    trip(state, "m/0:first", hands.monotonic())

    closed = orjson.dumps(health(snapshot, state, Metrics(), 0.0)[1]).decode()
    opened = health(snapshot, state, Metrics(), 0.0, detail=True)[1]

    assert "first" not in closed
    assert opened["providers"]["first"] == {
        "status": "unhealthy",
        "keys": {"usable": 2, "cooling": 0, "bad": 0},
        "deployments": {"m/0:first": "unhealthy"},
        "rests": [],
    }
    assert opened["providers"]["third"]["status"] == "unused"
    assert "secret" not in orjson.dumps(opened).decode()


def test_statistics_tell_whose_fault_it_was() -> None:
    metrics = Metrics()
    bundle = metrics.exchange("/v1/chat/completions", "", "", False)
    for status in (200, 200, 404, 429, 502, "200_truncated", 499):
        bundle.requests(status).inc()
    bundle.count_tokens(10, 20, cached_input=3)
    bundle.count_tokens(1, 2, estimated=True)
    bundle.inflight.inc()

    assert stats(metrics) == {
        "requests": 7,
        "succeeded": 2,
        "failed": 2,
        "refused": 2,
        "client_gone": 1,
        "inflight": 1,
        "tokens": {"input": 11, "output": 22, "cached_input": 3, "cache_write": 0, "reasoning": 0},
    }


def test_gauges_follow_the_deployments_and_credentials(hands: Hands) -> None:
    snapshot = two_providers()
    state = Live(snapshot)
    metrics = Metrics()
    watch(metrics, state)

    trip(state, "m/0:first", hands.monotonic())
    state.deployments["m/1:second"].lend()
    refuse(state, "first#0", Cause.QUOTA, hands.monotonic())

    page = metrics.registry.snapshot()
    assert page["headrace_target_health"].values == {
        '{target="m/0:first"}': 0.0,
        '{target="m/1:second"}': 0.0,
    }
    assert page["headrace_circuit_state"].values == {
        '{target="m/0:first"}': 2,
        '{target="m/1:second"}': HALF_OPEN,
    }
    assert page["headrace_provider_keys"].values == {
        '{provider="first",state="usable"}': 1,
        '{provider="first",state="cooling"}': 0,
        '{provider="first",state="bad"}': 1,
        '{provider="third",state="usable"}': 2,
        '{provider="third",state="cooling"}': 0,
        '{provider="third",state="bad"}': 0,
    }
