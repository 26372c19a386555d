"""What requests usually come to."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.limits.history import LEAST, History, _bucket, _edge


@given(st.integers(0, (1 << 62) - 1))
def test_a_bucket_rounds_up_by_a_quarter_at_most(value: int) -> None:
    edge = _edge(_bucket(value))

    assert value <= edge <= value + value // 4 + 1
    assert _bucket(edge) == _bucket(value)
    assert _bucket(edge + 1) == _bucket(value) + 1


@pytest.mark.parametrize("value", [-5, 0, 1 << 80])
def test_no_number_is_too_odd(value: int) -> None:
    history = History()

    for _ in range(LEAST):
        history.add("k", "m", value)

    assert history.p95("k", "m") is not None


def test_nothing_is_said_after_few_requests() -> None:
    history = History()
    assert history.p95("k", "m") is None

    for _ in range(LEAST - 1):
        history.add("k", "m", 5)
    assert history.p95("k", "m") is None

    history.add("k", "m", 5)
    assert history.p95("k", "m") == 5


def test_pairs_are_apart() -> None:
    history = History()

    for _ in range(LEAST):
        history.add("k", "m", 5)
        history.add("k", "n", 6)
        history.add("l", "m", 7)

    assert [history.p95(*pair) for pair in ("km", "kn", "lm", "ln")] == [5, 6, 7, None]


@given(st.lists(st.integers(0, 10**7), min_size=LEAST, max_size=240))
def test_it_is_the_p95_of_what_was_seen(values: list[int]) -> None:
    history = History()

    for value in values:
        history.add("k", "m", value)

    found = history.p95("k", "m")
    assert found is not None
    # A twentieth at most is beyond it, and more than that from its bucket on.
    assert sum(value > found for value in values) * 20 <= len(values)
    if found:
        assert sum(_bucket(value) >= _bucket(found) for value in values) * 20 > len(values)


def test_rare_giants_do_not_matter_and_frequent_ones_do() -> None:
    history, rng = History(), random.Random(1)

    for _ in range(3000):
        history.add("k", "rare", 1_000_000 if rng.random() < 0.01 else 100)
        history.add("k", "often", 1_000_000 if rng.random() < 0.2 else 100)

    assert history.p95("k", "rare") == _edge(_bucket(100))
    assert history.p95("k", "often") == _edge(_bucket(1_000_000))


def test_what_was_long_ago_fades() -> None:
    history = History()

    for value in (1_000_000, 100, 1_000):
        for _ in range(600):
            history.add("k", "m", value)
        assert history.p95("k", "m") == _edge(_bucket(value))


def test_the_pair_used_longest_ago_makes_room() -> None:
    history = History(pairs=2)
    for model in "ab":
        for _ in range(LEAST):
            history.add("k", model, 5)

    history.add("k", "a", 5)
    history.add("k", "c", 5)

    assert history.p95("k", "a") == 5
    assert history.p95("k", "b") is None
