"""Answers of another application that shares this port, on the client's connection: whole, or piece by piece.

A body that comes in pieces is of any length: the next one is asked for when the client has taken the last. One that
fails in the middle cuts the connection, so nobody takes a part for the whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

from aiohttp.http import HttpVersion11

from proxy.core.log import logger
from proxy.gateway.exchange import render_response

if TYPE_CHECKING:
    from aiohttp.web_request import BaseRequest

    from proxy.gateway.connection import ClientConnection

Answer = tuple[int, Mapping[str, str], bytes | AsyncGenerator[bytes, None]]
"""Status, headers (with `x-request-id`), body."""

STALL = 60.0
"""Seconds for a client to take the next piece of a long answer."""
_RENDERED = frozenset({"x-request-id", "cache-control", "x-content-type-options"})
"""Headers that `render_response` sends by itself."""
_NO_LENGTH = b"content-length: 0\r\n"
_ENDS = b"\n\n", b"\r\n\r\n"
_COMMENT = b":\n\n"


class _Pieces:
    """A body that comes in pieces. Between two events a comment does no harm; in anything else nothing can be said but itself."""

    __slots__ = ("_chunked", "_events", "ended")

    head_sent = True

    def __init__(self, content_type: str, *, chunked: bool) -> None:
        self._events, self._chunked = content_type.startswith("text/event-stream"), chunked
        self.ended = True
        """Whether the last piece ended an event, if it is of such."""

    def framed(self, piece: bytes) -> bytes:
        self.ended = piece.endswith(_ENDS)
        return self._frame(piece)

    def probe(self) -> bytes:
        return self._frame(_COMMENT) if self._events and self.ended else b""

    def _frame(self, piece: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece


async def send(
    answer: Answer, request: BaseRequest, client: ClientConnection, *, keep_alive: bool
) -> bool:
    """Write it; whether the connection can carry another."""
    status, headers, content = answer
    whole = isinstance(content, bytes)
    chunked = request.version >= HttpVersion11
    if not whole and not chunked:
        keep_alive = False
    rest = {name: value for name, value in headers.items() if name not in _RENDERED}
    if not whole and chunked:
        rest["transfer-encoding"] = "chunked"
    response = render_response(
        status,
        [(name.encode(), value.encode("latin-1")) for name, value in rest.items()],
        content if isinstance(content, bytes) else b"",
        headers["x-request-id"],
        close=not keep_alive,
    )
    if not whole or status in (204, 304):
        response = response.replace(_NO_LENGTH, b"", 1)  # RFC 9110, 8.6
    if isinstance(content, bytes):
        if request.method == "HEAD":
            response = response[: -len(content) or None]
        if client.transport is not None:
            client.transport.write(response)
        return keep_alive
    client.owed = owed = _Pieces(headers.get("content-type", ""), chunked=chunked)
    async with aclosing(content):
        if client.transport is not None:
            client.transport.write(response)
        if request.method == "HEAD":
            return keep_alive
        return await _pour(content, client, owed, chunked=chunked) and keep_alive


async def _pour(
    pieces: AsyncGenerator[bytes, None], client: ClientConnection, owed: _Pieces, *, chunked: bool
) -> bool:
    """Whether all of it was written."""
    try:
        async for piece in pieces:
            if client.transport is None:
                return False
            if piece:
                client.transport.write(owed.framed(piece))
            async with asyncio.timeout(STALL):
                await client.taken()
    except ConnectionError:
        return False
    except Exception as error:
        logger.warning("an answer beside the API was cut: %s", str(error) or type(error).__name__)
        if client.transport is not None:
            client.transport.abort()
        return False
    if client.transport is None:
        return False
    if chunked:
        client.transport.write(b"0\r\n\r\n")
    return True
