"""A spawned task is kept, and its failure is heard."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from proxy.core import tasks


async def test_the_result_can_be_awaited() -> None:
    async def work() -> int:
        return 7

    assert await tasks.spawn(work(), name="seven") == 7


async def test_a_running_task_is_kept_though_nobody_holds_it() -> None:
    proceed = asyncio.Event()
    finished = asyncio.Event()

    async def work() -> None:
        await proceed.wait()
        finished.set()

    tasks.spawn(work(), name="kept")
    await asyncio.sleep(0)
    gc.collect()
    assert [task.get_name() for task in tasks.running()] == ["kept"]
    proceed.set()
    await finished.wait()
    await asyncio.sleep(0)

    assert not tasks.running()


async def test_a_failure_is_logged_with_its_name_and_cause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work() -> None:
        raise LookupError("no such thing")

    task = tasks.spawn(work(), name="shipper")
    await asyncio.wait([task])
    await asyncio.sleep(0)

    (record,) = caplog.records
    assert (record.name, record.levelno) == ("headrace.tasks", logging.ERROR)
    assert record.getMessage() == "task shipper failed"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)


async def test_a_cancelled_task_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    task = tasks.spawn(asyncio.Event().wait(), name="waiting")
    await asyncio.sleep(0)

    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0)

    assert not caplog.records
    assert not tasks.running()


def test_without_a_loop_nothing_is_started() -> None:
    async def work() -> None:
        raise AssertionError("it ran")

    coroutine = work()
    with pytest.raises(RuntimeError, match="no running event loop"):
        tasks.spawn(coroutine, name="early")
    coroutine.close()
    assert not tasks.running()


async def test_what_beats_in_a_process_beats_together() -> None:
    loop = asyncio.get_running_loop()
    beats = []

    async def work(late: float) -> None:
        await asyncio.sleep(late)
        for _ in range(3):
            before = loop.time()
            pause = tasks.until_beat(0.08)
            assert 0.01 <= pause <= 0.09
            await asyncio.sleep(pause)
            beats.append(before + pause)

    await asyncio.gather(*(work(late) for late in (0.0, 0.013, 0.047)))

    for beat in beats:
        apart = (beat - beats[0]) / 0.08
        assert apart == pytest.approx(round(apart), abs=0.05)
