"""A process of ours: forked, tied to us, and told which descriptors are not its affair."""

from __future__ import annotations

import gc
import os
import signal
import socket
from collections.abc import Callable, Iterable

from proxy.core import log
from proxy.core.log import logger
from proxy.core.memory import give_back
from proxy.supervisor.crew import Member
from proxy.tether import SIGNALS, Beats, Tether

Serve = Callable[[str, Tether], None]
"""Serves under a name until told to stop; calls `ready` of the tether once it has handlers for SIGNALS."""

OURS = (*SIGNALS, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that are handled here, and not in a process that is forked from here."""


def spawn(name: str, serve: Serve, beats: Beats, not_its: Iterable[socket.socket]) -> Member:
    """Fork. `not_its` is what the new process closes: our ends of what ties others to us would keep it from
    hearing that we are dead. Raises OSError when the system has no room for another."""
    ours, its = socket.socketpair()
    if name.isdecimal():
        beats.clear(int(name))
    # Else every page with an object on it that is looked at is copied; and what is in a circle would stay for ever.
    gc.collect()
    gc.freeze()
    give_back()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        pid = os.fork()
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        ours.close()
        its.close()
        raise
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        its.close()
        ours.setblocking(False)
        return Member(name, pid, ours)
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in OURS:
            signal.signal(number, signal.SIG_DFL)
        ours.close()
        for one in not_its:
            one.close()
        serve(name, Tether(its, beats, name))
        code = 0
    except Exception:
        logger.exception("worker %s failed", name)
        log.close()
    finally:
        os._exit(code)


def accompany(name: str, serve: Serve) -> Callable[[], None]:
    """Beside this one process, one that serves under `name`. What is returned tells it to leave, and waits until it has.

    It is not started anew when it dies: others stand in for it.
    """
    beats = Beats(0)
    member = spawn(name, serve, beats, ())

    def leave() -> None:
        try:
            os.kill(member.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        os.waitpid(member.pid, 0)
        member.end.close()
        beats.close()

    return leave
