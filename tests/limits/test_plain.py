"""What is taken in one go is what a closer look takes, and what it does not take it has not touched."""

from __future__ import annotations

from typing import Any, Literal
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from proxy.core import clock
from proxy.core.model import Budget, Limits
from proxy.limits import plain
from proxy.limits.accounts import Accounts, Ask, Hold, Refused, Used
from proxy.limits.holds import Part
from proxy.limits.subjects import Subject, subject
from proxy.limits.taking import Taking

Outcome = tuple[str, float] | tuple[object, ...]

SUBJECTS = st.builds(
    lambda rpm, burst, slots, budget: subject(
        "key", "k", "k", Limits(rpm, 0, slots, burst if rpm else 0, budget)
    ),
    st.sampled_from([0, 1, 60, 6000]),
    st.integers(1, 4),
    st.integers(0, 3),
    st.none()
    | st.builds(
        Budget,
        st.sampled_from([0.0, 0.00001, 0.001]),
        st.sampled_from(["day", "total"]),
        strict=st.booleans(),
    ),
)
ADMIT = st.tuples(st.just("admit"), st.integers(-1, 30))
SETTLE = st.tuples(st.just("settle"), st.integers(0, 30))
WAIT = st.tuples(st.just("wait"), st.sampled_from([0, 1, 20, 86_400]))
STEPS = st.lists(ADMIT | SETTLE | WAIT, max_size=14)


class Side:
    """One worker's accounts, and what it holds."""

    def __init__(self) -> None:
        self.accounts = Accounts.memory()
        self.holds: list[Hold] = []

    def do(self, what: str, number: int, who: Subject) -> Outcome:
        if what == "settle":
            if self.holds:
                hold = self.holds.pop(0)
                self.accounts.settle(hold, Used(5, number, number % 2), number)
            return ()
        try:
            hold = self.accounts.admit((who,), Ask(7, number, max(number, 0)))
        except Refused as refused:
            return refused.what, refused.wait
        self.holds.append(hold)
        return hold.standings(), hold.charges, [one.micro for one in hold.parts]


@given(SUBJECTS, STEPS)
def test_both_ways_admit_refuse_and_count_alike(
    who: Subject | None, steps: list[tuple[Literal["admit", "settle", "wait"], int]]
) -> None:
    if who is None:
        return
    one, other = Side(), Side()
    never: Any = patch.multiple(plain, take=lambda *_: None, give=lambda *_: False)

    with clock.held() as hands:
        for what, number in steps:
            if what == "wait":
                hands.advance(number)
                continue
            found = one.do(what, number, who)
            with never:
                assert other.do(what, number, who) == found
            assert one.accounts.view(who) == other.accounts.view(who)


def test_it_is_used_where_it_can_be_and_nowhere_else() -> None:
    taken: list[str] = []
    given: list[str] = []
    take, give = plain.take, plain.give

    def told_take(taking: Taking, one: Subject, *rest: Any) -> Any:
        part = take(taking, one, *rest)
        taken.extend([one.id] if part is not None else [])
        return part

    def told_give(taking: Taking, part: Part, *rest: Any) -> bool:
        done = give(taking, part, *rest)
        given.extend([part.place.subject.id] if done else [])
        return done

    limits = {
        "common": Limits(60, 0, 3, 0, Budget(1.0, "day")),
        "tokens": Limits(60, 100),
        "strict": Limits(budget=Budget(1.0, "day", strict=True)),
        "nothing": Limits(budget=Budget(0.0, "day")),
    }
    accounts = Accounts.memory()

    with patch.object(plain, "take", told_take), patch.object(plain, "give", told_give):
        for name, each in limits.items():
            one = subject("key", name, name, each)
            assert one is not None
            for _ in range(3):
                try:
                    hold = accounts.admit((one,), Ask(1, 1, 1))
                except Refused:
                    assert name == "nothing"
                else:
                    accounts.settle(hold, Used(1, 1))

    assert (
        taken == ["key:common"] * 2
    )  # the first of all finds out where it is, and in which window
    assert given == ["key:common"] * 3
