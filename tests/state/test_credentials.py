"""A refused credential rests for as long as the refusal deserves; the others are used in turn."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from proxy.core.errors import Cause
from proxy.core.model import Credential, KeyStrategy
from proxy.core.secret import Secret
from proxy.state.credentials import Account, CredentialState, Pool
from proxy.state.rests import Refusal


def limit(started: float = 0.0, hint: float | None = None, *, last: bool = False) -> Refusal:
    return Refusal(Cause.RATE_LIMIT, started, 429, hint, last)


def rest(*refusals: Refusal, seed: int = 3) -> float:
    """How long a credential rests after these, each of an attempt sent when the rest before was over."""
    state, rng, now = CredentialState("p#0"), Random(seed), 100.0
    for refusal in refusals:
        now = max(now, state.until) + 1.0
        state.cool(
            Refusal(refusal.reason, now, refusal.status, refusal.hint, refusal.last), now, rng
        )
    return state.until - now


def pool(*weights: int) -> Pool:
    return Pool(
        tuple(
            (Credential(f"p#{at}", Secret(str(at)), weight), CredentialState(f"p#{at}"))
            for at, weight in enumerate(weights)
        )
    )


def test_a_hint_is_kept_to_and_stretched_by_at_most_a_fifth() -> None:
    rests = [rest(limit(hint=2.0), seed=seed) for seed in range(50)]

    assert min(rests) >= 2.0
    assert max(rests) <= 2.4
    assert len(set(rests)) > 10


@pytest.mark.parametrize(
    ("hint", "last", "least", "most"),
    [
        (1e12, False, 300.0, 300.0),
        (1e12, True, 60.0, 60.0),
        (-5.0, False, 0.25, 0.3),
        (0.0, True, 0.25, 0.3),
        (float("nan"), False, 1.0, 2.0),
        (float("inf"), False, 1.0, 2.0),
    ],
)
def test_a_hostile_hint_is_bounded(hint: float, last: bool, least: float, most: float) -> None:
    assert least <= rest(limit(hint=hint, last=last)) <= most


def test_without_a_hint_the_rest_doubles_from_under_two_seconds_to_thirty() -> None:
    rests = [rest(*[limit()] * count) for count in range(1, 9)]

    assert 1.0 <= rests[0] <= 2.0
    assert all(2.0**at <= value <= 2.0 ** (at + 1) for at, value in enumerate(rests[:4]))
    assert rests[-1] == 30.0


def test_many_refusals_of_one_wave_count_once() -> None:
    state, rng = CredentialState("p#0"), Random(1)

    for at in range(50):
        state.cool(limit(started=99.0), 100.0 + at / 1000, rng)

    assert state.remaining(100.0) <= 2.0


def test_a_success_begun_after_the_rest_clears_it_and_an_older_one_does_not() -> None:
    state, rng = CredentialState("p#0"), Random(1)
    state.cool(Refusal(Cause.AUTH, 9.0, 401), 10.0, rng)

    state.worked(9.5)
    assert state.remaining(10.0) == 300.0

    state.worked(11.0)
    assert state.remaining(11.0) == 0.0
    assert state.reason is None


def test_a_refused_key_rests_five_minutes_then_thirty() -> None:
    refused = Refusal(Cause.AUTH, 0.0, 401)

    assert [rest(*[refused] * count) for count in (1, 2, 3)] == [300.0, 1800.0, 1800.0]


def test_a_spent_account_rests_ten_minutes_to_an_hour() -> None:
    spent = Refusal(Cause.QUOTA, 0.0, 402)

    assert [rest(*[spent] * count) for count in (1, 2, 3, 4)] == [600.0, 1200.0, 2400.0, 3600.0]


@pytest.mark.parametrize(
    ("refusal", "soft"),
    [
        (limit(), True),
        (limit(hint=3.0), False),
        (Refusal(Cause.AUTH, 0.0, 401), False),
        (Refusal(Cause.AUTH, 0.0, 403), False),
        (Refusal(Cause.QUOTA, 0.0, 402), False),
    ],
)
def test_only_a_guess_is_soft(refusal: Refusal, soft: bool) -> None:
    state = CredentialState("p#0")

    state.cool(Refusal(refusal.reason, 5.0, refusal.status, refusal.hint), 5.0, Random(1))

    assert state.soft is soft


def test_keys_are_used_in_turn() -> None:
    keys = pool(1, 1, 1)

    picked = [key[1].id for key in (keys.pick(0.0) for _ in range(6)) if key is not None]

    assert picked == ["p#0", "p#1", "p#2"] * 2


def test_a_heavier_key_is_used_in_proportion() -> None:
    keys = pool(1, 3)

    picked = Counter(key[1].id for key in (keys.pick(0.0) for _ in range(400)) if key is not None)

    assert picked == {"p#0": 100, "p#1": 300}


def test_a_resting_key_is_skipped_and_does_not_make_up_for_it() -> None:
    keys = pool(1, 1)
    keys.keys[0][1].until = 50.0
    for _ in range(100):
        key = keys.pick(10.0)
        assert key is not None
        assert key[1].id == "p#1"

    picked = Counter(key[1].id for key in (keys.pick(60.0) for _ in range(20)) if key is not None)

    assert abs(picked["p#0"] - picked["p#1"]) <= 2


def test_a_pool_at_rest_gives_nothing() -> None:
    keys = pool(1, 1)
    for _, state in keys.keys:
        state.until = 50.0

    assert keys.pick(10.0) is None
    assert not keys.ready(10.0)
    assert keys.ready(50.0)


def apart(*models: str) -> list[CredentialState]:
    account = Account("p#0", Secret("x"))
    return [account.state(model) for model in models]


def test_who_is_limited_was_let_in() -> None:
    one, other = apart("a", "b")
    rng = Random(1)
    one.cool(Refusal(Cause.AUTH, 9.0, 401), 10.0, rng)

    other.cool(limit(started=11.0, hint=2.0), 12.0, rng)

    assert (one.reason, other.reason) == (None, Cause.RATE_LIMIT)
    assert other.remaining(12.0) < 3.0


def test_a_limit_met_before_the_account_was_refused_changes_nothing_of_that() -> None:
    one, other = apart("a", "b")
    rng = Random(1)
    one.cool(Refusal(Cause.AUTH, 9.0, 401), 10.0, rng)

    other.cool(limit(started=9.0, hint=2.0), 10.5, rng)

    assert (other.reason, other.until) == (Cause.AUTH, one.until)


def test_the_later_end_of_two_rests_counts() -> None:
    one, other = apart("a", "b")
    rng = Random(1)
    one.cool(limit(started=9.0, hint=200.0), 190.0, rng)
    other.cool(Refusal(Cause.AUTH, 9.0, 401), 10.0, rng)

    assert (one.reason, one.until > 390.0) == (Cause.RATE_LIMIT, True)
    assert (other.reason, other.until) == (Cause.AUTH, 310.0)


def test_who_is_kept_out_by_its_room_is_not_picked() -> None:
    keys = pool(1, 1)

    picked = [keys.pick(0.0, [keys.keys[0][1].room]) for _ in range(3)]

    assert [key[1].id for key in picked if key is not None] == ["p#1"] * 3


# --- another order ---


def picked(pool: Pool, count: int, now: float = 0.0) -> list[str]:
    found = [pool.pick(now) for _ in range(count)]
    return [key[1].id for key in found if key is not None]


def a_pool(strategy: KeyStrategy, *weights: int) -> Pool:
    keys = [Credential(f"p#{index}", Secret("s"), one) for index, one in enumerate(weights)]
    return Pool(tuple((key, CredentialState(key.id)) for key in keys), strategy)


@pytest.mark.parametrize(
    ("strategy", "order"),
    [
        (KeyStrategy.LEAST_USED, ["p#0", "p#1", "p#2", "p#2", "p#2", "p#0"]),
        (KeyStrategy.ROUND_ROBIN, ["p#0", "p#1", "p#2", "p#0", "p#1", "p#2"]),
        (KeyStrategy.FAILOVER, ["p#0"] * 6),
    ],
)
def test_another_order_of_credentials(strategy: KeyStrategy, order: list[str]) -> None:
    assert picked(a_pool(strategy, 1, 1, 3), 6) == order


@pytest.mark.parametrize("strategy", [KeyStrategy.ROUND_ROBIN, KeyStrategy.FAILOVER])
def test_in_another_order_who_rests_is_passed_by_and_comes_back(strategy: KeyStrategy) -> None:
    pool = a_pool(strategy, 1, 1)
    pool.keys[0][1].until = 10.0

    assert picked(pool, 2, 5.0) == ["p#1", "p#1"]
    assert picked(pool, 1, 10.0) == ["p#0"]
    assert pool.pick(10.0, [one.room for _, one in pool.keys]) is None


def test_by_lot_the_weights_say_how_often() -> None:
    found = picked(a_pool(KeyStrategy.RANDOM, 1, 9), 2000)

    assert 1650 < found.count("p#1") < 1950  # 1800, and ten standard deviations
    assert {"p#0", "p#1"} == set(found)
