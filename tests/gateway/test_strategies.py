"""What all strategies keep to, and what each of those that look for the best does with what it knows."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.model import Performance, Strategy
from proxy.gateway.hints import Hints
from proxy.gateway.strategies import STRATEGIES
from proxy.gateway.strategies.fairness import FRESH
from tests.gateway.choices import NAMES, Choices, deployment

KNOWING = [Strategy.TTFT, Strategy.PERFORMANCE, Strategy.COST, Strategy.PARETO]
SHARING = [Strategy.WEIGHTED_ROUND_ROBIN, Strategy.WEIGHTED_RANDOM, *KNOWING]


def shares(one: Choices, requests: int) -> Counter[str]:
    return Counter(one.choose() for _ in range(requests))


def test_every_strategy_has_its_function() -> None:
    assert STRATEGIES.keys() == set(Strategy)


REQUESTS = st.builds(
    lambda stream, caller, byte, length: Hints(
        stream=stream, caller=caller, head=bytes([byte]) * length
    ),
    st.booleans(),
    st.integers(0, 2**64 - 1),
    st.integers(0, 255),
    st.sampled_from([0, 1024, 5000]),
)


@pytest.mark.parametrize("strategy", list(Strategy))
@settings(max_examples=8, deadline=None)
@given(st.data())
def test_nobody_is_chosen_who_may_not_be_used(strategy: Strategy, data: st.DataObject) -> None:
    names = NAMES[: data.draw(st.integers(2, 6))]
    one = Choices.of(strategy, names, rng=Random(data.draw(st.integers(0, 99))))
    out = data.draw(st.sets(st.sampled_from(names), max_size=len(names) - 1))
    one.open(*out)

    for _ in range(8):
        one.now += 0.01
        request = data.draw(REQUESTS)
        plan = one.plan(request)
        candidate = plan.first(one.now)
        name = candidate.deployment.provider.name
        assert name not in out
        well = data.draw(st.booleans())
        if well:
            plan.succeeded(candidate, one.now, 0.3 if request.stream else None)
        if data.draw(st.booleans()):
            plan.ended(candidate)


@pytest.mark.parametrize("strategy", SHARING)
def test_equals_share_by_weight(strategy: Strategy) -> None:
    one = Choices.of(strategy, "ab", weights=(30, 10), prices=(1, 1))
    if strategy in KNOWING:
        one.seen({"a": 0.3, "b": 0.3})

    served = shares(one, 2000)

    assert 1400 <= served["a"] <= 1600


@pytest.mark.parametrize("strategy", KNOWING)
def test_strangers_share_until_something_is_known(strategy: Strategy) -> None:
    served = shares(Choices.of(strategy, "abc"), 900)

    assert all(230 <= served[name] <= 370 for name in "abc")


@pytest.mark.parametrize("strategy", [Strategy.TTFT, Strategy.PERFORMANCE, Strategy.PARETO])
def test_the_quicker_takes_all(strategy: Strategy) -> None:
    one = Choices.of(strategy, "abc")
    one.seen({"a": 0.9, "b": 0.3, "c": 0.5})

    assert shares(one, 50) == {"b": 50}


@pytest.mark.parametrize("strategy", KNOWING)
def test_one_that_is_degraded_takes_half_of_what_would_fall_to_it(strategy: Strategy) -> None:
    one = Choices.of(strategy, "ab", prices=(1, 5))
    one.seen({"a": 0.3, "b": 0.4})
    state = one.state("a")
    for _ in range(20):
        state.good(one.now)
    for _ in range(4):
        state.bad(one.now, 1.0, 0, one.rng)
    assert state.health == 0.5

    served = shares(one, 1000)

    assert 430 <= served["a"] <= 580  # a die that rolls no 0 to 0.05 says yes a little less


@pytest.mark.parametrize("strategy", KNOWING)
def test_one_that_has_recovered_gets_its_traffic_back_by_and_by(strategy: Strategy) -> None:
    one = Choices.of(strategy, "ab", prices=(1, 5))
    one.seen({"a": 0.3, "b": 0.4})
    one.open("a")
    one.now += 2.0
    for _ in range(2):
        plan = one.plan(Hints())
        candidate = plan.first(one.now)
        assert candidate.deployment.id == "m/a"  # the probe
        plan.succeeded(candidate, one.now, 0.3)
        plan.ended(candidate)

    early = shares(one, 300)["a"]
    one.now += 15.0
    later = shares(one, 300)["a"]
    one.now += 20.0
    last = shares(one, 300)["a"]

    assert early < 45 < later < 200 < 295 <= last


@pytest.mark.parametrize("strategy", [*KNOWING, Strategy.PREFIX])
def test_only_what_compares_is_kept_figures_of(strategy: Strategy) -> None:
    assert Choices.of(strategy, "ab").state("a").pace is not None
    assert Choices.of(Strategy.P2C, "ab").state("a").pace is None


@pytest.mark.parametrize("strategy", KNOWING)
def test_one_in_twenty_asks_whom_nobody_has_asked_for_a_while(strategy: Strategy) -> None:
    one = Choices.of(strategy, "ab", prices=(1, 5), rng=Random(3))
    one.seen({"a": 0.3, "b": 0.9})

    served: Counter[str] = Counter()
    for _ in range(2000):
        one.now += 0.5
        one.seen({"a": 0.3, "b": 0.9}, times=1)
        served[one.choose()] += 1

    # Not before FRESH seconds have passed, and then about ten more requests.
    assert 2000 * 0.5 / (FRESH + 20) < served["b"] < 2000 * 0.05


@pytest.mark.parametrize("strategy", KNOWING)
def test_nobody_is_asked_only_to_hear_what_was_heard_a_moment_ago(strategy: Strategy) -> None:
    one = Choices.of(strategy, "ab", prices=(1, 5), rng=Random(3))
    one.seen({"a": 0.3, "b": 0.9})
    one.state("a").last_used = one.state("b").last_used = one.now - 0.9 * FRESH

    assert shares(one, 500) == {"a": 500}


def test_one_that_was_slow_is_found_to_be_quick_again() -> None:
    one = Choices.of(Strategy.TTFT, "ab", rng=Random(1))
    one.seen({"a": 0.3, "b": 3.0})

    served: Counter[str] = Counter()
    for _ in range(3000):
        one.now += 0.1
        plan = one.plan(Hints())
        candidate = plan.first(one.now)
        name = candidate.deployment.provider.name
        plan.succeeded(candidate, one.now, 0.3 if name == "a" else 0.1)
        plan.ended(candidate)
        served[name] += 1

    assert served["b"] > 1700


@pytest.mark.parametrize("strategy", [Strategy.TTFT, Strategy.PERFORMANCE, Strategy.PARETO])
def test_a_crowd_at_the_best_goes_to_the_next(strategy: Strategy) -> None:
    one = Choices.of(strategy, "abc", prices=(1, 1, 1))
    one.seen({"a": 0.3, "b": 0.45, "c": 0.45})

    placed = Counter(one.begin().deployment.provider.name for _ in range(60))

    # A wait grows by a tenth for each request in flight: 0.3 s with 30 there is 1.2 s, 0.45 s with 17 as well, about.
    assert 24 <= placed["a"] <= 36
    assert all(10 <= placed[name] <= 20 for name in "bc")


def test_cost_does_not_pay_more_to_avoid_a_crowd() -> None:
    one = Choices.of(Strategy.COST, "ab", prices=(1, 2))
    one.seen({"a": 0.3, "b": 0.3})

    assert {one.begin().deployment.provider.name for _ in range(40)} == {"a"}


def test_least_inflight_fills_by_weight() -> None:
    one = Choices.of(Strategy.LEAST_INFLIGHT, "abc", weights=(20, 10, 10))

    placed = Counter(one.begin().deployment.provider.name for _ in range(80))

    assert placed == {"a": 40, "b": 20, "c": 20}


def test_ttft_goes_by_whole_answers_where_they_are_asked_for() -> None:
    one = Choices.of(Strategy.TTFT, "ab")
    one.seen({"a": 0.3, "b": 0.9})
    for _ in range(20):
        one.pace("a").succeeded(one.now, 9.0, stream=False)
        one.pace("b").succeeded(one.now, 4.0, stream=False)

    assert one.choose(Hints(stream=True)) == "a"
    assert one.choose(Hints(stream=False)) == "b"


@pytest.mark.parametrize(
    ("weighed", "chosen"), [(Performance(1.0, 0.0), "a"), (Performance(0.1, 1.0), "b")]
)
def test_performance_weighs_as_it_is_told(weighed: Performance, chosen: str) -> None:
    one = Choices(Strategy.PERFORMANCE, *map(deployment, "ab"), performance=weighed)
    one.seen({"a": 0.3, "b": 0.9})
    one.failed("a", 10)

    assert shares(one, 50) == {chosen: 50}


def test_cost_takes_the_cheapest_that_is_quick_and_reliable() -> None:
    one = Choices.of(Strategy.COST, "abcd", prices=(9, 2, 1, 3))
    one.seen({"a": 0.3, "b": 0.5, "c": 0.31, "d": 0.4})

    assert shares(one, 20) == {"c": 20}
    one.failed("c", 5)
    assert shares(one, 20) == {"d": 20}  # b is cheaper, and more than half as slow again
    one.seen({"a": 0.6, "b": 0.3}, times=200)
    assert shares(one, 20) == {"b": 20}


def test_cost_takes_somebody_where_all_fail_now_and_then() -> None:
    one = Choices.of(Strategy.COST, "abc", prices=(3, 2, 1))
    one.seen({"a": 0.3, "b": 0.3, "c": 0.9})
    for name in "abc":
        one.failed(name, 5)

    assert shares(one, 20) == {"b": 20}


def test_cost_counts_how_much_each_says() -> None:
    one = Choices.of(Strategy.COST, "ab", prices=(3, 2))
    one.seen({"a": 0.3, "b": 0.3})
    assert one.choose() == "b"
    one.pace("a").used(one.now, 1000, 0, 100, 0.3)
    one.pace("b").used(one.now, 1000, 0, 2000, 0.3)

    assert one.choose() == "a"


def test_answers_of_about_the_same_length_cost_the_same() -> None:
    one = Choices.of(Strategy.COST, "ab", prices=(2, 2))
    one.seen({"a": 0.3, "b": 0.3})
    one.pace("a").used(one.now, 1000, 0, 500, 0.3)
    one.pace("b").used(one.now, 1000, 0, 600, 0.3)

    assert 60 < shares(one, 200)["a"] < 140


def test_cost_takes_what_nobody_knows_the_price_of_last() -> None:
    one = Choices.of(Strategy.COST, "abc", prices=(None, 5, None))
    assert shares(one, 20) == {"b": 20}

    one.open("b")
    assert set(shares(one, 20)) == {"a", "c"}
