"""One connection of the load generator: sends a request, reads the answer, counts, begins again."""

from __future__ import annotations

import asyncio
import re
from time import monotonic_ns
from typing import TYPE_CHECKING, cast

from typing_extensions import override

from bench.histogram import Histogram
from bench.response import Response

if TYPE_CHECKING:
    from collections.abc import Callable

# In front of each token the simulator writes when it sent it: CLOCK_MONOTONIC, 20 digits.
STAMP = re.compile(rb'"content": ?"(\d{20})')
DONE = b"data: [DONE]"


class Tally:
    """Counts of one window; `restart` begins the window anew."""

    __slots__ = (
        "errors",
        "first_error",
        "first_token",
        "latency",
        "reconnects",
        "requests",
        "token_delay",
        "tokens",
        "truncated",
    )

    def __init__(self) -> None:
        self.first_error = ""
        self.restart()

    def restart(self) -> None:
        self.requests = self.tokens = self.errors = self.truncated = self.reconnects = 0
        self.latency = Histogram()
        self.first_token = Histogram()
        self.token_delay = Histogram()

    def failed(self, reason: str) -> None:
        self.errors += 1
        self.first_error = self.first_error or reason[:300]


class Client(asyncio.Protocol):
    """One connection that sends the same request again and again and reads the answers."""

    __slots__ = ("began", "idle", "on_done", "on_lost", "response", "sent", "tally", "transport")

    def __init__(
        self, tally: Tally, on_done: Callable[[Client], None], on_lost: Callable[[], None]
    ) -> None:
        self.tally = tally
        self.on_done = on_done
        self.on_lost = on_lost
        self.response = Response()
        self.began = 0
        self.idle = True
        self.transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if not self.idle:
            self.response.end()
            if self.response.complete:
                self.finish()
            else:
                self.cut()
        self.on_lost()

    def send(self, request: bytes) -> None:
        if self.transport is None:  # lost a moment ago: `on_lost` sees to a new one
            return
        self.response.reset()
        self.idle = False
        self.began = monotonic_ns()
        self.transport.write(request)

    @override
    def data_received(self, data: bytes) -> None:
        try:
            body = self.response.feed(data)
        except ValueError as error:
            self.tally.failed(f"not HTTP: {error} in {data[:80]!r}")
            self.idle = True
            self.close()
            self.on_done(self)
            return
        if body:
            self.body_received(body)
        if self.response.complete:
            self.finish()

    def body_received(self, body: bytes) -> None:
        if self.response.status != 200:
            self.tally.first_error = self.tally.first_error or body[:300].decode(errors="replace")

    def finish(self) -> None:
        self.idle = True
        tally = self.tally
        if self.response.status == 200:
            tally.requests += 1
            tally.latency.add(monotonic_ns() - self.began)
        else:
            tally.failed(f"status {self.response.status}")
        if self.response.closes:
            self.close()
        self.on_done(self)

    def cut(self) -> None:
        self.idle = True
        if self.response.status:
            self.tally.truncated += 1
        else:
            self.tally.failed("connection closed before an answer")
        self.on_done(self)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()
            self.transport = None


class StreamClient(Client):
    """A client that reads server-sent events, token by token."""

    __slots__ = ("carry", "ended", "has_token", "on_first")

    def __init__(
        self, tally: Tally, on_done: Callable[[Client], None], on_lost: Callable[[], None]
    ) -> None:
        super().__init__(tally, on_done, on_lost)
        self.carry = b""
        self.has_token = False
        self.ended = False
        self.on_first: Callable[[], None] | None = None

    @override
    def send(self, request: bytes) -> None:
        self.carry = b""
        self.has_token = self.ended = False
        super().send(request)

    @override
    def body_received(self, body: bytes) -> None:
        if self.response.status != 200:
            super().body_received(body)
            return
        now = monotonic_ns()
        if self.carry:
            body = self.carry + body
            self.carry = b""
        if not body.endswith(b"\n\n"):
            boundary = body.rfind(b"\n\n") + 2
            boundary = boundary if boundary > 1 else 0
            self.carry = body[boundary:]
            body = body[:boundary]
        stamps = STAMP.findall(body)
        if stamps:
            tally = self.tally
            tally.tokens += len(stamps)
            if not self.has_token:
                self.has_token = True
                tally.first_token.add(now - self.began)
                if self.on_first is not None:
                    self.on_first()
            add = tally.token_delay.add
            for stamp in stamps:
                add(max(now - int(stamp), 0))
        if DONE in body:
            self.ended = True

    @override
    def finish(self) -> None:
        if self.response.status == 200 and not self.ended:
            self.tally.truncated += 1
            self.idle = True
            if self.response.closes:
                self.close()
            self.on_done(self)
            return
        super().finish()
