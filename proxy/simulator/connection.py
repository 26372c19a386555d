"""One client connection: requests are read, answered step by step, and booked.

The common case, a small request in one read and an answer in one write, takes no task, timer or generator.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from os import write
from time import monotonic
from typing import TYPE_CHECKING, cast

import msgspec
import orjson

from proxy.simulator import errors, routes
from proxy.simulator.answers import Act, Ask, Call, Step, Whole
from proxy.simulator.faults import FAULTS, LEGAL
from proxy.simulator.http import CONTINUE, Chunks, Malformed, body_length, field, form
from proxy.simulator.ledger import Exchange
from proxy.simulator.take import Take, head, sized
from proxy.simulator.world import World, early_model, steering_header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.simulator.grammar import Steer

_MOST_HEAD = 1 << 18
_FLUSH = 65536
"""Bytes gathered into one write when nothing asks for a pause."""
_SOON = 0.0005
"""Pauses shorter than this are not worth a timer of a millisecond's resolution."""
_SLOW = 0.02
"""Seconds between two reads of `slow_read`."""
_LINGER = 0.5
"""Seconds an early answer is left to be read before the connection is cut."""
_LAST = re.compile(rb"(?:^|&)last=(\d{1,9})(?:&|$)")
_NO_LINGER = struct.pack("ii", 1, 0)

_SHAPELESS = (
    msgspec.DecodeError, ValueError, TypeError, AttributeError, LookupError, RecursionError,
)  # fmt: skip
"""What comes of fields that are not as an operation takes them for granted."""

_decode = msgspec.json.Decoder(Ask).decode


class Connection(asyncio.Protocol):
    """HTTP/1.1 on one socket, one request at a time; pipelined ones wait in the buffer."""

    __slots__ = (
        "blocked", "buffer", "chunks", "counted", "doomed", "due", "exchange", "fd", "keep_alive", "loop",
        "missing", "number", "parts", "paused", "playing", "steer", "steps", "take", "timer",
        "transport", "world",
    )  # fmt: skip

    def __init__(self, world: World, loop: asyncio.AbstractEventLoop) -> None:
        self.world = world
        self.loop = loop
        self.buffer = b""
        self.exchange: Exchange | None = None
        self.chunks: Chunks | None = None
        self.parts: list[bytes] = []
        self.missing = 0
        """Bytes still to come of a body with a length."""
        self.steer: Steer | None = None
        """Known before the body was read to its end."""
        self.playing = False
        self.steps: Iterator[Step] = iter(())
        self.take: Take | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.due = 0.0
        self.paused = False
        self.blocked = False
        self.keep_alive = True
        self.doomed = False
        self.counted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        plain = transport.get_extra_info("ssl_object") is None
        self.fd: int = transport.get_extra_info("socket").fileno() if plain else -1
        self.world.connections += 1
        self.number = self.world.connections
        self.world.transports.add(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.world.transports.discard(self.transport)
        if self.timer is not None:
            self.timer.cancel()
        if self.exchange is not None:
            self._book(self.exchange, "aborted")
        self.playing = False
        self.steps = iter(())

    # Reading.

    def data_received(self, data: bytes) -> None:
        if self.playing:
            self.buffer += data
            if len(self.buffer) > _MOST_HEAD:
                self.transport.pause_reading()
        elif self.exchange is not None:
            self._receive(self.exchange, data)
        else:
            self.buffer = self.buffer + data if self.buffer else data
            self._next()

    def _next(self) -> None:
        """Begin with the next request in the buffer, if its head is complete."""
        data = self.buffer
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > _MOST_HEAD:
                self._malformed()
            return
        try:
            exchange = self._begin(data[:end])
            length = body_length(exchange.lowered)
        except (Malformed, ValueError):
            self._malformed()
            return
        if self.doomed:
            self._reset()
            return
        rest = data[end + 4 :]
        if 0 <= length <= len(rest):
            self.buffer = rest[length:]
            self._serve(exchange, rest[:length] if self.buffer else rest)
            return
        self.buffer = b""
        self.missing = length
        self.chunks = Chunks() if length < 0 else None
        self.parts = []
        if text := steering_header(exchange):
            self.steer = self.world.steer(text)
            if self._early(exchange):
                return
        if b"\r\nexpect: 100-continue" in exchange.lowered:
            self.transport.write(CONTINUE)
        if rest:
            self._receive(exchange, rest)

    def _begin(self, request: bytes) -> Exchange:
        lowered = request.lower()
        self.world.serial += 1
        exchange = Exchange(self.world.serial, self.number, request, lowered)
        end = request.find(b"\r\n")
        line = request[:end] if end >= 0 else request
        exchange.method, exchange.target, version = line.split(b" ")
        self.exchange = exchange
        self.keep_alive = version == b"HTTP/1.1" and b"\r\nconnection: close" not in lowered
        if not exchange.target.startswith(b"/ledger"):
            ledger = self.world.ledger
            ledger.begin(exchange)
            if not self.counted:
                self.counted = True
                ledger.connections += 1
        return exchange

    def _receive(self, exchange: Exchange, data: bytes) -> None:
        """Take in a part of a request body."""
        if self.chunks is not None:
            try:
                rest = self.chunks.feed(data)
            except Malformed:
                self._malformed()
                return
            if rest is not None:
                body = bytes(self.chunks.body)
                self.chunks = None
                self.buffer = rest
                self._serve(exchange, body)
                return
            seen = bytes(self.chunks.body[:_FLUSH])
        else:
            self.parts.append(data)
            self.missing -= len(data)
            if self.missing <= 0:
                body = b"".join(self.parts)
                self.parts = []
                if self.missing:
                    self.buffer = body[self.missing :]
                    body = body[: self.missing]
                self._serve(exchange, body)
                return
            seen = self.parts[0]
        if self.steer is None and (text := early_model(seen)):
            self.steer = self.world.steer(text)
        self._early(exchange)

    def _early(self, exchange: Exchange) -> bool:
        """While a body is incomplete: answer at once or read slowly, if that is what is asked for."""
        fault = self.steer.fault if self.steer is not None else ""
        if fault == "slow_read":
            sock: socket.socket = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.transport.pause_reading()
            self.timer = self.loop.call_later(_SLOW, self._resume_reading)
        elif fault == "early_413":
            self.world.ledger.keep(exchange, b"".join(self.parts))
            self.transport.pause_reading()
            self._say_no(exchange, "openai", "413", close=True)
            self._book(exchange, "faulted")
            self.loop.call_later(_LINGER, self.transport.close)
            return True
        return False

    def _resume_reading(self) -> None:
        self.timer = None
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _malformed(self) -> None:
        exchange = self.exchange or Exchange(0, self.number, b"", b"")
        self._say_no(exchange, "openai", "400", close=True)
        if self.exchange is not None:
            self._book(exchange, "faulted")
        self.transport.close()

    # Answering.

    def _serve(self, exchange: Exchange, body: bytes) -> None:
        self.world.ledger.keep(exchange, body)
        path, _, query = exchange.target.partition(b"?")
        route = routes.find(exchange.method, path)
        if route is None:
            if path.startswith(b"/ledger"):
                self._show_ledger(path, query)
            else:
                self._refuse(exchange, "openai", "404")
            return
        try:
            ask = _asked(exchange, body)
        except (msgspec.DecodeError, ValueError, RecursionError):
            self._refuse(exchange, route.family, "400")
            return
        if route.model:
            ask.model = route.model
        exchange.model = ask.model
        steer = self.steer
        if steer is None:
            steer = self.world.steer(steering_header(exchange) or ask.model)
        self.steer = None
        serial = b"%016d" % exchange.id
        call = Call(
            ask, steer, serial, route.parameter, query, exchange.lowered, self.world.store, body
        )
        try:
            answer = route.operation(call)
        except errors.Refused as refused:
            self._refuse(exchange, route.family, "400", refused.body(route.family))
            return
        except _SHAPELESS:
            self._refuse(exchange, route.family, "400")
            return
        if answer is None:
            self._refuse(exchange, route.family, "404")
        elif type(answer) is Whole and not (steer.fault or steer.first or steer.split):
            exchange.tokens = answer.tokens
            opening = head(route.family, 200, answer.content_type, serial)
            self._reply(exchange, sized(opening, answer.body))
        else:
            location = field(exchange.head, exchange.lowered, b"x-sim-location")
            self.take = Take(answer, steer, route.family, serial, location)
            self.steps = FAULTS[steer.fault](self.take)
            self.due = exchange.began
            self.playing = True
            self._play()

    def _show_ledger(self, path: bytes, query: bytes) -> None:
        """The simulator's own pages, which are not booked."""
        self.exchange = None
        if path == b"/ledger/reset":
            self.world.reset()
            body = b"{}"
        else:
            last = _LAST.search(query)
            if last is None and b"last=" in query:
                self._say_no(Exchange(0, self.number, b"", b""), "openai", "400")
                self._after()
                return
            body = orjson.dumps(self.world.ledger.report(int(last[1]) if last else 1000))
        self.transport.write(sized(head("openai", 200, b"application/json", b"0"), body))
        self._after()

    def _say_no(
        self, exchange: Exchange, family: str, word: str, own: bytes = b"", *, close: bool = False
    ) -> None:
        status, body = errors.body(family, word)
        body = own or body
        opening = head(family, status, b"application/json", b"%016d" % exchange.id)
        opening += errors.headers(family, status)
        wire = sized(opening + b"connection: close\r\n" if close else opening, body)
        exchange.sent += len(wire)
        self._put(wire)

    def _refuse(self, exchange: Exchange, family: str, word: str, body: bytes = b"") -> None:
        self.steer = None
        self._say_no(exchange, family, word, body)
        self._book(exchange, "finished")
        self._after()

    def _reply(self, exchange: Exchange, wire: bytes) -> None:
        """An answer in one write."""
        self._put(wire)
        exchange.sent = len(wire)
        self._book(exchange, "finished")
        self._after()

    def _play(self) -> None:
        """Take steps until one of them is to wait for something."""
        self.timer = None
        exchange = self.exchange
        if exchange is None:
            return
        if self.paused:
            self.blocked = True
            return
        # A timer counts from the beginning of its turn of the loop, so after a long turn it comes early.
        early = self.due - monotonic()
        if early > _SOON:
            self.timer = self.loop.call_later(early, self._play)
            return
        out: list[bytes] = []
        size = 0
        for step in self.steps:
            if type(step) is bytes:
                out.append(step)
                size += len(step)
                if size < _FLUSH:
                    continue
                self._send(exchange, out)
                self._turn()
                return
            if type(step) is float:
                self.due += step
                delay = self.due - monotonic()
                if delay < _SOON:
                    continue
                self._send(exchange, out)
                self.timer = self.loop.call_later(delay, self._play)
                return
            self._send(exchange, out)
            out, size = [], 0
            if self._act(exchange, step):
                return
        self._send(exchange, out)
        self._done(exchange)
        self._after()

    def _send(self, exchange: Exchange, out: list[bytes]) -> None:
        if out:
            data = b"".join(out) if len(out) > 1 else out[0]
            exchange.sent += len(data)
            self._put(data)

    def _put(self, data: bytes) -> None:
        """Write now, while the stamp in a token is fresh; the transport would wait for the end of the turn."""
        if self.fd >= 0 and self.transport.get_write_buffer_size() == 0:
            try:
                sent = write(self.fd, data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.transport.abort()
                return
            if sent == len(data):
                return
            data = data[sent:]
        self.transport.write(data)

    def _turn(self) -> None:
        if self.paused:
            self.blocked = True
        else:
            self.loop.call_soon(self._play)

    def _act(self, exchange: Exchange, act: Step) -> bool:
        """Do what is no byte and no pause; true when playing does not simply go on."""
        if act is Act.DOOM:
            self.doomed = True
            return False
        if act is Act.TURN:
            self._turn()
        elif act is Act.FIN:
            self._done(exchange)
            self.transport.close()
        elif act is Act.RST:
            self._done(exchange)
            self._reset()
        return True

    def _done(self, exchange: Exchange) -> None:
        self.playing = False
        fault = self.take.steer.fault if self.take is not None else ""
        self._book(exchange, "finished" if fault in LEGAL else "faulted")

    def _reset(self) -> None:
        if self.exchange is not None:
            self._book(self.exchange, "faulted")
        sock: socket.socket = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    def _book(self, exchange: Exchange, outcome: str) -> None:
        if self.take is not None:
            exchange.tokens = self.take.tokens_sent()
            self.take = None
        self.world.ledger.end(exchange, outcome)
        self.exchange = None

    def _after(self) -> None:
        """The answer is out: close, or go on with what the client has sent meanwhile."""
        if not self.keep_alive:
            self.transport.close()
        elif self.buffer:
            self.transport.resume_reading()
            self.loop.call_soon(self._resume)

    def _resume(self) -> None:
        if self.exchange is None and not self.transport.is_closing():
            self._next()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        if self.blocked:
            self.blocked = False
            self._play()


def _asked(exchange: Exchange, body: bytes) -> Ask:
    """The fields of a request that matter, from JSON or a form."""
    if not body:
        return Ask()
    if body[0] == 0x7B:
        return _decode(body)
    content_type = field(exchange.head, exchange.lowered, b"content-type")
    if not content_type.startswith(b"multipart/"):
        return _decode(body)
    fields = form(body, content_type)
    return Ask(
        model=fields.get("model", ""),
        stream=fields.get("stream", "").lower() == "true",
        response_format=msgspec.Raw(orjson.dumps(fields.get("response_format", "json"))),
        n=int(fields.get("n", "1")),
    )
