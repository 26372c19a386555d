"""Several workers on one listener: one that dies is replaced, and all of them leave together."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from proxy.core.clock import now
from proxy.core.records import Kind, Record
from proxy.store import objects
from proxy.store.opening import open_store
from tests.gateway.served import COMPLETION, whole
from tests.line.harness import Raw, read_request, scripted, until
from tests.supervisor.supervised import PATIENCE, REQUEST, Supervised, alive, get, two, wait


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    """Two workers without a provider."""
    one = Supervised(two(), tmp_path)
    yield one.up()
    one.stop()


def test_a_worker_that_is_killed_is_replaced(supervised: Supervised) -> None:
    before = supervised.workers()

    os.kill(before[0], signal.SIGKILL)
    wait(lambda: len(supervised.workers()) == 2 and before[0] not in supervised.workers())

    assert before[1] in supervised.workers()
    wait(lambda: supervised.said("ended unexpectedly"))  # another thread reads it
    assert supervised.stop() == 0


async def test_the_listener_outlives_every_worker(supervised: Supervised) -> None:
    for pid in supervised.workers():
        os.kill(pid, signal.SIGKILL)

    # The connection waits in the listener's queue until there is somebody to take it.
    assert (await get(supervised.port, "/health/live")).status == 200


async def test_both_workers_serve_the_same_port(supervised: Supervised) -> None:
    names: set[str] = set()
    async with asyncio.timeout(PATIENCE):
        while len(names) < 2:
            page = (await get(supervised.port, "/metrics")).body.decode()
            names |= set(re.findall(r'headrace_worker_up\{worker="(\w+)"\} 1', page))

    assert names == {"0", "1"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_of_them_well(supervised: Supervised, number: signal.Signals) -> None:
    workers = supervised.workers()

    supervised.process.send_signal(number)

    assert supervised.process.wait(PATIENCE) == 0
    assert not alive(workers)
    supervised.stop()  # all that was said is read
    assert not supervised.said("unexpectedly")


async def test_all_of_them_drain(tmp_path: Path) -> None:
    begun: list[int] = []
    go = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        begun.append(1)
        await go.wait()
        writer.write(whole())

    async with scripted(upstream) as url:
        one = await asyncio.to_thread(Supervised, two(url), tmp_path)
        clients = [await Raw.open(one.port) for _ in range(8)]
        for client in clients:
            client.send(REQUEST)
        await until(lambda: len(begun) == 8, PATIENCE)

        one.process.terminate()
        go.set()

        answers = [await client.answer() for client in clients]
        assert [(one.status, one.body) for one in answers] == [(200, COMPLETION)] * 8
        assert await asyncio.to_thread(one.stop) == 0
        for client in clients:
            client.close()


def test_a_reload_reaches_every_worker(supervised: Supervised, tmp_path: Path) -> None:
    (tmp_path / "process.yaml").write_text(yaml.safe_dump(two()))

    supervised.process.send_signal(signal.SIGHUP)

    wait(lambda: supervised.reloaded == 2)
    assert len(supervised.workers()) == 2


async def test_a_worker_started_later_serves_what_the_others_serve(
    supervised: Supervised, tmp_path: Path
) -> None:
    content = two()
    content["auth"] = {"require": False}
    content["models"] = {"new": {"deployments": [{"provider": "p0", "model": "x"}]}}
    (tmp_path / "process.yaml").write_text(yaml.safe_dump(content))
    supervised.process.send_signal(signal.SIGHUP)
    await until(lambda: supervised.reloaded == 2, PATIENCE)

    (tmp_path / "process.yaml").write_text("models: [")
    supervised.process.send_signal(signal.SIGHUP)
    await until(lambda: sum("not reloaded" in line for line in supervised.lines) == 2, PATIENCE)
    for pid in supervised.workers():
        os.kill(pid, signal.SIGKILL)

    page = (await get(supervised.port, "/v1/models")).json
    assert [one["id"] for one in page["data"]] == ["new"]


async def test_so_it_does_when_the_store_told_the_others_to_reload(
    supervised: Supervised, tmp_path: Path
) -> None:
    content = two()
    content["store"] = {"url": f"sqlite:///{tmp_path}/headrace.db"}
    content["auth"] = {"require": False}
    content["models"] = {"new": {"deployments": [{"provider": "p0", "model": "x"}]}}
    (tmp_path / "process.yaml").write_text(yaml.safe_dump(content))
    store = open_store(f"sqlite:///{tmp_path}/headrace.db")
    async with store.transaction() as session:
        revision = await objects.lock(session) + 1
        told = Record(Kind.SIGNAL, revision, revision, name="reload", updated=now())
        await objects.write(session, told)
        await objects.unlock(session, revision)
    await store.close()
    await until(lambda: supervised.reloaded == 2, PATIENCE)

    for pid in supervised.workers():
        os.kill(pid, signal.SIGKILL)

    page = (await get(supervised.port, "/v1/models")).json
    assert [one["id"] for one in page["data"]] == ["new"]


def test_a_worker_that_dies_while_all_leave_is_not_replaced(supervised: Supervised) -> None:
    workers = supervised.workers()
    # Stopped, it cannot leave by itself.
    os.kill(workers[0], signal.SIGSTOP)

    supervised.process.terminate()
    wait(lambda: workers[1] not in supervised.workers())
    os.kill(workers[0], signal.SIGKILL)

    assert supervised.process.wait(PATIENCE) == 0
    supervised.stop()  # all that was said is read
    assert not supervised.said("unexpectedly")


def test_workers_do_not_outlive_their_supervisor(supervised: Supervised) -> None:
    workers = supervised.workers()

    supervised.process.kill()

    # Else they would hold the port, and nobody could start another.
    wait(lambda: not alive(workers))


PAUSING = """
import os, signal, sys
from proxy.supervisor import deaths
from proxy.supervisor.loop import Supervisor
from proxy.supervisor.staff import Duties, Terms

deaths.RESPAWN_MIN = deaths.RESPAWN_MAX = 600.0

def serve(name, tether):
    signal.signal(signal.SIGTERM, lambda *_: tether.say(b"L") if name != "ship" else os._exit(0))
    # In one piece: the others write to the same pipe. And before anybody is told to leave for its sake.
    os.write(1, f"up {name} {os.getpid()}\\n".encode())
    tether.ready()
    tether._end.setblocking(True)
    while (words := tether._end.recv(9)) and not set(words) & set(b"SY!"):
        pass

def died(name):
    os.write(1, f"died {name} 0\\n".encode())

sys.exit(Supervisor(Terms(2), Duties(serve, died=died, beside=("ship",))).run())
"""


class Pausing:
    """A supervisor that waits ten minutes before it replaces anybody; its processes do nothing."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PAUSING],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=Path(__file__).resolve().parents[1],
        )
        self.pids: dict[str, int] = {}
        for _ in range(3):
            what, name, pid = self.line()
            assert what == "up"
            self.pids[name] = int(pid)

    def line(self) -> list[str]:
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    def kill(self, name: str) -> None:
        os.kill(self.pids[name], signal.SIGKILL)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def pausing() -> Iterator[Pausing]:
    one = Pausing()
    yield one
    one.close()


def test_what_a_dead_worker_left_is_settled_while_another_is_not_replaced_yet(
    pausing: Pausing,
) -> None:
    pausing.kill("0")
    assert pausing.line()[:2] == ["died", "0"]

    pausing.kill("1")

    assert pausing.line()[:2] == ["died", "1"]


def test_all_leave_though_no_worker_runs_at_that_moment(pausing: Pausing) -> None:
    for name in ("0", "1"):
        pausing.kill(name)
        assert pausing.line()[:2] == ["died", name]

    pausing.process.terminate()

    assert pausing.process.wait(PATIENCE) == 0
    assert not Path(f"/proc/{pausing.pids['ship']}").exists()


def test_a_worker_that_was_told_to_leave_is_replaced_while_another_is_not(
    pausing: Pausing,
) -> None:
    pausing.kill("0")
    assert pausing.line()[:2] == ["died", "0"]

    os.kill(pausing.pids["1"], signal.SIGTERM)

    # First there is another.
    assert pausing.line()[:2] == ["up", "3"]
    assert pausing.line()[:2] == ["died", "1"]


def test_a_worker_that_a_nameless_signal_ends_is_replaced_like_any_other(
    pausing: Pausing,
) -> None:
    os.kill(pausing.pids["0"], signal.SIGRTMIN + 1)
    assert pausing.line()[:2] == ["died", "0"]

    pausing.kill("1")

    assert pausing.line()[:2] == ["died", "1"]


REHEARSING = """
import os, signal, sys
from proxy.supervisor.loop import Supervisor
from proxy.supervisor.staff import Duties, Terms

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def serve(name, tether):
    tether.ready()
    say("up", os.getpid())
    tether._end.setblocking(True)
    while words := tether._end.recv(9):
        if b"S" in words:
            say("told")  # and stays, until it is killed

def rehearse():
    pid = os.posix_spawn("/bin/cat", ["cat"], {}, setsigmask=())
    say("rehearsal", pid)
    return pid

def renew(processes, beats):
    say("renewed")

sys.exit(Supervisor(Terms(1), Duties(serve, rehearse=rehearse, renew=renew)).run())
"""


def test_a_stop_is_not_forgotten_over_a_restart_under_way() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", REHEARSING],
        stdin=subprocess.PIPE,  # the rehearsal ends well when this does
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).resolve().parents[1],
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        worker = int(process.stdout.readline().removeprefix("up "))
        process.send_signal(signal.SIGUSR2)
        rehearsal = int(process.stdout.readline().removeprefix("rehearsal "))
        process.terminate()
        assert process.stdout.readline() == "told\n"

        process.stdin.close()
        wait(lambda: not alive([rehearsal]))
        os.kill(worker, signal.SIGKILL)

        assert process.wait(PATIENCE) == 0
        assert process.stdout.read() == ""
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


LATE = REHEARSING.replace(
    "sys.exit(Supervisor(",
    """
class Late(Supervisor):
    def _arrange(self):
        if self._renewing:
            os.kill(os.getpid(), signal.SIGTERM)
        super()._arrange()

sys.exit(Late(""",
).replace('say("told")  # and stays, until it is killed', "os._exit(0)")


def test_a_stop_in_the_moment_before_a_restart_is_not_lost() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LATE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).resolve().parents[1],
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith("up ")
            process.send_signal(signal.SIGUSR2)
            assert process.stdout.readline().startswith("rehearsal ")

            process.stdin.close()

            assert process.wait(PATIENCE) == 0
            assert process.stdout.read() == ""
        finally:
            process.kill()
