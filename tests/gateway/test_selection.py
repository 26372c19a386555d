"""Every strategy shares as it says, inside the first tier that has somebody."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.model import Strategy
from tests.gateway.fleet import SERVER, Fleet, model, provider

if TYPE_CHECKING:
    from proxy.gateway.selection import Route

ALL = list(Strategy)


def fleet(strategy: Strategy, *weights: int, priorities: tuple[int, ...] = ()) -> Fleet:
    providers = [provider(name) for name in "abcdef"[: len(weights)]]
    return Fleet(model("m", *providers, weights=weights, priorities=priorities, strategy=strategy))


def shares(one: Fleet, requests: int, step: float = 0.01) -> Counter[str]:
    served: Counter[str] = Counter()
    for _ in range(requests):
        one.now += step
        served[one.serve()[-1]] += 1
    return served


def open_up(one: Fleet, *names: str) -> None:
    for id, state in one.live.deployments.items():
        if id[-1] in names:
            for _ in range(5):
                state.bad(one.now, 1.0, 0, Random(1))


def test_round_robin_takes_turns_whatever_the_weights() -> None:
    one = fleet(Strategy.ROUND_ROBIN, 1, 9, 5)

    assert [one.serve()[-1] for _ in range(7)] == list("abcabca")


def test_round_robin_steps_over_those_that_are_out() -> None:
    one = fleet(Strategy.ROUND_ROBIN, 1, 1, 1)
    open_up(one, "b")

    assert [one.serve()[-1] for _ in range(5)] == list("acaca")


def test_weighted_round_robin_is_smooth() -> None:
    one = fleet(Strategy.WEIGHTED_ROUND_ROBIN, 5, 1, 1)

    assert "".join(one.serve()[-1] for _ in range(14)) == "aabacaa" * 2


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=2, max_size=6))
def test_weighted_round_robin_is_exact_over_one_round(weights: list[int]) -> None:
    one = fleet(Strategy.WEIGHTED_ROUND_ROBIN, *weights)

    served = shares(one, sum(weights))

    assert served == dict(zip("abcdef", weights, strict=False))


def test_random_ignores_weights() -> None:
    served = shares(fleet(Strategy.RANDOM, 1, 9), 4000)

    assert 1850 <= served["a"] <= 2150


def test_weighted_random_follows_weights() -> None:
    served = shares(fleet(Strategy.WEIGHTED_RANDOM, 1, 3), 4000)

    assert 900 <= served["a"] <= 1100


def test_least_used_evens_out() -> None:
    assert shares(fleet(Strategy.LEAST_USED, 1, 9, 5), 30) == {"a": 10, "b": 10, "c": 10}


def test_least_used_does_not_make_up_for_an_absence() -> None:
    one = fleet(Strategy.LEAST_USED, 1, 1)
    open_up(one, "a")
    for _ in range(500):
        assert one.serve()[-1] == "b"
    one.live.deployments["m/0:a"].phase = 0
    one.live.deployments["m/0:a"].until = 0.0

    served = shares(one, 20)

    assert abs(served["a"] - served["b"]) <= 2


def test_p2c_prefers_the_quicker_of_two() -> None:
    one = fleet(Strategy.P2C, 10, 10)
    for id, seconds in (("m/0:a", 0.2), ("m/1:b", 2.0)):
        one.live.deployments[id].latency.observe(one.now, seconds)

    assert shares(one, 100) == {"a": 100}


def test_p2c_counts_what_is_in_flight() -> None:
    one = fleet(Strategy.P2C, 10, 10)

    ids = [one.plan().first(one.now).deployment.id[-1] for _ in range(10)]

    assert Counter(ids) == {"a": 5, "b": 5}


def test_p2c_weighs_load_by_weight() -> None:
    one = fleet(Strategy.P2C, 30, 10)

    ids = [one.plan().first(one.now).deployment.id[-1] for _ in range(40)]

    assert Counter(ids) == {"a": 30, "b": 10}


def test_p2c_spreads_over_equals() -> None:
    served = shares(fleet(Strategy.P2C, 1, 1, 1, 1), 4000, step=0.1)

    assert all(900 <= served[name] <= 1100 for name in "abcd")


def test_a_tenfold_slower_deployment_loses_nine_tenths_of_its_traffic_in_thirty_seconds() -> None:
    one = fleet(Strategy.P2C, 1, 1, 1)

    served: Counter[str] = Counter()
    for _ in range(3000):
        one.now += 0.01
        plan = one.plan()
        candidate = plan.first(one.now)
        name = candidate.deployment.id[-1]
        plan.succeeded(candidate, one.now, 3.0 if name == "a" else 0.3)
        plan.ended(candidate)
        served[name] += 1

    assert served["a"] <= 3000 / 3 * 0.1
    assert one.live.deployments["m/0:a"].health == 1.0


def test_a_slow_deployment_is_looked_at_again_after_a_while() -> None:
    one = fleet(Strategy.P2C, 1, 1)
    one.live.deployments["m/0:a"].latency.observe(one.now, 3.0)
    one.live.deployments["m/1:b"].latency.observe(one.now, 0.3)

    served = shares(one, 1000, step=0.1)

    assert served["a"] > 100


def test_one_failure_sends_the_next_requests_elsewhere() -> None:
    one = fleet(Strategy.P2C, 1, 1)
    plan = one.plan()
    failed = plan.first(one.now)
    one.fail(plan, failed, SERVER)

    served = shares(one, 10)

    assert served[failed.deployment.id[-1]] == 0


@pytest.mark.parametrize("strategy", ALL)
def test_a_lower_tier_is_used_only_when_the_upper_is_out(strategy: Strategy) -> None:
    one = fleet(strategy, 1, 1, 9, priorities=(1, 1, 2))
    assert shares(one, 50)["c"] == 0

    open_up(one, "a", "b")

    assert shares(one, 10, step=0.0) == {"c": 10}


@pytest.mark.parametrize("strategy", ALL)
def test_weight_zero_is_used_only_when_nothing_else_is_left(strategy: Strategy) -> None:
    one = fleet(strategy, 0, 1, 1, priorities=(1, 1, 2))
    assert shares(one, 50) == {"b": 50}

    open_up(one, "b")
    assert shares(one, 10, step=0.0) == {"c": 10}

    open_up(one, "c")
    assert shares(one, 10, step=0.0) == {"a": 10}


@pytest.mark.parametrize("strategy", ALL)
def test_nobody_open_is_chosen_while_somebody_is_healthy(strategy: Strategy) -> None:
    one = fleet(strategy, 3, 2, 1, 2)
    open_up(one, "a", "c")

    assert set(shares(one, 40, step=0.0)) <= {"b", "d"}


def test_a_degraded_deployment_has_half_its_weight() -> None:
    one = fleet(Strategy.WEIGHTED_ROUND_ROBIN, 10, 10)
    state = one.live.deployments["m/0:a"]
    for _ in range(20):
        state.good(one.now)
    for _ in range(4):
        state.bad(one.now, 1.0, 0, one.rng)
    assert state.health == 0.5

    assert shares(one, 30, step=0.0) == {"a": 10, "b": 20}


def test_one_whose_timer_ended_gets_exactly_one_request_at_a_time() -> None:
    one = fleet(Strategy.P2C, 1, 1)
    open_up(one, "a")
    one.now += 2.0

    ids = [one.plan().first(one.now).deployment.id[-1] for _ in range(5)]

    assert ids == list("abbbb")


def test_a_request_that_failed_elsewhere_does_not_probe_while_a_healthy_one_waits() -> None:
    one = fleet(Strategy.ROUND_ROBIN, 1, 1, 1)
    open_up(one, "a")
    route: Route = one.plan().route
    one.now += 2.0

    slot = route.pick(one.now, one.rng, probes=False)

    assert slot is not None
    assert slot.deployment.id != "m/0:a"
