"""Requests that are clearly longer than a window go where there is a larger one, and are never refused for it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.errors import Cause
from proxy.core.model import Strategy
from proxy.gateway.hints import NOTHING, Hints
from tests.gateway.choices import NAMES, Choices, deployment
from tests.gateway.fleet import error

WINDOWS = {"a": 8000, "b": 32_000, "c": 128_000}


def windows(strategy: Strategy = Strategy.ROUND_ROBIN, **sizes: int) -> Choices:
    made = [deployment(name, max_context=size) for name, size in (sizes or WINDOWS).items()]
    return Choices(strategy, *made)


def long(tokens: int) -> Hints:
    return Hints(sizes=(tokens, 0))


@pytest.mark.parametrize(
    ("tokens", "allowed"),
    [
        (100, "abc"),
        (8000, "abc"),
        (9000, "abc"),  # it is an estimate: not clearly over
        (9300, "bc"),
        (30_000, "bc"),
        (40_000, "c"),
        (200_000, "c"),  # longer than all: to the largest
    ],
)
def test_who_may_serve_a_request_of_so_many_tokens(tokens: int, allowed: str) -> None:
    one = windows()

    assert {one.choose(long(tokens)) for _ in range(6)} == set(allowed)


def test_an_answer_s_limit_counts() -> None:
    one = windows()

    assert {one.choose(Hints(sizes=(6000, 4000))) for _ in range(6)} == set("bc")


def test_a_window_that_nobody_said_takes_everything() -> None:
    one = windows(a=8000, b=0)

    assert {one.choose(long(10**6)) for _ in range(6)} == {"b"}


@pytest.mark.parametrize("strategy", list(Strategy))
def test_every_strategy_keeps_to_it(strategy: Strategy) -> None:
    one = windows(strategy)

    assert {one.choose(long(20_000)) for _ in range(40)} <= set("bc")


def test_with_the_larger_ones_out_the_next_is_asked_all_the_same() -> None:
    one = windows()
    one.open("c")
    assert {one.choose(long(100_000)) for _ in range(6)} == {"b"}

    one.open("b")
    assert {one.choose(long(100_000)) for _ in range(6)} == {"a"}


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from([0, 4000, 8000, 32_000]), min_size=1, max_size=4),
    st.integers(0, 100_000),
    st.data(),
)
def test_somebody_is_always_found(sizes: list[int], tokens: int, data: st.DataObject) -> None:
    names = NAMES[: len(sizes)]
    one = Choices(
        Strategy.P2C,
        *(deployment(n, max_context=s) for n, s in zip(names, sizes, strict=True)),
    )
    out = data.draw(st.sets(st.sampled_from(names), max_size=len(names) - 1))
    one.open(*out)

    chosen = one.choose(long(tokens))

    assert chosen not in out
    room = {n: s or 10**9 for n, s in zip(names, sizes, strict=True) if n not in out}
    fits = tokens <= room[chosen] * 1.15
    assert fits or room[chosen] == max(room.values())


def test_one_that_found_it_too_long_is_followed_by_a_larger_one() -> None:
    one = windows()
    too_long = error(Cause.CONTEXT, 400)
    tried = []
    plan = one.plan(Hints())
    candidate = plan.first(one.now)
    while True:
        tried.append(candidate.deployment.max_context)
        plan.ended(candidate)
        step = plan.failed(candidate, too_long, one.now)
        if step.candidate is None:
            break
        candidate = step.candidate

    assert tried == sorted(set(tried))
    assert tried[-1] == 128_000
    assert step.error is too_long


def test_without_windows_siblings_of_one_that_found_it_too_long_are_not_asked() -> None:
    one = Choices.of(Strategy.ROUND_ROBIN, "abc")
    plan = one.plan(Hints())
    candidate = plan.first(one.now)
    plan.ended(candidate)

    assert plan.failed(candidate, error(Cause.CONTEXT, 400), one.now).candidate is None


def test_nobody_looks_at_requests_for_models_without_windows() -> None:
    assert not Choices.of(Strategy.P2C, "ab").route.curious
    assert windows(Strategy.P2C).route.curious


def test_a_request_that_nobody_knows_goes_anywhere() -> None:
    one = windows()

    assert Counter(one.choose(NOTHING) for _ in range(6)) == {"a": 2, "b": 2, "c": 2}
