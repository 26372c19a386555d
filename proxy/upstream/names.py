"""Names asked of the system's resolver, in a few threads that nothing else needs.

`getaddrinfo` cannot be interrupted: a name server that is silent holds a thread for as long as the system is patient, half
a minute as a rule. In the loop's own threads that would keep the database, the snapshots and the spool waiting.

A name is asked once, however many wait for it. One that could not be resolved is not asked again for NEGATIVE seconds
(RFC 9520: resolution failures are to be cached too), so that requests go elsewhere at once.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence

from proxy.core.clock import monotonic

THREADS = 8
PATIENCE = 2.0
"""Seconds anybody waits for an answer."""
NEGATIVE = 5.0
"""Seconds for which a failure is remembered."""

Address = tuple[socket.AddressFamily, str]
"""The family, and the address as text; with its zone (`fe80::1%eth0`) where it has one."""
Look = Callable[[str], Sequence[Address]]
"""Blocks. Raises OSError, or UnicodeError for what is no name."""


class Names:
    """Of one worker, for all its providers."""

    __slots__ = ("_asked", "_failed", "_line", "_look", "_running")

    def __init__(self, look: Look | None = None) -> None:
        self._look = look or system
        self._asked: dict[str, asyncio.Future[Sequence[Address] | Exception]] = {}
        self._failed: dict[str, tuple[float, Exception]] = {}
        """Until when, and why."""
        self._line: deque[str] = deque()
        self._running = 0

    async def look_up(self, name: str) -> Sequence[Address]:
        """Raises OSError when there are none, TimeoutError when nobody says so in time."""
        failed = self._failed.get(name)
        if failed is not None and monotonic() < failed[0]:
            raise _again(failed[1])
        answer = self._asked.get(name)
        if answer is None:
            answer = self._asked[name] = asyncio.get_running_loop().create_future()
            self._line.append(name)
            self._begin()
        try:
            async with asyncio.timeout(PATIENCE):
                found = await asyncio.shield(answer)
        except TimeoutError:
            # It goes on being asked; who comes next need not wait for it.
            self._fail(name, TimeoutError("no answer in time"))
            raise
        if isinstance(found, Exception):
            raise _again(found)
        return found

    def forget(self) -> None:
        """Ask again for what failed."""
        self._failed.clear()

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        while self._line and self._running < THREADS:
            self._running += 1
            name = self._line.popleft()
            # Daemons, started anew: no end of the process waits for one, and one name a minute is no work for a pool.
            thread = threading.Thread(
                target=self._ask, args=(loop, name), name="resolver", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:  # a limit of this machine
                # In a later turn, because it begins others.
                loop.call_soon(self._answered, name, OSError(errno.ENOMEM, "no thread to ask in"))

    def _ask(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        try:
            found: Sequence[Address] | Exception = self._look(name)
        except Exception as error:
            found = error
        try:
            loop.call_soon_threadsafe(self._answered, name, found)
        except RuntimeError:  # the loop is closed: nobody waits
            pass

    def _answered(self, name: str, found: Sequence[Address] | Exception) -> None:
        self._running -= 1
        if isinstance(found, Exception):
            self._fail(name, found)
        else:
            self._failed.pop(name, None)
        self._asked.pop(name).set_result(found)
        self._begin()

    def _fail(self, name: str, error: Exception) -> None:
        self._failed[name] = (monotonic() + NEGATIVE, error)


def _again(error: Exception) -> Exception:
    """The same to raise once more: one that is kept would collect the traceback of everybody who met it."""
    if isinstance(error, UnicodeError):
        return OSError(None, "not the name of a host")
    if isinstance(error, TimeoutError):
        return TimeoutError(*error.args)
    if isinstance(error, socket.gaierror):
        return socket.gaierror(*error.args)
    return OSError(*error.args) if isinstance(error, OSError) else error


def system(name: str) -> Sequence[Address]:
    """As this machine resolves it: `/etc/hosts`, the name servers, families that it has itself."""
    found: list[Address] = []
    for family, _, _, _, address in socket.getaddrinfo(
        name, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    ):
        text = str(address[0])
        if family == socket.AF_INET6 and len(address) == 4 and address[3]:
            # A zone, which only this puts into words.
            text, _ = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
        if family in (socket.AF_INET6, socket.AF_INET):
            found.append((family, text))
    return found
