"""What a worker does about signals and words."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from proxy.orders import IDLE, IDLE_REPLACED, Orders
from proxy.tether import ALONE, GONE, HURRY, LEAVE, STOP, TOGETHER, YIELD, Beats, Tether


class Supervised:
    """A worker's orders, and its supervisor's end."""

    def __init__(self) -> None:
        self.end, its = socket.socketpair()
        self.end.setblocking(False)
        self.beats = Beats(1)
        self.alone: list[bool] = []
        self.orders = Orders(Tether(its, self.beats, "0"), self.alone.append)
        self.its = its

    @property
    def state(self) -> tuple[bool, bool, bool]:
        orders = self.orders
        return orders.leave.is_set(), orders.hurry.is_set(), orders.replaced


@pytest.fixture
def one() -> Iterator[Supervised]:
    made = Supervised()
    yield made
    made.end.close()
    made.its.close()
    made.beats.close()


def test_a_signal_asks_for_a_successor_and_a_second_one_does_not_wait(one: Supervised) -> None:
    one.orders.signalled()
    assert one.end.recv(9) == LEAVE
    assert one.state == (False, False, False)

    one.orders.signalled()
    assert one.state == (True, True, False)


def test_after_a_word_to_leave_a_signal_means_haste(one: Supervised) -> None:
    one.orders.heard(STOP)
    assert one.state == (True, False, False)

    one.orders.signalled()
    assert one.state == (True, True, False)


@pytest.mark.parametrize(
    ("word", "state", "idle"),
    [
        (STOP, (True, False, False), IDLE),
        (GONE, (True, False, False), IDLE),
        (YIELD, (True, False, True), IDLE_REPLACED),
        (HURRY, (True, True, False), IDLE),
        (b"?", (False, False, False), IDLE),
    ],
    ids=["stop", "gone", "yield", "hurry", "unknown"],
)
def test_words(one: Supervised, word: bytes, state: tuple[bool, ...], idle: float) -> None:
    one.orders.heard(word)

    assert one.state == state
    assert one.orders.idle == idle


def test_it_hears_whether_it_is_alone(one: Supervised) -> None:
    one.orders.heard(TOGETHER)
    one.orders.heard(ALONE)

    assert one.alone == [False, True]
    assert one.state == (False, False, False)


def test_without_a_supervisor_a_signal_is_the_word() -> None:
    orders = Orders(None, lambda _: None)
    orders.signalled()
    assert (orders.leave.is_set(), orders.hurry.is_set()) == (True, False)

    orders.signalled()
    assert orders.hurry.is_set()


async def test_a_pause_ends_with_haste_and_is_none_for_who_is_replaced(one: Supervised) -> None:
    await one.orders.pause(0.01)

    asyncio.get_running_loop().call_soon(one.orders.heard, HURRY)
    async with asyncio.timeout(10):
        await one.orders.pause(600)

    replaced = Orders(None, lambda _: None)
    replaced.heard(YIELD)
    async with asyncio.timeout(10):
        await replaced.pause(600)
