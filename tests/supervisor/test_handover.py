"""What one program leaves to the next: descriptors that are open there, and words that mean the same."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from proxy.supervisor import handover
from proxy.supervisor.crew import Member, Stage
from proxy.supervisor.handover import Handover, Process
from tests.line.harness import ROOT

# It becomes itself: the second time it finds what the first left.
BECOMES = """
import os, signal, socket, sys
from proxy.supervisor import handover
from proxy.supervisor.crew import Member, Stage
from proxy.supervisor.handover import Handover, Process

found = handover.received(os.environ)
if found is None:
    ours, its = socket.socketpair()
    listener = socket.create_server(("127.0.0.1", 0))
    closed, _ = socket.socketpair()
    its.sendall(b"kept")
    member = Member("1", 4711, ours, Stage.LEAVING)
    handover.become(
        Handover(
            handover.processes([member]), {"api": listener.fileno()}, 0, -1, "/x", None,
            token=str(closed.fileno()), fixed={"server.workers": 2},
        )
    )
[one] = [handover.restore(each) for each in found.processes]
api = socket.socket(fileno=found.listeners["api"])
blocked = signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ())
try:
    os.fstat(int(found.token))
except OSError:
    gone = True
else:
    gone = False
print(one.name, one.pid, one.stage, one.end.recv(9), api.getsockname()[0], blocked, gone, found.fixed)
print(handover.VARIABLE in os.environ, os.get_inheritable(found.listeners["api"]))
"""


def test_a_program_becomes_another_and_keeps_what_it_names() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BECOMES], capture_output=True, text=True, cwd=ROOT, check=True
    )

    first, second = done.stdout.splitlines()
    assert first == "1 4711 leaving b'kept' 127.0.0.1 True True {'server.workers': 2}"
    assert second == "False False"


def test_where_it_cannot_nothing_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with socket.socket() as one:
        with pytest.raises(FileNotFoundError):
            handover.become(Handover(listeners={"api": one.fileno()}))

        assert not os.get_inheritable(one.fileno())


def test_who_is_first_finds_nothing_and_another_format_is_refused(tmp_path: object) -> None:
    assert handover.received({}) is None
    reading, writing = os.pipe()
    os.write(writing, b'{"format": 2}')
    os.close(writing)

    with pytest.raises(ValueError, match="stop and start"):
        handover.received({handover.VARIABLE: str(reading)})


def test_a_rehearsal_knows_what_is_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import os; from proxy.supervisor import handover as h; os._exit(h.rehearsed(os.environ) != {'a': [1]})"
    monkeypatch.setattr(handover, "command", lambda: [sys.executable, "-c", code])
    monkeypatch.chdir(ROOT)

    for fixed, expected in (({"a": [1]}, 0), ({"a": [2]}, 1)):
        pid = handover.rehearse(fixed)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == expected
    assert handover.rehearsed({}) is None


def test_the_command_is_that_of_the_start() -> None:
    assert handover.command()[0] == sys.executable
    assert handover.command()[1:] == sys.orig_argv[1:]


def test_a_process_is_restored_as_it_was() -> None:
    ours, its = socket.socketpair()
    with its:
        [one] = handover.processes([Member("2", 12, ours, Stage.READY)])
        assert one == Process("2", 12, ours.fileno(), Stage.READY, one.age)
        again = handover.restore(Process("2", 12, os.dup(one.end), Stage.READY, 40.0))
        assert (again.name, again.pid, again.stage) == ("2", 12, Stage.READY)
        again.end.close()
        ours.close()
