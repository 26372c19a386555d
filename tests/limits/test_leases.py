"""Words with a server of shared limits: who has one, and what becomes of its answer."""

from __future__ import annotations

import pytest

from proxy.core.clock import Hands
from proxy.core.model import Budget, Limits
from proxy.limits.accounts import Accounts, Ask, Refused, Share, Used
from proxy.limits.leases import Grant, Lease
from tests.limits.host import of

ALL = of(Limits(rpm=60, tpm=600, concurrency=5, budget=Budget(1.0, "total")))


@pytest.fixture
def accounts(hands: Hands) -> Accounts:
    accounts = Accounts.memory()
    accounts.use_shares(True)
    return accounts


def lease(accounts: Accounts) -> Lease:
    found = accounts.lease(ALL, 0.2)
    assert found is not None
    return found


def test_nobody_else_has_a_word_until_it_is_over(accounts: Accounts, hands: Hands) -> None:
    first = lease(accounts)
    assert accounts.lease(ALL, 0.2) is None

    assert accounts.leased(ALL, first.number, [])

    assert lease(accounts).number > first.number


def test_a_word_of_one_who_died_is_given_up_and_its_answer_comes_too_late(
    accounts: Accounts, hands: Hands
) -> None:
    lost = lease(accounts)
    hands.advance(0.21)
    mine = lease(accounts)

    assert not accounts.leased(ALL, lost.number, [Grant("rpm", 5)])
    assert accounts.share(ALL) == Share()
    assert accounts.leased(ALL, mine.number, [Grant("rpm", 3), Grant("concurrency", 2, 2_000.0)])
    assert accounts.share(ALL) == Share(requests=3, slots=2)


def test_numbers_grow_though_the_clock_of_the_host_is_set_back(
    accounts: Accounts, hands: Hands
) -> None:
    first = lease(accounts)
    accounts.leased(ALL, first.number, [])
    hands.set_wall(1_000.0)
    second = lease(accounts)
    assert second.number == first.number + 1

    accounts.overtaken(ALL, first.number + 1_000)

    assert lease(accounts).number == first.number + 1_001


def test_what_is_held_is_read_at_once(accounts: Accounts, hands: Hands) -> None:
    for what, amount in (("rpm", 4), ("tpm", 300), ("concurrency", 2), ("budget", 1_000)):
        accounts.grant(ALL, what, amount, 2_000.0)  # type: ignore[arg-type]
    accounts.settle(accounts.admit([ALL], Ask(tokens=100, likely=200)), Used(100, 300))
    accounts.admit([ALL], Ask(tokens=100, likely=200))

    found = lease(accounts)

    assert (found.inflight, found.reserved, found.spent) == (1, 200, 300)
    assert found.left == Share(requests=2, tokens=100, slots=2, micro=700)
    assert found.owed == Share()


def test_what_is_owed_is_taken_out_for_the_server_to_be_told(
    accounts: Accounts, hands: Hands
) -> None:
    accounts.grant(ALL, "rpm", 1, 2_000.0)
    accounts.grant(ALL, "tpm", 100, 2_000.0)
    accounts.grant(ALL, "concurrency", 1, 2_000.0)
    accounts.grant(ALL, "budget", 1_000, 2_000.0)
    accounts.settle(accounts.admit([ALL], Ask(tokens=100)), Used(250))

    found = lease(accounts)

    assert found.owed == Share(tokens=150)
    assert accounts.share(ALL).tokens == 0
    # It was not told after all.
    accounts.leased(ALL, found.number, [Grant("tpm", -150, 2_000.0)])
    assert accounts.share(ALL).tokens == -150


def test_what_was_taken_while_blind_is_owed(accounts: Accounts, hands: Hands) -> None:
    accounts.go_blind(0.6)
    hands.advance(60.0)
    for _ in range(3):
        accounts.admit([ALL], Ask(tokens=20))
    accounts.use_shares(True)

    found = lease(accounts)

    assert found.owed == Share(requests=3, tokens=60)
    assert found.inflight == 3


def test_who_goes_blind_begins_with_a_slice(accounts: Accounts, hands: Hands) -> None:
    one = of(Limits(tpm=6_000))
    accounts.go_blind(0.5)

    # Three seconds of half the rate.
    for _ in range(15):
        accounts.admit([one], Ask(tokens=10))
    with pytest.raises(Refused, match="tpm"):
        accounts.admit([one], Ask(tokens=10))
