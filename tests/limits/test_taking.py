"""One subject: rates, slots, budgets and quotas, at the moments at which they change their mind."""

from __future__ import annotations

from datetime import datetime
from math import inf
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from proxy.core.clock import Hands
from proxy.core.model import Budget, Limits, Quota
from proxy.limits.accounts import Accounts, Ask, Hold, Refused, Used
from proxy.limits.subjects import Subject, subject

PLAIN = Ask()
DAY = 86_400.0


def limited(name: str = "a", *, quota: Quota | None = None, **limits: Any) -> Subject:
    made = subject("key", name, name, Limits(**limits), quota)
    assert made is not None
    return made


@pytest.fixture
def accounts(hands: Hands) -> Accounts:
    return Accounts.memory()


def refusal(accounts: Accounts, one: Subject, ask: Ask = PLAIN) -> tuple[str, Any]:
    with pytest.raises(Refused) as refused:
        accounts.admit((one,), ask)
    return refused.value.what, refused.value.wait


def many(accounts: Accounts, one: Subject, ask: Ask = PLAIN, most: int = 10_000) -> list[Hold]:
    """Until it is refused."""
    holds = []
    for _ in range(most):
        try:
            holds.append(accounts.admit((one,), ask))
        except Refused:
            break
    return holds


def at(text: str, tz: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(tz)).timestamp()


# --- requests a minute ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rpm", [1, 7, 60, 1000, 999_983])
@pytest.mark.parametrize("burst", [1, 2, 500])
def test_exactly_the_burst_at_once_and_then_the_rate(
    accounts: Accounts, hands: Hands, rpm: int, burst: int
) -> None:
    one = limited(rpm=rpm, burst=burst)
    assert len(many(accounts, one)) == burst

    # The time between two is rounded up to a nanosecond, so never more than the limit in a minute, exactly.
    hands.advance(60.001)

    assert len(many(accounts, one)) == min(rpm, burst)


@pytest.mark.parametrize("rpm", [7, 999_983])
def test_rounding_never_allows_one_more_in_a_minute(accounts: Accounts, rpm: int) -> None:
    standing = accounts.admit((limited(rpm=rpm),), Ask()).standings()[0]

    assert standing is not None
    assert 60.0 <= standing.reset * rpm < 60.01


def test_the_wait_is_true(accounts: Accounts, hands: Hands) -> None:
    one = limited(rpm=7, burst=2)
    many(accounts, one)
    what, wait = refusal(accounts, one)
    assert what == "rpm"

    hands.advance(wait - 0.001)
    assert refusal(accounts, one)[1] == pytest.approx(0.001, abs=1e-4)
    hands.advance(0.001)
    accounts.admit((one,), Ask())
    assert refusal(accounts, one) == ("rpm", pytest.approx(60 / 7, abs=1e-3))


def test_what_is_not_used_is_not_saved_beyond_the_burst(accounts: Accounts, hands: Hands) -> None:
    one = limited(rpm=60, burst=3)

    hands.advance(3600.0)

    assert len(many(accounts, one)) == 3


def test_what_was_never_dispatched_is_given_back(accounts: Accounts) -> None:
    one = limited(rpm=60, burst=3)
    for hold in many(accounts, one):
        accounts.settle(hold, Used(requests=0))

    assert len(many(accounts, one)) == 3


def test_no_more_is_given_back_than_time_has_left(accounts: Accounts, hands: Hands) -> None:
    one = limited(rpm=60, burst=3)
    early = many(accounts, one)
    hands.advance(2.5)  # of the three seconds that were taken, half a one is left
    assert len(many(accounts, one)) == 2

    for hold in early:
        accounts.settle(hold, Used(requests=0))

    # Only the last of them was not free again by itself, and that for half of what it took.
    assert len(many(accounts, one)) == 1


def test_a_limit_that_is_raised_holds_at_once(accounts: Accounts, hands: Hands) -> None:
    many(accounts, limited(rpm=1, burst=10))
    raised = limited(rpm=600, burst=10)

    what, wait = refusal(accounts, raised)

    assert (what, wait) == ("rpm", pytest.approx(0.1, abs=1e-3))
    hands.advance(wait)
    assert len(many(accounts, raised)) == 1


# --- tokens a minute -----------------------------------------------------------------------------------------------


def test_tokens_of_a_minute_may_come_at_once(accounts: Accounts, hands: Hands) -> None:
    one = limited(tpm=1000)
    assert len(many(accounts, one, Ask(tokens=250))) == 4

    what, wait = refusal(accounts, one, Ask(tokens=250))

    assert (what, wait) == ("tpm", pytest.approx(15.0, abs=1e-3))
    hands.advance(wait)
    assert len(many(accounts, one, Ask(tokens=250))) == 1


def test_the_estimate_becomes_what_was_used(accounts: Accounts) -> None:
    one = limited(tpm=1000)
    hold = accounts.admit((one,), Ask(tokens=1000))

    accounts.settle(hold, Used(tokens=400))

    assert len(many(accounts, one, Ask(tokens=100))) == 6


def test_more_than_was_estimated_is_owed(accounts: Accounts) -> None:
    one = limited(tpm=1000)
    hold = accounts.admit((one,), Ask(tokens=100))

    accounts.settle(hold, Used(tokens=1500))

    assert refusal(accounts, one, Ask(tokens=500)) == ("tpm", pytest.approx(60.0, abs=1e-3))


def test_an_estimate_long_ago_is_not_given_back_twice(accounts: Accounts, hands: Hands) -> None:
    """The bucket has filled by itself since: giving the estimate back too would allow twice the limit in a minute."""
    one = limited(tpm=1000)
    long = accounts.admit((one,), Ask(tokens=1000))
    hands.advance(90.0)
    assert len(many(accounts, one, Ask(tokens=1000))) == 1

    accounts.settle(long, Used(tokens=10))

    assert refusal(accounts, one, Ask(tokens=1000))[1] == pytest.approx(60.0, abs=1e-3)


def test_a_request_larger_than_the_limit_is_admitted_when_nothing_is_owed(
    accounts: Accounts, hands: Hands
) -> None:
    """Five of 175 tokens against 100 a minute: the first passes, and the next when that is paid for."""
    one, ask = limited(tpm=100), Ask(tokens=175)
    assert len(many(accounts, one, ask)) == 1

    what, wait = refusal(accounts, one, ask)

    assert (what, wait) == ("tpm", pytest.approx(105.0, abs=1e-3))
    hands.advance(wait)
    assert len(many(accounts, one, ask)) == 1


def test_no_request_is_owed_for_longer_than_a_day(accounts: Accounts, hands: Hands) -> None:
    """What a client says of its answer may be years at the rate, and everybody else would be refused meanwhile."""
    one, ask = limited(tpm=100), Ask(tokens=10_000_000)
    hold = accounts.admit((one,), ask)
    assert refusal(accounts, one, ask) == ("tpm", pytest.approx(DAY, abs=1e-3))

    accounts.settle(hold, Used(tokens=50))

    assert refusal(accounts, one, Ask(tokens=100)) == ("tpm", pytest.approx(30.0, abs=1e-3))
    hands.advance(30.001)
    assert len(many(accounts, one, Ask(tokens=1))) == 100


def test_what_a_dead_worker_was_owed_for_is_forgotten_after_a_day(
    hands: Hands, tmp_path: Path
) -> None:
    """Nobody can say what its requests came to, so their tokens stay taken."""
    one, ask = limited(tpm=100), Ask(tokens=10_000_000)
    dead, left = (Accounts.open(tmp_path / "limits.shm", column, 2) for column in (0, 1))
    try:
        dead.admit((one,), ask)
        left.clear(0)
        hands.advance(DAY - 61.0)
        assert refusal(left, one, ask) == ("tpm", pytest.approx(61.0, abs=1e-3))

        hands.advance(61.001)

        assert len(many(left, one, Ask(tokens=1))) == 100
    finally:
        left.close()
        dead.close()


def test_what_many_were_owed_for_is_forgotten_after_a_day_too(
    accounts: Accounts, hands: Hands
) -> None:
    one, ask = limited(tpm=100), Ask(tokens=1)
    for hold in many(accounts, one, ask, 10):
        accounts.settle(hold, Used(tokens=10_000_000))

    what, wait = refusal(accounts, one, ask)

    assert (what, wait) == ("tpm", pytest.approx(DAY - 59.4, abs=1e-3))
    hands.advance(wait)
    assert len(many(accounts, one, ask)) == 1


@pytest.mark.parametrize("factor", [1.0, 0.001])
def test_the_lowest_rate_bears_the_largest_request(
    accounts: Accounts, hands: Hands, factor: float
) -> None:
    one, ask = limited(tpm=1), Ask(tokens=10**15)
    if factor < 1.0:
        accounts.go_blind(factor)
        hands.advance(60.0)  # it takes nothing that may have been taken before
    for used in (Used(requests=0), Used(tokens=0), Used(tokens=10**15)):
        accounts.settle(accounts.admit((one,), ask), used)

    assert refusal(accounts, one, ask) == ("tpm", pytest.approx(DAY, abs=1e-3))


def test_the_longer_of_two_waits_is_said(accounts: Accounts) -> None:
    one = limited(rpm=60, burst=1, tpm=600)
    accounts.admit((one,), Ask(tokens=600))

    assert refusal(accounts, one, Ask(tokens=600)) == ("tpm", pytest.approx(60.0, abs=1e-3))
    assert refusal(accounts, one, Ask(tokens=5)) == ("rpm", pytest.approx(1.0, abs=1e-3))


# --- slots ---------------------------------------------------------------------------------------------------------


def test_slots_are_free_again_when_settled(accounts: Accounts) -> None:
    one = limited(concurrency=2)
    holds = many(accounts, one)
    assert len(holds) == 2
    assert refusal(accounts, one) == ("concurrency", 0.0)

    accounts.settle(holds[0], Used())
    accounts.settle(holds[0], Used())

    assert len(many(accounts, one)) == 1


# --- budgets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strict", [False, True])
def test_five_at_once_of_which_three_fit(accounts: Accounts, strict: bool) -> None:
    one = limited(budget=Budget(0.45, "total", strict=strict))
    ask, used = Ask(likely=150_000, worst=150_000), Used(micro=150_000)

    holds = many(accounts, one, ask, 5)

    assert len(holds) == 3
    assert refusal(accounts, one, ask) == ("budget", 0.0), "one under way may turn out cheaper"
    for hold in holds:
        accounts.settle(hold, used)
    assert accounts.view(one).spent == 450_000
    assert refusal(accounts, one, ask) == ("budget", inf)


def test_a_strict_budget_never_overshoots(accounts: Accounts) -> None:
    one = limited(budget=Budget(1.0, "total", strict=True))

    while True:
        holds = many(accounts, one, Ask(likely=10, worst=70_000))
        if not holds:
            break
        for hold in holds:
            accounts.settle(hold, Used(micro=70_000))

    assert 930_000 < accounts.view(one).spent <= 1_000_000
    assert refusal(accounts, one, Ask(worst=70_001)) == ("budget", inf)


def test_what_is_worth_more_than_a_strict_budget_never_fits(accounts: Accounts) -> None:
    one = limited(budget=Budget(1.0, "day", strict=True))

    assert refusal(accounts, one, Ask(worst=1_000_001)) == ("budget", inf)
    accounts.admit((one,), Ask(worst=1_000_000))
    assert refusal(accounts, one, Ask(worst=1_000_000)) == ("budget", 0.0)


def test_a_budget_overshoots_by_the_error_of_one_estimate(accounts: Accounts) -> None:
    one = limited(budget=Budget(1.0, "total"))
    for hold in many(accounts, one, Ask(likely=300_000, worst=9_000_000)):
        accounts.settle(hold, Used(micro=300_000))

    assert accounts.view(one).spent == 1_200_000
    assert refusal(accounts, one, Ask(likely=1)) == ("budget", inf)


def test_the_reservation_is_what_is_left_at_most(accounts: Accounts) -> None:
    one = limited(budget=Budget(1.0, "total"))

    accounts.admit((one,), Ask(likely=25_000_000))

    assert accounts.view(one).reserved == 1_000_000


def test_what_costs_nothing_passes_while_nothing_is_overspent(accounts: Accounts) -> None:
    one = limited(budget=Budget(1.0, "total"))
    hold = accounts.admit((one,), Ask(likely=1_000_000))
    accounts.settle(accounts.admit((one,), Ask()), Used())

    accounts.settle(hold, Used(micro=1_000_001))

    assert refusal(accounts, one) == ("budget", inf)


def test_a_dispatch_that_did_not_happen_costs_nothing(accounts: Accounts) -> None:
    one = limited(budget=Budget(1.0, "total"))
    hold = accounts.admit((one,), Ask(likely=400_000))
    assert accounts.view(one).reserved == 400_000

    accounts.settle(hold, Used(requests=0))

    view = accounts.view(one)
    assert (view.spent, view.reserved, view.inflight) == (0, 0, 0)


def test_a_budget_that_is_raised_or_whose_period_changes_holds_at_once(accounts: Accounts) -> None:
    ask, used = Ask(likely=1_000_000), Used(micro=1_000_000)
    accounts.settle(accounts.admit((limited(budget=Budget(1.0, "day")),), ask), used)
    refusal(accounts, limited(budget=Budget(1.0, "day")), ask)

    accounts.settle(accounts.admit((limited(budget=Budget(2.0, "day")),), ask), used)
    refusal(accounts, limited(budget=Budget(2.0, "day")), ask)
    accounts.admit((limited(budget=Budget(2.0, "week")),), ask)
    refusal(accounts, limited(budget=Budget(2.0, "day")), ask)


# --- windows of time -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("period", "tz", "before", "begins"),
    [
        ("day", "UTC", "2027-03-09T23:59:50", "2027-03-10T00:00:00"),
        ("month", "UTC", "2028-02-29T23:59:50", "2028-03-01T00:00:00"),
        ("week", "UTC", "2027-03-07T23:59:50", "2027-03-08T00:00:00"),
        ("day", "Europe/Berlin", "2027-03-28T23:59:50", "2027-03-29T00:00:00"),
        ("day", "Europe/Berlin", "2027-10-31T23:59:50", "2027-11-01T00:00:00"),
        (
            "day",
            "Africa/Cairo",
            "2027-04-29T23:59:50",
            "2027-04-30T01:00:00",
        ),  # there is no midnight
    ],
)
def test_a_budget_is_whole_again_when_its_window_ends(
    accounts: Accounts, hands: Hands, period: str, tz: str, before: str, begins: str
) -> None:
    one, ask = limited(budget=Budget(1.0, period, tz=tz)), Ask(likely=1_000_000)
    hands.set_wall(at(before, tz))
    accounts.settle(accounts.admit((one,), ask), Used(micro=1_000_000))
    assert refusal(accounts, one, ask) == ("budget", pytest.approx(10.0))

    hands.advance(9.0)
    assert refusal(accounts, one, ask) == ("budget", pytest.approx(1.0))
    hands.advance(1.0)

    hold = accounts.admit((one,), ask)
    assert hold.charges[0].window == at(begins, tz)
    assert accounts.view(one).spent == 0


@pytest.mark.parametrize(
    ("day", "hours"), [("2027-03-28", 23), ("2027-10-31", 25), ("2027-06-01", 24)]
)
def test_a_day_is_as_long_as_its_clock_says(
    accounts: Accounts, hands: Hands, day: str, hours: int
) -> None:
    one = limited(budget=Budget(1.0, "day", tz="Europe/Berlin"))
    hands.set_wall(at(f"{day}T00:00:00", "Europe/Berlin"))

    charge = accounts.admit((one,), Ask(likely=1)).charges[0]

    assert charge.ends - charge.window == hours * 3600


def test_what_ends_late_is_charged_to_the_window_of_its_start(
    accounts: Accounts, hands: Hands
) -> None:
    one = limited(budget=Budget(1.0, "day"))
    hands.set_wall(at("2027-03-09T23:59:59"))
    late = accounts.admit((one,), Ask(likely=900_000))
    hands.advance(2.0)
    today = accounts.admit((one,), Ask(likely=50_000))

    accounts.settle(late, Used(micro=900_000))
    accounts.settle(today, Used(micro=60_000))

    assert accounts.view(one).spent == 60_000
    assert late.charges[0].ends == today.charges[0].window
    hands.set_wall(at("2027-03-09T23:59:59"))
    assert accounts.view(one).spent == 900_000


def test_a_clock_that_is_set_back_resets_nothing(accounts: Accounts, hands: Hands) -> None:
    one, ask, used = limited(budget=Budget(1.0, "day")), Ask(likely=10), Used(micro=400_000)
    for second in (59.9, 60.1, 59.9, 60.1):
        hands.set_wall(at("2027-03-09T23:59:00") + second)
        accounts.settle(accounts.admit((one,), ask), used)

    assert accounts.view(one).spent == 800_000


# --- quotas --------------------------------------------------------------------------------------------------------


def test_requests_of_a_quota_count_from_their_dispatch(accounts: Accounts, hands: Hands) -> None:
    one = limited(quota=Quota(requests=3, cron="0 12 * * *"))
    hands.set_wall(at("2027-03-09T11:00:00"))
    holds = many(accounts, one)
    assert len(holds) == 3
    assert refusal(accounts, one) == ("quota_requests", 0.0), "one may turn out not to be sent"

    for hold in holds:
        accounts.settle(hold, Used())

    assert refusal(accounts, one) == ("quota_requests", 3600.0)
    assert accounts.view(one).quota_requests == 3
    hands.advance(3600.0)
    assert len(many(accounts, one)) == 3


def test_tokens_of_a_quota_are_reserved_and_corrected(accounts: Accounts, hands: Hands) -> None:
    one = limited(quota=Quota(tokens=1000))
    hands.set_wall(at("2027-03-09T23:00:00"))
    holds = many(accounts, one, Ask(tokens=400))
    assert len(holds) == 3
    assert refusal(accounts, one) == ("quota_tokens", 0.0)

    for hold in holds:
        accounts.settle(hold, Used(tokens=300))
    assert accounts.view(one).quota_tokens == 900
    accounts.settle(accounts.admit((one,), Ask(tokens=400)), Used(tokens=400))

    assert refusal(accounts, one) == ("quota_tokens", 3600.0)


@pytest.mark.parametrize("period", ["day", "month"])
def test_a_budget_and_a_quota_share_a_window_or_not(
    accounts: Accounts, hands: Hands, period: str
) -> None:
    one = limited(budget=Budget(1.0, period), quota=Quota(requests=5, tokens=5000))
    hands.set_wall(at("2027-03-09T12:00:00"))

    holds = [accounts.admit((one,), Ask(tokens=10, likely=100)) for _ in range(3)]
    for hold in holds:
        accounts.settle(hold, Used(tokens=20, micro=200))

    assert len(holds[0].charges) == (1 if period == "day" else 2)
    view = accounts.view(one)
    assert (view.spent, view.quota_requests, view.quota_tokens) == (600, 3, 60)


# --- many limits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "what"),
    [
        ({"concurrency": 1}, "concurrency"),
        ({"rpm": 1}, "rpm"),
        ({"tpm": 100}, "tpm"),
        ({"budget": Budget(0.0001, "total")}, "budget"),
        ({"budget": Budget(0.0001, "total", strict=True)}, "budget"),
        ({"quota": Quota(requests=1)}, "quota_requests"),
        ({"quota": Quota(tokens=100)}, "quota_tokens"),
    ],
)
def test_a_refusal_takes_nothing(accounts: Accounts, limits: dict[str, Any], what: str) -> None:
    """Whichever limit refuses, all the others of the subject are as they were."""
    ask = Ask(tokens=100, likely=100, worst=100)
    wide: dict[str, Any] = {
        "rpm": 600,
        "burst": 60,
        "tpm": 6000,
        "concurrency": 60,
        "budget": Budget(0.006, "total"),
        "quota": Quota(requests=60, tokens=6000),
    }
    if what == "rpm":
        limits = {**limits, "burst": 1}
    # Everything is counted under one name, whatever its limits are.
    accounts.admit((limited(**wide),), ask)
    tight = limited(**{**wide, **limits})
    for _ in range(50):
        assert refusal(accounts, tight, ask)[0] == what

    assert len(many(accounts, limited(**wide), ask)) == 59
