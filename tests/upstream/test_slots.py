"""Places are handed to who waits longest, and none is lost on the way."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream import slots
from proxy.upstream.slots import Slots


async def test_a_place_goes_to_who_has_waited_longest() -> None:
    some = Slots(1)
    await some.take(1.0)
    first, second = (asyncio.ensure_future(some.take(5.0)) for _ in range(2))
    await asyncio.sleep(0)

    some.give()
    await first
    assert not second.done()
    some.give()
    await second
    assert some.taken == 1
    some.give()
    assert some.taken == 0


async def test_nobody_waits_longer_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "LONGEST", 0.01)
    some = Slots(1)
    await some.take(1.0)

    with pytest.raises(TimeoutError):
        await some.take(60.0)
    some.give()
    assert some.taken == 0


async def test_a_place_handed_to_somebody_who_leaves_is_passed_on() -> None:
    some = Slots(1)
    await some.take(1.0)
    leaves, stays = (asyncio.ensure_future(some.take(5.0)) for _ in range(2))
    await asyncio.sleep(0)

    some.give()
    leaves.cancel()  # it has been called, and does not know yet
    await stays

    assert leaves.cancelled()
    some.give()
    assert some.taken == 0


@given(st.integers(1, 3), st.lists(st.sampled_from(["come", "give", "leave", "turn"]), max_size=40))
def test_never_more_than_there_are_and_none_is_lost(limit: int, acts: list[str]) -> None:
    async def run() -> None:
        some = Slots(limit)
        coming: list[asyncio.Future[None]] = []

        def inside() -> list[asyncio.Future[None]]:
            return [one for one in coming if one.done() and not one.cancelled()]

        for act in acts:
            if act == "come":
                coming.append(asyncio.ensure_future(some.take(60.0)))
            elif act == "give" and inside():
                coming.remove(inside()[0])
                some.give()
            elif act == "leave" and coming:
                coming[-1].cancel()
            else:
                for _ in range(3):
                    await asyncio.sleep(0)
            assert len(inside()) <= limit
        for _ in range(len(coming) * 3 + 3):
            await asyncio.sleep(0)
            for one in inside():
                coming.remove(one)
                some.give()
        assert some.taken == 0

    asyncio.run(run())
