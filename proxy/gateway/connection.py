"""A client's connection: aiohttp's request handler, with the deadlines and the manners a proxy needs.

aiohttp waits without limit for a request head, answers malformed HTTP in plain text that quotes the offending
bytes, and closes when a client half-closes. Here a head has an absolute deadline (408), every error is JSON in the
dialect of the path, and a client that shut down only its sending side is still served.

A half-closed client and a vanished one look alike until something is written: both have sent a FIN. So a FIN
while a response is owed is answered by a probe, an interim `100 Continue` before the head, an SSE comment inside a
stream; a client that is gone resets the connection, and the exchange is cancelled within two probes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, cast

from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse

from proxy.core.log import logger

if TYPE_CHECKING:
    from aiohttp.web_server import Server

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_TOO_LARGE = ("too large", "Got more than", "Too many headers")
"""How aiohttp says that a line, a field or their number exceeds its limits."""
PROBE_PAUSE = 0.05
"""Seconds between the two writes that tell a vanished client from a half-closed one."""

Reject = Callable[[str, str], bytes]
"""(ref of the error, request line as received) to a whole response."""


class Flow(Protocol):
    """What feeds this client, as far as the connection must steer it."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def gone(self) -> None: ...

    def probe(self) -> bytes: ...


class Sent:
    """Stands for a response that is already on the wire; aiohttp finds nothing left to do."""

    __slots__ = ("keep_alive",)

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive

    async def prepare(self, request: BaseRequest) -> None:
        """Nothing to prepare."""

    async def write_eof(self) -> None:
        """Nothing to write."""


KEEP = cast("StreamResponse", Sent(keep_alive=True))
CLOSE = cast("StreamResponse", Sent(keep_alive=False))


class ClientConnection(RequestHandler):
    """One client's connection, for all the requests on it."""

    __slots__ = (
        "_head_timeout",
        "_head_timer",
        "_probe_timer",
        "_received",
        "_reject",
        "answered",
        "flow",
        "half_closed",
        "received_at",
    )

    def __init__(
        self,
        manager: Server,
        *,
        loop: asyncio.AbstractEventLoop,
        reject: Reject,
        head_timeout: float,
        keepalive: float,
    ) -> None:
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=keepalive,
            access_log=cast("Any", None),
            max_line_size=8190,
            max_field_size=8190,
            max_headers=100,
            lingering_time=0,
            read_bufsize=64 * 1024,
            auto_decompress=False,
        )
        self.flow: Flow | None = None
        self.half_closed = False
        self.answered = 0
        self._reject = reject
        self._head_timeout = head_timeout
        self._head_timer: asyncio.TimerHandle | None = None
        self._probe_timer: asyncio.TimerHandle | None = None
        self._received = b""
        self.received_at = 0.0
        """Monotonic time of the last read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._arm()

    def _arm(self) -> None:
        self._head_timer = self._loop.call_later(self._head_timeout, self._head_late)

    def _disarm(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def data_received(self, data: bytes) -> None:
        requests = self._request_count
        self._received = data
        self.received_at = monotonic()
        super().data_received(data)
        if self._request_count != requests:
            if self._head_timer is not None:
                self._disarm()
        elif self._head_timer is None and requests == self.answered:
            self._arm()

    def _head_late(self) -> None:
        self._head_timer = None
        if self._request_count == self.answered:
            self.refuse("slow_req")

    def refuse(self, ref: str) -> None:
        """Answer without a request object, and close."""
        transport = self.transport
        if transport is not None:
            transport.write(self._reject(ref, self._request_line()))
            self.force_close()

    def _request_line(self) -> str:
        # The read that failed is enough: a line split over reads only costs the error its dialect.
        return self._received[:2048].partition(b"\n")[0].decode("latin-1")

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """Malformed HTTP, and what should not be: a failure of the gateway outside of any exchange."""
        if status >= 500:
            logger.error("a request handler failed", exc_info=exc)
        too_large = message is not None and any(sign in message for sign in _TOO_LARGE)
        transport = self.transport
        if transport is not None and request.writer.output_size == 0:
            ref = "oops" if status >= 500 else "hdr_big" if too_large else "bad_http"
            transport.write(self._reject(ref, self._request_line()))
        self.answered += 1
        return CLOSE

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.flow is not None:
            self.flow.pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.flow is not None:
            self.flow.resume()

    def eof_received(self) -> bool:  # type: ignore[override]
        if self._request_count == self.answered:
            return False
        request = self._current_request
        if request is not None and not request.content.is_eof():
            return False  # the rest of the body will never come
        self.half_closed = True
        self._probe()
        self._probe_timer = self._loop.call_later(PROBE_PAUSE, self._probe)
        return True

    def _probe(self) -> None:
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        data = CONTINUE if self.flow is None else self.flow.probe()
        if data:
            transport.write(data)

    async def confirm_client(self) -> None:
        """Before work is begun for a client that has sent a FIN: wait until a vanished one would have been noticed.

        The handler is cancelled meanwhile if it has.
        """
        await asyncio.sleep(2 * PROBE_PAUSE)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._disarm()
        if self._probe_timer is not None:
            self._probe_timer.cancel()
        flow, self.flow = self.flow, None
        if flow is not None:
            flow.gone()
        super().connection_lost(exc)
