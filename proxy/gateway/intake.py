"""A large body of known length, received past the parser into the place where it stays.

aiohttp's parser copies each read, its stream holds the reads until a task has been woken for them, and stops the socket while
there are 128 KB; then they are joined. Of a body whose length is known nothing has to be parsed, so the socket is given another
protocol until it is here: the system writes each read where it belongs, one timer watches over all of them, one waking ends it.
"""

from __future__ import annotations

import asyncio
import ctypes
from io import BytesIO
from time import monotonic
from typing import TYPE_CHECKING

from proxy.core.errors import ProxyError

if TYPE_CHECKING:
    from aiohttp.streams import StreamReader

    from proxy.core.model import Server
    from proxy.gateway.connection import ClientConnection

SLOWEST = 1024
"""Bytes a second a body must average after GRACE seconds."""
GRACE = 10.0
LEAST = 64 * 1024
"""Bytes that are worth it."""
UNSEEN = 1024 * 1024
"""Bytes that room is made for on a promise. Of a larger body a part has to be here:"""
SHARE = 16
"""This part. Else the room could be asked for by whoever sends heads."""

_unset = ctypes.pythonapi.PyBytes_FromStringAndSize
_unset.argtypes, _unset.restype = (ctypes.c_char_p, ctypes.c_ssize_t), ctypes.py_object


def enough(size: int) -> int:
    """Bytes of a body of this size after which the rest is received here."""
    return 0 if size <= UNSEEN else size // SHARE


async def receive(
    client: ClientConnection,
    payload: StreamReader,
    size: int,
    begun: bytes,
    began: float,
    limits: Server,
) -> bytes:
    """All of a body of `size` bytes; `begun` is what came of it since `began` (monotonic), and less than that.

    `payload` has nothing else, and has ended afterwards. Raises ProxyError: slow_req.
    """
    intake = Intake(client, payload, size, begun, began, limits)
    client.lend(intake)
    try:
        await intake.done
    finally:
        intake.stop()
    return intake.body()


class Intake(asyncio.BufferedProtocol):
    """The protocol of a client's socket meanwhile. What the connection has to know of it, it is told."""

    __slots__ = (
        "_at",
        "_began",
        "_client",
        "_idle",
        "_io",
        "_limit",
        "_moved",
        "_payload",
        "_size",
        "_timer",
        "_view",
        "done",
    )

    def __init__(
        self,
        client: ClientConnection,
        payload: StreamReader,
        size: int,
        begun: bytes,
        began: float,
        limits: Server,
    ) -> None:
        # Who owns bytes alone may write into them, and gives them away without a copy. Nobody wrote zeros there before: that
        # would be one more way through all of them. What was there is seen by nobody, as `body` is of what was received.
        self._io = BytesIO(_unset(None, size))
        self._view = self._io.getbuffer()
        self._view[: len(begun)] = begun
        self._client, self._payload = client, payload
        self._size, self._at = size, len(begun)
        self._began, self._moved = began, monotonic()
        self._idle, self._limit = limits.body_idle_timeout, began + limits.body_timeout
        loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = loop.create_future()
        self._timer = loop.call_later(self._left(self._moved), self._look)

    def body(self) -> bytes:
        """All of it, once it is here."""
        assert self._at == self._size
        self._view.release()
        with self._io as io:
            return io.getvalue()

    def stop(self) -> None:
        """Wait no longer. uvloop keeps whom it gave a socket to until that is given to another such one: it holds no bytes."""
        self._timer.cancel()
        if self._at < self._size:
            self._client.take_back()
            self._view.release()
            self._io.close()

    def _left(self, now: float) -> float:
        return min(self._moved + self._idle, self._limit) - now

    def _look(self) -> None:
        left = self._left(monotonic())
        if left <= 0:
            self._fail()
        else:
            self._timer = self.done.get_loop().call_later(left, self._look)

    def _fail(self) -> None:
        if not self.done.done():
            self.done.set_exception(ProxyError("slow_req"))

    # asyncio.BufferedProtocol

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next read belongs."""
        return self._view[self._at :]

    def buffer_updated(self, nbytes: int) -> None:
        """So much of it has come."""
        self._at += nbytes
        self._moved = now = monotonic()
        if self._at == self._size:
            # At once, and not when the task has been woken: what follows is not of this body.
            self._client.take_back(self._payload)
            if not self.done.done():
                self.done.set_result(None)
        elif self._at < (now - self._began - GRACE) * SLOWEST:
            self._fail()

    def data_received(self, data: bytes) -> None:
        """The same from a transport that has its own place for what it reads: one that deciphers."""
        at, size = self._at, min(len(data), self._size - self._at)
        self._view[at : at + size] = data[:size]
        self.buffer_updated(size)
        if size < len(data):
            self._client.data_received(data[size:])

    def eof_received(self) -> bool:
        """The rest will never come."""
        return self._client.eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Whoever waits is cancelled."""
        self._client.connection_lost(exc)

    def pause_writing(self) -> None:
        """It does not take what was written before."""
        self._client.pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        self._client.resume_writing()
