"""Who comes in: the API's listener, open while there is room for another client, shut while there is none.

Whoever comes while it is shut waits in the kernel's queue, and is neither refused nor answered: other workers of the host
take from the same queue. There is no room at `server.max_connections` clients, or when only RESERVE of the descriptors
are left. Before the door is shut, connections that carry no request are closed, those idle longest first.

Workers share the kernel's queue, and the quickest takes from it; streams last, so what was taken stays taken. So whoever has
clearly more clients than the one that has fewest steps aside for a moment. If nobody comes in elsewhere meanwhile (the
others may hang), it does not do so for a while.

A loop that accepts until it gets EMFILE does worse: libuv then accepts and closes whoever waits, and the admin listener has
no descriptor left either.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.core import descriptors, tasks
from proxy.core.log import logger

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from proxy.gateway.server import Gateway

LOOK = 0.05
"""Seconds between two looks, while it is shut."""
SHARE = 64
"""One in so many of all connections is closed at once: looking for the oldest costs a look at each."""
ASIDE = 0.01
"""Seconds for which it steps aside, and KEEP those for which it does not when that was of no use."""
KEEP = 0.01
MORE = 4
"""Clients it may have beyond the fewest, or a sixteenth of them where that is more."""
AT_ONCE = 64
"""Clients that are taken in in one turn of the loop, besides the one that libuv takes."""
SAY = 60.0
"""Seconds between two lines of the log."""


class Door:
    """Of one worker. `relieve` is called when descriptors run out: it closes what can be spared."""

    __slots__ = (
        "_aside",
        "_backlog",
        "_coming",
        "_fewest",
        "_gateway",
        "_keep",
        "_listener",
        "_looking",
        "_mark",
        "_relieve",
        "_room",
        "_said",
        "_server",
        "_shut",
        "_taking",
        "pauses",
    )

    def __init__(
        self,
        gateway: Gateway,
        listener: socket.socket,
        backlog: int,
        relieve: Callable[[], None] = lambda: None,
        fewest: Callable[[int], int] | None = None,
    ) -> None:
        """`fewest` is told how many clients are here, and says how many the worker has that has fewest; None: there is but
        this one."""
        self._gateway = gateway
        self._listener = listener
        self._backlog = backlog
        self._relieve = relieve
        files = descriptors.limit()
        self._mark = files - descriptors.RESERVE
        self._room = descriptors.clients(files)
        self._server: asyncio.Server | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._said = 0.0
        self._fewest = fewest
        self._aside = -1
        """What the one with the fewest had when it stepped aside; -1: it has not."""
        self._keep = 0.0
        """Until when it does not."""
        self._shut = False
        """Nobody will come in any more."""
        self._taking = False
        """Whoever waits is taken in before this turn of the loop is over."""
        self._coming = 0
        """Clients that were taken in and are not the gateway's yet."""
        self.pauses = 0
        """How often it was shut for want of room."""

    async def open(self) -> None:
        """Take clients in."""
        # A copy: closing the server closes it, and the queue goes on behind the original.
        self._server = await asyncio.get_running_loop().create_server(
            self._enter, sock=self._listener.dup(), backlog=self._backlog
        )

    def close(self) -> None:
        """Take nobody in any more. Clients that are inside stay."""
        self._shut = True
        if self._looking is not None:
            self._looking.cancel()
        if self._server is not None:
            self._server.close()
            self._server = None
        self._listener.close()

    @property
    def is_open(self) -> bool:
        """Whether clients are taken in at the moment."""
        return self._server is not None

    @property
    def most(self) -> int:
        """Clients there may be."""
        return self._gateway.limit or self._room

    @property
    def _here(self) -> int:
        """Clients that were taken in."""
        return self._gateway.connections + self._coming

    def _is_full(self) -> bool:
        if self._here >= self.most:
            return True
        return descriptors.lowest_free(self._listener.fileno()) >= self._mark

    def _enter(self) -> asyncio.Protocol:
        """The protocol of who comes in. libuv accepts one in each turn of the loop, so one too many is the most there is."""
        loop = asyncio.get_running_loop()
        if self._is_full():
            loop.call_soon(self._make_room)
        elif (fewest := self._ahead_of()) is not None:
            loop.call_soon(self._step_aside, fewest)
        self._coming += 1
        loop.call_soon(self._entered)
        return self._gateway.connection()

    def _entered(self) -> None:
        """Called in the same turn as `connection_made` of who came in."""
        self._coming -= 1
        if not self._taking:
            self._taking = True
            asyncio.get_running_loop().call_soon(self._take_waiting)

    def _ahead_of(self) -> int | None:
        """How many the worker with the fewest has, if with one more here are clearly more than that."""
        if self._fewest is None:
            return None
        here = self._here + 1
        fewest = self._fewest(here)
        return fewest if here > fewest + MORE and here > fewest + (fewest >> 4) else None

    def _take_waiting(self) -> None:
        """Take in who waits behind somebody who came. One a turn is too few when turns are long, as they are when there is too
        much to do: many who come at once would wait for seconds, neither answered nor refused."""
        self._taking = False
        for _ in range(AT_ONCE):
            if self._server is None or self._is_full() or self._ahead_of() is not None:
                return
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # nobody waits, or who did is gone
            self._coming += 1
            tasks.spawn(self._take(client), name="take in")

    async def _take(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(self._gateway.connection, client)
        except OSError:
            client.close()
        finally:
            self._coming -= 1

    def _step_aside(self, fewest: int) -> None:
        loop = asyncio.get_running_loop()
        if self._server is None or loop.time() < self._keep:
            return
        self._aside = fewest
        self._server.close()
        self._server = None
        self._looking = loop.call_later(ASIDE, self._look)

    def _make_room(self) -> None:
        if self._server is None or not self._is_full():
            return
        if self._here < self.most:
            self._relieve()  # it is not the clients who have the descriptors
        if self._gateway.dismiss_idle(max(self._gateway.connections // SHARE, 1)):
            return
        self.pauses += 1
        self._say()
        self._server.close()
        self._server = None
        self._look_later()

    def _look_later(self) -> None:
        self._looking = asyncio.get_running_loop().call_later(LOOK, self._look)

    def _look(self) -> None:
        self._looking = None
        if self._shut:
            return
        if self._aside >= 0 and self._fewest is not None:
            if self._fewest(self._gateway.connections) <= self._aside:
                self._keep = asyncio.get_running_loop().time() + KEEP
            self._aside = -1
        if self._is_full() and not self._gateway.dismiss_idle(1):
            self._look_later()
        else:
            tasks.spawn(self._open_again(), name="open the door")

    async def _open_again(self) -> None:
        try:
            await self.open()
        except OSError as error:  # not even a copy of the listener is to be had
            logger.error("no client can be taken in: %s", error.strerror)
            self._look_later()
        else:
            if self._shut:
                self.close()

    def _say(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._said >= SAY:
            self._said = now
            logger.warning(
                "no room for more clients: %d are connected, of %d; who comes waits in the kernel's queue",
                self._here,
                self.most,
            )
