"""Several workers on one listener: made once here, inherited by each, so that a restart loses no connection.

The supervisor serves nothing itself. It forks workers, replaces one that dies, passes on SIGHUP, and on SIGTERM or
SIGINT tells all of them to drain.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from time import monotonic, sleep

from proxy.core.log import logger

RESPAWN_MIN, RESPAWN_MAX = 0.1, 10.0
STABLE = 60.0
"""Seconds after which a worker that dies is replaced at once again."""


def supervise(workers: int, serve: Callable[[str], None]) -> int:
    """Keep `workers` processes running `serve(name)`; returns the exit code once all have ended."""
    running: dict[int, tuple[str, float]] = {}
    stopping = False
    pause = RESPAWN_MIN

    def forward(number: int, _frame: object) -> None:
        nonlocal stopping
        stopping = stopping or number != signal.SIGHUP
        for pid in running:
            os.kill(pid, number)

    for index in range(workers):
        _start(str(index), serve, running)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, forward)
    while running:
        pid, status = os.wait()
        name, started = running.pop(pid)
        if stopping:
            continue
        logger.error("worker %s ended unexpectedly (status %d); starting another", name, status)
        pause = RESPAWN_MIN if monotonic() - started > STABLE else min(pause * 2, RESPAWN_MAX)
        sleep(pause)
        if not stopping:
            _start(name, serve, running)
    return 0


def _start(name: str, serve: Callable[[str], None], running: dict[int, tuple[str, float]]) -> None:
    pid = os.fork()
    if pid:
        running[pid] = (name, monotonic())
        return
    code = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        serve(name)
        code = 0
    finally:
        os._exit(code)
