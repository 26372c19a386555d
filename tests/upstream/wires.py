"""A transport without a socket, and a consumer that remembers what it was given."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.upstream.connection import UpstreamConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from proxy.core.errors import UpstreamError
    from proxy.upstream.connection import Headers


class Wire(asyncio.Transport):
    """Remembers what was written to it and what was asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.unsent = 0
        self.reading = True
        self.aborted = False
        self.closed = False

    @property
    def written(self) -> bytes:
        return b"".join(self.writes)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.writes.extend(map(bytes, list_of_data))

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True


class Taken:
    """A consumer: what it was told, in order."""

    unparsed: Callable[[bytes], bool] | None = None

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self.heads = 0
        self.parts: list[bytes] = []
        self.ended = False
        self.error: UpstreamError | None = None
        self.over = asyncio.Event()

    @property
    def data(self) -> bytes:
        return b"".join(self.parts)

    def head(self, status: int, headers: Headers) -> None:
        assert not self.parts
        self.heads += 1
        self.status, self.headers = status, headers

    def body(self, data: bytes) -> None:
        assert self.status
        assert data
        self._check_running()
        self.parts.append(data)

    def end(self) -> None:
        self._check_running()
        self.ended = True
        self.over.set()

    def lost(self, error: UpstreamError) -> None:
        self._check_running()
        self.error = error
        self.over.set()

    def _check_running(self) -> None:
        assert not self.ended, "told more after the end"
        assert self.error is None, "told more after the loss"


class Line:
    """A connection on a wire, as a pool would own it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.wire = Wire()
        self.connection = UpstreamConnection(loop)
        self.connection.connection_made(self.wire)
        self.released: list[bool] = []
        """For each time it was given back, whether it may be pooled."""

    def ask(self, head: bytes = b"POST / HTTP/1.1\r\n\r\n", body: bytes = b"") -> Taken:
        """Send a request; its answer is taken down."""
        taken = Taken()
        self.connection.exchange(head, body, taken, self._release)
        return taken

    def answer(self, *reads: bytes) -> None:
        """What the provider sends, as far as the connection is still there to take it."""
        for data in reads:
            if not self.wire.aborted:
                self.connection.data_received(data)

    def lose(self, error: BaseException | None = None) -> None:
        self.connection.connection_lost(error)

    def _release(self) -> None:
        self.released.append(not self.connection.should_close)
