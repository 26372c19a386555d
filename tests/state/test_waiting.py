"""Who is next."""

from __future__ import annotations

from weakref import WeakSet

from hypothesis import given
from hypothesis import strategies as st

from proxy.state.waiting import Ticket, Waiting


def nothing() -> None:
    """Whoever waits is not woken up here."""


def test_the_most_urgent_first_then_who_came_first() -> None:
    waiting, order = Waiting(5.0, 10), list[str]()
    for urgency, name in ((2, "batch"), (1, "one"), (1, "two"), (0, "now")):
        waiting.join(urgency, lambda name=name: order.append(name))  # type: ignore[misc]
    for _ in range(5):
        waiting.call()

    assert order == ["now", "one", "two", "batch"]


def test_too_many_do_not_wait() -> None:
    waiting = Waiting(5.0, 1)
    first = waiting.join(1, nothing)
    assert first is not None
    assert waiting.join(0, nothing) is None
    waiting.leave(first)
    assert waiting.join(0, nothing) is not None


def test_who_left_is_not_called() -> None:
    waiting = Waiting(5.0, 10)
    first, second = waiting.join(1, nothing), waiting.join(1, nothing)
    assert first is not None
    assert second is not None
    waiting.leave(first, unused=True)
    waiting.leave(first)
    waiting.call()

    assert (first.called, second.called, waiting.live) == (False, True, 1)


def test_who_left_is_forgotten_although_somebody_more_urgent_still_waits() -> None:
    waiting, order, kept = Waiting(5.0, 1000), list[str](), WeakSet[Named]()

    def join(urgency: int, name: str) -> Ticket:
        wake = Named(order, name)
        kept.add(wake)
        ticket = waiting.join(urgency, wake)
        assert ticket is not None
        return ticket

    first, last = join(0, "first"), join(2, "last")
    for _ in range(2000):
        waiting.leave(join(1, "gone"), unused=True)
        assert len(kept) <= 100
    for _ in range(3):
        waiting.call()

    assert order == ["first", "last"]
    assert (first.called, last.called, waiting.live) == (True, True, 2)


class Named:
    """Wakes somebody of this name."""

    def __init__(self, order: list[str], name: str) -> None:
        self._order = order
        self._name = name

    def __call__(self) -> None:
        self._order.append(self._name)


def test_who_leaves_with_a_place_gives_it_to_the_next() -> None:
    waiting = Waiting(5.0, 10)
    first, second = waiting.join(1, nothing), waiting.join(1, nothing)
    assert first is not None
    assert second is not None
    waiting.call()
    waiting.leave(first, unused=True)

    assert second.called


def test_who_is_ahead() -> None:
    waiting = Waiting(5.0, 10)
    assert not waiting.ahead(2)
    ticket = waiting.join(1, nothing)
    assert ticket is not None
    assert [waiting.ahead(urgency) for urgency in (0, 1, 2)] == [False, True, True]
    waiting.leave(ticket)
    assert not waiting.ahead(2)


@given(st.lists(st.tuples(st.sampled_from(["join", "leave", "call"]), st.integers(0, 9))))
def test_every_call_wakes_one_that_waits_if_there_is_any(steps: list[tuple[str, int]]) -> None:
    waiting, woken = Waiting(5.0, 5), list[int]()
    tickets: list[Ticket] = []
    for step, number in steps:
        if step == "join":
            ticket = waiting.join(number % 3, lambda: woken.append(1))
            assert (ticket is None) is (sum(not one.gone for one in tickets) >= 5)
            tickets += [ticket] if ticket is not None else []
        elif step == "leave" and tickets:
            waiting.leave(tickets[number % len(tickets)])
        elif step == "call":
            before = len(woken)
            able = any(not one.called and not one.gone for one in tickets)
            waiting.call()
            assert len(woken) - before == int(able)
        assert waiting.live == sum(not one.gone for one in tickets)
