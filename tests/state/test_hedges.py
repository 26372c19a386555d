"""How many second attempts there may be, and when none help."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.model import Hedge
from proxy.state.hedges import Hedges

EVENTS = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.booleans(), st.floats(0.0, 100.0)), max_size=300
)


@given(st.floats(0.001, 1.0), EVENTS)
def test_there_are_never_more_than_the_share(
    share: float, events: list[tuple[bool, bool, bool, float]]
) -> None:
    hedges, now, begun = Hedges(Hedge(share=share)), 0.0, 0
    for number, (asks, late, won, passes) in enumerate(events, 1):
        now += passes
        hedges.deposit()
        hedges.seen(late=late)
        if asks and not hedges.why(now):
            hedges.take(now)
            hedges.ended(won=won)
            begun += 1
        assert begun <= share * number + 1e-9
        assert hedges.level >= 0.0


def rich(requests: int = 1000, share: float = 1.0) -> Hedges:
    hedges = Hedges(Hedge(share=share))
    for _ in range(requests):
        hedges.deposit()
        hedges.seen(late=False)
    return hedges


def test_what_is_saved_up_is_not_spent_at_once() -> None:
    hedges, now, begun = rich(), 0.0, 0
    while not hedges.why(now):
        hedges.take(now)
        begun += 1

    assert (begun, hedges.why(now)) == (10, "budget")


def test_while_everything_is_slow_there_are_none() -> None:
    hedges = rich()
    for _ in range(20):
        hedges.seen(late=True)
    assert hedges.why(0.0) == "slow"

    for _ in range(50):
        hedges.seen(late=False)
    assert hedges.why(0.0) == ""


def test_the_first_few_requests_do_not_say_that_everything_is_slow() -> None:
    hedges = Hedges(Hedge(share=1.0))
    for _ in range(5):
        hedges.deposit()
        hedges.seen(late=True)

    assert hedges.why(0.0) == ""


def test_those_that_never_win_are_tried_now_and_then() -> None:
    hedges, now = rich(), 100.0
    for _ in range(20):
        hedges.deposit()
        hedges.take(now)
        hedges.ended(won=False)
        hedges.deposit()
    hedges.deposit()

    assert hedges.why(now) == "losing"
    assert hedges.why(now + 30.0) == ""
    hedges.take(now + 30.0)
    assert hedges.why(now + 31.0) == "losing"


def test_those_that_win_go_on() -> None:
    hedges, now = rich(), 100.0
    for _ in range(20):
        hedges.deposit()
        hedges.take(now)
        hedges.ended(won=True)
        hedges.deposit()
    hedges.deposit()

    assert hedges.why(now) == ""
