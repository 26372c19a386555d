"""Drawing on what is leased to a host of a limit that several hold together."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.clock import Hands
from proxy.core.model import Budget, Limits, Quota
from proxy.limits.accounts import Accounts, Ask, Refused, Share, Short, Used
from proxy.limits.subjects import Subject, subject

UNTIL = 2_000.0
PLAIN = Ask()


def limited(name: str = "a", *, quota: Quota | None = None, **limits: Any) -> Subject:
    made = subject("key", name, name, Limits(**limits), quota)
    assert made is not None
    return made


ALL = limited(rpm=60, burst=1, tpm=600, concurrency=1, budget=Budget(1.0, "total"))


@pytest.fixture
def accounts(hands: Hands) -> Accounts:
    accounts = Accounts.memory()
    accounts.use_shares(True)
    return accounts


def short(accounts: Accounts, one: Subject, ask: Ask = PLAIN) -> tuple[str, int]:
    with pytest.raises(Short) as found:
        accounts.admit((one,), ask)
    return found.value.what, found.value.amount


def test_each_limit_is_drawn_from_its_share(accounts: Accounts) -> None:
    ask = Ask(tokens=50, likely=300)
    for what, amount, missing in (
        ("concurrency", 3, 1),
        ("budget", 1000, 1),
        ("rpm", 4, 1),
        ("tpm", 120, 50),
    ):
        assert short(accounts, ALL, ask) == (what, missing)
        assert accounts.view(ALL).inflight == 0
        accounts.grant(ALL, what, amount, UNTIL)  # type: ignore[arg-type]

    accounts.admit((ALL,), ask)

    assert accounts.share(ALL) == Share(requests=3, tokens=70, slots=3, micro=1000)
    assert accounts.view(ALL).reserved == 300


def test_what_was_used_is_taken_and_the_rest_given_back(accounts: Accounts) -> None:
    for what, amount in (("concurrency", 3), ("budget", 1000), ("rpm", 4), ("tpm", 120)):
        accounts.grant(ALL, what, amount, UNTIL)  # type: ignore[arg-type]
    hold, other = (accounts.admit((ALL,), Ask(tokens=50, likely=300)) for _ in range(2))

    accounts.settle(hold, Used(tokens=90, micro=200))
    assert accounts.share(ALL) == Share(requests=2, tokens=-20, slots=3, micro=800)
    accounts.settle(other, Used(requests=0))

    assert accounts.share(ALL) == Share(requests=3, tokens=30, slots=3, micro=800)


def test_slots_are_those_in_use_on_this_host(accounts: Accounts) -> None:
    one = limited(concurrency=100)
    accounts.grant(one, "concurrency", 2, UNTIL)
    holds = [accounts.admit((one,), Ask()) for _ in range(2)]
    assert short(accounts, one) == ("concurrency", 1)

    accounts.settle(holds[0], Used())

    accounts.admit((one,), Ask())


def test_a_share_that_has_ended_is_empty(accounts: Accounts, hands: Hands) -> None:
    one = limited(rpm=60)
    accounts.grant(one, "rpm", 5, 1_010.0)
    held = accounts.admit((one,), Ask())
    hands.advance(10.0)
    assert short(accounts, one) == ("rpm", 1)
    assert accounts.share(one) == Share()

    accounts.settle(held, Used(requests=0))
    accounts.grant(one, "rpm", 2, UNTIL)

    assert accounts.share(one).requests == 2, "what is left of another lease does not come back"


def test_grants_add_up_to_the_later_end(accounts: Accounts, hands: Hands) -> None:
    one = limited(concurrency=100)
    accounts.grant(one, "concurrency", 5, 1_010.0)
    accounts.grant(one, "concurrency", 5, 1_005.0)
    accounts.grant(one, "concurrency", 0, 1_020.0)

    hands.advance(19.0)

    assert accounts.share(one).slots == 10


def test_what_is_not_used_of_a_rate_is_gone_when_it_is_there_again_for_all(
    accounts: Accounts, hands: Hands
) -> None:
    one = limited(rpm=600, tpm=6_000)
    accounts.grant(one, "rpm", 30, UNTIL)
    accounts.grant(one, "tpm", 1_000, UNTIL)
    hold = accounts.admit((one,), Ask(tokens=1_000))
    hands.advance(1.1)
    assert accounts.share(one).requests == 20
    hands.advance(1.0)
    assert accounts.share(one).requests == 10

    # Of an estimate that was too high the same is given back.
    accounts.settle(hold, Used(tokens=100))
    assert accounts.share(one).tokens == 800
    accounts.grant(one, "rpm", 30, UNTIL)
    assert accounts.share(one).requests == 40

    hands.advance(10.0)
    assert accounts.share(one) == Share()


def test_a_strict_budget_needs_the_worst(accounts: Accounts) -> None:
    one = limited(budget=Budget(1.0, "total", strict=True))
    accounts.grant(one, "budget", 1000, UNTIL)
    ask = Ask(likely=10, worst=700)
    hold = accounts.admit((one,), ask)
    assert short(accounts, one, ask) == ("budget", 400)

    accounts.settle(hold, Used(micro=100))

    accounts.admit((one,), ask)
    assert accounts.share(one).micro == 900


def test_any_other_budget_needs_something(accounts: Accounts) -> None:
    one = limited(budget=Budget(1.0, "total"))
    accounts.grant(one, "budget", 1000, UNTIL)

    accounts.admit((one,), Ask(likely=700))
    accounts.admit((one,), Ask(likely=700))

    assert accounts.view(one).reserved == 1000
    assert short(accounts, one, Ask(likely=700)) == ("budget", 1)
    accounts.admit((one,), Ask())


def test_only_what_nobody_uses_is_given_back(accounts: Accounts) -> None:
    for what, amount in (("concurrency", 3), ("budget", 1000), ("rpm", 4), ("tpm", 120)):
        accounts.grant(ALL, what, amount, UNTIL)  # type: ignore[arg-type]
    accounts.admit((ALL,), Ask(tokens=50, likely=300))

    assert accounts.give_back(ALL, "concurrency", 99) == 2
    assert accounts.give_back(ALL, "budget", 99) == 99
    assert accounts.give_back(ALL, "budget", 9999) == 601
    assert accounts.give_back(ALL, "rpm", 99) == 3
    assert accounts.give_back(ALL, "tpm", 99) == 70
    assert accounts.give_back(ALL, "tpm", 99) == 0

    assert accounts.share(ALL) == Share(requests=0, tokens=0, slots=1, micro=300)


def test_all_or_nothing_with_shares_too(accounts: Accounts) -> None:
    first, second = limited("a", rpm=60), limited("b", rpm=60)
    accounts.grant(first, "rpm", 5, UNTIL)

    with pytest.raises(Short) as found:
        accounts.admit((first, second), Ask())

    assert found.value.subject is second
    assert accounts.share(first).requests == 5
    assert accounts.view(first).inflight == 0


def test_quotas_are_counted_as_ever(accounts: Accounts) -> None:
    one = limited(quota=Quota(requests=1))

    accounts.admit((one,), Ask())

    with pytest.raises(Refused, match="quota_requests"):
        accounts.admit((one,), Ask())


def test_a_hold_of_before_ends_as_it_began(accounts: Accounts, hands: Hands) -> None:
    one = limited(rpm=60, burst=1)
    accounts.grant(one, "rpm", 5, UNTIL)
    drawn = accounts.admit((one,), Ask())
    accounts.use_shares(False)
    own = accounts.admit((one,), Ask())
    accounts.use_shares(True)

    accounts.settle(drawn, Used(requests=0))
    accounts.settle(own, Used(requests=0))

    assert accounts.share(one).requests == 5
    accounts.use_shares(False)
    accounts.admit((one,), Ask())


def test_blind_a_host_allows_itself_a_part_of_each_rate(accounts: Accounts, hands: Hands) -> None:
    one = limited(rpm=60, burst=1, tpm=600)
    accounts.go_blind(0.5)
    hands.advance(60.0)

    accounts.admit((one,), Ask(tokens=300))
    with pytest.raises(Refused) as refused:
        accounts.admit((one,), Ask(tokens=300))

    assert refused.value.wait == pytest.approx(60.0, abs=1e-3)
    hands.advance(60.0)
    accounts.settle(accounts.admit((one,), Ask(tokens=0)), Used())
    with pytest.raises(Refused) as refused:
        accounts.admit((one,), Ask())
    assert refused.value.wait == pytest.approx(2.0, abs=1e-3)


def test_blind_nothing_of_a_strict_budget_is_spent(accounts: Accounts) -> None:
    strict = limited("a", budget=Budget(1.0, "total", strict=True))
    soft = limited("b", budget=Budget(1.0, "total"), concurrency=1)
    accounts.go_blind(1.2)

    accounts.admit((soft,), Ask(likely=5))
    with pytest.raises(Refused, match="blind"):
        accounts.admit((strict,), Ask(worst=5))

    accounts.use_shares(False)
    accounts.admit((strict,), Ask(worst=5))


def test_what_is_not_shared_cannot_be_granted(accounts: Accounts) -> None:
    with pytest.raises(KeyError):
        accounts.grant(ALL, "quota_requests", 1, UNTIL)
