"""A provider that keeps books of its own: every chat request it was asked, what it sent, and whether it came to the end.

One process, bare protocols. It prints `listening on HOST:PORT`; `POST /reset/N` makes it break off N answers, those under
way first, as a machine that loses its network does (RST); `GET /books` is what it remembers, as MessagePack.
"""

from __future__ import annotations

import asyncio
import gc
import random
import socket
import struct
import sys
from time import monotonic_ns
from typing import cast

import msgspec
import uvloop
from msgspec import Struct
from typing_extensions import override

GAP = 0.025
"""Seconds between two tokens of a stream."""
FINISHED, RESET, LEFT = "finished", "reset", "left"
LINGER = struct.pack("ii", 1, 0)
CHUNK = '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"paid","choices":'


class Usage(Struct, frozen=True, array_like=True, gc=False):
    """Tokens, as OpenAI counts them: cached ones are part of the prompt, reasoning of the completion."""

    prompt: int
    cached: int
    completion: int
    reasoning: int


class Served(Struct, array_like=True, gc=False):
    """One time that it was asked. Times are CLOCK_MONOTONIC in nanoseconds."""

    id: str
    stream: bool
    usage: Usage
    fate: str
    """FINISHED; RESET by us; LEFT: the other side closed the connection first."""
    began: int
    ended: int = 0


class _Options(Struct):
    include_usage: bool = False


class _Asked(Struct):
    user: str
    stream: bool = False
    stream_options: _Options | None = None


_asked = msgspec.json.Decoder(_Asked)


class Books:
    """What it remembers."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.served: list[Served] = []
        self.busy: dict[Connection, None] = {}
        self.resets = 0

    def usage(self) -> Usage:
        dice = self.random
        prompt, completion = dice.randrange(10, 4000), dice.randrange(4, 24)
        return Usage(prompt, dice.randrange(prompt), completion, dice.randrange(completion))

    def reset(self, number: int) -> None:
        for connection in list(self.busy)[:number]:
            connection.reset()
            number -= 1
        self.resets += number


class Connection(asyncio.Protocol):
    """Reads one request after the other, and answers as it goes along."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._data = b""
        self._timer: asyncio.TimerHandle | None = None
        self._now: Served | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._over(LEFT)

    @override
    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, rest = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        at = head.lower().find(b"\r\ncontent-length:")
        length = int(head[at + 17 :].split(b"\r", 1)[0]) if at >= 0 else 0
        if len(rest) < length:
            return
        self._data = rest[length:]
        self._answer(head.split(b" ", 2)[1], rest[:length])

    def reset(self) -> None:
        """Break off what is under way."""
        self._over(RESET)
        wire = cast("socket.socket", self._transport.get_extra_info("socket"))
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
        self._transport.abort()

    def _answer(self, path: bytes, body: bytes) -> None:
        books = self._books
        if path == b"/books":
            self._whole(msgspec.msgpack.encode(books.served))
            return
        if path.startswith(b"/reset/"):
            books.reset(int(path[7:]))
            self._whole(b"{}")
            return
        asked = _asked.decode(body)
        now = Served(asked.user, asked.stream, books.usage(), "", monotonic_ns())
        self._now = now
        books.served.append(now)
        books.busy[self] = None
        last = -1
        if books.resets:
            books.resets -= 1
            last = books.random.randrange(now.usage.completion)
        if asked.stream:
            options = asked.stream_options
            self._token(0, last, options is not None and options.include_usage)
        else:
            work = self.reset if last >= 0 else self._all
            self._timer = self._loop.call_later(GAP, work)

    def _all(self) -> None:
        now = self._now
        assert now is not None
        text = "word " * now.usage.completion
        self._over(FINISHED)
        self._whole(
            (
                '{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"paid","choices":[{"index":0,'
                f'"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}],'
                f'"usage":{_json(now.usage)}}}'
            ).encode()
        )

    def _token(self, number: int, last: int, include: bool) -> None:
        now = self._now
        assert now is not None
        if number == last:
            self.reset()
            return
        events = []
        if number == 0:
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
        if number < now.usage.completion:
            delta = (
                '{"role":"assistant","content":"word "}' if number == 0 else '{"content":"word "}'
            )
            events.append(f'{CHUNK}[{{"index":0,"delta":{delta},"finish_reason":null}}]}}')
            self._timer = self._loop.call_later(GAP, self._token, number + 1, last, include)
        else:
            events.append(f'{CHUNK}[{{"index":0,"delta":{{}},"finish_reason":"stop"}}]}}')
            if include:
                events.append(f'{CHUNK}[],"usage":{_json(now.usage)}}}')
            events.append("[DONE]")
        data = "".join(f"data: {event}\n\n" for event in events).encode()
        end = b""
        if events[-1] == "[DONE]":
            self._over(FINISHED)
            end = b"0\r\n\r\n"
        self._transport.write(b"%x\r\n%b\r\n%b" % (len(data), data, end))

    def _whole(self, body: bytes) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )

    def _over(self, fate: str) -> None:
        now = self._now
        if now is None:
            return
        now.fate, now.ended = fate, monotonic_ns()
        self._now = None
        self._books.busy.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()


def _json(usage: Usage) -> str:
    return (
        f'{{"prompt_tokens":{usage.prompt},"completion_tokens":{usage.completion},'
        f'"total_tokens":{usage.prompt + usage.completion},'
        f'"prompt_tokens_details":{{"cached_tokens":{usage.cached}}},'
        f'"completion_tokens_details":{{"reasoning_tokens":{usage.reasoning}}}}}'
    )


async def serve(seed: int) -> None:
    """Until it is killed."""
    books = Books(seed)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(books), "127.0.0.1", 0, backlog=4096)
    host, port = server.sockets[0].getsockname()[:2]
    print(f"listening on {host}:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    gc.disable()
    uvloop.run(serve(int(sys.argv[1])))
