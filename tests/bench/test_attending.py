"""What is accounted: the steps of whoever watches and of what these begin, and nobody else's."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from time import thread_time_ns

import pytest

from bench import attending
from bench.attending import ACCOUNT, Account, read, task, threaded

pytestmark = pytest.mark.allow_blocking("it works for a known time")

WORK = 3_000_000


def work() -> None:
    """For some milliseconds of CPU."""
    until = thread_time_ns() + WORK
    while thread_time_ns() < until:
        pass


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = Account()
    monkeypatch.setattr(attending, "ACCOUNT", made)
    made.keep(tmp_path / "account")
    return tmp_path / "account"


async def test_what_an_accounted_step_begins_is_accounted(account: Path) -> None:
    asyncio.get_running_loop().set_task_factory(task)  # type: ignore[arg-type]

    async def child() -> None:
        await asyncio.sleep(0)
        work()

    async def mine() -> None:
        work()
        await asyncio.gather(child(), return_exceptions=True)

    async def of_another() -> None:
        work()

    with attending.ACCOUNT.step():
        watching = asyncio.get_running_loop().create_task(mine())
    await asyncio.gather(watching, asyncio.get_running_loop().create_task(of_another()))

    spent, steps = read(account)
    assert 2 * WORK <= spent < 3 * WORK
    assert steps >= 5  # one that began, and each task before and after it waited


async def test_a_task_that_is_cancelled_hears_of_it(account: Path) -> None:
    asyncio.get_running_loop().set_task_factory(task)  # type: ignore[arg-type]
    with attending.ACCOUNT.step():
        waiting = asyncio.get_running_loop().create_task(asyncio.sleep(60))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def test_a_step_within_a_step_is_accounted_once(account: Path) -> None:
    with attending.ACCOUNT.step(), attending.ACCOUNT.step():
        work()

    spent, steps = read(account)
    assert WORK <= spent < 2 * WORK
    assert steps == 1


def test_a_thread_is_accounted_with_what_it_did_since_the_last_time(account: Path) -> None:
    def serve() -> None:
        threaded(work)()
        work()
        threaded(work)()

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()

    assert 3 * WORK <= read(account)[0] < 4 * WORK


def test_nothing_is_accounted_where_nobody_keeps_it() -> None:
    assert (ACCOUNT.spent, ACCOUNT.steps, ACCOUNT.charging) == (0, 0, False)
