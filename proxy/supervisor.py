"""Several workers on one listener: made once here, inherited by each, so that a restart loses no connection.

The supervisor serves nothing itself. It forks workers, replaces one that dies, passes on SIGHUP, and on SIGTERM or
SIGINT tells all of them to drain. A worker that has taken a new configuration says so (SIGUSR1), whoever asked for it.

A worker begins with these signals blocked and takes them in when it is ready: one that comes meanwhile waits, where
the system's usual answer would be to kill it.

A supervisor that is killed takes its workers along: they would hold the port, with nobody to replace them or to tell
them anything. They drain, as they do when they are told to leave.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from time import monotonic, sleep

from proxy.core import log
from proxy.core.log import logger

RESPAWN_MIN, RESPAWN_MAX = 0.1, 10.0
STABLE = 60.0
"""Seconds after which a worker that dies is replaced at once again."""
LOOK = 0.05
"""Seconds between two looks, during a pause, whether all are to leave."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
TAKEN = signal.SIGUSR1

Ready = Callable[[], None]
Serve = Callable[[str, Ready], None]
"""Serves under a name until told to stop; calls `Ready` once it has handlers for SIGNALS."""


def supervise(workers: int, serve: Serve, reload: Callable[[], None]) -> int:
    """Keep `workers` processes running `serve`; returns the exit code once all have ended.

    `reload` is called when a worker has taken a new configuration: those started from then on must serve what the
    others do.
    """
    running: dict[int, tuple[str, float]] = {}
    ends: list[int] = []
    """The signals that told all to leave."""
    pause = RESPAWN_MIN
    life = os.pipe()

    def forward(number: int, _frame: object) -> None:
        if number != signal.SIGHUP:
            ends.append(number)
        _tell(running, number)

    for number in SIGNALS:
        signal.signal(number, forward)
    signal.signal(TAKEN, lambda _number, _frame: reload())
    for index in range(workers):
        _start(str(index), serve, running, ends, life)
    while running:
        pid, status = os.wait()
        name, started = running.pop(pid)
        if ends:
            continue
        logger.error("worker %s ended unexpectedly (status %d); starting another", name, status)
        pause = RESPAWN_MIN if monotonic() - started > STABLE else min(pause * 2, RESPAWN_MAX)
        until = monotonic() + pause
        while not ends and monotonic() < until:
            sleep(LOOK)
        _start(name, serve, running, ends, life)
    for end in life:
        os.close(end)
    return 0


def taken(supervisor: int) -> None:
    """In a worker: say that it has taken a new configuration, unless the supervisor is gone."""
    if os.getppid() == supervisor:
        os.kill(supervisor, TAKEN)


def _tell(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:  # it has just been waited for
            pass


def _start(
    name: str,
    serve: Serve,
    running: dict[int, tuple[str, float]],
    ends: Sequence[int],
    life: tuple[int, int],
) -> None:
    """Fork a worker, unless all are to leave: asked behind the barrier, or one started now would not be told."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    if ends:
        _unblock()
        return
    pid = os.fork()
    if pid:
        running[pid] = (name, monotonic())
        _unblock()
        return
    code = 1
    try:
        for number in (*SIGNALS, TAKEN):
            signal.signal(number, signal.SIG_DFL)
        _leave_with(life)
        serve(name, _unblock)
        code = 0
    except Exception:
        logger.exception("worker %s failed", name)
        log.close()
    finally:
        os._exit(code)


def _leave_with(life: tuple[int, int]) -> None:
    """In a worker: leave when the supervisor's end of the pipe closes, which only its own end does."""
    mine, its = life
    os.close(its)

    def wait() -> None:
        os.read(mine, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="supervisor", daemon=True).start()


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
