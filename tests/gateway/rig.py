"""One attempt and its relay without sockets: raw HTTP in on the provider's side, raw HTTP out on the client's.

The upstream connection, the gate, the exchange and the relay are the real ones. What stands around them are two
transports that remember, and as much of a client's connection as a relay looks at.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from proxy.core.model import Conversation, Deployment, Timeouts
from proxy.dialects import spoken_by
from proxy.gateway.answer import Gate
from proxy.gateway.attempt import Attempt
from proxy.gateway.endpoints import match
from proxy.gateway.event_relay import EventRelay
from proxy.gateway.exchange import Exchange
from proxy.gateway.relay import Relay
from proxy.gateway.response import respond
from proxy.gateway.translation import Translation
from proxy.upstream.connection import UpstreamConnection
from tests.gateway.fleet import provider

if TYPE_CHECKING:
    from proxy.gateway.connection import Flow

PATHS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "gemini": "/v1beta/models/m:streamGenerateContent",
    "speech": "/v1/audio/speech",
    "embeddings": "/v1/embeddings",
}
NO_LIMIT = Timeouts()


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    """`data` in pieces, none of them empty."""
    ends = sorted({0, len(data), *(at % len(data) for at in cuts)})
    return [data[start:end] for start, end in pairwise(ends)]


class Wire(asyncio.Transport):
    """Remembers what was written to it and what was asked of it."""

    def __init__(self, room: int = 1 << 40) -> None:
        super().__init__()
        self.written = b""
        self.writes = 0
        self.room = room
        """Bytes it takes until it asks its protocol to pause; it drains only when told to."""
        self.unsent = 0
        self.protocol: Client | None = None
        self.reading = True
        self.closed = False
        self.aborted = False

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written += data
        self.writes += 1
        self.unsent += len(data)
        if self.protocol is not None and self.unsent > self.room:
            self.protocol.pause_writing()

    def drain(self) -> None:
        """The other side has read everything."""
        self.unsent = 0
        assert self.protocol is not None
        self.protocol.resume_writing()

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def is_reading(self) -> bool:
        return self.reading

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


class Client:
    """What a relay sees of a client's connection."""

    def __init__(self) -> None:
        self.flow: Flow | None = None
        self.writing_paused = False

    def pause_writing(self) -> None:
        if not self.writing_paused:
            self.writing_paused = True
            if self.flow is not None:
                self.flow.pause()

    def resume_writing(self) -> None:
        self.writing_paused = False
        if self.flow is not None:
            self.flow.resume()


class Rig:
    """A request that has been sent. Feed the response; `open` is what the pipeline does when the gate has opened."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        name: str = "chat",
        *,
        eager: bool = True,
        hide_usage: bool = False,
        stream: bool = True,
        query: str = "alt=sse",
        timeouts: Timeouts = NO_LIMIT,
        room: int = 1 << 40,
        write_timeout: float = 60.0,
        version: tuple[int, int] = (1, 1),
        language: str = "",
        body: bytes = b"{}",
        service: Conversation | None = None,
        answers: int = 1,
    ) -> None:
        """`language`: the provider's dialect, where that is another than the client's; `body` is what it is told.
        `service` describes a provider that keeps conversations."""
        found = match("POST", PATHS[name])
        assert found is not None
        endpoint, params = found
        self.released = 0
        self.write_timeout = write_timeout
        self.client = Client()
        self.down = Wire(room)
        self.down.protocol = self.client
        request: Any = SimpleNamespace(headers={}, version=version, keep_alive=True, method="POST")
        self.exchange = Exchange(request, self.down, endpoint, params, query, 0.0)
        self.exchange.stream = stream
        self.exchange.body = body
        deployment = Deployment(
            "m/0:p", replace(provider(), conversation=service), "m", timeouts=timeouts
        )
        candidate: Any = SimpleNamespace(
            deployment=deployment,
            dialect=language or endpoint.dialect,
            upstream_model="up",
            model=SimpleNamespace(strict=False),
        )
        self.attempt = Attempt(self.exchange, candidate)
        if language:
            self.attempt.translation = Translation(self.exchange, candidate)
            endpoint = self.attempt.translation.endpoint
        spoken = spoken_by(deployment.provider, candidate.dialect)
        assert spoken is not None
        self.gate = Gate(
            endpoint,
            spoken,
            stream=stream,
            eager=eager,
            array=self.exchange.array and not language,
            hide_usage=hide_usage,
            loop=loop,
            patient=bool(language) and not stream,
            answers=answers,
        )
        self.up = Wire()
        self.upstream = UpstreamConnection(loop)
        self.upstream.connection_made(self.up)
        self.gate.source = self.upstream
        self.upstream.exchange(b"", b"", self.gate, self._release)
        self.attempt.gate = self.gate
        self.attempt.upstream = self.upstream

    def _release(self) -> None:
        self.released += 1

    def feed(self, *reads: bytes, late: int = 0) -> None:
        """One read from the provider's socket after the other; the relay takes over `late` reads after it could."""
        for data in reads:
            self.upstream.data_received(data)
            if late and self.gate.opened:
                late -= 1
            else:
                self.open()

    def eof(self, error: Exception | None = None) -> None:
        """The provider's connection is closed, or lost."""
        self.upstream.connection_lost(error)
        self.open()

    def open(self) -> None:
        """Let the relay take over, in the same turn of the loop."""
        if self.gate.opened and not self.exchange.head_sent:
            if self.attempt.translation is not None:
                self.attempt.error = self.attempt.translate()
            call = respond(
                self.exchange, self.attempt, cast("Any", self.client), self.write_timeout, []
            )
            try:
                call.send(None)
            except StopIteration:
                pass
            self._call = call  # kept: it awaits the relay's end

    def close(self) -> None:
        """Leave nothing behind."""
        self.attempt.close()
        call = getattr(self, "_call", None)
        if call is not None:
            call.close()

    @property
    def relay(self) -> Relay:
        """Whoever carries the rest."""
        assert self.attempt.relay is not None
        return self.attempt.relay

    @property
    def events(self) -> EventRelay:
        """The same, of an event stream."""
        relay = self.relay
        assert isinstance(relay, EventRelay)
        return relay

    @property
    def head(self) -> bytes:
        """The response's head."""
        return self.down.written.partition(b"\r\n\r\n")[0]

    @property
    def body(self) -> bytes:
        """The response's body, chunks taken off."""
        rest = self.down.written.partition(b"\r\n\r\n")[2]
        if b"transfer-encoding: chunked" not in self.head:
            return rest
        body = b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            body += rest[:length]
            assert rest[length : length + 2] == b"\r\n"
            rest = rest[length + 2 :]
            if not length:
                assert not rest
        return body

    @property
    def complete(self) -> bool:
        """The body ended as its framing promised, and the connection was left open."""
        return self.down.written.endswith(b"\r\n0\r\n\r\n") and not self.down.closed
