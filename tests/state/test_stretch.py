"""How long answers take, a stretch of them at a time."""

from __future__ import annotations

from math import exp, isfinite, log
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.state.stretch import LEAST, Kinds, Stretch


def test_a_stretch_has_as_many_answers_as_were_in_flight() -> None:
    one = Stretch()
    for number in range(1, 41):
        one.add(0.0, 40)
        assert one.over() == (number >= 40)

    assert one.inflight == 40


def test_it_has_some_answers_in_any_case() -> None:
    one = Stretch()
    for number in range(1, LEAST + 1):
        one.add(0.0, 2)
        assert one.over() == (number >= LEAST)

    assert not one.over(2)


def test_the_mean_is_that_of_logarithms_and_its_doubt_falls_with_the_number() -> None:
    few, many = Stretch(), Stretch()
    for number in range(400):
        for one in (few, many) if number < 20 else (many,):
            one.add(log(2.0) if number % 2 else log(8.0), 1)

    assert exp(many.mean) == pytest.approx(4.0)
    assert many.doubt == pytest.approx(few.doubt / 20)
    assert many.long == pytest.approx(16.0)


def test_what_is_usual_for_a_kind_is_taken_off() -> None:
    kinds, rng = Kinds(), Random(1)
    times = {1: 1.0, 2: 10.0}
    levels: dict[int, list[float]] = {1: [], 2: []}
    for number in range(2000):
        kind = 2 if rng.random() < 0.3 else 1
        level = kinds.level(kind, times[kind] * rng.lognormvariate(0.0, 0.2))
        if number > 200:
            levels[kind].append(level)
    means = [sum(found) / len(found) for found in levels.values()]

    assert means[0] == pytest.approx(means[1], abs=0.1)


def test_all_becoming_slower_is_seen_in_each_kind() -> None:
    kinds = Kinds()
    for _ in range(200):
        for kind in (1, 2):
            kinds.level(kind, float(kind))
    before = [kinds.level(kind, float(kind)) for kind in (1, 2)]
    for _ in range(10):
        for kind in (1, 2):
            kinds.level(kind, 2.0 * kind)
    after = [kinds.level(kind, 2.0 * kind) for kind in (1, 2)]

    assert [new - old for new, old in zip(after, before, strict=True)] == pytest.approx(
        [log(2.0)] * 2, abs=0.1
    )


@given(st.lists(st.tuples(st.integers(-30, 30), st.floats(0.0, 1e6)), min_size=1))
def test_figures_are_figures(samples: list[tuple[int, float]]) -> None:
    kinds, one = Kinds(), Stretch()
    for kind, seconds in samples:
        one.add(kinds.level(kind, seconds), 1)

    assert isfinite(one.mean)
    assert one.doubt >= 0.0
