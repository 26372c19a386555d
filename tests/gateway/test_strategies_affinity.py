"""The same goes to the same place, as long as that is well, not overloaded and not slow."""

from __future__ import annotations

from collections import Counter
from math import ceil
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.model import Strategy
from proxy.gateway.hints import Hints
from proxy.gateway.strategies.fairness import FRESH
from tests.gateway.choices import NAMES, Choices, Settled, deployment

CALLERS = [Random(at).getrandbits(64) for at in range(400)]


def prompt(seed: int, length: int = 4096) -> Hints:
    return Hints(head=Random(seed).randbytes(length), sizes=(length // 4, 0))


def caller(at: int) -> Hints:
    return Hints(caller=CALLERS[at])


def places(one: Choices, requests: list[Hints]) -> list[str]:
    return [one.choose(each) for each in requests]


def credential(one: Choices, hints: Hints) -> str:
    candidate = one.begin(hints)
    one.plan().ended(candidate)
    assert candidate.credential is not None
    return candidate.credential.id


def test_a_caller_stays_where_it_is() -> None:
    one = Choices.of(Strategy.STICKY, "abcd")

    for at in range(50):
        assert len({one.choose(caller(at)) for _ in range(5)}) == 1


def test_callers_are_spread_by_weight() -> None:
    one = Choices.of(Strategy.STICKY, "abc", weights=(20, 10, 10))

    served = Counter(places(one, [caller(at) for at in range(399)]))

    assert 160 < served["a"] < 240
    assert all(70 < served[name] < 130 for name in "bc")


def test_a_caller_whose_deployment_is_out_goes_elsewhere_and_comes_back() -> None:
    one = Choices.of(Strategy.STICKY, "abc")
    requests = [caller(at) for at in range(100)]
    before = places(one, requests)
    one.open("b")
    meanwhile = places(one, requests)
    one.state("b").phase, one.state("b").until = 0, 0.0

    assert places(one, requests) == before
    assert {new for old, new in zip(before, meanwhile, strict=True) if old == "b"} == {"a", "c"}
    assert all(old == new for old, new in zip(before, meanwhile, strict=True) if old != "b")


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 6), st.integers(0, 5))
def test_one_that_comes_or_goes_moves_only_what_is_its_own(count: int, gone: int) -> None:
    names = NAMES[:count]
    lost = names[gone % count]
    for strategy, requests in (
        (Strategy.STICKY, [caller(at) for at in range(60)]),
        (Strategy.PREFIX, [prompt(at) for at in range(60)]),
    ):
        whole = places(Choices.of(strategy, names), requests)
        part = places(Choices.of(strategy, names.replace(lost, "")), requests)
        moved = [(old, new) for old, new in zip(whole, part, strict=True) if old != new]
        assert {old for old, _ in moved} <= {lost}


def test_another_order_of_the_configuration_moves_nothing() -> None:
    requests = [prompt(at) for at in range(50)]

    assert places(Choices.of(Strategy.PREFIX, "abcd"), requests) == places(
        Choices.of(Strategy.PREFIX, "dbca"), requests
    )


def test_twins_share() -> None:
    twins = deployment("a"), deployment("a")
    one = Choices(Strategy.STICKY, *twins)
    chosen = Counter(id(one.plan(caller(at)).first(one.now).slot) for at in range(40))

    assert len(chosen) == 2


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=5), st.integers(1, 80), st.booleans())
def test_nobody_has_much_more_than_its_part(
    weights: list[int], count: int, by_prompt: bool
) -> None:
    strategy = Strategy.PREFIX if by_prompt else Strategy.STICKY
    names = NAMES[: len(weights)]
    one = Choices.of(strategy, names, weights=tuple(weights))
    same = prompt(1) if by_prompt else caller(1)

    for placed in range(1, count + 1):
        one.begin(same)
        for name, weight in zip(names, weights, strict=True):
            part = ceil(1.25 * placed * weight / sum(weights))
            assert one.state(name).inflight <= max(part, 4)


def test_a_few_at_once_are_no_load() -> None:
    one = Choices.of(Strategy.PREFIX, "abcd")
    same = prompt(1)

    assert len({one.begin(same).deployment.id for _ in range(4)}) == 1


def test_prompts_that_begin_alike_stay_together_while_a_conversation_grows() -> None:
    one = Choices.of(Strategy.PREFIX, "abcd")
    text = Random(3).randbytes(40_000)

    turns = [Hints(head=text[:length]) for length in (1024, 1500, 5000, 20_000, 40_000)]

    assert len(set(places(one, turns))) == 1


def test_a_prompt_too_short_for_a_cache_goes_where_there_is_least_to_do() -> None:
    one = Choices.of(Strategy.PREFIX, "ab")

    ids = [one.begin(Hints(head=b"short")).deployment.id for _ in range(10)]

    assert Counter(ids) == {"m/a": 5, "m/b": 5}


def test_what_there_is_no_room_for_stays_together_by_what_it_has_more_in_common() -> None:
    one = Choices.of(Strategy.PREFIX, "abcd")
    system = Random(4).randbytes(1024)
    talks = [Hints(head=system + Random(100 + at).randbytes(3072)) for at in range(12)]
    favourite = one.choose(talks[0])
    assert set(places(one, talks)) == {favourite}
    one.state(favourite).inflight = 100

    spilt = places(one, talks)

    assert favourite not in spilt
    assert len(set(spilt)) > 1
    assert places(one, talks) == spilt


def test_a_prompt_stays_with_one_credential() -> None:
    one = Choices(Strategy.PREFIX, deployment("a", keys=3))

    used = [{credential(one, prompt(at)) for _ in range(4)} for at in range(30)]

    assert all(len(each) == 1 for each in used)
    assert set.union(*used) == {"a#0", "a#1", "a#2"}


def test_a_credential_that_rests_is_stepped_over() -> None:
    one = Choices(Strategy.PREFIX, deployment("a", keys=2), deployment("b", keys=2))
    same = prompt(5)
    first = credential(one, same)
    one.live.accounts[first].state("up").until = one.now + 10.0

    assert credential(one, same) != first
    one.now += 11.0
    assert credential(one, same) == first


def test_one_that_is_slower_than_its_cache_saves_is_left_for_another() -> None:
    one = Choices.of(Strategy.PREFIX, "ab")
    requests = [prompt(at) for at in range(40)]
    one.seen({"a": 0.4, "b": 0.4})
    before = places(one, requests)
    assert set(before) == {"a", "b"}

    one.seen({"a": 0.45}, times=200)
    assert places(one, requests) == before  # that is noise
    one.seen({"a": 2.0}, times=2000)
    for name in "ab":
        one.state(name).last_used = one.now
    assert set(places(one, requests)) == {"b"}


def test_what_leaves_a_slow_one_goes_to_one_place() -> None:
    one = Choices.of(Strategy.PREFIX, "abcd")
    requests = [prompt(at) for at in range(60) if one.choose(prompt(at)) == "a"]
    one.seen({"a": 3.0, "b": 0.3, "c": 0.3, "d": 0.3})
    one.state("a").last_used = one.now

    spilt = places(one, requests)

    assert set(spilt) == set("bcd")
    assert places(one, requests) == spilt


def test_a_cache_that_saves_much_is_worth_waiting_for() -> None:
    one = Choices.of(Strategy.PREFIX, "ab")
    same = Hints(head=Random(1).randbytes(4096), sizes=(30_000, 0))
    favourite = one.choose(same)
    other = "ab".replace(favourite, "")
    for at in range(20):  # a token that is not cached takes 0.1 ms, and nearly all are
        for name, slower in ((favourite, 8.0), (other, 1.0)):
            fresh = 500 * (at % 3)
            one.pace(name).used(one.now, fresh, 30_000 - fresh, 10, slower * (0.3 + fresh * 1e-4))
    one.seen({favourite: 2.4, other: 0.3})

    # The other would have 30,000 tokens to read: 3 s, as it reads; how slowly the favourite reads has nothing to do with it.
    assert one.choose(same) == favourite
    one.seen({favourite: 5.0}, times=500)
    assert one.choose(same) == other


def test_one_that_was_left_is_asked_again_now_and_then() -> None:
    one = Choices.of(Strategy.PREFIX, "ab", rng=Random(2))
    same = prompt(1)
    favourite = one.choose(same)
    other = "ab".replace(favourite, "")
    one.seen({favourite: 3.0, other: 0.3})
    one.rng = Settled(1)
    assert {one.choose(same) for _ in range(20)} == {other}
    one.rng = Random(2)
    asked: Counter[str] = Counter()
    for _ in range(400):
        one.now += FRESH / 2
        one.seen({favourite: 3.0, other: 0.3}, times=1)
        asked[one.choose(same)] += 1

    assert 5 < asked[favourite] < 40
