"""Words and signs of life between a worker and its supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time

import pytest

from proxy.tether import GONE, READY, STOP, TAKEN, YIELD, Beats, Tether
from tests.line.harness import until


def test_signs_of_life_are_seen_by_whoever_has_the_memory() -> None:
    ours = Beats(4)
    its = Beats(4, os.dup(ours.fd))

    its.beat(3, usable=True, connections=7)
    its.beat(3, usable=True, connections=9)

    assert (ours.count(3), ours.usable(3), ours.connections(3)) == (2, True, 9)
    assert (ours.count(2), ours.usable(2), ours.connections(2)) == (0, False, 0)
    ours.clear(3)
    assert (ours.usable(3), ours.connections(3)) == (False, 0)
    # Not the count: to the one who watches a number that goes back is a number that moved.
    assert ours.count(3) == 2
    its.close()
    ours.close()


async def test_words_are_told_one_by_one_and_the_end_once() -> None:
    ours, its = socket.socketpair()
    beats = Beats(2)
    tether = Tether(its, beats, "1")
    heard: list[bytes] = []
    tether.attach(asyncio.get_running_loop(), heard.append)

    ours.send(STOP + YIELD)
    await until(lambda: len(heard) == 2)
    tether.say(TAKEN)
    tether.beat(True, 3)
    assert ours.recv(9) == TAKEN
    assert beats.connections(1) == 3
    ours.close()
    await until(lambda: len(heard) == 3)

    assert heard == [STOP, YIELD, GONE]
    tether.say(READY)  # to nobody
    its.close()
    beats.close()


@pytest.mark.allow_blocking("waits for a process")
@pytest.mark.parametrize("heard", [True, False], ids=["heard", "unheard"])
def test_a_process_that_follows_its_supervisor_ends_with_it(heard: bool) -> None:
    ours, its = socket.socketpair()
    child = os.fork()
    if not child:
        ours.close()
        signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
        tether = Tether(its, Beats(0), "shipper")
        tether.follow()
        tether.ready()
        while True:
            signal.pause()
    its.close()
    # What was not read makes the end an error on the other side.
    assert ours.recv(1, 0 if heard else socket.MSG_PEEK) == READY
    ours.close()

    deadline = time.monotonic() + 15
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.005)
    assert os.waitstatus_to_exitcode(ended[1]) == 7
