"""Threads that nobody has to wait for."""

from __future__ import annotations

import asyncio
import threading

import pytest

from proxy.gateway.hooks.threads import MOST, Threads
from tests.line.harness import until
from tests.upstream.threadless import threadless


def boom(error: BaseException) -> None:
    raise error


async def test_what_is_returned_and_what_is_raised() -> None:
    threads = Threads()

    assert await threads.run(divmod, 7, 2) == (3, 1)
    assert await threads.run(threading.current_thread) is not threading.current_thread()
    with pytest.raises(KeyError):
        await threads.run(boom, KeyError("x"))
    with pytest.raises(SystemExit):
        await threads.run(boom, SystemExit(1))
    with pytest.raises(RuntimeError, match="StopIteration"):
        await threads.run(boom, StopIteration(1))
    assert (threads.alive, threads.calls, threads.stuck) == (1, 0, 0)


async def test_calls_at_once_have_a_thread_each() -> None:
    threads, together = Threads(), threading.Barrier(MOST, timeout=20)

    await asyncio.gather(*(threads.run(together.wait) for _ in range(MOST)))

    assert threads.alive == MOST
    assert all(one.daemon for one in threading.enumerate() if one.name == "hook")


async def test_more_calls_than_threads_wait() -> None:
    threads, gate = Threads(), threading.Event()
    calls = [asyncio.ensure_future(threads.run(gate.wait)) for _ in range(MOST + 3)]
    await asyncio.sleep(0)
    assert (threads.alive, threads.calls) == (MOST, MOST + 3)

    gate.set()

    assert await asyncio.gather(*calls) == [True] * (MOST + 3)


async def test_who_never_returns_is_left_alone() -> None:
    threads, gate, begun = Threads(), threading.Event(), threading.Semaphore(0)

    def stuck() -> None:
        begun.release()
        gate.wait()

    calls = [asyncio.ensure_future(threads.run(stuck)) for _ in range(MOST)]
    await asyncio.sleep(0)
    for _ in calls:
        assert await asyncio.to_thread(begun.acquire, timeout=20)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert threads.stuck == MOST

    assert await threads.run(int, "3") == 3
    gate.set()
    await until(lambda: threads.stuck == 0)
    assert threads.calls == 0


async def test_what_nobody_waits_for_any_more_is_not_begun() -> None:
    threads, gate = Threads(), threading.Event()
    done: list[int] = []
    busy = [asyncio.ensure_future(threads.run(gate.wait)) for _ in range(MOST)]
    late = asyncio.ensure_future(threads.run(done.append, 1))
    await asyncio.sleep(0)
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    gate.set()
    await asyncio.gather(*busy)

    await until(lambda: threads.calls == 0)
    assert done == []
    assert threads.stuck == 0


async def test_a_call_that_finds_no_thread_fails_and_a_later_one_has_one() -> None:
    threads = Threads()
    with threadless():
        for _ in range(MOST):
            with pytest.raises(RuntimeError):
                await threads.run(int, "1")
    assert (threads.alive, threads.calls) == (0, 0)

    async with asyncio.timeout(5):
        assert await threads.run(int, "2") == 2


async def test_where_no_thread_more_can_be_had_a_call_waits_for_those_there_are() -> None:
    threads, gate = Threads(), threading.Event()
    first = asyncio.ensure_future(threads.run(gate.wait))
    await asyncio.sleep(0)
    with threadless():
        second = asyncio.ensure_future(threads.run(int, "2"))
        await asyncio.sleep(0)
        assert (threads.alive, threads.calls, second.done()) == (1, 2, False)
    gate.set()

    assert (await first, await second) == (True, 2)
    assert threads.calls == 0
