"""Who is much slower than those beside it has half its weight."""

from __future__ import annotations

from proxy.core.model import Deployment, Model, Provider, Snapshot
from proxy.state.live import Live
from proxy.state.siblings import compare


def group(*paces: float, samples: int = 6) -> Live:
    """A model with a deployment for each of these, which has just taken so many seconds, again and again."""
    provider = Provider("p", "http://p.invalid", {})
    tier = tuple(Deployment(f"m/{at}:p", provider, f"up{at}") for at in range(len(paces)))
    live = Live(Snapshot(models={"m": Model("m", (tier,))}))
    for state, pace in zip(live.deployments.values(), paces, strict=True):
        for number in range(samples):
            state.latency.observe(100.0 * min(number, 1), pace)
    return live


def slow(live: Live, now: float = 100.0) -> list[bool]:
    compare(live, now)
    return [state.slow for state in live.deployments.values()]


def test_three_times_the_middle_is_slow() -> None:
    live = group(0.3, 0.4, 1.3)

    assert slow(live) == [False, False, True]
    assert [one.health for one in live.deployments.values()] == [1.0, 1.0, 0.5]
    assert [one.factor(100.0) for one in live.deployments.values()] == [1.0, 1.0, 0.5]


def test_less_than_that_is_not() -> None:
    assert slow(group(0.3, 0.4, 1.1)) == [False, False, False]


def test_of_two_the_quicker_one_is_the_measure() -> None:
    assert slow(group(0.3, 1.0)) == [False, True]


def test_nobody_notices_milliseconds() -> None:
    assert slow(group(0.001, 0.001, 0.09)) == [False, False, False]
    assert slow(group(0.001, 0.001, 0.2)) == [False, False, True]


def test_one_slow_answer_says_nothing() -> None:
    live = group(0.3, 0.3)
    live.deployments["m/1:p"].latency.observe(100.0, 9.0)

    assert slow(live) == [False, False]


def test_few_answers_say_nothing() -> None:
    assert slow(group(0.3, 3.0, samples=4)) == [False, False]


def test_who_was_slow_and_is_not_used_is_tried_again() -> None:
    live = group(0.3, 1.0)
    assert slow(live) == [False, True]

    live.deployments["m/0:p"].latency.observe(130.0, 0.3)

    assert slow(live, 130.0) == [False, False]


def test_in_between_it_stays_as_it_was() -> None:
    live = group(0.3, 1.0)
    slow(live)
    for _ in range(6):
        live.deployments["m/0:p"].latency.observe(110.0, 0.3)

    assert live.deployments["m/1:p"].latency.estimate(110.0) < 0.9
    assert slow(live, 110.0) == [False, True]


def test_who_is_alone_is_not_compared() -> None:
    live = group(9.0)

    assert live.groups == []
    assert slow(live) == [False]
