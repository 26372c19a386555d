"""One client request and the response owed.

The exchange knows how to put bytes on the client's connection: heads built here, written straight to the
transport, framed as the client's HTTP version needs. aiohttp parses the request and keeps the connection; it never
sees the response.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from http import HTTPStatus
from time import time_ns
from typing import TYPE_CHECKING, Any, Protocol

from proxy.core.clock import now
from proxy.core.model import VirtualKey
from proxy.gateway.endpoints import Endpoint
from proxy.limits.accounts import Ask
from proxy.wire import multipart
from proxy.wire.envelope import Envelope
from proxy.wire.naming import named_events

if TYPE_CHECKING:
    import asyncio

    from aiohttp.web_request import BaseRequest

    from proxy.dialects import ir
    from proxy.gateway.deadline import Deadline
    from proxy.ledger.spool import Spool
    from proxy.limits.accounts import Hold

Headers = list[tuple[bytes, bytes]]

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_ALWAYS = b"cache-control: no-store\r\nx-content-type-options: nosniff\r\nx-accel-buffering: no\r\n"
SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_UNSAFE_VALUE = re.compile(rb"[\r\n\0]")
LAST_CHUNK = b"0\r\n\r\n"
NOTHING = Ask()


class _Entropy:
    """Random digits for identifiers, drawn from the system a page at a time: a call to it costs more than an id."""

    __slots__ = ("_at", "_page")

    def __init__(self) -> None:
        self._page = ""
        self._at = 0

    def digits(self) -> str:
        """19 of them, hexadecimal."""
        at = self._at
        if at >= len(self._page):
            self._page, at = os.urandom(3800).hex(), 0
        self._at = at + 19
        return self._page[at : at + 19]

    def forget(self) -> None:
        """A forked process must not repeat its parent's."""
        self._page, self._at = "", 0


_entropy = _Entropy()
os.register_at_fork(after_in_child=_entropy.forget)
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""A random digit to one of RFC 9562's variant, whose first two bits are fixed."""


def new_request_id() -> str:
    """A UUIDv7 (RFC 9562): sorts by time, unique over workers and hosts."""
    ms, random = time_ns() // 1_000_000, _entropy.digits()
    return (
        f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7{random[:3]}-"
        f"{_VARIANT[random[3]]}{random[4:7]}-{random[7:]}"
    )


class _Clock:
    """The `date` header, made once a second."""

    __slots__ = ("line", "second")

    def __init__(self) -> None:
        self.second = 0
        self.line = b""

    def now(self) -> bytes:
        second = int(now())
        if second != self.second:
            from email.utils import formatdate

            self.second = second
            self.line = f"date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self.line


_date = _Clock()


def render_response(
    status: int, headers: Headers, body: bytes, request_id: str, *, close: bool
) -> bytes:
    """A whole response, head and body, for what is no exchange: pages, and errors before there is one."""
    parts = [
        _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status,
        _date.now(),
        b"x-request-id: %b\r\n" % request_id.encode(),
        _ALWAYS,
    ]
    parts += [b"%b: %b\r\n" % header for header in headers]
    parts.append(b"content-length: %d\r\n" % len(body))
    if close:
        parts.append(b"connection: close\r\n")
    return b"".join((*parts, b"\r\n", body))


class Books(Protocol):
    """Who writes down what an exchange comes to: told before the client can see the end of its answer."""

    def over(self, outcome: str = "", more: int = 0) -> None:
        """The next write ends the answer. `outcome` is not empty where nobody has said it yet; `more` are bytes of the
        answer that are in that write and not counted. The first time counts."""

    def linger(self) -> bool:
        """The client is gone: whether the rest of the answer is read nevertheless. Then its connection is not ours."""


class Witness(Protocol):
    """Who keeps what was answered."""

    def whole(self, body: bytes) -> None:
        """All of an answer."""

    def watch(self, relay: Any) -> None:
        """A `gateway.relay.Relay` is about to begin."""

    def said(self, text: str) -> None:
        """More of the answer, in a stream that is not watched."""

    def keep(self, rid: str, spool: Spool) -> None:
        """It is over, and called this in the ledger."""


class Traced(Protocol):
    """Who makes spans of it (`gateway.tracing.Trace`)."""

    id: str
    """Of the trace, in 32 hexadecimal digits."""

    def began(self, attempt: Any) -> None:
        """A `gateway.attempt.Attempt` is about to be made."""

    def context(self, attempt: Any) -> bytes:
        """Header lines that tell its provider of its span."""
        ...

    def over(self, meter: Any) -> None:
        """It has been settled, as its `gateway.meter.Meter` says. Never raises."""


class Hooked(Protocol):
    """What the hooks of its installation are to it (`gateway.hooks.hooked.Hooked`)."""

    attempts: bool
    """They want to know who is asked."""
    screens: bool
    """… to see the text of a stream on its way."""
    answers: bool
    """… or of an answer, before the client has any of it."""
    state: Any
    screening: Any
    decoder: Any
    first: list[Any]

    @property
    def alone(self) -> bool:
        """Its answer may be for its key alone."""
        ...

    @property
    def mark(self) -> bytes:
        """The same for exchanges that they make no difference between."""
        ...

    def shadow(self, exchange: Any, meter: Any) -> Hooked | None:
        """What they are to the same request at another model."""

    async def before_attempt(self, attempt: Any) -> Headers:
        """Headers that are sent besides. Raises UpstreamError: not there; ProxyError: nowhere."""
        ...

    async def answered(self, attempt: Any) -> None:
        """An attempt has answered. Raises ProxyError: the client is told that instead."""

    def refused(self, refusal: Any) -> None:
        """So it was, in the middle of its answer."""

    def relay(self, make: Any) -> Any:
        """The class of relay in the place of `make`."""

    def over(self, meter: Any) -> None:
        """It has been settled. Never raises."""


class Exchange:
    """Request on one side, response on the other; lives from the request's head to the response's last byte."""

    __slots__ = (
        "alias",
        "asked",
        "body",
        "books",
        "bytes_out",
        "chunked",
        "client_address",
        "deadline",
        "endpoint",
        "envelope",
        "exempt",
        "form",
        "head_sent",
        "hold",
        "hooks",
        "http10",
        "id",
        "keep_alive",
        "key",
        "limits",
        "model",
        "must_reemit",
        "named",
        "params",
        "query",
        "request",
        "reserve",
        "sign",
        "started",
        "status",
        "stream",
        "timing",
        "trace",
        "transport",
        "witness",
    )

    def __init__(
        self,
        request: BaseRequest,
        transport: asyncio.Transport,
        endpoint: Endpoint,
        params: Mapping[str, str],
        query: str,
        started: float,
    ) -> None:
        self.started = started
        """Monotonic time of the read that completed the request's head."""
        self.request = request
        self.transport = transport
        self.endpoint = endpoint
        self.params = params
        self.query = query
        asked = request.headers.get("x-request-id")
        self.named = bool(asked and SAFE_ID.fullmatch(asked))
        """By its client, who may name any number of them alike."""
        self.id: str = asked if self.named and asked else new_request_id()
        self.http10 = request.version[1] == 0
        self.keep_alive = request.keep_alive
        self.body = b""
        self.envelope: Envelope | None = None
        self.form: multipart.Form | None = None
        self.asked: ir.Request | None = None
        """The request taken apart, once somebody had to translate it."""
        self.must_reemit = False
        """A rule read the body: what goes upstream must be what that rule saw, not the bytes that came."""
        self.model = params.get("model", "")
        self.alias: bytes | None = None
        """The name that answers give the model, as JSON; None: the provider's."""
        self.stream = bool(endpoint.stream)
        self.deadline: Deadline | None = None
        """None: the request gives none."""
        self.key: VirtualKey | None = None
        self.hold: Hold | None = None
        """What was admitted of it; None: nothing that serves it is limited."""
        self.reserve: Ask = NOTHING
        """What it was taken for when it was admitted."""
        self.limits = b""
        """Header lines that tell the client of its rates, with any answer."""
        self.books: Books | None = None
        """None: nothing of it is written down, or held."""
        self.witness: Witness | None = None
        """None: nobody keeps what is answered."""
        self.trace: Traced | None = None
        """None: it has no spans."""
        self.hooks: Hooked | None = None
        """None: nobody's code has a say in it."""
        self.status = 0
        self.bytes_out = 0
        self.head_sent = False
        self.sign = b""
        """What says nothing in a stream whose head was sent before there is an answer (`pulse`)."""
        self.chunked = False
        self.timing = False
        self.exempt = False
        """The path needs no key, by configuration."""

    @property
    def array(self) -> bool:
        """Gemini's stream as one JSON array: what it is without `alt=sse`."""
        return self.stream and self.endpoint.family == "gemini" and "alt=sse" not in self.query

    def head(self, status: int, headers: Headers, length: int | None) -> bytes:
        """The response head. `length` None: the body is chunked (HTTP/1.1) or ends with the connection (HTTP/1.0).

        Headers whose value could split the head are left out.
        """
        self.status = status
        self.head_sent = True
        parts = [
            _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status,
            _date.now(),
            b"x-request-id: %b\r\n" % self.id.encode(),
            _ALWAYS,
        ]
        for name, value in headers:
            if not _UNSAFE_VALUE.search(value):
                parts.append(b"%b: %b\r\n" % (name, value))
        if self.limits:
            parts.append(self.limits)
        if length is not None:
            if status != 204:  # RFC 9110, 8.6
                parts.append(b"content-length: %d\r\n" % length)
        elif self.http10:
            self.keep_alive = False
        else:
            self.chunked = True
            parts.append(b"transfer-encoding: chunked\r\n")
        if not self.keep_alive:
            parts.append(b"connection: close\r\n")
        elif self.http10:
            parts.append(b"connection: keep-alive\r\n")
        parts.append(b"\r\n")
        return b"".join(parts)

    def repeat(self, status: int, lines: bytes) -> bytes:
        """The head of an answer that another exchange was given: `lines` are its, but for what is each client's own."""
        self.status = status
        self.head_sent = True
        last = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        return b"".join(
            (
                _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status,
                _date.now(),
                b"x-request-id: %b\r\n" % self.id.encode(),
                lines,
                self.limits,
                last,
            )
        )

    def probe(self) -> bytes:
        """Bytes that do no harm behind the head, while nobody relays a response."""
        return self.frame(self.sign) if self.sign else b""

    def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """A whole response in one write."""
        head = self.head(status, headers, len(body))
        self.bytes_out += len(body)
        if self.witness is not None:
            self.witness.whole(body)
        if self.books is not None:
            self.books.over()
        self.transport.write(head + body)

    def frame(self, data: bytes) -> bytes:
        """`data` as the body framing needs it."""
        if self.alias is not None:
            data = named_events(data, self.alias)
        return b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data

    def finish(self, last: bytes = b"") -> None:
        """End a streamed body as complete, `last` being framed bytes that go before the end."""
        if self.chunked:
            self.transport.write(last + LAST_CHUNK)
        elif last:
            self.transport.write(last)

    def abandon(self) -> None:
        """End a streamed body as incomplete: what was written is flushed, then the socket closes, no last chunk.

        A FIN and not a reset, so that an in-band error is not discarded from the client's receive queue.
        """
        self.keep_alive = False
        self.transport.close()
