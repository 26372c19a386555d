"""What systemd and a service that it started tell each other: sockets it holds for us, and how we are.

As sd_listen_fds(3) and sd_notify(3) describe it; both are a few lines, so neither takes a library.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from time import CLOCK_MONOTONIC, clock_gettime_ns
from typing import Final

FIRST: Final = 3
"""The first descriptor that is passed on."""
LISTENERS: Final = ("api", "admin", "ops")
"""What our sockets are called (`FileDescriptorName=`). Those without a name are taken in this order."""


def listeners(environ: MutableMapping[str, str]) -> dict[str, socket.socket]:
    """The sockets that were opened for us, by name; none when somebody else was meant. Takes the variables away, for they
    say nothing to those we start. Raises ValueError for a name that is none of ours, and for what is no socket."""
    pid, number = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    named = environ.pop("LISTEN_FDNAMES", "")
    if pid != str(os.getpid()) or not number.isdecimal():
        return {}
    given = named.split(":") if named else []
    found: dict[str, socket.socket] = {}
    for index in range(int(number)):
        name = given[index] if index < len(given) else "unknown"
        if name not in LISTENERS:
            if name not in ("unknown", "") and not name.endswith(".socket"):
                raise ValueError(
                    f"LISTEN_FDNAMES: a socket is called {name!r}: expected {', '.join(LISTENERS)}"
                )
            name = next((one for one in LISTENERS if one not in found), "")
        try:
            one = socket.socket(fileno=FIRST + index)
        except OSError as error:
            raise ValueError(
                f"LISTEN_FDS: descriptor {FIRST + index} is no socket: {error.strerror}"
            ) from None
        one.set_inheritable(False)
        if not name or name in found:
            raise ValueError(f"LISTEN_FDS: there are more sockets than {', '.join(LISTENERS)}")
        found[name] = one
    return found


class Notifier:
    """Tells the service manager, if there is one that wants to know."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._socket: socket.socket | None = None
        self._said = ""
        address = environ.get("NOTIFY_SOCKET", "")
        if address[:1] in ("/", "@"):
            self._socket = socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            )
            self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog = _watchdog(environ)
        """Seconds between two signs of life that it wants; 0: none."""

    def ready(self) -> None:
        """It serves; also the end of a reload."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Until `ready`."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={clock_gettime_ns(CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def alive(self) -> None:
        """A sign of life."""
        if self.watchdog:
            self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """A line for a person; said again only when it is another."""
        if text != self._said:
            self._said = text
            self._send(f"STATUS={text}")

    def close(self) -> None:
        """Nobody is told any more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, words: str) -> None:
        if self._socket is not None:
            try:
                self._socket.sendto(words.encode(), self._address)
            except OSError:
                pass  # whoever wanted to know is gone, or too busy


def _watchdog(environ: MutableMapping[str, str]) -> float:
    """Half of the time after which we would be killed, as sd_watchdog_enabled(3) advises."""
    wanted, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not wanted.isdecimal() or (pid and pid != str(os.getpid())):
        return 0.0
    return int(wanted) / 2e6
