"""One connection to a provider: HTTP/1.1 responses parsed by llhttp and handed on as they arrive.

`aiohttp.ClientSession` owns the connections (TLS, DNS, pools, proxies); its request path is the largest cost of a
proxied call, so the exchange itself is spoken here. A pooled connection carries a `Consumer` while a response is
owed; every read becomes at most one `Consumer.body` call, made from the socket's own callback. Without a consumer
the class behaves as aiohttp's `ResponseHandler`, so plain `session.request` works on the same pool.

A body in gzip or deflate, which nobody asks for, is handed on plain, without its `content-encoding`.

What is refused here: a second response nobody asked for, bytes behind a message, conflicting lengths, any
malformed framing. Such a connection is closed, never pooled, and the next request cannot read its stale bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, cast

from aiohttp.client_proto import ResponseHandler
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from proxy.core.clock import monotonic
from proxy.core.errors import Cause, UpstreamError
from proxy.wire.inflating import Inflating, inflating

Headers = list[tuple[bytes, bytes]]

MAX_HEAD = 64 * 1024
"""Bytes of header fields, and of reads in a row that bring framing only: heads, chunk sizes, trailers."""
MAX_FIELD = 8 * 1024
"""Bytes of one header field."""
FIELD = 480
"""What a field counts for besides its bytes: with it 128 of the usual size are MAX_HEAD, which is the one limit."""
_TELLING = frozenset({b"content-length", b"transfer-encoding", b"content-encoding", b"keep-alive"})
"""Fields of a head that say something to us."""
SWITCHED = 101
"""What comes then is no HTTP any more."""
MAX_INTERIM = 32
"""1xx answers accepted before the real one."""
COPY_LIMIT = 64 * 1024
"""A body up to this size is joined to its head: one write, one packet train."""
STALL = 60.0
"""Seconds in which a provider takes nothing of a larger one, until it is given up."""


class Consumer(Protocol):
    """Who receives a response. Calls come in order: head, (body or unparsed)*, then end or lost."""

    @property
    def unparsed(self) -> Callable[[bytes], bool] | None:
        """Given a read that begins where a chunk does, as it came: whether it was whole chunks, and has been dealt with.
        None, or if it says no: it is parsed."""

    def head(self, status: int, headers: Headers) -> None: ...

    def body(self, data: bytes) -> None:
        """All body bytes of one read."""

    def end(self) -> None:
        """The message ended as its framing said, or at a clean end of file where nothing else delimits it."""

    def lost(self, error: UpstreamError) -> None:
        """The response will not be completed."""


class UpstreamConnection(ResponseHandler):
    """A pooled connection that can carry one lean exchange at a time."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, hinted: Callable[[bytes], None] | None = None
    ) -> None:
        super().__init__(loop)
        self.consumer: Consumer | None = None
        self.served = 0
        """Responses completed: above 0 the connection was reused and may have gone stale."""
        self.born = monotonic()
        """When it was opened."""
        self._hinted = hinted
        """Told what the provider says of its idle connections, when it says something new."""
        self._hint = b""
        self._upgrades = False
        """The request asks for another protocol."""
        self._llhttp: HttpResponseParser | None = None
        self._headers: Headers = []
        self._barren = 0
        self._parts: list[bytes] = []
        self._status = 0
        self._touched = False
        self._complete = False
        self._delimited = False
        self._interim = 0
        self._inflate: Inflating | None = None
        self._aligned = False
        """The parser is between two chunks: whole ones may pass it by."""
        self._keep_alive = False
        self._release: Callable[[], None] | None = None

    def exchange(
        self,
        head: bytes,
        body: bytes,
        consumer: Consumer,
        release: Callable[[], None],
        *,
        upgrades: bool = False,
    ) -> None:
        """Write a request and hand its response to `consumer`; `release` gives the connection back to the pool.

        `upgrades`: another protocol is asked for, and a 101 is an answer.
        """
        transport = self.transport
        if transport is None:
            # Only a new connection can be lost before it is used: the pool looks at those it keeps.
            raise UpstreamError(Cause.CONNECT, sent=False)
        self._begin()
        self._upgrades = upgrades
        self.consumer = consumer
        self._release = release
        if self._llhttp is None:
            self._llhttp = HttpResponseParser(self)
        if len(body) > COPY_LIMIT:
            transport.writelines((head, body))
            self._watch(transport, self.served)
        else:
            transport.write(head + body)

    def _watch(self, transport: asyncio.Transport, turn: int, before: int = 0) -> None:
        """See again and again whether the provider takes something of the request."""
        unsent = transport.get_write_buffer_size()
        if not unsent or self.consumer is None or self.served != turn:
            return
        if unsent == before:
            self._fail(UpstreamError(Cause.TIMEOUT_IDLE))
        else:
            self._loop.call_later(STALL, self._watch, transport, turn, unsent)

    def set_response_params(self, **parameters: Any) -> None:
        # A plain `session.request` goes on this connection: whoever takes it next takes a used one.
        self.served += 1
        super().set_response_params(**parameters)

    def _begin(self) -> None:
        # What plain `session.request` leaves behind would swallow an unasked answer on an idle connection.
        self._parser = None
        self._headers = []
        self._barren = 0
        self._status = 0
        self._touched = False
        self._complete = False
        self._delimited = False
        self._interim = 0
        self._inflate = None
        self._aligned = False

    def cancel(self) -> None:
        """Nobody wants the rest: close the socket at once, so that the provider stops working."""
        self.consumer = None
        self._should_close = True
        if self.transport is not None:
            self.transport.abort()
        self._give_back()

    def hold(self) -> None:
        """Stop reading: the client is slower than the provider."""
        if self.transport is not None:
            self.transport.pause_reading()

    def unhold(self) -> None:
        """Read again."""
        if self.transport is not None:
            self.transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Every loop sends at once by itself: TCP_NODELAY once more would be two calls of the system.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        consumer = self.consumer
        if consumer is None:
            self._unasked(data)
            return
        unparsed = consumer.unparsed if self._aligned else None
        if unparsed is not None and unparsed(data):
            return
        self._aligned = False
        self._touched = True
        failed = False
        try:
            self._llhttp.feed_data(data)  # type: ignore[union-attr]
        except HttpParserUpgrade as upgrade:
            failed = not self._switched(data[upgrade.args[0] :])
        except HttpParserError:
            failed = True
        parts = self._parts
        if parts:
            # The consumer may have been replaced by the head callback.
            consumer = self.consumer
            read = data
            data = parts[0] if len(parts) == 1 else b"".join(parts)
            self._parts = []
            self._barren = 0
            if self._inflate is not None:
                try:
                    data = self._inflate.feed(data)
                except ValueError:
                    self._fail(UpstreamError(Cause.MALFORMED, status=self._status))
                    return
            if consumer is not None and data:
                consumer.body(data)
                if consumer.unparsed is not None and self._inflate is None:
                    self._aligned = _is_whole(read, parts)
        else:
            # A field without an end reaches no callback: the parser would keep all of it.
            self._barren += len(data)
            failed = failed or self._barren > MAX_HEAD
        if self._complete:
            self._finish(reusable=not failed)
        elif failed:
            self._fail(UpstreamError(Cause.MALFORMED))

    def _unasked(self, data: bytes) -> None:
        """Nobody here waits for it: a plain `session.request` may."""
        if self._parser is not None:
            super().data_received(data)
            return
        # On an idle connection: whatever it is, nobody may read it.
        self._should_close = True
        if self.transport is not None:
            self.transport.abort()

    def _switched(self, rest: bytes) -> bool:
        """Whether another protocol was asked for: `rest` is of that, and so is all that follows."""
        if rest and self._status == SWITCHED:
            self._parts.append(rest)
        return self._status == SWITCHED

    def connection_lost(self, exc: BaseException | None) -> None:
        consumer = self.consumer
        self.consumer = None
        super().connection_lost(exc)
        if consumer is None:
            return
        cut = self._delimited or (self._inflate is not None and not self._inflate.whole)
        if self._status and not cut and exc is None:
            consumer.end()
        elif self._status:
            consumer.lost(UpstreamError(Cause.TRUNCATED, status=self._status))
        elif self.served and not self._touched:
            consumer.lost(UpstreamError(Cause.STALE))
        else:
            consumer.lost(UpstreamError(Cause.CONNECT))
        self._give_back()

    def _finish(self, *, reusable: bool) -> None:
        consumer = self.consumer
        self.consumer = None
        self.served += 1
        transport = self.transport
        if transport is not None and transport.get_write_buffer_size():
            # An answer before all of the request was sent: the rest is in the way, and nobody may ever take it.
            self._should_close = True
            transport.abort()
        elif not (reusable and self._keep_alive):
            self._should_close = True
        self._give_back()
        if consumer is not None:
            if self._inflate is None or self._inflate.whole:
                consumer.end()
            else:
                consumer.lost(UpstreamError(Cause.TRUNCATED, status=self._status))

    def _fail(self, error: UpstreamError) -> None:
        consumer = self.consumer
        self.cancel()
        if consumer is not None:
            consumer.lost(error)

    def _give_back(self) -> None:
        release = self._release
        if release is not None:
            self._release = None
            release()

    # llhttp callbacks

    def on_message_begin(self) -> None:
        if self._complete:
            raise UpstreamError(Cause.MALFORMED)

    def on_header(self, name: bytes, value: bytes) -> None:
        # Providers send some twenty: what they say is looked at once they are all here.
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        headers = self._read_head()
        status = self._llhttp.get_status_code()  # type: ignore[union-attr]
        if status < 200:
            self._interim += 1
            if status == SWITCHED and self._upgrades:
                self._status = status
                self._should_close = True
                if self.consumer is not None:
                    self.consumer.head(status, headers)
                return
            if status == SWITCHED or self._interim > MAX_INTERIM:
                raise UpstreamError(Cause.MALFORMED)
            return
        if status in (204, 304):
            self._delimited = True
        self._status = status
        if self.consumer is not None:
            self.consumer.head(status, headers)

    def _read_head(self) -> Headers:
        """The fields that came, with names in lower case, less what is not handed on. Raises UpstreamError."""
        # What comes after them is trailers: nobody asked for any.
        fields, self._headers = self._headers, []
        headers: Headers = []
        total = FIELD * len(fields)
        for name, value in fields:
            size = len(name) + len(value)
            total += size
            if size > MAX_FIELD or total > MAX_HEAD:
                raise UpstreamError(Cause.MALFORMED)
            name = name.lower()
            if name in _TELLING and not self._told(name, value):
                continue
            headers.append((name, value))
        return headers

    def _told(self, name: bytes, value: bytes) -> bool:
        """What a field says of the message or of the connection; whether it is handed on."""
        if name == b"content-length":
            self._delimited = True
        elif name == b"transfer-encoding":
            if value.lower() != b"chunked":
                # Compressed for this hop, or readable in two ways; nobody asked for either.
                raise UpstreamError(Cause.MALFORMED)
            self._delimited = True
        elif name == b"content-encoding":
            self._inflate = inflating(value)
            return self._inflate is None  # what is handed on is not
        elif value != self._hint and self._hinted is not None:
            self._hint = value
            self._hinted(value)
        return True

    def on_body(self, data: bytes) -> None:
        if not self._complete:
            self._parts.append(data)

    def on_message_complete(self) -> None:
        if self._status == 0:  # an interim response
            self._headers = []
            self._delimited = False
            self._inflate = None
            return
        if self._status == SWITCHED:
            return
        self._complete = True
        # Only here: llhttp forgets the message's version and headers when the callback returns.
        self._keep_alive = self._llhttp.should_keep_alive()  # type: ignore[union-attr]


def _is_whole(read: bytes, parts: list[bytes]) -> bool:
    """Whether a read in which the parser found these parts of a body was whole chunks as we write them, one for each.

    If it does not begin with the first of them, it began with the line of a chunk, or with the rest of one. That line ends
    where ours does, and the part is as long as that chunk is: else there were more of it. So all lines are what they seem.
    """
    # The second says most of what is not, as reads of a full buffer, before anything is put together.
    return (
        not read.startswith(parts[0])
        and read.endswith(b"\r\n")
        and read == b"".join([b"%x\r\n%b\r\n" % (len(part), part) for part in parts])
    )
