"""What a worker does with what it has leased."""

from __future__ import annotations

import pytest

from proxy.core.clock import Hands
from proxy.core.model import Budget, Limits
from proxy.limits import tending
from proxy.limits.accounts import Accounts, Ask, Share, Used
from proxy.limits.lending import Want
from proxy.limits.tending import ALL, FORGET, IDLE, OVER, SAYS, Known, Spare, look, take_back
from tests.limits.host import of

FAR = 9_000.0


@pytest.fixture
def accounts(hands: Hands) -> Accounts:
    accounts = Accounts.memory()
    accounts.use_shares(True)
    return accounts


def met(accounts: Accounts, limits: Limits) -> Known:
    """One that was just spoken of."""
    known = Known(of(limits), 1_000.0, 1_000.0, 1_000.0)
    known.share = accounts.share(known.subject)
    return known


def test_slots_in_use_are_told_of_again_and_again(accounts: Accounts, hands: Hands) -> None:
    known = met(accounts, Limits(concurrency=40))
    accounts.grant(known.subject, "concurrency", 3, FAR)
    accounts.admit([known.subject], Ask())
    assert look(accounts, known, 1_000.0) is None

    # It may keep one slice beside what is in use.
    assert look(accounts, known, 1_000.1 + SAYS) == Spare(True, 2, True)
    known.pressed = True
    assert look(accounts, known, 1_000.1 + SAYS) == Spare(True, 0, False)
    # Long after the last request came, as long as one is under way.
    assert look(accounts, known, 1_000.0 + 10 * FORGET) is ALL


def test_one_that_has_nothing_is_forgotten_after_a_while(accounts: Accounts, hands: Hands) -> None:
    known = met(accounts, Limits(rpm=60))
    assert look(accounts, known, 1_000.0 + FORGET) is None
    assert look(accounts, known, 1_000.1 + FORGET) is OVER


def test_one_with_a_request_under_way_is_not_forgotten(accounts: Accounts, hands: Hands) -> None:
    known = met(accounts, Limits(budget=Budget(1.0, "total", strict=True)))
    accounts.grant(known.subject, "budget", 100, FAR)
    hold = accounts.admit([known.subject], Ask(worst=100))
    accounts.give_back(known.subject, "budget", 100)
    assert look(accounts, known, 1_010.0 + FORGET) is not OVER
    accounts.settle(hold, Used())


def test_what_a_busy_rate_needs_is_leased_ahead(accounts: Accounts, hands: Hands) -> None:
    known = met(accounts, Limits(rpm=600))
    assert look(accounts, known, 1_000.5) == Spare(True, -1, True)
    accounts.grant(known.subject, "rpm", 30, FAR)
    assert look(accounts, known, 1_000.5) is None
    hands.advance(2.0)
    assert look(accounts, known, 1_000.5) is not None, "it is gone by itself"
    # Nobody has had to wait for two seconds.
    assert look(accounts, known, 1_000.0 + tending.FILLS) is None


def test_a_refused_rate_is_not_asked_for_at_once(accounts: Accounts, hands: Hands) -> None:
    known = met(accounts, Limits(rpm=600))
    known.hear({"rpm": 0.5}, {"rpm": Want(1, 1)}, 1_000.0)
    assert look(accounts, known, 1_000.4) is None
    assert look(accounts, known, 1_000.6) is not None


def test_money_nobody_uses_goes_back(accounts: Accounts, hands: Hands) -> None:
    known = met(accounts, Limits(budget=Budget(1.0, "total", strict=True)))
    accounts.grant(known.subject, "budget", 500, FAR)
    accounts.admit([known.subject], Ask(worst=200))
    assert look(accounts, known, 1_000.0) is None
    assert look(accounts, known, 1_000.1 + IDLE) is ALL
    lease = accounts.lease(known.subject, 0.2)
    assert lease is not None

    assert take_back(accounts, known.subject, lease, ALL) == Share(micro=300)
    assert accounts.share(known.subject).micro == 200


def test_a_server_that_may_have_forgotten_is_told_what_was_spent(
    accounts: Accounts, hands: Hands
) -> None:
    known = met(accounts, Limits(budget=Budget(1.0, "total")))
    assert look(accounts, known, 1_000.5) is None
    known.spoken = 0.0
    assert look(accounts, known, 1_000.5) is not None


def test_how_long_a_refusal_is_believed(hands: Hands) -> None:
    known = Known(of(Limits(rpm=60)))
    known.hear({"rpm": 30.0, "concurrency": 0.0}, {"rpm": Want(1, 1)}, 1_000.0)
    assert known.refusals["rpm"].until == 1_001.0
    assert known.refusals["rpm"].wait(1_000.5) == 29.5
    assert known.refusals["concurrency"].wait(1_000.0) == 0.0

    known.hear({}, {"rpm": Want(1, 1)}, 1_002.0)

    assert "rpm" not in known.refusals
