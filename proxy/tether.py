"""What ties a worker to its supervisor: a socket for words, one byte each, and memory that tells it lives.

    worker      READY      it serves                          supervisor  STOP   drain: everybody leaves
                TAKEN      it serves a new configuration                  YIELD  drain: another has your place
                REFUSED    … which could not be used                      HURRY  there are 5 s left
                LEAVE      it was told to leave: may it?                  ALONE, TOGETHER  whether another has your number

A socket that ends says that the other side is dead. The memory has four numbers for each name: a count that goes up once
a second for as long as the worker's loop turns, whether requests can be served, open connections, and whether it takes more.
"""

from __future__ import annotations

import mmap
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

READY, TAKEN, REFUSED, LEAVE = b"R", b"T", b"F", b"L"
STOP, YIELD, HURRY, ALONE, TOGETHER = b"S", b"Y", b"!", b"1", b"2"
GONE = b""
"""What is heard when the supervisor is dead."""

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Blocked in a worker until it has handlers for them: one that comes meanwhile waits, where the system's usual answer
would be to kill it."""
BEAT: Final = 1.0
"""Seconds between two signs of life."""

_WORDS = 4
_COUNT, _USABLE, _CONNECTIONS, _TAKES = 0, 1, 2, 3


class Beats:
    """Signs of life of all names. Made by the supervisor; whoever is forked from it, or is handed `fd`, has it too."""

    def __init__(self, names: int, fd: int = -1) -> None:
        """Raises OSError when there is no memory."""
        size = max(names, 1) * _WORDS * 8
        self.fd = _memory(size) if fd < 0 else fd
        self._memory = mmap.mmap(self.fd, size)
        self._words = memoryview(self._memory).cast("q")

    def beat(self, name: int, usable: bool, connections: int) -> None:
        """By the worker."""
        words, at = self._words, name * _WORDS
        words[at + _USABLE] = usable
        words[at + _CONNECTIONS] = connections
        words[at + _COUNT] += 1

    def connected(self, name: int, connections: int) -> None:
        """By the worker: how many connections it has."""
        self._words[name * _WORDS + _CONNECTIONS] = connections

    def takes(self, name: int, takes: bool) -> None:
        """By the worker, or for one that is gone: whether it takes connections."""
        self._words[name * _WORDS + _TAKES] = takes

    def least(self, most: int) -> int:
        """The fewest connections that any has that takes some; `most` if that is less."""
        words = self._words
        for at in range(0, len(words), _WORDS):
            if words[at + _TAKES] and words[at + _CONNECTIONS] < most:
                most = words[at + _CONNECTIONS]
        return most

    def count(self, name: int) -> int:
        """Changes for as long as the worker lives."""
        return self._words[name * _WORDS]

    def usable(self, name: int) -> bool:
        """Whether a request would find a deployment."""
        return bool(self._words[name * _WORDS + _USABLE])

    def connections(self, name: int) -> int:
        """Open now."""
        return self._words[name * _WORDS + _CONNECTIONS]

    def clear(self, name: int) -> None:
        """Somebody else takes the name."""
        at = name * _WORDS
        for word in (_USABLE, _CONNECTIONS, _TAKES):
            self._words[at + word] = 0

    def close(self) -> None:
        """Not in a process that forks others yet."""
        self._words.release()
        self._memory.close()
        os.close(self.fd)


def _memory(size: int) -> int:
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("headrace-beats")
        os.ftruncate(fd, size)
        return fd
    with tempfile.TemporaryFile() as file:
        file.write(bytes(size))
        file.flush()
        return os.dup(file.fileno())


class Tether:
    """The worker's end."""

    def __init__(self, end: socket.socket, beats: Beats, name: str) -> None:
        self._end = end
        self._end.setblocking(False)
        self._beats = beats
        self._at = int(name) if name.isdecimal() else -1

    def ready(self) -> None:
        """It serves, and signals are obeyed from now on."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        self.say(READY)

    def say(self, word: bytes) -> None:
        """To a supervisor that may be dead."""
        try:
            self._end.send(word)
        except OSError:
            pass  # `GONE` is heard

    def beat(self, usable: bool, connections: int) -> None:
        """Once each BEAT, from the loop that serves."""
        self._beats.beat(self._at, usable, connections)

    def least(self, mine: int) -> int:
        """Say that this worker has so many connections; the fewest that any that can serve has."""
        self._beats.connected(self._at, mine)
        return self._beats.least(mine)

    def takes(self, takes: bool) -> None:
        """Whether this worker takes connections."""
        self._beats.takes(self._at, takes)

    def attach(self, loop: asyncio.AbstractEventLoop, heard: Callable[[bytes], None]) -> None:
        """Have every word told as it comes; GONE once, as the last."""

        def readable() -> None:
            try:
                words = self._end.recv(64)
            except BlockingIOError:
                return
            except OSError:
                words = GONE
            if not words:
                loop.remove_reader(self._end.fileno())
                heard(GONE)
            for word in words:
                heard(bytes((word,)))

        loop.add_reader(self._end.fileno(), readable)

    def follow(self) -> None:
        """For a process that only has to end with its supervisor: SIGTERM comes when that is dead."""

        def wait() -> None:
            self._end.setblocking(True)
            try:
                while self._end.recv(64):
                    pass
            except OSError:
                pass  # it died without having read all that was said
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=wait, name="supervisor", daemon=True).start()
