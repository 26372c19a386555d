"""The supervisor becomes a new program, with its process, its listeners and its workers: a restart that lets nobody go.

`execve` keeps descriptors, children and the process's number. What the new program cannot know it finds in memory whose
descriptor is named in VARIABLE. Before, a process of its own has shown that the new program starts and can use the
configuration (`REHEARSE`), for there is no way back.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterable, MutableMapping
from time import monotonic
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from proxy.supervisor.crew import Member, Stage
from proxy.supervisor.spawn import OURS

VARIABLE: Final = "HEADRACE_HANDOVER"
REHEARSE: Final = "HEADRACE_REHEARSE"
FORMAT: Final = 1
"""Of what is handed over. A program that knows another one must be stopped and started."""


class Process(Struct, frozen=True):
    """One that runs on."""

    name: str
    pid: int
    end: int
    """The descriptor of our end of what ties it to us."""
    stage: Stage
    age: float


class Handover(Struct):
    """What a supervisor leaves to its successor."""

    processes: list[Process] = field(default_factory=list)
    listeners: dict[str, int] = field(default_factory=dict)
    """Descriptors by name."""
    beats: int = -1
    lock: int = -1
    folder: str = ""
    board: tuple[int, str] | None = None
    """Descriptor, and the key in hexadecimal digits."""
    metrics: dict[str, Any] = field(default_factory=dict)
    token: str | None = None
    """That was made up at the start."""
    fixed: dict[str, Any] = field(default_factory=dict)
    """What takes a new start to change."""
    bells: list[int] = field(default_factory=list)
    """Descriptors of those of the board; a program before these were had none."""
    format: int = FORMAT

    def descriptors(self) -> list[int]:
        """All that are to be open in the new program."""
        found = [self.beats, self.lock, *self.listeners.values()]
        found += [one.end for one in self.processes]
        found += self.metrics.get("descriptors", ())
        found += self.bells
        if self.board is not None:
            found.append(self.board[0])
        return [fd for fd in found if fd >= 0]


def become(handover: Handover) -> None:
    """Does not return. Raises OSError when the program cannot be started; then nothing has changed.

    Signals wait until the new program takes them.
    """
    data = msgspec.json.encode(handover)
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        fds = [*handover.descriptors(), file.fileno()]
        before = signal.pthread_sigmask(signal.SIG_BLOCK, OURS)
        try:
            for fd in fds:
                os.set_inheritable(fd, True)
            environ = {**os.environ, VARIABLE: str(file.fileno())}
            os.execve(sys.executable, command(), environ)  # noqa: S606 - ourselves
        finally:
            for fd in fds:
                os.set_inheritable(fd, False)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def received(environ: MutableMapping[str, str]) -> Handover | None:
    """What the program before us left; None: we are the first. Raises ValueError for what we do not understand."""
    said = environ.pop(VARIABLE, "")
    if not said.isdecimal():
        return None
    with os.fdopen(int(said), "rb") as file:
        handover = msgspec.json.decode(file.read(), type=Handover)
    if handover.format != FORMAT:
        raise ValueError(f"{VARIABLE}: format {handover.format} is not {FORMAT}: stop and start")
    for fd in handover.descriptors():
        os.set_inheritable(fd, False)
    return handover


def command() -> list[str]:
    """What this process was started with, to be started again."""
    return [sys.executable, *sys.orig_argv[1:]]


def rehearse(fixed: dict[str, Any]) -> int:
    """Start the new program to see whether it can; its process, which ends with 0 if so. Raises OSError."""
    environ = {**os.environ, REHEARSE: msgspec.json.encode(fixed).decode()}
    words = command()
    nothing = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    return os.posix_spawn(words[0], words, environ, file_actions=nothing, setsigmask=())


def rehearsed(environ: MutableMapping[str, str]) -> dict[str, Any] | None:
    """In that process: what is fixed. None: this is no rehearsal. Raises ValueError."""
    said = environ.pop(REHEARSE, None)
    return None if said is None else msgspec.json.decode(said, type=dict[str, Any])


def processes(members: Iterable[Member]) -> list[Process]:
    """As they are handed over."""
    now = monotonic()
    return [
        Process(one.name, one.pid, one.end.fileno(), one.stage, now - one.begun) for one in members
    ]


def restore(one: Process) -> Member:
    """As the new program has it."""
    end = socket.socket(fileno=one.end)
    end.setblocking(False)
    return Member(one.name, one.pid, end, one.stage, monotonic() - one.age)
