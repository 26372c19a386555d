"""All or nothing, once and for all; and what others than the worker itself do to accounts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from proxy.core.clock import Hands
from proxy.core.model import Budget, Limits, Quota
from proxy.limits.accounts import Accounts, Ask, Charge, Refused, Used, View, column_of
from proxy.limits.subjects import Subject, subject

DAY = 86_400


def limited(name: str = "a", *, quota: Quota | None = None, **limits: Any) -> Subject:
    made = subject("key", name, name, Limits(**limits), quota)
    assert made is not None
    return made


KEY = limited(
    "key", rpm=60, burst=5, tpm=6000, concurrency=5, budget=Budget(1.0, "day"), quota=Quota(9)
)
TEAM = limited("team", rpm=60, burst=4, concurrency=4, budget=Budget(1.0, "month"))
DEPLOYMENT = limited("deployment", rpm=60, burst=2, quota=Quota(requests=100, tokens=10_000))
ASK = Ask(tokens=100, likely=1000, worst=5000)


@pytest.fixture
def accounts(hands: Hands) -> Accounts:
    return Accounts.memory()


def state(accounts: Accounts, *subjects: Subject) -> list[Any]:
    """Everything that is kept of them, word by word."""
    table = accounts._table
    slots = [table.find(one.digest) for one in subjects]
    return [table.words[slot : slot + table.slot].tolist() if slot >= 0 else [] for slot in slots]


def started(name: str = "a", **fields: Any) -> tuple[Subject, Charge]:
    one = limited(name, **fields)
    return one, Accounts.memory().admit((one,), Ask()).charges[0]


# --- all or nothing ------------------------------------------------------------------------------------------------


def test_without_subjects_nothing_is_held(accounts: Accounts) -> None:
    hold = accounts.admit((), ASK)
    accounts.settle(hold, Used())

    assert hold.parts == []
    assert hold.charges == ()


def test_a_refusal_by_the_last_leaves_nothing_of_the_others(accounts: Accounts) -> None:
    full = limited("full", concurrency=1)
    accounts.admit((full,), ASK)
    accounts.settle(accounts.admit((KEY, TEAM), ASK), Used(100, 1000))
    before = state(accounts, KEY, TEAM, full)

    with pytest.raises(Refused, match="concurrency") as refused:
        accounts.admit((KEY, TEAM, full), ASK)

    assert refused.value.subject is full
    after = state(accounts, KEY, TEAM, full)
    assert after == before


@pytest.mark.parametrize("first", [(KEY,), (KEY, TEAM)])
def test_a_failure_at_the_last_leaves_nothing_of_the_others(
    accounts: Accounts, first: tuple[Subject, ...]
) -> None:
    """A reservation that no word has room for: whatever goes wrong, nobody keeps what is never settled."""
    broken = limited("broken", budget=Budget(1e14, "total"))
    ask = Ask(tokens=100, likely=1 << 63)
    accounts.settle(accounts.admit(first, ask), Used(100, 1000))
    before = state(accounts, *first)

    with pytest.raises(ValueError, match="format 'q'"):
        accounts.admit((*first, broken), ask)

    assert state(accounts, *first) == before


def test_a_refused_deployment_leaves_the_hold_as_it_was(accounts: Accounts) -> None:
    full = limited("full", concurrency=1)
    accounts.admit((full,), ASK)
    hold = accounts.admit((KEY,), ASK)
    parts, charges, before = list(hold.parts), hold.charges, state(accounts, KEY, full)

    with pytest.raises(Refused):
        accounts.add(hold, (DEPLOYMENT, full), ASK)

    assert (hold.parts, hold.charges, state(accounts, KEY, full)) == (parts, charges, before)
    accounts.settle(hold, Used(100, 1000))
    assert accounts.view(DEPLOYMENT) == View(
        0, 0, 0, 0, 0, 0, accounts.view(DEPLOYMENT).quota_window
    )


def test_settling_twice_does_no_harm(accounts: Accounts) -> None:
    hold, other = accounts.admit((KEY, TEAM), ASK), accounts.admit((KEY, TEAM), ASK)

    accounts.settle(hold, Used(100, 700))
    accounts.settle(hold, Used(100, 700))
    accounts.drop(hold, (KEY,))

    view = accounts.view(KEY)
    assert (view.inflight, view.reserved, view.spent) == (1, 1000, 700)
    accounts.settle(other, Used(100, 700))
    assert accounts.view(TEAM).spent == 1400


def test_every_subject_is_charged(accounts: Accounts) -> None:
    hold = accounts.admit((KEY, TEAM), ASK)
    accounts.add(hold, (DEPLOYMENT,), ASK)
    assert accounts.view(DEPLOYMENT).inflight == 1

    accounts.settle(hold, Used(250, 700))

    assert accounts.view(KEY).spent == accounts.view(TEAM).spent == 700
    assert accounts.view(DEPLOYMENT).quota_tokens == 250
    assert accounts.view(DEPLOYMENT).quota_requests == 1


# --- a deployment that did nothing ---------------------------------------------------------------------------------


def test_a_dropped_deployment_has_everything_back(accounts: Accounts) -> None:
    hold = accounts.admit((KEY,), ASK)
    for _ in range(10):  # its burst is two
        accounts.add(hold, (DEPLOYMENT,), ASK)
        accounts.drop(hold, (DEPLOYMENT,))

    accounts.settle(hold, Used(100, 1000))

    assert accounts.view(DEPLOYMENT).quota_requests == 0
    assert accounts.view(DEPLOYMENT).quota_tokens == 0
    assert accounts.view(KEY).spent == 1000


def test_a_deployment_that_was_sent_to_keeps_the_request(accounts: Accounts) -> None:
    hold = accounts.admit((KEY,), ASK)
    for _ in range(2):
        accounts.add(hold, (DEPLOYMENT,), ASK)
        charges = accounts.drop(hold, (DEPLOYMENT,), requests=1)
        assert [charge.subject for charge in charges] == [DEPLOYMENT.id]

    with pytest.raises(Refused, match="rpm"):
        accounts.add(hold, (DEPLOYMENT,), ASK)
    view = accounts.view(DEPLOYMENT)
    assert (view.inflight, view.quota_requests, view.quota_tokens) == (0, 2, 0)


# --- the dead ------------------------------------------------------------------------------------------------------


def test_what_a_dead_worker_could_not_book_is_booked(accounts: Accounts) -> None:
    hold = accounts.admit((KEY, TEAM), ASK)

    accounts.clear(0)
    accounts.charge(hold.charges, Used(50, 600))

    view = accounts.view(KEY)
    assert (view.inflight, view.reserved, view.spent, view.quota_requests) == (0, 0, 600, 1)
    assert accounts.view(TEAM).spent == 600


def test_what_is_cleared_is_not_given_back_again(accounts: Accounts) -> None:
    hold = accounts.admit((KEY,), ASK)
    assert accounts.clear(0) == 1

    accounts.settle(hold, Used())
    assert (accounts.view(KEY).inflight, accounts.view(KEY).reserved) == (0, 0)


def test_a_charge_of_a_window_that_is_over_is_not_kept(accounts: Accounts, hands: Hands) -> None:
    charges = accounts.admit((KEY,), ASK).charges
    hands.advance(2 * DAY)
    accounts.admit((KEY,), ASK)
    accounts.charge((Charge("key:new", 5, 10),), Used(1, 1))

    accounts.charge(charges, Used(50, 600))

    assert accounts.view(KEY).spent == 0
    assert accounts._table.find(limited("new", rpm=1).digest) == -1


# --- what the database knows ---------------------------------------------------------------------------------------


@pytest.fixture
def new(tmp_path: Path, hands: Hands) -> Accounts:
    return Accounts.open(tmp_path / "limits.shm", 0, 2)


def test_a_strict_budget_waits_until_it_is_known_what_was_spent(new: Accounts) -> None:
    strict = limited("strict", budget=Budget(1.0, "day", strict=True))
    with pytest.raises(Refused, match="blind") as refused:
        new.admit((strict,), ASK)
    assert refused.value.wait == 0.0
    new.admit((KEY,), ASK)

    new.learned()

    assert new.known
    new.admit((strict,), ASK)


def test_what_was_spent_before_and_elsewhere_counts(new: Accounts, hands: Hands) -> None:
    one, charge = started(budget=Budget(1.0, "day"), quota=Quota(10, 1000))

    new.learn(charge, Used(100, 400_000, 3), Used(200, 500_000, 4))
    new.learned()

    view = new.view(one)
    assert (view.spent, view.quota_requests, view.quota_tokens) == (900_000, 7, 300)
    holds = [new.admit((one,), Ask(likely=99_000))]
    with pytest.raises(Refused, match="budget"):
        holds += [new.admit((one,), Ask(likely=99_000)) for _ in range(3)]


def test_learning_takes_the_place_of_what_was_known_of_others(new: Accounts) -> None:
    one, charge = started(budget=Budget(1.0, "day"))
    new.settle(new.admit((one,), ASK), Used(micro=5))

    for elsewhere in (100, 300, 200):
        new.learn(charge, Used(micro=1000), Used(micro=elsewhere))
    assert new.view(one).spent == 1205
    new.learned()
    new.learn(charge, Used(micro=9999), Used(micro=50))
    new.learn(charge, None, Used(micro=70))

    assert new.view(one).spent == 1075, "of itself a host that knows is told nothing"


def test_a_window_that_is_over_is_not_learned(new: Accounts, hands: Hands) -> None:
    one, charge = started(budget=Budget(1.0, "day"))
    hands.advance(2 * DAY)

    new.learn(charge, Used(micro=5), Used(micro=5))

    assert new._table.find(one.digest) == -1


PERIODS: tuple[Literal["total", "month", "week", "day"], ...] = ("total", "month", "week", "day")
"""In the order in which they begin, and in which the database tells them."""


def moved(accounts: Accounts) -> dict[str, Charge]:
    """The windows of a budget that had each of these periods in turn: one more than there is room for."""
    charges: dict[str, Charge] = {}
    for period in PERIODS:
        hold = accounts.admit((limited(budget=Budget(1.0, period)),), ASK)
        accounts.settle(hold, Used(micro=100))
        charges[period] = hold.charges[0]
    return charges


def test_what_others_used_of_windows_that_are_left_behind_takes_no_place(
    accounts: Accounts,
) -> None:
    charges, one = moved(accounts), limited(budget=Budget(1.0, "day"))
    for said in (10, 20):
        for charge in charges.values():
            accounts.learn(charge, None, Used(micro=said))
        accounts.settle(accounts.admit((one,), ASK), Used(micro=100))

    assert accounts.view(one).spent == 3 * 100 + 20
    assert accounts.view(limited(budget=Budget(1.0, "total"))).spent == 100 + 20


@pytest.mark.parametrize("position", [0, 1_000])
def test_nor_does_what_a_dead_worker_could_not_book(accounts: Accounts, position: int) -> None:
    charges = moved(accounts)
    subjects = {period: limited(budget=Budget(1.0, period)) for period in PERIODS}
    before = {period: accounts.view(one).spent for period, one in subjects.items()}
    (left,) = (period for period, spent in before.items() if not spent)

    accounts.charge((charges[left],), Used(micro=5), None, 0, position)

    assert {period: accounts.view(one).spent for period, one in subjects.items()} == before


def test_nor_that_of_a_window_whose_requests_are_all_under_way(accounts: Accounts) -> None:
    charges, one = moved(Accounts.memory()), limited(budget=Budget(1.0, "day"))
    for period in PERIODS[:3]:
        accounts.learn(charges[period], None, Used(micro=10))
    hold = accounts.admit((one,), ASK)

    for period in PERIODS[:3]:
        accounts.learn(charges[period], None, Used(micro=10))
    accounts.settle(hold, Used(micro=100))

    assert accounts.view(one).spent == 100


@pytest.mark.parametrize("period", ["total", "week", "day"])
def test_of_windows_that_are_learned_the_one_counted_in_stays(new: Accounts, period: Any) -> None:
    charges, one = moved(Accounts.memory()), limited(budget=Budget(1.0, period))
    new.settle(new.admit((one,), ASK), Used(micro=5))

    for charge in charges.values():
        new.learn(charge, Used(micro=1000), Used(micro=10))
    new.learned()

    assert new.view(one).spent == 1015


@pytest.mark.parametrize("period", ["total", "month", "day"])
def test_of_windows_that_nobody_counted_in_the_latest_is_learned_too(
    new: Accounts, period: Any
) -> None:
    """What this host had counted of a window is told but once, and the latest is likely to be that of now."""
    for charge in moved(Accounts.memory()).values():
        new.learn(charge, Used(micro=1000), Used(micro=10))
    new.learned()

    assert new.view(limited(budget=Budget(1.0, period))).spent == 1010


def test_a_new_budget_does_not_take_the_window_of_the_quota(new: Accounts, hands: Hands) -> None:
    quota, wall = Quota(requests=9), 1_800_000_000
    new.settle(new.admit((limited(quota=quota),), Ask()), Used())
    for days in (10, 20):
        new.learn(Charge("key:a", wall - 5, wall + days * DAY), Used(requests=1), Used())
    both = limited(quota=quota, budget=Budget(1.0, "week"))

    new.settle(new.admit((both,), Ask()), Used(micro=7))

    assert (new.view(both).quota_requests, new.view(both).spent) == (2, 7)


def test_what_was_asked_in_vain_is_written_down_before_it_is_counted(accounts: Accounts) -> None:
    two = limited(budget=Budget(1.0, "month"), quota=Quota(9))
    hold = accounts.admit((two, DEPLOYMENT), ASK)
    seen: list[int] = []

    def book(charges: Sequence[Charge]) -> list[int]:
        seen.extend(accounts.view(one).quota_requests for one in (two, DEPLOYMENT))
        return [1_000 + 2 * number for number in range(len(charges))]

    charges = accounts.drop(hold, (two, DEPLOYMENT), 1, book)

    assert seen == [0, 0]
    assert len(charges) == 3
    for number, charge in enumerate(charges):
        accounts.charge((charge,), Used(1, 7), None, 0, 1_000 + 2 * number)
    for one in (two, DEPLOYMENT):
        view = accounts.view(one)
        assert (view.quota_requests, view.quota_tokens, view.spent) == (1, 0, 0)


def test_what_was_counted_up_to_a_position_is_charged_no_more(accounts: Accounts) -> None:
    one, charge = started(budget=Budget(1.0, "day"))
    accounts.settle(accounts.admit((one,), ASK), Used(5, 100), 1_000)

    for _ in range(2):
        for position in (998, 1_000, 1_002, 1_004):
            accounts.charge((charge,), Used(1, position), None, 0, position)

    assert accounts.view(one).spent == 100 + 1_002 + 1_004
    accounts.charge((charge,), Used(1, 7))
    assert accounts.view(one).spent == 100 + 1_002 + 1_004 + 7


def test_both_windows_of_a_subject_are_charged_and_each_once(accounts: Accounts) -> None:
    one = limited(budget=Budget(1.0, "month"), quota=Quota(9))
    charges = accounts.admit((one, KEY), ASK).charges

    for _ in range(2):
        accounts.charge(charges, Used(3, 100), None, 0, 1_000)

    view = accounts.view(one)
    assert (view.spent, view.quota_requests, view.quota_tokens) == (100, 1, 3)
    assert accounts.view(KEY).spent == 100


def test_what_a_dead_worker_used_is_not_in_the_share_any_more(accounts: Accounts) -> None:
    one = limited(budget=Budget(1.0, "month", strict=True), quota=Quota(9))
    charges = accounts.admit((one,), ASK).charges
    accounts.grant(one, "budget", 1_000, 10.0**9)

    for _ in range(2):
        accounts.charge(charges, Used(3, 600), None, 0, 1_000)

    assert accounts.view(one).spent == 600
    assert accounts.share(one).micro == 400


def test_of_workers_there_were_before_the_file_nothing_is_charged(accounts: Accounts) -> None:
    one, charge = started(budget=Budget(1.0, "day"))
    accounts.charge((charge,), Used(1, 100), None, 1, 1_000)
    assert accounts.view(one).spent == 0


@pytest.mark.parametrize(("name", "column"), [("0", 0), ("3", 3), ("5", 1), ("by hand", 0)])
def test_every_worker_has_a_column(name: str, column: int) -> None:
    assert column_of(name, 4) == column


def test_what_is_recovered_is_not_learned_too(new: Accounts, hands: Hands) -> None:
    """While the database has not been asked, what came before the file was made is left for it to say."""
    one, charge = started(budget=Budget(1.0, "day"))

    new.charge((charge,), Used(micro=10))
    new.charge((charge,), Used(micro=20), came=new.created - 1.0)
    assert new.view(one).spent == 0
    new.charge((charge,), Used(micro=40), came=new.created + 1.0)
    assert new.view(one).spent == 40
    new.learned()
    new.charge((charge,), Used(micro=80), came=new.created - 1.0)

    assert new.view(one).spent == 120


# --- pages ---------------------------------------------------------------------------------------------------------


def test_a_view_changes_nothing(accounts: Accounts) -> None:
    view = accounts.view(KEY)

    assert (view.inflight, view.reserved, view.spent, view.quota_requests) == (0, 0, 0, 0)
    assert view.window == view.quota_window > 0
    assert accounts._table.find(KEY.digest) == -1


def test_a_quota_is_reset_on_all_hosts(accounts: Accounts, hands: Hands) -> None:
    one = limited(budget=Budget(1.0, "day"), quota=Quota(requests=3, tokens=1000))
    hold = accounts.admit((one,), Ask(tokens=10, likely=10))
    for _ in range(2):
        accounts.settle(accounts.admit((one,), Ask(tokens=10)), Used(10, 7))
    accounts.learn(hold.charges[0], None, Used(5, 3, 1))
    with pytest.raises(Refused, match="quota_requests"):
        accounts.admit((one,), Ask())

    charge, was = accounts.reset(one)

    assert charge == hold.charges[0]
    assert was == Used(tokens=25, micro=0, requests=3)
    view = accounts.view(one)
    assert (view.quota_requests, view.quota_tokens, view.spent) == (0, 0, 17)
    # The ledger books the opposite; then the database says the same of the others, and it is still nothing.
    accounts.learn(charge, None, Used(5, 3, 1))
    assert accounts.view(one).quota_requests == 0
    accounts.admit((one,), Ask())


def test_there_is_no_quota_to_reset(accounts: Accounts) -> None:
    with pytest.raises(ValueError, match="key:a has no quota"):
        accounts.reset(limited(rpm=1))
    with pytest.raises(ValueError, match="key:a has no budget"):
        accounts.reset(limited(rpm=1), "budget")


def test_a_budget_is_reset_and_its_quota_is_not(accounts: Accounts, hands: Hands) -> None:
    one = limited(budget=Budget(1.0, "day"), quota=Quota(requests=3, tokens=1000))
    accounts.settle(accounts.admit((one,), Ask(tokens=10)), Used(10, 7))
    hold = accounts.admit((one,), Ask(tokens=10, likely=5))
    accounts.learn(hold.charges[0], None, Used(5, 3, 1))

    charge, was = accounts.reset(one, "budget")

    assert (charge, was) == (hold.charges[0], Used(tokens=0, micro=10, requests=0))
    view = accounts.view(one)
    assert (view.spent, view.reserved, view.quota_requests) == (0, 5, 2)
    accounts.charge([charge], was)
    assert accounts.view(one).spent == 10


# --- the end -------------------------------------------------------------------------------------------------------


def test_a_worker_that_ends_gives_back_what_it_holds(new: Accounts, tmp_path: Path) -> None:
    other = Accounts.open(tmp_path / "limits.shm", 1, 2)
    hold = new.admit((KEY,), ASK)
    assert other.view(KEY).inflight == 1

    new.close()
    new.close()
    new.settle(hold, Used())
    new.drop(hold, (KEY,))
    new.tick()

    assert other.view(KEY).inflight == other.view(KEY).reserved == 0
    other.close()


def test_accounts_in_memory_know_everything(accounts: Accounts, hands: Hands) -> None:
    assert accounts.known
    assert accounts.created == pytest.approx(1_800_000_000.0)
    assert accounts.crowded == 0
    accounts.tick()
    accounts.close()
