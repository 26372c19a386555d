"""Rows F1, F2, F5, F9 and F10: real processes that are told to leave, that hang, that cannot start, that are replaced."""

from __future__ import annotations

import asyncio
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import yaml

from proxy.supervisor.crew import Member, Stage
from proxy.supervisor.staff import Duties, Staff, Terms
from proxy.tether import LEAVE, READY, TAKEN, Beats, Tether
from tests.gateway.asked import CHAT, raw
from tests.gateway.served import whole
from tests.line.harness import ROOT, Raw, children, merged, read_request, scripted, until
from tests.supervisor.supervised import (
    BODY,
    PATIENCE,
    REQUEST,
    Supervised,
    alive,
    get,
    two,
    wait,
)

pytestmark = pytest.mark.allow_blocking("asks a process how it is")

WEDGES = """
import sys, time
from proxy import cli
from proxy.worker import Worker

Worker._index = lambda _self: time.sleep(600)
sys.argv[:] = ["headrace", "serve", "--config", sys.argv[1]]
sys.exit(cli.main())
"""


class Script(Supervised):
    """`serve` in a program that does something to itself before."""

    def __init__(self, code: str, content: dict[str, Any], folder: Path) -> None:
        path = folder / "process.yaml"
        content = merged({"admin": {"port": 0}, "store": {"url": ""}}, content)
        path.write_text(yaml.safe_dump(content))
        self.begin([sys.executable, "-c", code, str(path)])


async def test_a_worker_whose_loop_hangs_says_where_and_is_replaced(tmp_path: Path) -> None:
    one = await asyncio.to_thread(Script, WEDGES, two(watchdog=2), tmp_path)
    with one:
        one.up()
        before = {each["pid"] for each in one.health}
        client = await Raw.open(one.port)

        client.send(raw("GET", "/"))

        # The other one serves meanwhile.
        wait(lambda: any(each["silent"] for each in one.health))
        assert (await get(one.port, "/livez")).status == 200
        wait(lambda: len({each["pid"] for each in one.health} & before) == 1)
        one.up()
        for word in ("gave no sign of life for", "Fatal Python error: Aborted", "in <lambda>"):
            wait(partial(one.said, word))  # another thread reads it
        assert one.ask("/livez")[0] == 200
        assert re.search(rb'process_ends_total\{[^}]*"watchdog"[^}]*\} 1', one.ask("/metrics")[1])
        client.close()
        assert one.stop() == 0


CRASHES = """
import asyncio, socket, sys
from pathlib import Path
from proxy.supervisor import deaths
from proxy.supervisor.loop import Supervisor
from proxy.supervisor.staff import Duties, Terms

deaths.RESPAWN_MIN = deaths.RESPAWN_MAX = 0.01
deaths.STABLE = 0.5

def serve(name, tether):
    if not Path(sys.argv[1]).exists():
        import no_such_module
    async def main():
        left = asyncio.Event()
        tether.attach(asyncio.get_running_loop(), lambda word: left.set())
        tether.beat(True, 0)
        tether.ready()
        await left.wait()
    asyncio.run(main())

ops = socket.create_server(("127.0.0.1", 0))
print(f"listening on http://127.0.0.1:0", file=sys.stderr)
print(f"ops on http://127.0.0.1:{ops.getsockname()[1]}", file=sys.stderr, flush=True)
sys.exit(Supervisor(Terms(2), Duties(serve), ops=[ops]).run())
"""


def test_workers_that_cannot_start_make_unready_until_one_lives(tmp_path: Path) -> None:
    repaired = tmp_path / "repaired"
    one = Supervised.of([sys.executable, "-c", CRASHES, str(repaired)])
    with one:
        wait(lambda: b"workers die" in one.ask("/readyz")[1])
        assert one.ask("/readyz")[0] == 503
        assert one.process.poll() is None

        repaired.touch()

        one.up()
        wait(lambda: one.ask("/readyz") == (200, b'{"status":"ready"}'))
        assert one.stop() == 0


async def test_a_worker_that_is_told_to_leave_has_a_successor_first(tmp_path: Path) -> None:
    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        begun.set()
        await go.wait()
        writer.write(whole())

    begun, go = asyncio.Event(), asyncio.Event()
    async with scripted(upstream) as url:
        one = await asyncio.to_thread(Supervised, two(url, workers=1), tmp_path)
        with one:
            one.up(1)
            [old] = one.health
            busy, idle = await Raw.open(one.port), await Raw.open(one.port)
            busy.send(REQUEST)
            await begun.wait()
            idle.send(raw("GET", "/livez"))
            assert (await idle.answer()).headers.get("connection") is None

            os.kill(old["pid"], signal.SIGTERM)
            await until(lambda: [each["stage"] for each in one.health] == ["ready", "leaving"], 15)

            assert [each["name"] for each in one.health] == ["1", "0"]
            # What is kept alive is answered by the one that leaves, for the last time; what is new by the other.
            idle.send(raw("GET", "/readyz"))
            last = await idle.answer()
            assert (last.status, last.headers["connection"]) == (503, "close")
            assert (await get(one.port, "/readyz")).status == 200
            go.set()
            assert (await busy.answer()).status == 200
            for client in (busy, idle):
                client.close()
            await until(lambda: [each["name"] for each in one.health] == ["1"], 15)
            assert await asyncio.to_thread(one.stop) == 0
            assert not one.said("unexpectedly")


async def test_told_to_stop_it_is_unready_at_once_and_takes_nobody_in_a_little_later(
    tmp_path: Path,
) -> None:
    one = await asyncio.to_thread(Supervised, two(drain_delay=600), tmp_path)
    with one:
        one.up()
        idle = await Raw.open(one.port)
        idle.send(raw("GET", "/livez"))
        await idle.answer()

        one.process.terminate()
        wait(lambda: one.ask("/readyz") == (503, b'{"status":"draining"}'))

        async with asyncio.timeout(
            PATIENCE
        ):  # the supervisor says so before every worker has heard of it
            while (late := await get(one.port, "/readyz")).status == 200:
                await asyncio.sleep(0.02)
        assert (late.status, late.headers["connection"]) == (503, "close")
        assert one.ask("/livez")[0] == 200
        # Told again there is no delay.
        one.process.terminate()
        assert one.process.wait(PATIENCE) == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", one.port))
        assert await idle.reader.read() == b""
        idle.close()


def copied(folder: Path) -> Path:
    """The program, where it can be changed."""
    shutil.copytree(ROOT / "proxy", folder / "proxy")
    shutil.copytree(ROOT / "conf", folder / "conf")
    return folder


@pytest.mark.timeout(90)  # two starts of two workers each, and who is replaced may take 25 s
async def test_a_restart_takes_the_new_program_and_lets_no_stream_go(tmp_path: Path) -> None:
    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        begun.set()
        await go.wait()
        writer.write(whole())

    begun, go = asyncio.Event(), asyncio.Event()
    program = await asyncio.to_thread(copied, tmp_path / "program")
    path = tmp_path / "process.yaml"
    async with scripted(upstream) as url:
        content = merged({"admin": {"port": 0}, "store": {"url": ""}}, two(url))
        path.write_text(yaml.safe_dump(content))
        one = await asyncio.to_thread(Supervised, path, tmp_path, PYTHONPATH=str(program))
        with one:
            pid, before = one.process.pid, {each["pid"] for each in one.up().health}
            busy = await Raw.open(one.port)
            busy.send(REQUEST)
            await begun.wait()

            path.write_text("models: [")
            one.process.send_signal(signal.SIGUSR2)
            await until(lambda: one.said("not restarted"), 15)
            assert {each["pid"] for each in one.health} == before

            module = program / "proxy" / "__init__.py"
            module.write_text(
                re.sub(r'__version__ = ".*"', '__version__ = "99"', module.read_text())
            )
            path.write_text(
                yaml.safe_dump(merged(content, {"auth": {"require": False}, "keys": []}))
            )
            one.process.send_signal(signal.SIGUSR2)
            await until(lambda: one.said("restarted: every worker is a new one"), 25)

            assert (await get(one.port, "/")).json["version"] == "99"
            ready = {each["pid"] for each in one.health if each["stage"] == "ready"}
            assert len(ready) == 2
            assert not ready & before
            assert one.process.pid == pid
            go.set()
            assert (await busy.answer()).status == 200
            fresh = await Raw.open(one.port)
            fresh.send(raw("POST", CHAT, BODY))  # nobody needs a key any more
            assert (await fresh.answer()).status == 200
            for client in (busy, fresh):
                client.close()
            started = children(pid)
            assert await asyncio.to_thread(one.stop) == 0
            assert not one.said("unexpectedly")
            assert ready <= started.keys()
            assert not alive(started)


@pytest.mark.parametrize(
    ("stage", "terms", "told"),
    [
        (Stage.READY, Terms(2), True),
        (Stage.STARTING, Terms(2), True),
        (Stage.LEAVING, Terms(2), False),
        (Stage.READY, None, False),
    ],
)
def test_those_beside_are_told_of_what_a_worker_has_taken_if_it_is_new(
    stage: Stage, terms: Terms | None, told: bool
) -> None:
    ours, its, beats = *socket.socketpair(), Beats(4)
    with (
        selectors.DefaultSelector() as selector,
        subprocess.Popen(["sleep", "60"]) as shipper,  # SIGHUP ends it
    ):
        duties = Duties(lambda _name, _tether: None, reload=lambda: terms, beside=["shipper"])
        staff = Staff(Terms(2), duties, selector, beats, list)
        staff._beside["shipper"] = Member("shipper", shipper.pid, its, stage)
        member = Member("0", 1, ours)
        staff.crew.places[0].add(member)

        staff._obey(TAKEN, staff.crew.places[0], member)

        shipper.terminate()  # whichever came first
        ended = -shipper.wait(PATIENCE)
    assert ended == (signal.SIGHUP if told else signal.SIGTERM)
    for end in (ours, its):
        end.close()
    beats.close()


@pytest.mark.parametrize("terms", [None, Terms(2, drain=5.0, watchdog=7.0)], ids=["old", "new"])
def test_what_a_worker_has_taken_holds_for_those_who_wait_for_it_too(terms: Terms | None) -> None:
    usual, beats, ours = Terms(2), Beats(4), socket.socket()
    with selectors.DefaultSelector() as selector:
        duties = Duties(lambda _name, _tether: None, reload=lambda: terms)
        staff = Staff(usual, duties, selector, beats, list)
        member = Member("0", 1, ours)
        staff.crew.places[0].add(member)

        staff._obey(TAKEN, staff.crew.places[0], member)

        assert staff.terms == (terms or usual)
        assert staff.news == {TAKEN}
    ours.close()
    beats.close()


@contextmanager
def idle(workers: int) -> Iterator[Staff]:
    """All serve as far as one knows, and are to be replaced. Their processes do nothing."""

    def serve(_name: str, tether: Tether) -> None:
        tether._end.setblocking(True)
        while tether._end.recv(9):
            pass

    beats = Beats(2 * workers)
    with selectors.DefaultSelector() as selector:
        staff = Staff(Terms(workers), Duties(serve), selector, beats, list)
        staff.arrange(monotonic())
        for place in staff.crew.places:
            for member in place.members:
                staff._obey(READY, place, member)
                staff._obey(LEAVE, place, member)
        try:
            yield staff
        finally:
            for member in staff:
                os.kill(member.pid, signal.SIGKILL)
                os.waitpid(member.pid, 0)
                member.end.close()
    beats.close()


def dies(staff: Staff, member: Member | None) -> None:
    assert member is not None
    os.kill(member.pid, signal.SIGKILL)
    os.waitpid(member.pid, 0)
    staff._ended(member.pid, -signal.SIGKILL, monotonic())


def test_a_successor_whose_predecessor_died_is_waited_for_and_stays() -> None:
    with idle(1) as staff:
        [place] = staff.crew.places
        now = monotonic()
        staff.arrange(now)
        successor = place.successor
        assert successor is not None

        dies(staff, place.current)
        staff.arrange(now + 60.0)

        # A moment that has passed would have the supervisor turn until the successor serves.
        assert staff.due() == []
        assert not staff.rolling
        staff._obey(READY, place, successor)
        staff.arrange(now + 60.0)
        assert place.members == [successor]


def test_one_that_waits_for_the_successor_of_another_is_started_after_that() -> None:
    with idle(2) as staff:
        first, second = staff.crew.places
        now = monotonic()
        staff.arrange(now)
        dies(staff, first.successor)
        staff.arrange(now)
        successor = second.successor
        assert successor is not None

        staff.arrange(now + 60.0)

        assert staff.due() == []
        assert first.successor is None
        staff._obey(READY, second, successor)
        staff.arrange(now + 60.0)
        assert first.successor is not None
