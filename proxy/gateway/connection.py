"""A client's connection: aiohttp's request handler, with the deadlines and the manners a proxy needs.

aiohttp waits without limit for a request head, answers malformed HTTP in plain text that quotes the offending
bytes, and closes when a client half-closes. Here a head has an absolute deadline (408), every error is JSON in the
dialect of the path, and a client that shut down only its sending side is still served.

A half-closed client and a vanished one look alike until something is written: both have sent a FIN. So a FIN
while a response is owed is answered by a probe, an interim `100 Continue` before the head (none in HTTP/1.0), an SSE comment
inside a stream; a client that is gone resets the connection, and the exchange is cancelled within two probes.

One task serves all requests of a connection. aiohttp's own loop makes one for each, against context variables that
leak and for response objects that are awaited; with neither of them that is 8 of 98 us a request.
"""

from __future__ import annotations

import asyncio
import fcntl
import select
import termios
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp.http import HttpRequestParser, HttpVersion10, HttpVersion11, RawRequestMessage
from aiohttp.web_protocol import RequestHandler, RequestPayloadError
from aiohttp.web_request import BaseRequest

from proxy.core.log import logger
from proxy.gateway.forwarded import is_proxy
from proxy.gateway.unread import Unread
from proxy.state.lag import Lag
from proxy.wire.headers import with_one_user_agent

if TYPE_CHECKING:
    from aiohttp.streams import StreamReader
    from aiohttp.web_server import Server

    from proxy.gateway.forwarded import Networks

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_TOO_LARGE = ("too large", "Got more than", "Too many headers")
"""How aiohttp says that a line, a field or their number exceeds its limits."""
_NOBODY: Any = None
"""In the place of what aiohttp's types ask for and its code does without."""
_ON_TIME = Lag()
"""Of a loop that is never late."""
PROBE_PAUSE = 0.05
"""Seconds between the two writes that tell a vanished client from a half-closed one."""

Reject = Callable[[str, str], bytes]
"""(ref of the error, request line as received) to a whole response."""
Refusal = Callable[[bytes, "ClientConnection"], bytes | None]
"""(what was read) to a whole response, if it is a request and has to go (`gateway.glance`)."""
Answer = Callable[[BaseRequest, "ClientConnection"], Awaitable[bool]]
"""Writes the answer to a request; whether the connection can carry another."""


class Flow(Protocol):
    """What feeds this client, as far as the connection must steer it."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def gone(self) -> None: ...

    def restart(self) -> None: ...

    def probe(self) -> bytes: ...


class Owed(Protocol):
    """An answer that nothing feeds at present."""

    head_sent: bool

    def probe(self) -> bytes:
        """Bytes that do no harm behind its head."""
        ...


def _unread(transport: asyncio.Transport) -> bool:
    """Whether the system has bytes for us that no loop has fetched yet."""
    if transport.get_extra_info("unread"):
        return True  # of a record of TLS, as far as it has come
    connection = transport.get_extra_info("socket")
    try:
        waiting = fcntl.ioctl(connection.fileno(), termios.FIONREAD, bytes(4))
    except OSError:  # closed meanwhile
        return False
    return any(waiting)


HEADS = 32 * 1024
"""Bytes of what was read at once in which the end of a head is looked for."""

READ = 64 * 1024
"""Bytes of a body that aiohttp keeps for its reader. At twice as many it reads no further: the socket can be lent (`lend`)."""
_HEAD: Any = {"max_line_size": 8190, "max_field_size": 8190, "max_headers": 100}


class ClientConnection(RequestHandler):
    """One client's connection, for all the requests on it."""

    __slots__ = (
        "_answer",
        "_hangup",
        "_head_timeout",
        "_head_timer",
        "_lag",
        "_probe_timer",
        "_proxies",
        "_received",
        "_refusal",
        "_reject",
        "_unread",
        "answered",
        "flow",
        "forwards",
        "half_closed",
        "let_in",
        "owed",
        "received_at",
        "rest",
    )

    def __init__(
        self,
        manager: Server,
        *,
        loop: asyncio.AbstractEventLoop,
        answer: Answer,
        reject: Reject,
        head_timeout: float,
        keepalive: float,
        write_timeout: float,
        proxies: Networks = (),
        lag: Lag = _ON_TIME,
        refusal: Refusal | None = None,
    ) -> None:
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=keepalive,
            access_log=_NOBODY,
            lingering_time=0,
            read_bufsize=READ,
            auto_decompress=False,
            **_HEAD,
        )
        self.flow: Flow | None = None
        self.owed: Owed | None = None
        """None: nothing is known of it, and its head has not gone."""
        self.half_closed = False
        self.answered = 0
        self.let_in = 0
        """The request that may begin though there is a quota: the first of the connection is 1."""
        self.rest = 0
        """Bytes that are still to come of a request that is answered: nobody wants them."""
        self._answer = answer
        self._reject = reject
        self._refusal = refusal
        self._lag = lag
        self._head_timeout = head_timeout
        self._head_timer: asyncio.TimerHandle | None = None
        self._probe_timer: asyncio.TimerHandle | None = None
        self._unread = Unread(loop, write_timeout)
        self._hangup: select.poll | None = None
        self._received = b""
        self._proxies = proxies
        self.forwards = False
        """It is a balancer's: requests on it are from others."""
        self.received_at = 0.0
        """Monotonic time of the last read; before the first, of the connection's beginning."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._proxies:
            peer = transport.get_extra_info("peername")
            self.forwards = bool(peer) and is_proxy(peer[0], self._proxies)
        self.received_at = monotonic()
        self._arm()

    def _arm(self) -> None:
        self._head_timer = self._loop.call_later(self._head_timeout, self._head_late)

    def _disarm(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def data_received(self, data: bytes) -> None:
        if self.rest:
            data = self._without_rest(data)
            if not data:
                return
        requests = self._request_count
        if (
            requests == self.answered
            and data.count(b"gent:", 0, data.find(b"\r\n\r\n", 0, HEADS)) > 1
        ):
            data = with_one_user_agent(data)
        self.received_at = monotonic()
        if self._lag.share and self._turned_away(data):
            return
        self._received = data
        super().data_received(data)
        if self._request_count != requests:
            if self._head_timer is not None:
                self._disarm()
            messages = self._messages
            if messages and not isinstance(messages[-1][0], RawRequestMessage):
                self._break_body()
        elif self._head_timer is None and requests == self.answered:
            self._arm()

    def _turned_away(self, data: bytes) -> bool:
        """Whether it was a request that had to go, and is answered. Called while there is a quota."""
        transport = self.transport
        if transport is None or self._refusal is None or self._close or self._paused or self.busy:
            return False
        answer = self._refusal(data, self)
        if answer is None:
            return False
        self._disarm()
        if self.rest:
            self._received = data
            self._arm()
        transport.write(answer)
        self._stay()
        return True

    def _without_rest(self, data: bytes) -> bytes:
        """What is behind the body of a request that was answered before it had come."""
        behind = data[self.rest :]
        self.rest = max(self.rest - len(data), 0)
        if not self.rest:
            self._disarm()
        return behind

    def _stay(self) -> None:
        """Wait for another request, as long as one without any may stay."""
        loop = self._loop
        self._next_keepalive_close_time = loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = loop.call_at(
                self._next_keepalive_close_time, self._process_keepalive
            )

    def lend(self, taker: asyncio.BufferedProtocol) -> None:
        """Have the rest of a body of known length go to `taker`, past the parser."""
        if self.transport is not None:
            self.transport.set_protocol(taker)

    def take_back(self, payload: StreamReader | None = None) -> None:
        """The socket is lent no longer. `payload`: because all of that body has come, and what follows is another request."""
        if payload is not None:
            self.received_at = monotonic()
            self._parser = self._new_parser()  # this one waits for the body still
            payload.feed_eof()
        if self.transport is not None:
            self.transport.set_protocol(self)

    def _new_parser(self) -> HttpRequestParser:
        """As aiohttp makes the first."""
        return HttpRequestParser(
            self,
            self._loop,
            READ,
            payload_exception=RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=self._max_msg_queue_size,
            **_HEAD,
        )

    def _break_body(self) -> None:
        """What came last was no request: a body under way before it is broken, and nobody told its reader."""
        request = self._current_request
        payload = None if request is None else request.content
        if len(self._messages) > 1:
            payload = self._messages[-2][1]
        if payload is not None and not payload.is_eof():
            payload.set_exception(RequestPayloadError("broken framing"))

    def _head_late(self) -> None:
        self._head_timer = None
        if self.rest:
            self.force_close()  # it has its answer
        elif self._request_count == self.answered:
            self.refuse("slow_req")

    def refuse(self, ref: str) -> None:
        """Answer without a request object, and close."""
        transport = self.transport
        if transport is not None:
            transport.write(self._reject(ref, self._request_line()))
            self.force_close()

    @property
    def task(self) -> asyncio.Task[None] | None:
        """What answers this connection's requests; None once it has ended."""
        return self._task_handler

    @property
    def busy(self) -> bool:
        """A request is being answered, or has come in part."""
        if self._request_count != self.answered:
            return True
        return self._head_timer is not None and bool(self._received)

    @property
    def idle_since(self) -> float | None:
        """Monotonic time of the last that happened on it; None: a request is on it, or it is being closed."""
        transport = self.transport
        if transport is None or transport.is_closing() or self.busy:
            return None
        if self.answered:
            return max(self.received_at, self._next_keepalive_close_time - self._keepalive_timeout)
        return self.received_at

    def dismiss(self, began: float, now: float, patience: float) -> None:
        """Close it, if nothing has happened on it for so many seconds of the drain that `began` then, and nothing has come
        that is not read yet."""
        since, transport = self.idle_since, self.transport
        if since is None or transport is None:
            return
        if now - max(since, began) >= patience and not _unread(transport):
            self._unread.part(transport)

    def force_close(self) -> None:
        transport = self.transport
        super().force_close()
        if transport is not None:
            self._unread.watch(transport)

    def cut(self) -> None:
        """This process ends now: a stream is told so, whoever waits for an answer gets an error."""
        if self.flow is not None:
            self.flow.restart()
        elif self._task_handler is not None:
            self._task_handler.cancel()

    def early(self) -> bytes:
        """What came behind a request to switch protocols."""
        data, self._message_tail = self._message_tail, b""
        return data

    def _request_line(self) -> str:
        # The read that failed is enough: a line split over reads only costs the error its dialect.
        return self._received[:2048].partition(b"\n")[0].decode("latin-1")

    async def start(self) -> None:
        """Answer one request after the other; cancelled when the connection is lost."""
        loop = self._loop
        while not self._force_close:
            try:
                message, payload = await self._next()
            except asyncio.CancelledError:
                if not self._close:
                    raise
                break  # idle when the drain began
            if not isinstance(message, RawRequestMessage):
                self._malformed(message.status, message.message)
                break
            task: Any = self._task_handler
            request = BaseRequest(message, payload, self, _NOBODY, task, loop)
            self._request_in_progress = True
            self._current_request = request
            try:
                keep_alive = await self._answer(request, self)
            except Exception:
                # The gateway catches its own errors; this is one of them that it did not.
                logger.exception("a request handler failed")
                self.refuse("oops")
                break
            except asyncio.CancelledError:
                self._end()  # whoever gave it up: nobody answers here any more
                raise
            finally:
                self._request_in_progress = False
                self._current_request = self.owed = None
                request._task = _NOBODY  # the cycle from task to request and back
                self.answered += 1
                if self._handler_waiter is not None:
                    self._handler_waiter.set_result(None)
            if self._paused and keep_alive and self.transport is not None:
                await self._unread.caught_up(self.transport, self.taken())
            if (
                not keep_alive
                or self._close
                or self._upgraded  # and nobody wants that here: what follows on the wire is no HTTP of ours
                or not payload.is_eof()
                or (self.half_closed and not self._messages)
            ):
                break
            self._next_keepalive_close_time = loop.time() + self._keepalive_timeout
            if self._keepalive_handle is None:
                self._keepalive_handle = loop.call_at(
                    self._next_keepalive_close_time, self._process_keepalive
                )
        if not self._force_close:
            self._end()

    def _end(self) -> None:
        """No request is answered any more."""
        if self.transport is not None:
            self._task_handler = None
            self._unread.part(self.transport)

    async def _next(self) -> tuple[Any, StreamReader]:
        """The next request's head and body, or what was wrong with it."""
        if not self._messages:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        found = self._messages.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        return found

    def _malformed(self, status: int, message: str) -> None:
        """What came is no request: say so in the dialect of its path, as far as it can be seen."""
        too_large = any(sign in message for sign in _TOO_LARGE)
        if self.transport is not None:
            ref = "oops" if status >= 500 else "hdr_big" if too_large else "bad_http"
            self.transport.write(self._reject(ref, self._request_line()))
        self.answered += 1

    async def taken(self) -> None:
        """When the client has taken enough of what was written. Raises ConnectionError when it is gone."""
        await self._drain_helper()

    def resume_reading(self, resume_parser: bool = True) -> None:
        # aiohttp's stream says so twice of each body. Where nothing stands still there is nothing to wake: neither the
        # parser, with an empty read, nor the socket.
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.flow is not None:
            self.flow.pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.flow is not None:
            self.flow.resume()

    def eof_received(self) -> bool:  # type: ignore[override]
        request = self._current_request
        if self._request_count == self.answered or (
            request is not None and not request.content.is_eof()
        ):
            if self.transport is not None:
                self._unread.watch(self.transport)
            return False  # nothing is owed, or the rest of the body will never come
        self.half_closed = True
        self._probe()
        self._probe_timer = self._loop.call_later(PROBE_PAUSE, self._probe)
        return True

    def _probe(self) -> None:
        transport = self.transport
        if transport is None or transport.is_closing() or self._request_count == self.answered:
            return
        if self.flow is not None:
            data = self.flow.probe()
        elif self.owed is not None and self.owed.head_sent:
            data = self.owed.probe()
        else:
            data = self._interim()
        if data:
            transport.write(data)

    def _interim(self) -> bytes:
        """What may go before the head of an answer, if its request is of a version that knows such a thing (RFC 9110, 15.2)."""
        asked: Any = self._current_request
        if asked is None and self._messages:
            asked = self._messages[0][0]
        return CONTINUE if getattr(asked, "version", HttpVersion10) >= HttpVersion11 else b""

    def may_have_left(self) -> bool:
        """Whether the system has the client's end of sending: one call of it, where a turn of the loop is several."""
        if self.half_closed:
            return True
        hangup = self._hangup
        if hangup is None:
            end = None if self.transport is None else self.transport.get_extra_info("socket")
            if end is None:
                return True
            hangup = self._hangup = select.poll()
            hangup.register(end.fileno(), select.POLLRDHUP)
        return bool(hangup.poll(0))

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
        self._unread.stop()
