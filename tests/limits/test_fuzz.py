"""Ten thousand random operations, beside a model in plain Python that knows neither slots nor arrival times.

The model has a debt for each rate, which time pays off; a dictionary of counts for each window; and the open holds, which
are all that is in flight and reserved.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from math import inf
from typing import Any

import pytest

from proxy.core import clock, periods
from proxy.core.model import Budget, Limits, Quota
from proxy.limits.accounts import Accounts, Ask, Hold, Refused, Used
from proxy.limits.subjects import Subject, subject

MINUTE = 60_000_000_000


@dataclass
class Debt:
    """Nanoseconds that time has to pay."""

    amount: int = 0
    at: int = 0

    def left(self, moment: int) -> int:
        self.amount, self.at = max(self.amount - (moment - self.at), 0), moment
        return self.amount


@dataclass
class Account:
    requests: Debt = field(default_factory=Debt)
    tokens: Debt = field(default_factory=Debt)
    counts: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    holds: list[Taken] = field(default_factory=list)


@dataclass
class Taken:
    one: Subject
    tokens: int
    micro: int
    counted: int
    requests_until: int
    tokens_until: int
    windows: set[tuple[int, int]]


class Model:
    """What accounts promise, said again."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}

    def take(self, one: Subject, ask: Ask, moment: int, wall: float) -> Taken | tuple[str, float]:
        mine = self.accounts.setdefault(one.id, Account())
        counted = self.quota(one, mine, ask, wall)
        if isinstance(counted, tuple):
            return counted
        micro = self.budget(one, mine, ask, wall)
        if isinstance(micro, tuple):
            return micro
        gap = -(-MINUTE // one.rpm) if one.rpm else 0
        cost = -(-ask.tokens * MINUTE // one.tpm) if one.tpm else 0
        late = [(0, "")]
        if gap:
            late.append((mine.requests.left(moment) - (one.burst - 1) * gap, "rpm"))
        if cost:
            late.append((mine.tokens.left(moment) - max(MINUTE - cost, 0), "tpm"))
        wait, what = max(late, key=lambda each: each[0])
        if what:
            return what, wait / 1e9
        if one.concurrency and len(mine.holds) >= one.concurrency:
            return "concurrency", 0.0
        until = [0, 0]
        for place, (debt, amount) in enumerate(((mine.requests, gap), (mine.tokens, cost))):
            if amount:
                debt.amount = debt.left(moment) + amount
                until[place] = moment + debt.amount
        windows = windows_of(one, wall)
        taken = Taken(one, ask.tokens, micro, counted, until[0], until[1], windows)
        mine.holds.append(taken)
        return taken

    def quota(self, one: Subject, mine: Account, ask: Ask, wall: float) -> int | tuple[str, float]:
        if one.quota is None:
            return 0
        window = periods.of_quota(one.quota, wall)
        requests, tokens, _ = mine.counts.get((window.start, window.ends), (0, 0, 0))
        rest = window.ends - wall
        if one.quota.requests and requests + len(mine.holds) >= one.quota.requests:
            return "quota_requests", 0.0 if requests < one.quota.requests else rest
        if not one.quota.tokens:
            return 0
        free = one.quota.tokens - tokens - sum(hold.counted for hold in mine.holds)
        if free <= 0:
            return "quota_tokens", 0.0 if tokens < one.quota.tokens else rest
        return min(ask.tokens, free)

    def budget(self, one: Subject, mine: Account, ask: Ask, wall: float) -> int | tuple[str, float]:
        if one.budget is None:
            return 0
        window = periods.of_budget(one.budget, wall)
        spent = mine.counts.get((window.start, window.ends), (0, 0, 0))[2]
        rest = window.ends - wall if window.ends else inf
        left = round(one.budget.usd * 1e6) - spent
        free = left - sum(hold.micro for hold in mine.holds)
        if one.budget.strict:
            if ask.worst <= free:
                return ask.worst
            return "budget", 0.0 if ask.worst <= left else rest
        if free > 0 or (free == 0 and not ask.likely):
            return min(ask.likely, free)
        return "budget", 0.0 if left > 0 else rest

    def give(self, taken: Taken, used: Used, moment: int) -> None:
        one, mine = taken.one, self.accounts[taken.one.id]
        mine.holds.remove(taken)
        for window in taken.windows:
            counts = mine.counts.setdefault(window, [0, 0, 0])
            for place, amount in enumerate((used.requests, used.tokens, used.micro)):
                counts[place] += amount
        if one.rpm and not used.requests:
            back = min(-(-MINUTE // one.rpm), max(taken.requests_until - moment, 0))
            mine.requests.amount = mine.requests.left(moment) - back
        if taken.tokens_until:
            more = -(-used.tokens * MINUTE // one.tpm) + (-taken.tokens * MINUTE // one.tpm)
            back = min(-more, max(taken.tokens_until - moment, 0))
            mine.tokens.amount = mine.tokens.left(moment) + (more if more > 0 else -back)


def windows_of(one: Subject, wall: float) -> set[tuple[int, int]]:
    both = []
    if one.budget:
        both.append(periods.of_budget(one.budget, wall))
    if one.quota:
        both.append(periods.of_quota(one.quota, wall))
    return {(window.start, window.ends) for window in both}


def limited(name: str, quota: Quota | None = None, **limits: Any) -> Subject:
    made = subject("key", name, name, Limits(**limits), quota)
    assert made is not None
    return made


def subjects(rng: random.Random) -> list[Subject]:
    """Every mixture of limits, narrow enough that each of them refuses."""
    made = []
    for number in range(14):
        some: dict[str, Any] = {}
        if rng.random() < 0.5:
            some |= {"rpm": rng.choice([3, 60, 601]), "burst": rng.randint(1, 8)}
        if rng.random() < 0.5:
            some["tpm"] = rng.choice([90, 1000, 70_000])
        if rng.random() < 0.4 or number == 0:
            some["concurrency"] = rng.randint(1, 4)
        if rng.random() < 0.6:
            period = rng.choice(["day", "total", "month"])
            some["budget"] = Budget(rng.choice([0.002, 0.01]), period, strict=rng.random() < 0.5)
        if rng.random() < 0.4 or number == 1 or not some:
            some["quota"] = Quota(
                rng.choice([0, 15]),
                rng.choice([900, 3000]),
                rng.choice(["0 0 * * *", "*/15 * * * *"]),
            )
        made.append(limited(str(number), **some))
    return made


class Pair:
    """The accounts, the model, and what both hold."""

    def __init__(self, seed: int, hands: clock.Hands) -> None:
        self.rng = random.Random(seed)
        self.hands = hands
        self.accounts = Accounts.memory()
        self.model = Model()
        self.subjects = subjects(self.rng)
        self.open: list[tuple[Hold, list[Taken]]] = []
        self.seen: set[str] = set()

    @property
    def moment(self) -> int:
        return int(clock.monotonic() * 1_000_000_000)

    def ask(self) -> Ask:
        likely = self.rng.randint(0, 900)
        return Ask(self.rng.randint(0, 300), likely, likely + self.rng.randint(0, 900))

    def used(self) -> Used:
        if self.rng.random() < 0.2:
            return Used(requests=0)
        return Used(self.rng.randint(0, 400), self.rng.randint(0, 1200))

    def expected(self, some: list[Subject], ask: Ask) -> list[Taken] | tuple[Subject, str, float]:
        taken: list[Taken] = []
        for one in some:
            found = self.model.take(one, ask, self.moment, clock.now())
            if isinstance(found, tuple):
                for each in reversed(taken):
                    self.model.give(each, Used(requests=0), self.moment)
                return one, *found
            taken.append(found)
        return taken

    def admit(self, hold: Hold | None, taken: list[Taken]) -> None:
        new = hold is None
        held = {each.one.id for each in taken}
        some = [
            one
            for one in self.rng.sample(self.subjects, self.rng.randint(1, 3))
            if one.id not in held
        ]
        ask = self.ask()
        expected = self.expected(some, ask)
        if isinstance(expected, tuple):
            with pytest.raises(Refused) as refused:
                self.really(hold, some, ask)
            assert (refused.value.subject, refused.value.what) == expected[:2]
            assert refused.value.wait == pytest.approx(expected[2], abs=2e-6)
            self.seen.add(refused.value.what)
            return
        hold = self.really(hold, some, ask)
        if new:
            self.open.append((hold, taken))
        taken.extend(expected)
        assert len(hold.parts) == len(taken)

    def really(self, hold: Hold | None, some: list[Subject], ask: Ask) -> Hold:
        if hold is None:
            return self.accounts.admit(some, ask)
        self.accounts.add(hold, some, ask)
        return hold

    def step(self) -> None:
        kind = self.rng.random()
        if kind < 0.45 or not self.open:
            self.admit(None, [])
        elif kind < 0.55:
            self.admit(*self.rng.choice(self.open))
        elif kind < 0.65:
            hold, taken = self.rng.choice(self.open)
            gone = [each for each in taken if self.rng.random() < 0.5]
            sent = self.rng.randint(0, 1)
            self.accounts.drop(hold, [each.one for each in gone], sent)
            for each in reversed(gone):
                taken.remove(each)
                self.model.give(each, Used(requests=sent), self.moment)
        elif kind < 0.9:
            hold, taken = self.open.pop(self.rng.randrange(len(self.open)))
            used = self.used()
            self.accounts.settle(hold, used)
            for each in taken:
                self.model.give(each, used, self.moment)
            self.accounts.settle(hold, used)
        else:
            self.hands.advance(self.rng.choice([0.0, 0.001, 0.3, 5.0, 70.0, 700.0]))

    def check(self) -> None:
        for one in self.subjects:
            mine = self.model.accounts.setdefault(one.id, Account())
            view = self.accounts.view(one)
            assert view.inflight == len(mine.holds)
            assert view.reserved == sum(hold.micro for hold in mine.holds)
            if one.budget:
                window = periods.of_budget(one.budget, clock.now())
                counts = mine.counts.get((window.start, window.ends), [0, 0, 0])
                assert view.spent == counts[2]
            if one.quota:
                window = periods.of_quota(one.quota, clock.now())
                counts = mine.counts.get((window.start, window.ends), [0, 0, 0])
                assert [view.quota_requests, view.quota_tokens] == counts[:2]


def test_ten_thousand_operations_do_what_is_promised() -> None:
    seen: set[str] = set()
    for seed in range(20):
        with clock.held() as hands:
            pair = Pair(seed, hands)
            for number in range(500):
                pair.step()
                if number % 10 == 0:
                    pair.check()
            for hold, taken in pair.open:
                used = pair.used()
                pair.accounts.settle(hold, used)
                for each in taken:
                    pair.model.give(each, used, pair.moment)
            pair.check()
            assert all(pair.accounts.view(one).inflight == 0 for one in pair.subjects)
            seen |= pair.seen

    assert seen == {"rpm", "tpm", "concurrency", "budget", "quota_requests", "quota_tokens"}
