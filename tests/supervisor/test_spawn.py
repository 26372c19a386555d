"""A process of ours: what it has, what it has not, and what becomes of it when it fails."""

from __future__ import annotations

import os
import signal
import socket
import time

import pytest

from proxy.supervisor.spawn import accompany, spawn
from proxy.tether import READY, SIGNALS, Beats, Tether

pytestmark = pytest.mark.allow_blocking("processes, and no loop of its own")


def ended(pid: int) -> int:
    deadline = time.monotonic() + 15
    while (found := os.waitpid(pid, os.WNOHANG))[0] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return os.waitstatus_to_exitcode(found[1])


def test_signals_wait_until_it_is_ready() -> None:
    def serve(_name: str, tether: Tether) -> None:
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        assert set(SIGNALS) <= blocked
        signal.signal(signal.SIGTERM, lambda *_: os._exit(5))
        os.kill(os.getpid(), signal.SIGTERM)
        tether.ready()
        time.sleep(15)

    beats = Beats(2)
    member = spawn("1", serve, beats, ())
    member.end.setblocking(True)

    assert ended(member.pid) == 5
    assert set(SIGNALS) & signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
    member.end.close()
    beats.close()


def test_it_has_nothing_that_is_not_its() -> None:
    def serve(_name: str, tether: Tether) -> None:
        try:
            os.fstat(fd)
        except OSError:
            tether.say(READY)

    with socket.socket() as ours:
        fd = ours.fileno()
        beats = Beats(2)
        member = spawn("0", serve, beats, [ours])
        member.end.setblocking(True)
        assert member.end.recv(9) == READY
        assert ended(member.pid) == 0
        assert os.fstat(fd)
    member.end.close()
    beats.close()


def test_one_that_fails_ends_with_1() -> None:
    def serve(name: str, _tether: Tether) -> None:
        raise RuntimeError(f"no {name}")

    beats = Beats(2)
    member = spawn("0", serve, beats, ())

    assert ended(member.pid) == 1
    member.end.close()
    beats.close()


def test_one_beside_a_single_process_leaves_when_told() -> None:
    reading, writing = os.pipe()

    def serve(name: str, tether: Tether) -> None:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        tether.follow()
        tether.ready()
        os.write(writing, name.encode())
        while True:
            signal.pause()

    leave = accompany("shipper", serve)
    assert os.read(reading, 99) == b"shipper"

    leave()

    os.close(reading)
    os.close(writing)
