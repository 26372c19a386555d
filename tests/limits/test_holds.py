"""What a hold says of rates."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.clock import Hands
from proxy.core.model import Budget, Limits
from proxy.limits.accounts import Accounts, Ask, Refused, Standing, Used
from proxy.limits.subjects import Subject, subject


def limited(name: str, **limits: Any) -> Subject:
    made = subject("key", name, name, Limits(**limits))
    assert made is not None
    return made


def test_what_is_left_of_a_rate(hands: Hands) -> None:
    accounts, one = Accounts.memory(), limited("a", rpm=60, burst=3, tpm=600)

    first = accounts.admit((one,), Ask(tokens=100))
    second = accounts.admit((one,), Ask(tokens=100))

    assert first.standings()[0] == Standing(60, 2, 1.0)
    assert first.standings()[1] == Standing(600, 500, 10.0)
    assert second.standings()[0] == Standing(60, 1, 2.0)
    assert second.standings()[1] == Standing(600, 400, 20.0)
    hands.advance(1.0)
    assert second.standings()[0] == Standing(60, 1, 2.0), "as it was then"


def test_without_a_rate_there_is_nothing_to_say(hands: Hands) -> None:
    accounts = Accounts.memory()

    hold = accounts.admit((limited("a", concurrency=5),), Ask(tokens=5))

    assert hold.standings()[0] is None
    assert hold.standings()[1] is None
    assert accounts.admit((), Ask()).standings()[0] is None


def test_the_tightest_of_those_admitted_first_is_shown(hands: Hands) -> None:
    accounts = Accounts.memory()
    wide, tight = limited("a", rpm=600, burst=50), limited("b", rpm=60, burst=5)

    hold = accounts.admit((wide, tight), Ask())
    accounts.add(hold, (limited("c", rpm=1, burst=1),), Ask())

    assert hold.standings()[0] == Standing(60, 4, 1.0)


def test_a_refusal_says_what_is_left(hands: Hands) -> None:
    accounts, one = Accounts.memory(), limited("a", rpm=60, burst=1)
    accounts.admit((one,), Ask())

    with pytest.raises(Refused) as refused:
        accounts.admit((one,), Ask())

    assert refused.value.standing == Standing(60, 0, 1.0)


def test_charges_follow_what_is_held(hands: Hands) -> None:
    accounts = Accounts.memory()
    key = limited("a", budget=Budget(1.0, "total"))
    deployment = limited("b", budget=Budget(1.0, "day"))

    hold = accounts.admit((key,), Ask(likely=5))
    assert [charge.subject for charge in hold.charges] == ["key:a"]
    accounts.add(hold, (deployment,), Ask(likely=5))
    assert [charge.subject for charge in hold.charges] == ["key:a", "key:b"]
    accounts.drop(hold, (deployment,))
    assert [charge.subject for charge in hold.charges] == ["key:a"]

    assert accounts.admit((limited("c", rpm=5),), Ask()).charges == ()
    accounts.settle(hold, Used())
