"""Several workers on one listener: made once here, inherited by each, so that a restart loses no connection.

The supervisor serves nothing itself. It forks workers, replaces one that dies, passes on SIGHUP, and on SIGTERM or
SIGINT tells all of them to drain. A worker that has taken a new configuration says so (SIGUSR1), whoever asked for it.

A worker begins with these signals blocked and takes them in when it is ready: one that comes meanwhile waits, where
the system's usual answer would be to kill it.

Processes that stand beside the workers (the one that ships records to the database) are kept running as they are, and
told to leave when the last worker has: what that one wrote down is still theirs to bring away.

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
STABLE = 10.0
"""Seconds after which a worker that dies is replaced at once again: starting it costs a tenth of that at most."""
LOOK = 0.05
"""Seconds between two looks, during a pause, whether somebody else has died, or all are to leave."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
TAKEN = signal.SIGUSR1

Ready = Callable[[], None]
Serve = Callable[[str, Ready], None]
"""Serves under a name until told to stop; calls `Ready` once it has handlers for SIGNALS."""


def supervise(
    workers: int,
    serve: Serve,
    reload: Callable[[], None],
    *,
    beside: Sequence[str] = (),
    died: Callable[[str], None] = lambda _name: None,
) -> int:
    """Keep `workers` processes running `serve`, and one under each name of `beside`; returns the exit code once all
    have ended.

    `reload` is called when a worker has taken a new configuration: those started from then on must serve what the
    others do. `died` is called with the name of a worker that has ended, before another takes it.
    """
    running: dict[int, tuple[str, float]] = {}
    ends: list[int] = []
    """The signals that told all to leave."""
    absent = _Absent()
    life = os.pipe()

    def forward(number: int, _frame: object) -> None:
        if number == signal.SIGHUP:
            _tell(running, number)
            return
        ends.append(number)
        _tell(_workers(running, beside), number)

    for number in SIGNALS:
        signal.signal(number, forward)
    signal.signal(TAKEN, lambda _number, _frame: reload())
    for name in (*map(str, range(workers)), *beside):
        _start(name, serve, running, ends, life)
    while running or absent.due:
        if ends:
            absent.due.clear()
            _end(running, beside)
        ended = _ended(wait=bool(running and not absent.due))
        if ended is not None:
            pid, status = ended
            name, started = running.pop(pid)
            if name not in beside:
                died(name)
            if not ends:
                logger.error(
                    "worker %s ended unexpectedly (status %d); starting another", name, status
                )
                absent.add(name, status, monotonic() - started)
        for name in absent.take():
            _start(name, serve, running, ends, life)
    for end in life:
        os.close(end)
    return 0


def _end(running: dict[int, tuple[str, float]], beside: Sequence[str]) -> None:
    """Tell those beside the workers to leave, once all workers have."""
    if not _workers(running, beside):
        _tell(running, signal.SIGTERM)


class _Absent:
    """Those that have died and are not replaced yet: each has a pause of its own, which nobody else waits for."""

    def __init__(self) -> None:
        self.due: dict[str, float] = {}
        """Name to when it is started anew."""
        self._pauses: dict[str, float] = {}

    def add(self, name: str, status: int, lived: float) -> None:
        if status == 0:
            pause = 0.0  # it was told to leave
        elif lived > STABLE:
            pause = RESPAWN_MIN
        else:
            pause = min(max(self._pauses.get(name, 0.0) * 2, RESPAWN_MIN), RESPAWN_MAX)
        self._pauses[name] = pause
        self.due[name] = monotonic() + pause

    def take(self) -> list[str]:
        now = monotonic()
        names = [name for name, at in self.due.items() if now >= at]
        for name in names:
            del self.due[name]
        return names


def _ended(*, wait: bool) -> tuple[int, int] | None:
    """(process, status) of a child that has ended; None: none has for a moment."""
    if wait:
        return os.wait()
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:  # all of them are to be started
        pid = status = 0
    if pid:
        return pid, status
    sleep(LOOK)
    return None


def taken(supervisor: int) -> None:
    """In a worker: say that it has taken a new configuration, unless the supervisor is gone."""
    if os.getppid() == supervisor:
        os.kill(supervisor, TAKEN)


def accompany(name: str, serve: Serve) -> Callable[[], None]:
    """Beside this one process, one that serves under `name`. What is returned tells it to leave, and waits until it has.

    It is not started anew when it dies: others stand in for it.
    """
    running: dict[int, tuple[str, float]] = {}
    life = os.pipe()
    _start(name, serve, running, (), life)
    os.close(life[0])

    def leave() -> None:
        _tell(running, signal.SIGTERM)
        for pid in running:
            os.waitpid(pid, 0)
        os.close(life[1])

    return leave


def _workers(running: dict[int, tuple[str, float]], beside: Sequence[str]) -> list[int]:
    return [pid for pid, (name, _) in running.items() if name not in beside]


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
