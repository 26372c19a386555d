"""Who is next."""

from __future__ import annotations

import asyncio

from proxy.state.waiting import Waiting
from tests.line.harness import until


async def test_the_most_urgent_first_then_who_came_first() -> None:
    waiting, order = Waiting(5.0, 10), []

    async def wait(urgency: int, name: str) -> None:
        assert await waiting.turn(urgency, 5.0)
        order.append(name)

    tasks = []
    for urgency, name in ((2, "batch"), (1, "one"), (1, "two"), (0, "now")):
        tasks.append(asyncio.ensure_future(wait(urgency, name)))
        await until(lambda: waiting.live == len(tasks))
    for _ in range(4):
        waiting.call()
        await until(lambda: waiting.live + len(order) == 4)
    await asyncio.gather(*tasks)

    assert order == ["now", "one", "two", "batch"]


async def test_nobody_waits_for_ever() -> None:
    waiting = Waiting(5.0, 10)

    assert not await waiting.turn(1, 0.005)
    assert waiting.live == 0
    assert not waiting.ahead(2)
    waiting.call()


async def test_too_many_do_not_wait() -> None:
    waiting = Waiting(5.0, 1)
    first = asyncio.ensure_future(waiting.turn(1, 5.0))
    await until(lambda: waiting.live == 1)

    assert not await waiting.turn(0, 5.0)
    waiting.call()
    assert await first


async def test_who_leaves_does_not_take_the_place_of_another() -> None:
    waiting = Waiting(5.0, 10)
    first, second = (asyncio.ensure_future(waiting.turn(1, 5.0)) for _ in range(2))
    await until(lambda: waiting.live == 2)
    waiting.call()
    first.cancel()  # in the turn of the loop in which it was called

    assert await second
    assert first.cancelled()


async def test_who_is_ahead() -> None:
    waiting = Waiting(5.0, 10)
    assert not waiting.ahead(2)
    one = asyncio.ensure_future(waiting.turn(1, 5.0))
    await until(lambda: waiting.live == 1)

    assert [waiting.ahead(urgency) for urgency in (0, 1, 2)] == [False, True, True]
    waiting.call()
    assert not waiting.ahead(2)
    await one
