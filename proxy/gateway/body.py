"""A request's body, read whole: within its size, its deadlines and its encodings.

Everything is decided that can be before a byte is asked for: a body declared too large is refused at the head, and
`Expect: 100-continue` is answered only now, after the key was accepted.
"""

from __future__ import annotations

import asyncio
import zlib
from time import monotonic
from typing import TYPE_CHECKING

from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from proxy.core.errors import ProxyError
from proxy.gateway import intake
from proxy.gateway.connection import CONTINUE, ClientConnection
from proxy.gateway.intake import GRACE, SLOWEST

if TYPE_CHECKING:
    from aiohttp.streams import StreamReader
    from aiohttp.web_request import BaseRequest

    from proxy.core.model import Server
    from proxy.state.memory import Memory

LINGER_BYTES = 64 * 1024
LINGER_SECONDS = 1.0
_CODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""Content coding to zlib's window bits."""


async def read(
    request: BaseRequest, transport: asyncio.Transport, limits: Server, memory: Memory
) -> bytes:
    """The body, decoded.

    Raises ProxyError: too_big, slow_req, bad_enc (unknown content coding), bad_http (broken framing or gzip), shed
    (it takes a while to come, and there is no room for it).
    """
    declared = request.headers.get("Content-Length")
    if declared is not None and int(declared) > limits.max_body:
        raise ProxyError("too_big", _too_big(limits.max_body))
    payload = request.content
    if payload.is_eof():
        try:
            body = payload.read_nowait()
        except (HttpProcessingError, RequestPayloadError) as error:
            raise ProxyError("bad_http") from error
    else:
        promised = 0 if declared is None else int(declared)
        memory.begin(promised)
        try:
            if (
                request.headers.get("Expect", "").lower() == "100-continue"
                and request.version >= HttpVersion11  # before it nobody knows interim answers
            ):
                transport.write(CONTINUE)
            if declared is None:
                body = await _read_slowly(payload, limits, memory)
            else:
                body = await _read_known(request, promised, limits)
        finally:
            memory.end(promised)
    if len(body) > limits.max_body:
        raise ProxyError("too_big", _too_big(limits.max_body))
    coding = request.headers.get("Content-Encoding")
    return body if coding is None else _decode(body, coding.strip().lower(), limits.max_body)


def _too_big(limit: int) -> str:
    return f"The request body is larger than the {limit} bytes this gateway accepts."


async def _read_known(request: BaseRequest, size: int, limits: Server) -> bytes:
    """A body of which is known how long it is, and not all is here."""
    payload, client = request.content, request.protocol
    # What follows the body of an upgrade may be no HTTP, which the parser has to see.
    if (
        size - payload.total_bytes < intake.LEAST
        or not isinstance(client, ClientConnection)
        or "Upgrade" in request.headers
    ):
        return await _read_slowly(payload, limits, None)
    start = monotonic()
    begun = b""
    least = intake.enough(size)
    if payload.total_bytes < least:
        begun = await _read_slowly(payload, limits, None, least)
    try:
        begun += payload.read_nowait()
    except (HttpProcessingError, RequestPayloadError) as error:
        raise ProxyError("bad_http") from error
    if len(begun) == size:
        return begun
    return await intake.receive(client, payload, size, begun, start, limits)


async def _read_slowly(
    payload: StreamReader, limits: Server, memory: Memory | None, enough: int = 0
) -> bytes:
    """Until its end, or until there is `enough`. Each piece is counted in `memory`, unless all of them were promised."""
    parts: list[bytes] = []
    size = counted = 0
    start = monotonic()
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(limits.body_idle_timeout) as deadline:
            while part := await payload.readany():
                parts.append(part)
                size += len(part)
                if size > limits.max_body:
                    raise ProxyError("too_big", _too_big(limits.max_body))
                if memory is not None:
                    memory.begin(len(part))
                    counted = size
                elapsed = monotonic() - start
                if elapsed > limits.body_timeout or size < (elapsed - GRACE) * SLOWEST:
                    raise ProxyError("slow_req")
                if enough and size >= enough:
                    break
                left = limits.body_timeout - elapsed
                deadline.reschedule(loop.time() + min(limits.body_idle_timeout, left))
    except TimeoutError as error:
        raise ProxyError("slow_req") from error
    except (HttpProcessingError, RequestPayloadError) as error:
        raise ProxyError("bad_http") from error
    finally:
        if memory is not None:
            memory.end(counted)
    return b"".join(parts)


def _decode(body: bytes, coding: str, limit: int) -> bytes:
    if coding in ("", "identity"):
        return body
    bits = _CODINGS.get(coding)
    if bits is None:
        raise ProxyError("bad_enc", "Send the body uncompressed, or as gzip or deflate.")
    inflate = zlib.decompressobj(bits)
    try:
        plain = inflate.decompress(body, limit + 1)
    except zlib.error as error:
        raise ProxyError("bad_enc", "The body is not valid gzip.") from error
    if len(plain) > limit:
        raise ProxyError("too_big", _too_big(limit))
    if not inflate.eof:
        raise ProxyError("bad_enc", "The compressed body is cut short.")
    return plain


async def linger(payload: StreamReader) -> None:
    """Read a little of a body nobody wants, so that the client reads our answer before the socket closes."""
    size = 0
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while size < LINGER_BYTES and (part := await payload.readany()):
                size += len(part)
    except (TimeoutError, HttpProcessingError, RequestPayloadError):
        return
