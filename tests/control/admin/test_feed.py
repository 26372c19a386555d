"""One question for all who watch, none for nobody, and nobody who waits for a slow one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from proxy.control.admin import feed as module
from proxy.control.admin.feed import Feed, event
from proxy.control.admin.web import Problem
from proxy.core.clock import Hands
from tests.control.admin.counted import state
from tests.control.ledgers import until


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.005)
    monkeypatch.setattr(module, "LINGER", 0.0)


class Asked:
    """What is watched: how often it was asked for, or why it is not known."""

    def __init__(self) -> None:
        self.times = 0
        self.error: Exception | None = None
        self.state = state()
        self.feed = Feed("numbers", self.state, self.ask, keep=3)

    async def ask(self) -> int | None:
        self.times += 1
        if self.error is not None:
            raise self.error
        return self.times

    def watch(self) -> AsyncGenerator[int | None, None]:
        return self.feed.watch()


async def test_all_are_told_of_one_question() -> None:
    asked = Asked()
    async with aclosing(asked.watch()) as one, aclosing(asked.watch()) as two:
        assert list(await asyncio.gather(anext(one), anext(two))) == [1, 1]
        assert await anext(one) == 2
        assert await anext(one) == 3


async def test_nobody_asks_while_nobody_watches() -> None:
    asked = Asked()
    await asyncio.sleep(0.02)
    assert asked.times == 0

    async with aclosing(asked.watch()) as one:
        await anext(one)
    asking = asked.feed._asking
    assert asking is not None
    await until(asking.done)
    before = asked.times
    await asyncio.sleep(0.02)
    assert asked.times == before

    async with aclosing(asked.watch()) as again:
        assert await anext(again) == before + 1


async def test_a_slow_one_is_told_what_is_newest() -> None:
    asked = Asked()
    async with aclosing(asked.watch()) as slow, aclosing(asked.watch()) as quick:
        await asyncio.gather(anext(slow), anext(quick))
        while await anext(quick) != 5:
            pass
        assert (await anext(slow) or 0) >= 5


async def test_what_was_found_is_kept_for_who_comes_later() -> None:
    asked = Asked()
    async with aclosing(asked.watch()) as one:
        while await anext(one) != 5:
            pass
        assert list(asked.feed.kept) == [3, 4, 5]


async def test_it_ends_with_the_worker() -> None:
    asked = Asked()
    async with aclosing(asked.watch()) as one:
        await anext(one)
        asked.state.draining = True
        with pytest.raises(StopAsyncIteration):
            await anext(one)


async def test_nobody_watches_for_ever(hands: Hands) -> None:
    asked = Asked()
    async with aclosing(asked.watch()) as one:
        await anext(one)
        hands.advance(module.LIFE)
        with pytest.raises(StopAsyncIteration):
            await anext(one)


async def test_it_says_when_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PING", 0.01)
    monkeypatch.setattr(module, "PAUSE", 1000.0)
    asked = Asked()
    async with aclosing(asked.watch()) as one:
        assert await anext(one) == 1
        assert await anext(one) is None
        assert not asked.feed.failed


async def test_a_question_without_an_answer_is_asked_again() -> None:
    asked = Asked()
    asked.error = OSError("nobody is there")
    async with aclosing(asked.watch()) as one:
        assert await anext(one) is None
        assert asked.feed.failed
        asked.error = None
        found = None
        while found is None:
            found = await anext(one)
        assert not asked.feed.failed


async def test_there_are_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 1)
    asked = Asked()
    asked.feed.check()
    async with aclosing(asked.watch()) as one:
        await anext(one)
        with pytest.raises(Problem) as refused:
            asked.feed.check()
    assert (refused.value.status, refused.value.code) == (429, "too_many")
    asked.feed.check()


def test_an_event_is_two_lines_and_an_empty_one() -> None:
    assert event("sample", {"text": "a\nb"}) == b'event: sample\ndata: {"text":"a\\nb"}\n\n'
