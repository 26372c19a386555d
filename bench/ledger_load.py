"""Clients that keep books: requests at a steady rate, whatever becomes of those before, each with an id of its own.

A request is `ok` when all of it has come: the whole body, and `[DONE]` of a stream. Nothing is sent twice.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from time import monotonic_ns
from typing import TYPE_CHECKING, cast

import msgspec
from msgspec import Struct
from typing_extensions import override

from bench.ledger_upstream import Usage
from bench.response import Response

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST = 2000
"""Requests under way at once; those beyond are sent late."""
PATIENCE = 60.0
"""Seconds for one request."""
OK, ABORTED, CUT, REFUSED, LATE = "ok", "aborted", "cut", "refused", "late"
SECOND = 1_000_000_000


class Asked(Struct, gc=False):
    """What one client saw. Times are CLOCK_MONOTONIC in nanoseconds."""

    id: str
    stream: bool
    began: int
    ended: int = 0
    fate: str = ""
    """OK; ABORTED by the client itself; CUT: the connection ended; REFUSED: another status; LATE: no end of it."""
    said: str = ""
    """The status and the body of a refusal; how many bytes had come of what was cut."""
    usage: Usage | None = None
    """What the answer said it used."""


class _Details(Struct):
    cached_tokens: int = 0
    reasoning_tokens: int = 0


class _Told(Struct):
    prompt_tokens: int
    completion_tokens: int
    prompt_tokens_details: _Details
    completion_tokens_details: _Details


class _Answer(Struct):
    usage: _Told | None = None


_answer = msgspec.json.Decoder(_Answer)


class Connection(asyncio.Protocol):
    """Has one request under way, or none."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._response = Response()
        self._body: list[bytes] = []
        self.now: Asked | None = None
        self.transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._crowd.idle.pop(self, None)
        if self.now is not None:
            self._over(CUT, f"after {sum(map(len, self._body))} bytes")

    def send(self, asked: Asked, data: bytes) -> None:
        self.now = asked
        self._body.clear()
        self._response.reset()
        self._crowd.busy[self] = None
        if self.transport is None:
            self._over(CUT, "before it was sent")
            return
        self.transport.write(data)

    def abort(self, fate: str = ABORTED) -> None:
        """Leave."""
        self._over(fate)
        if self.transport is not None:
            self.transport.abort()

    @override
    def data_received(self, data: bytes) -> None:
        if self.now is None:
            return
        response = self._response
        piece = response.feed(data)
        if piece:
            self._body.append(piece)
        if not response.complete:
            return
        body = b"".join(self._body)
        if response.status != 200:
            self._over(REFUSED, f"{response.status} {body[:300].decode('utf-8', 'replace')}")
        elif self.now.stream and not body.endswith(b"data: [DONE]\n\n"):
            self._over(CUT, f"no [DONE] after {len(body)} bytes")
        else:
            self.now.usage = _usage(body, self.now.stream)
            self._over(OK)
        if response.closes and self.transport is not None:
            self.transport.close()
        elif self.transport is not None:
            self._crowd.idle[self] = None

    def _over(self, fate: str, said: str = "") -> None:
        asked = self.now
        if asked is not None:
            asked.fate, asked.said, asked.ended = fate, said, monotonic_ns()
            self.now = None
            self._crowd.over(self, asked)


def _usage(body: bytes, stream: bool) -> Usage | None:
    if stream:
        # In the last event but one, if anywhere.
        body = body[: -len(b"data: [DONE]\n\n")].rstrip().rpartition(b"data: ")[2]
    told = _answer.decode(body).usage
    if told is None:
        return None
    return Usage(
        told.prompt_tokens,
        told.prompt_tokens_details.cached_tokens,
        told.completion_tokens,
        told.completion_tokens_details.reasoning_tokens,
    )


class Crowd:
    """All clients, and their books."""

    def __init__(self, port: int, keys: Sequence[str], streams: float, seed: int) -> None:
        self.asked: list[Asked] = []
        self.idle: dict[Connection, None] = {}
        self.busy: dict[Connection, None] = {}
        self.finished: list[int] = []
        """When, in order, the requests were over that had an answer."""
        self.fates: Counter[str] = Counter()
        self.held_back = 0
        """Times that MOST were under way."""
        self._port = port
        self._keys = keys
        self._streams = streams
        self._random = random.Random(seed)
        self._aborts = 0
        self._connecting: set[asyncio.Task[None]] = set()

    async def run(self, rate: float, seconds: float, acting: asyncio.Future[None]) -> None:
        """Send, for so long and until `acting` is done; when it returns the last one has been sent."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        sent = 0
        while (elapsed := loop.time() - began) < seconds or not acting.done():
            while sent < elapsed * rate:
                if len(self.busy) + len(self._connecting) >= MOST:
                    self.held_back += 1
                    break
                self._ask()
                sent += 1
            await asyncio.sleep(0.005)

    async def end(self) -> None:
        """Wait until nothing is under way; give up what takes longer than PATIENCE."""
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE
        while (self.busy or self._connecting) and loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for one in list(self.busy):
            one.abort(LATE)
        for one in list(self.idle):
            if one.transport is not None:
                one.transport.close()
        await asyncio.sleep(0)

    def abort(self, number: int) -> None:
        """So many clients leave: those that wait first, then some of those that come."""
        for one in list(self.busy)[:number]:
            one.abort()
            number -= 1
        self._aborts += number

    def over(self, connection: Connection, asked: Asked) -> None:
        self.busy.pop(connection, None)
        self.fates[asked.fate] += 1
        if asked.fate == OK:
            self.finished.append(asked.ended)

    def _ask(self) -> None:
        dice = self._random
        number = len(self.asked)
        stream = dice.random() < self._streams
        asked = Asked(f"soak-{number:07}", stream, monotonic_ns())
        self.asked.append(asked)
        data = _request(
            self._port, asked, self._keys[number % len(self._keys)], dice.random() < 0.5
        )
        if self.idle:
            self._send(self.idle.popitem()[0], asked, data)
            return
        task = asyncio.ensure_future(self._connect(asked, data))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, asked: Asked, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        connection = Connection(self)
        try:
            await loop.create_connection(lambda: connection, "127.0.0.1", self._port)
        except OSError as error:
            asked.fate, asked.said, asked.ended = CUT, f"connect: {error}", monotonic_ns()
            self.fates[CUT] += 1
            return
        self._send(connection, asked, data)

    def _send(self, connection: Connection, asked: Asked, data: bytes) -> None:
        connection.send(asked, data)
        if self._aborts and connection.now is not None:
            self._aborts -= 1
            asyncio.get_running_loop().call_later(
                self._random.uniform(0.0, 0.1), self._leave, connection, asked
            )

    def _leave(self, connection: Connection, asked: Asked) -> None:
        if connection.now is asked:
            connection.abort()


def _request(port: int, asked: Asked, key: str, include: bool) -> bytes:
    options = ',"stream":true' if asked.stream else ""
    if asked.stream and include:
        options += ',"stream_options":{"include_usage":true}'
    body = (
        '{"model":"paid","messages":[{"role":"user","content":"Why does a turbine need a headrace?"}],'
        f'"max_tokens":64,"user":"{asked.id}"{options}}}'
    )
    return (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: application/json\r\nAuthorization: Bearer {key}\r\n"
        f"X-Request-Id: {asked.id}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
