"""What a worker opens to count and to write down, and who ships when nobody does."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis.asyncio  # noqa: F401 - a worker imports it when it starts, which would block the loop of a test

from proxy import recording
from proxy.core.metrics import Metrics
from proxy.core.model import Ledger, Server, Shared, Snapshot
from proxy.ledger.folder import CONTENT, Lock, write_whole
from proxy.ledger.records import Adjust, Charged, Content, frame
from proxy.ledger.segments import listed
from proxy.recording import Recording
from proxy.state.live import Live
from proxy.state.state import State
from proxy.store.opening import open_store
from tests.control.ledgers import spool, until, write


def a_state(folder: Path | None, **settings: object) -> State:
    ledger = Ledger(path="" if folder is None else str(folder))
    snapshot = Snapshot(server=Server(workers=2), ledger=ledger, **settings)  # type: ignore[arg-type]
    return State(snapshot, Live(snapshot), Metrics())


def an_adjustment(rid: str) -> Adjust:
    return Adjust(rid, 1.0, Charged("deployment:m/0:p", 0, 0), -3, -400, 0)


async def test_without_a_folder_limits_are_this_processs_own() -> None:
    state = a_state(None)
    one = Recording(state, "0")

    await one.start(None)

    assert state.accounts is not None
    assert state.accounts.known
    assert state.spool is None
    await one.close()


async def test_what_it_opened_is_closed(tmp_path: Path) -> None:
    state = a_state(tmp_path)
    one = Recording(state, "1")

    await one.start(None)
    assert state.spool is not None
    assert state.contents is not None
    state.spool.append(frame(an_adjustment("a")))
    await one.close()

    left = [state.accounts, state.spool, state.contents]
    assert left == [None, None, None]
    assert {each.name for each in (tmp_path / "spool").iterdir()} == {"1"}
    again = Recording(state, "1")
    await again.start(None)
    await again.close()


async def test_a_worker_ships_when_nobody_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "PATIENCE", 0.01)
    store = open_store(f"sqlite:///{tmp_path}/headrace.db")
    await store.open()
    state = a_state(tmp_path / "ledger")
    shipping = Lock(tmp_path / "ledger", "shipper")
    assert shipping.take()
    one = Recording(state, "0")
    await one.start(store)
    assert state.spool is not None
    state.spool.append(frame(an_adjustment("a")))

    async def counted() -> int:
        return len(await store.fetch("SELECT subject FROM counters"))

    assert await counted() == 0
    shipping.release()

    async with asyncio.timeout(10):
        while await counted() == 0:
            await asyncio.sleep(0.01)
    assert await counted() == 1
    await one.close()
    await store.close()


async def test_a_worker_goes_on_asking_whether_nobody_ships(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recording, "PATIENCE", 0.01)
    store = open_store(f"sqlite:///{tmp_path}/headrace.db")
    await store.open()
    state = a_state(tmp_path / "ledger")
    in_the_way = tmp_path / "ledger" / "shipper.lock"
    in_the_way.mkdir(parents=True)
    one = Recording(state, "0")
    await one.start(store)
    assert state.spool is not None
    state.spool.append(frame(an_adjustment("a")))

    await until(lambda: "Is a directory" in caplog.text)
    in_the_way.rmdir()

    await until(lambda: store.fetch("SELECT subject FROM counters"))
    await one.close()
    await store.close()


async def test_a_worker_that_cannot_ship_all_of_it_ships_nothing_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Or it would go on beside whoever has the lock next. What is wrong here is what is written down of how far it came."""
    monkeypatch.setattr(recording, "PATIENCE", 0.01)
    store = open_store(f"sqlite:///{tmp_path}/headrace.db")
    await store.open()
    contents = spool(tmp_path / "ledger" / CONTENT)
    write(contents, Content("a", 1.0, "asked", "answered"))
    contents.close()
    [segment] = listed(tmp_path / "ledger" / CONTENT / "spool" / "0")
    offsets = tmp_path / "ledger" / CONTENT / "offsets"
    offsets.write_text(f'{{"0": {{"{segment}": {10**20}}}}}')
    one = Recording(a_state(tmp_path / "ledger"), "0")
    shipping = Lock(tmp_path / "ledger", "shipper")
    await one.start(store)

    await until(lambda: "ships no more, and looks again" in caplog.text)
    await until(shipping.take)
    assert named("measure") == set()
    assert segment not in await asyncio.to_thread(open_files)

    offsets.unlink()
    shipping.release()
    await until(lambda: store.fetch("SELECT rid FROM contents"))
    await one.close()
    await store.close()


def open_files() -> set[str]:
    """Their names, of this process."""
    return {Path(one.path).name for one in psutil.Process().open_files()}


async def test_nobody_else_ships_while_a_thread_still_writes_down_how_far_it_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What keeps it is a pipe that nobody reads, where the file is to be."""
    monkeypatch.setattr(recording, "PATIENCE", 0.01)
    store = open_store(f"sqlite:///{tmp_path}/headrace.db")
    await store.open()
    one = Recording(a_state(tmp_path / "ledger"), "0")
    shipping, pipe = Lock(tmp_path / "ledger", "shipper"), tmp_path / "ledger" / "offsets.new"
    pipe.parent.mkdir()
    os.mkfifo(pipe)
    wal = spool(tmp_path / "ledger", "1")
    write(wal, an_adjustment("a"))
    wal.close()
    await one.start(store)
    await until(lambda: write_whole.__code__ in running())

    closing = asyncio.ensure_future(one.close())
    for _ in range(100):
        await asyncio.sleep(0)
    taken = shipping.take()
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    await closing
    os.close(reading)

    assert not taken
    assert shipping.take()
    shipping.release()
    await store.close()


def running() -> set[Any]:
    """The code that each thread is in."""
    return {frame.f_code for frame in sys._current_frames().values()}


def named(name: str) -> set[asyncio.Task[Any]]:
    return {each for each in asyncio.all_tasks() if each.get_name() == name}


async def test_limits_that_cannot_be_shared_as_configured_are_said_at_the_start() -> None:
    state = a_state(None, shared=Shared(url="http://127.0.0.1:1"))
    one = Recording(state, "0")

    with pytest.raises(ValueError, match="shared"):
        await one.start(None)

    await one.close()
