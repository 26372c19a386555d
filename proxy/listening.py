"""What is listened on, opened before anything is served, so that a port that is taken is said at once."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from proxy.core.listeners import url_of
from proxy.supervisor import systemd

if TYPE_CHECKING:
    from proxy.core.model import Snapshot


class Listeners:
    """Sockets of this start: made here, given by systemd, or left by the program before this one.

    Raises OSError, and ValueError for sockets of systemd that are none of ours.
    """

    def __init__(self, settings: Snapshot, handed: Mapping[str, int]) -> None:
        """`handed` are descriptors by name."""
        given = {name: socket.socket(fileno=fd) for name, fd in handed.items()}
        if not handed:
            given = systemd.listeners(os.environ)
        self._tls = {
            "api": settings.server.tls is not None,
            "admin": settings.admin.tls is not None,
        }
        self.inside = given.get("inside")
        """For this machine alone; made by whoever knows the folder."""
        self.admin = given.get("admin")
        self.ops = given.get("ops")
        if handed:
            self.api = given["api"]
            return
        from proxy.worker import listen

        server, admin = settings.server, settings.admin
        self.api = given.get("api") or listen(server.host, server.port)
        if self.admin is None and (admin.port != server.port or server.port == 0):
            self.admin = listen(admin.host, admin.port)
        if self.ops is None and server.ops.port is not None:
            self.ops = listen(server.ops.host, server.ops.port)

    def _named(self) -> dict[str, socket.socket | None]:
        return {"api": self.api, "admin": self.admin, "ops": self.ops, "inside": self.inside}

    def descriptors(self) -> dict[str, int]:
        """By name, as they are handed over."""
        return {name: one.fileno() for name, one in self._named().items() if one is not None}

    def shut(self) -> None:
        """Nobody is taken in any more; the supervisor goes on answering how it is."""
        for one in (self.api, self.admin):
            if one is not None:
                one.close()

    def close(self) -> None:
        """In a process that serves nobody."""
        for one in self._named().values():
            if one is not None:
                one.close()

    def announce(self, token: str | None) -> str:
        """Say where they are, and the token of this run if one was made up; the address of the API."""
        address = url_of(self.api, tls=self._tls["api"])
        say(f"listening on {address}")
        if self.admin is not None:
            admin = url_of(self.admin, tls=self._tls["admin"])
            say(f"admin on {admin}")
            if token is not None:
                say(f"admin token, for this run only: {token}")
            say(f"dashboard at {admin}/dashboard")
        if self.ops is not None:
            say(f"ops on {url_of(self.ops)}")
        sys.stderr.flush()
        return address


def say(line: str) -> None:
    """In one write: the log has a thread of its own, whose lines would come between a text and its end."""
    sys.stderr.write(line + "\n")
