"""What systemd hands on and is told, with real sockets and descriptors."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import CLOCK_MONOTONIC, clock_gettime_ns

import pytest

from proxy.supervisor import systemd
from proxy.supervisor.systemd import Notifier, listeners
from tests.line.harness import ROOT

# As systemd does it: descriptors from 3 on, and the number of the process that they are for.
ASKS = """
import os, sys
environ = dict(LISTEN_PID=str(os.getpid()), LISTEN_FDS=sys.argv[1], LISTEN_FDNAMES=sys.argv[2])
from proxy.supervisor.systemd import listeners
try:
    found = listeners(environ)
except ValueError as error:
    print("no:", error)
else:
    print({name: one.getsockname()[1] for name, one in sorted(found.items())}, environ)
"""


def asked(fds: int, names: str, *sockets: socket.socket) -> str:
    """What a process finds that was given these."""
    wanted = ";".join(
        f"os.dup2({one.fileno()}, {100 + index})" for index, one in enumerate(sockets)
    )
    moved = ";".join(f"os.dup2({100 + index}, {3 + index})" for index in range(len(sockets)))
    code = f"import os,sys;{wanted};{moved};os.execv(sys.executable,[sys.executable,'-c',sys.argv[1],*sys.argv[2:]])"
    done = subprocess.run(
        [sys.executable, "-c", code, ASKS, str(fds), names],
        pass_fds=[one.fileno() for one in sockets],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    made = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
    yield made
    for one in made:
        one.close()


def test_sockets_come_by_name(sockets: list[socket.socket]) -> None:
    ports = [one.getsockname()[1] for one in sockets]

    found = asked(3, "ops:api:admin", *sockets[:3])

    assert found == f"{{'admin': {ports[2]}, 'api': {ports[1]}, 'ops': {ports[0]}}} {{}}"


def test_sockets_without_a_name_of_ours_come_in_order(sockets: list[socket.socket]) -> None:
    ports = [one.getsockname()[1] for one in sockets]

    expected = f"{{'admin': {ports[1]}, 'api': {ports[0]}}} {{}}"
    assert asked(2, "", *sockets[:2]) == expected
    assert asked(2, "headrace.socket:headrace.socket", *sockets[:2]) == expected


def test_a_socket_nobody_knows_is_a_mistake(sockets: list[socket.socket]) -> None:
    assert asked(1, "web", *sockets[:1]).startswith("no: LISTEN_FDNAMES: a socket is called 'web'")
    assert "more sockets" in asked(4, "", *sockets)
    assert "more sockets" in asked(2, "api:api", *sockets[:2])
    with open(os.devnull) as none:
        assert "is no socket" in asked(1, "", none)  # type: ignore[arg-type]


def test_what_was_meant_for_another_process_is_left_alone() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "api", "HOME": "/"}

    assert listeners(environ) == {}
    assert environ == {"HOME": "/"}


class Manager:
    """The service manager's end."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.setblocking(False)
        self.address = address

    def heard(self) -> list[str]:
        found = []
        while True:
            try:
                found.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return found


@pytest.fixture(params=["a path", "an abstract name"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    name = f"@headrace-{os.getpid()}" if request.param == "an abstract name" else None
    one = Manager(name or str(tmp_path / "notify"))
    yield one
    one.socket.close()


def test_the_manager_is_told(manager: Manager) -> None:
    begun = clock_gettime_ns(CLOCK_MONOTONIC) // 1000
    usual = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "3000000"}
    notifier = Notifier({**usual, "WATCHDOG_PID": str(os.getpid())})

    notifier.status("2 of 2")
    notifier.status("2 of 2")
    notifier.ready()
    notifier.alive()
    notifier.reloading()
    notifier.stopping()

    notifier.close()
    notifier.ready()
    assert notifier.watchdog == 1.5
    *said, reloading, stopping = manager.heard()
    assert said == ["STATUS=2 of 2", "READY=1", "WATCHDOG=1"]
    word, moment = reloading.split("\n")
    assert word == "RELOADING=1"
    assert begun <= int(moment.removeprefix("MONOTONIC_USEC=")) <= begun + 30_000_000
    assert stopping == "STOPPING=1"


def test_without_a_manager_nobody_is_told_and_nothing_fails(tmp_path: Path) -> None:
    for environ in ({}, {"NOTIFY_SOCKET": str(tmp_path / "nobody")}, {"NOTIFY_SOCKET": "odd"}):
        notifier = Notifier(environ)
        notifier.ready()
        notifier.alive()
        notifier.close()
        assert notifier.watchdog == 0.0


def test_the_watchdog_of_another_process_is_none_of_ours() -> None:
    assert systemd._watchdog({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}) == 0.0
    assert systemd._watchdog({"WATCHDOG_USEC": "2000000"}) == 1.0
