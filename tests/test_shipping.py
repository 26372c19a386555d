"""The process that ships, as the supervisor starts it."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from proxy import shipping
from proxy.control.sync import ConfigFile
from proxy.control.tailing import Beside, Told, Wanted
from proxy.core import unix
from proxy.core.config import load
from proxy.core.config.schema import Config
from proxy.ledger.folder import CONTENT, Lock, host_id
from proxy.ledger.records import Content
from proxy.ledger.segments import listed
from proxy.ledger.spool import Spool
from proxy.store.ledger import retention
from proxy.store.ledger.requests import Filters
from tests.control.ledgers import spool, write
from tests.store.ledger.made import AT, end

pytestmark = pytest.mark.allow_blocking("processes, and no loop of its own")

PATIENCE = 20.0


class Place:
    """A configuration file, a database and a ledger beside it, and who ships."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "headrace.yaml"
        self.ledger = folder / "ledger"
        self.write(folder)
        self.database = folder / "h.db"
        self.pids: list[int] = []

    def write(self, folder: Path, more: str = "") -> None:
        self.path.write_text(f'store: {{url: "sqlite:///{folder}/h.db"}}\n{more}')

    def read(self) -> Config:
        return load(self.path, {}).config

    def start(self) -> int:
        """Another process that ships, once it obeys signals."""
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                file = ConfigFile(self.read(), self.read)
                shipping.run(file, lambda: _say(writing))
                os._exit(0)
            finally:
                os._exit(1)
        os.close(writing)
        assert os.read(reading, 1) == b"."
        os.close(reading)
        self.pids.append(pid)
        return pid

    def stop(self, pid: int, number: int = signal.SIGTERM) -> int:
        """Its exit code."""
        os.kill(pid, number)
        return self.end(pid)

    def end(self, pid: int) -> int:
        """The exit code of one that leaves by itself."""
        until(lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT))
        self.pids.remove(pid)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def count(self, sql: str = "SELECT count(*) FROM requests") -> int:
        if not self.database.exists():
            return -1
        with closing(sqlite3.connect(self.database)) as database:
            try:
                return int(database.execute(sql).fetchone()[0])
            except sqlite3.OperationalError:  # no tables yet
                return -1


def _say(to: int) -> None:
    os.write(to, b".")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    for pid in place.pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.fixture
def wal(place: Place) -> Iterator[Spool]:
    one = spool(place.ledger)
    yield one
    one.close()


def until(condition: Callable[[], object]) -> None:
    late = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < late
        time.sleep(0.01)


def test_it_ships_until_it_is_told_to_stop_and_ships_what_is_left_then(
    place: Place, wal: Spool
) -> None:
    write(wal, end("a"))
    pid = place.start()
    until(lambda: place.count() == 1)

    write(wal, *(end(f"{n}") for n in range(50)))

    assert place.stop(pid) == 0
    assert place.count() == 51
    assert place.count("SELECT count(DISTINCT host) FROM counters") == 1
    with_id = f"SELECT count(*) FROM counters WHERE host = '{host_id(place.ledger)}'"
    assert place.count(with_id) == 1


def test_whoever_presses_ctrl_c_has_all_of_it_shipped(place: Place, wal: Spool) -> None:
    """The terminal tells everybody, and workers go on writing until their last request is over."""
    pid = place.start()
    write(wal, end("before"))
    until(lambda: place.count() == 1)

    ignored = next(
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "SigIgn" in line
    )
    assert int(ignored.split()[1], 16) & 1 << signal.SIGINT - 1
    os.kill(pid, signal.SIGINT)
    write(wal, end("after"))

    until(lambda: place.count() == 2)
    assert place.stop(pid) == 0


def test_whoever_serves_goes_first(place: Place) -> None:
    pid = place.start()

    threads = [int(one) for one in os.listdir(f"/proc/{pid}/task")]
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    expected = min(usual + shipping.BEHIND, 19)
    assert [os.sched_getscheduler(one) for one in threads] == [os.SCHED_BATCH] * len(threads)
    assert [os.getpriority(os.PRIO_PROCESS, one) for one in threads] == [expected] * len(threads)


def test_one_ships_at_a_time_and_the_next_goes_on_when_it_is_killed(
    place: Place, wal: Spool
) -> None:
    first = place.start()
    write(wal, end("a"))
    until(lambda: place.count() == 1)
    second, third = place.start(), place.start()
    assert not Lock(place.ledger, "shipper").take()

    assert place.stop(third) == 0  # it waits, and obeys
    place.stop(first, signal.SIGKILL)
    write(wal, end("b"))
    until(lambda: place.count() == 2)

    assert place.stop(second) == 0


def test_it_tells_workers_what_comes_to_the_end_of_the_log(place: Place, wal: Spool) -> None:
    pid = place.start()
    write(wal, end("a"))
    until(lambda: place.count() == 1)
    wanted = (Wanted(Filters(), ("rid", "state")),)

    async def found() -> Sequence[Told]:
        beside = Beside(place.ledger / unix.TAIL)
        assert await beside.next(wanted) is None
        write(wal, end("b", AT + 1))
        while not (told := await beside.next(wanted)) or not told[0].shown:
            await asyncio.sleep(0.01)
        beside.close()
        return told

    (told,) = asyncio.run(asyncio.wait_for(found(), PATIENCE))

    assert bytes(told.items) == b'[{"rid":"b","state":"ended"}]'
    assert place.stop(pid) == 0


def test_content_has_a_ledger_of_its_own(place: Place) -> None:
    contents = spool(place.ledger / CONTENT)
    write(contents, Content("a", AT, "asked", "answered"))
    pid = place.start()

    until(lambda: place.count("SELECT count(*) FROM contents") == 1)

    contents.close()
    assert place.stop(pid) == 0


def test_one_that_can_ship_no_more_makes_room_for_the_next(place: Place, wal: Spool) -> None:
    """What is wrong here is what is written down of how far it came: a place no file has."""
    contents = spool(place.ledger / CONTENT)
    write(contents, Content("a", AT, "asked", "answered"))
    contents.close()  # or the segment behind this one may be there
    [segment] = listed(place.ledger / CONTENT / "spool" / "0")
    (place.ledger / CONTENT / "offsets").write_text(f'{{"0": {{"{segment}": {10**20}}}}}')
    write(wal, end("b"))
    pid = place.start()

    assert place.end(pid) == 1

    assert Lock(place.ledger, "shipper").take()
    assert place.count() == 1


def test_how_long_things_are_kept_is_read_anew(
    place: Place, wal: Spool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("proxy.control.shipper.CLEAN", 0.05)
    monkeypatch.setattr(retention, "AGAIN", 0.0)
    write(wal, end("a", 1_700_000_000.0))
    place.write(tmp_path, "ledger: {keep: {requests: 99999d}}\n")
    pid = place.start()
    until(lambda: place.count() == 1)

    place.write(tmp_path, "ledger: {keep: {requests: 1d}}\n")
    os.kill(pid, signal.SIGHUP)

    until(lambda: place.count() == 0)
    place.path.write_text("nonsense: [")
    os.kill(pid, signal.SIGHUP)
    write(wal, end("b"))
    until(lambda: place.count() == 1)
    assert place.stop(pid) == 0
