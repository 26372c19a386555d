"""A whole worker's line from the bytes of a request to the bytes of its answer, with objects in place of the two sockets.

Both connections are the real ones (`ClientConnection`, `UpstreamConnection`), between them the real gateway and the real pool;
what is not there is the kernel, and the threads of the ledger and of the log.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from bench.line import ANSWER, MODEL, standing
from bench.load import Load, request_bytes
from bench.peers import KEY
from proxy.gateway.server import Gateway
from proxy.upstream.pool import UpstreamPool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from proxy.core.model import Snapshot

TOKENS = 16
"""Of a stream, each in a read of its own."""
TURNS = 100
"""Of the loop, in which a step of a request has to be done."""
REQUEST = request_bytes(Load(model=MODEL, key=KEY))
STREAM = request_bytes(Load(model=MODEL, key=KEY, stream=True))
WHOLE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER)
) + ANSWER
_EVENT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"sim-n16","choices":[{"index":0,'
    b'"delta":%s,"finish_reason":%s}]}\n\n'
)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


FIRST = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    + _chunk(_EVENT % (b'{"role":"assistant","content":"word"}', b"null"))
)
TOKEN = _chunk(_EVENT % (b'{"content":" word"}', b"null"))
LAST = (
    _chunk(_EVENT % (b"{}", b'"stop"'))
    + _chunk(
        b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"sim-n16","choices":[],'
        b'"usage":{"prompt_tokens":60,"completion_tokens":16,"total_tokens":76}}\n\n'
    )
    + _chunk(b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)


class Wire(asyncio.Transport):
    """Takes everything at once, and remembers it until it is asked for."""

    def __init__(self, end: socket.socket | None = None) -> None:
        """`end`: what the system is asked about, as of a connection on which nothing comes."""
        super().__init__({"peername": ("127.0.0.1", 40000), "socket": end})
        self.written: list[bytes] = []
        self._closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.written.extend(list_of_data)

    def taken(self) -> bytes:
        written, self.written = b"".join(self.written), []
        return written

    def is_closing(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True

    abort = close

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """It is never full."""

    resume_reading = pause_reading

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """It has none."""


class Wires:
    """One worker's line, one client, one connection to the one provider. Made in a running loop."""

    def __init__(self, snapshot: Snapshot, folder: Path | None, stack: ExitStack) -> None:
        """With a `folder` requests are recorded there, and limits are counted in a file of it."""
        state = self.state = standing(snapshot, folder, stack)
        self._pool = UpstreamPool()
        (provider,) = snapshot.providers.values()
        connector: Any = self._pool.of(provider)._connector
        connector._create_connection = self._dialled
        self._connector = connector
        self._there = Wire()
        self._far: Any = None
        end, other = socket.socketpair()
        stack.callback(other.close)
        stack.callback(end.close)
        self._here = Wire(end)
        self._near = Gateway(state, self._pool, {}).client()
        self._near.connection_made(self._here)

    async def _dialled(self, *_: Any) -> Any:
        far = self._far = self._connector._factory()
        far.connection_made(self._there)
        return far

    async def whole(self) -> None:
        """A request, answered whole."""
        await self._ask(REQUEST)
        self._far.data_received(WHOLE)
        await self._over(ANSWER)

    async def begin(self) -> None:
        """A stream, up to its first token."""
        await self._ask(STREAM)
        self._far.data_received(FIRST)
        await self._until(lambda: bool(self._here.written))

    def token(self) -> None:
        """One token more."""
        self._far.data_received(TOKEN)

    async def end(self) -> None:
        """The rest of it."""
        self._far.data_received(LAST)
        await self._over(b"data: [DONE]\n\n")

    async def stream(self) -> None:
        await self.begin()
        for _ in range(TOKENS - 1):
            self.token()
        await self.end()

    async def _ask(self, request: bytes) -> None:
        self._near.data_received(request)
        await self._until(lambda: bool(self._there.written))
        self._there.taken()

    async def _until(self, done: Callable[[], bool]) -> None:
        """Give the line its turns of the loop. Raises RuntimeError when it takes too many."""
        for _ in range(TURNS):
            if done():
                return
            await asyncio.sleep(0)
        raise RuntimeError(f"the line stands still: {self._here.taken()[-300:]!r}")

    async def _over(self, wanted: bytes) -> None:
        await self._until(lambda: not self._near.busy)
        written = self._here.taken()
        if not written.startswith(b"HTTP/1.1 200 ") or wanted not in written:
            raise RuntimeError(f"the line answered {written[-300:]!r}")

    async def close(self) -> None:
        """Leave nothing behind."""
        self._near.connection_lost(None)
        if self._far is not None:
            self._far.connection_lost(None)
        await self._pool.close()
        await asyncio.sleep(0)
