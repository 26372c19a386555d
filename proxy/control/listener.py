"""The admin listener, and the admin API on the API listener where both share a port.

    admin_server    a server of its own: the admin application, and the pages of operators, for so many at once
    aside           what the API listener asks about a path that is none of its own pages

A body is read only after its sender has shown who they are.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from uuid import uuid4

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler, RequestPayloadError
from aiohttp_sse import EventSourceResponse

from proxy.control.admin import body, openapi
from proxy.control.admin.access import Permission
from proxy.control.admin.app import AdminApp, Response
from proxy.control.admin.assets import Assets
from proxy.control.admin.feed import EVENTS
from proxy.control.admin.routes import all_routes
from proxy.control.admin.web import Answer, Problem, Request, Route, Stream
from proxy.core import descriptors
from proxy.core.log import logger
from proxy.store.base import StoreDown

if TYPE_CHECKING:
    from aiohttp.web_request import BaseRequest

    from proxy.control.admin.services import Services
    from proxy.core.tls import Termination

Said = tuple[int, str, bytes]
"""Status, content type, body."""
Page = Callable[[], Said | Awaitable[Said]]
"""What a page is, now or as soon as it is known."""

OPEN = frozenset({"/health/live", "/health/ready", "/livez", "/readyz"})
"""What an orchestrator asks without a token."""
_METRICS = frozenset({"/metrics", "/metrics/worker"})
_PERMISSIONS = {
    **dict.fromkeys(OPEN, Permission.PUBLIC),
    **dict.fromkeys(_METRICS, Permission.METRICS),
}
MOST = 256
"""Connections there may be in one worker."""
HEAD_SECONDS = 10.0
"""For the head of a request, from the connection's beginning or the head's."""
KEEPALIVE = 75.0
"""Seconds that one without a request stays."""
BODY_SECONDS = 30.0
"""For a whole body to arrive."""
STALL = 60.0
"""Seconds for a client to take the next piece of an answer."""
_NOBODY: Any = None
"""In the place of what aiohttp's types ask for and its code does without."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def admin_app(services: Services, pages: Mapping[str, Page], endpoints: Sequence[str]) -> AdminApp:
    """The whole admin application; `endpoints` are those of the API, for the documentation."""
    routes = [*all_routes(), *page_routes(pages)]
    assets = Assets()
    documentation = openapi.Documentation(routes, endpoints, assets)
    return AdminApp([*routes, *documentation.routes(), *assets.routes()], services)


def documentation(app: AdminApp, services: Services) -> AdminApp:
    """Of that, what anybody may read: for the API's port."""
    return AdminApp([route for route in app.routes if route.tag == "documentation"], services)


def page_routes(pages: Mapping[str, Page]) -> list[Route]:
    """Pages as routes: liveness and readiness for anybody, `/metrics` for who may read metrics, the rest for readers."""
    return [
        Route(
            method="GET",
            path=path,
            permission=_PERMISSIONS.get(path, Permission.READ),
            handler=_shown(page),
            summary=f"The page {path}",
            tag="pages",
            statuses=(200, 503),
            gives=("text/plain",) if path in _METRICS else ("application/json",),
        )
        for path, page in pages.items()
    ]


def _shown(page: Page) -> Callable[[Request, Services], Awaitable[Answer]]:
    async def show(_request: Request, _services: Services) -> Answer:
        made = page()
        status, kind, content = made if isinstance(made, tuple) else await made
        return Answer(content, status, kind=kind)

    return show


def admin_server(app: AdminApp) -> AdminServer:
    """Serves the application on a port of its own. A browser that asks for nothing in particular is led to the dashboard."""

    async def handle(request: BaseRequest) -> web.StreamResponse:
        if request.raw_path == "/" and "text/html" in request.headers.get("accept", ""):
            return web.Response(status=303, headers={"location": "/dashboard"})
        status, headers, content = await answer(app, request)
        if not isinstance(content, bytes):
            return await _streamed(request, _response(status, headers), content)
        return web.Response(status=status, headers=headers, body=content)

    return AdminServer(handle)


def most(files: int) -> int:
    """Connections there may be where so many files may be open: most of them are for those of the API."""
    return min(MOST, files // 4)


class AdminServer(web.Server):
    """Makes the connections of the admin port, and sees to it that they are not too many."""

    def __call__(self) -> RequestHandler:
        return Connection(
            self,
            loop=self._loop,
            keepalive_timeout=KEEPALIVE,
            access_log=_NOBODY,
            auto_decompress=False,
            logger=_http,
        )

    def entrance(self, tls: Termination) -> Callable[[], asyncio.Protocol]:
        """The protocol of who comes in. Where there are MOST, who has been without a request for longest leaves, or is not done
        with the handshake; where all have one, who came does."""
        room = most(descriptors.limit())

        def enter() -> asyncio.Protocol:
            is_full = len(self.connections) + len(tls.shaking) >= room
            if is_full and not self._dismiss() and not tls.dismiss(1, monotonic()):
                return _Nobody()
            return tls.connection(self)

        return enter

    def _dismiss(self) -> bool:
        """Whether there was one to close."""
        idle = [one for one in self.connections if isinstance(one, Connection) and one.is_idle]
        if idle:
            min(idle, key=lambda one: one.until).force_close()
        return bool(idle)


class Connection(RequestHandler):
    """Of the admin port. aiohttp waits for a head as long as for the next request, and for ever for who reads no answer."""

    __slots__ = ("_timer",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._timer: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        with suppress(OSError, AttributeError):  # a socket of the file system, say, or not on Linux
            transport.get_extra_info("socket").setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(STALL * 1000)
            )
        self._arm()

    def data_received(self, data: bytes) -> None:
        requests = self._request_count
        super().data_received(data)
        if self._request_count != requests:
            self._disarm()
        elif self._timer is None and self.is_idle:
            self._arm()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    @property
    def is_idle(self) -> bool:
        """No request is on it, or a part of one's head."""
        return self._waiter is not None and not self._waiter.done()

    @property
    def until(self) -> float:
        """When it may stay no longer, of the loop's time."""
        return self._next_keepalive_close_time

    def _arm(self) -> None:
        self._timer = self._loop.call_later(HEAD_SECONDS, self._head_late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head_late(self) -> None:
        self._timer = None
        if self.is_idle:
            self.force_close()


class _Nobody(asyncio.Protocol):
    """Who has to leave at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _response(status: int, headers: Mapping[str, str]) -> web.StreamResponse:
    """For a body that comes in pieces. Whoever watches events and takes none of them for STALL seconds is cut off, as the
    kernel sees it: they are so small that no buffer of ours fills."""
    if headers["content-type"] != EVENTS:
        return web.StreamResponse(status=status, headers=headers)
    response = EventSourceResponse(
        status=status, headers=headers, send_timeout=STALL, allow_all_methods=True
    )
    response.headers["cache-control"] = headers["cache-control"]
    return response


async def _streamed(
    request: BaseRequest, response: web.StreamResponse, pieces: Stream
) -> web.StreamResponse:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(aclosing(pieces))
        await response.prepare(request)
        if isinstance(response, EventSourceResponse):
            await stack.enter_async_context(response)
        try:
            if request.method != "HEAD":
                async for piece in pieces:
                    async with asyncio.timeout(STALL):
                        await response.write(piece)
            await response.write_eof()
        except ConnectionError:
            pass  # whoever asked has left
        except Exception as error:
            what = error if isinstance(error, StoreDown) else type(error).__name__
            logger.warning("an answer of the admin API was cut: %s", what)
            if request.transport is not None:
                request.transport.abort()
    return response


def _without_traceback(record: logging.LogRecord) -> bool:
    """What is no HTTP is no failure of ours: whoever sends it must not fill the log, nor put into it what they sent."""
    if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
        record.exc_info = None
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.msg = "a request from %s to the admin port was no HTTP"
    return True


_http = logger.getChild("admin.http")
_http.addFilter(_without_traceback)


def aside(
    app: AdminApp, *, below: str = ""
) -> Callable[[BaseRequest, str], Awaitable[Response] | None]:
    """(request, its path) to what answers it; None for what is no route, nor below this path: that is another's."""

    def ask(request: BaseRequest, path: str) -> Awaitable[Response] | None:
        if (below and path.startswith(below)) or app.serves(request.method, path):
            return answer(app, request)
        return None

    return ask


async def answer(app: AdminApp, request: BaseRequest) -> Response:
    """What the application says to a request of a connection."""
    path, _, query = request.raw_path.partition("?")
    transport = request.transport
    peer = None if transport is None else transport.get_extra_info("peername")

    async def read() -> bytes:
        return await _read(request)

    return await app.answer(
        Request(
            method=request.method,
            path=path,
            query=dict(parse_qsl(query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=b"",
            peer=str(peer[0]) if peer else "",
            id=str(uuid4()),
            is_gone=lambda: request.transport is None or request.transport.is_closing(),
        ),
        read,
    )


async def _read(request: BaseRequest) -> bytes:
    """Raises Problem: 408, 413, 415 for a content coding, 400 for broken framing."""
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Problem(415, "unsupported_encoding", "Send the body uncompressed.")
    if (request.content_length or 0) > body.LIMIT:
        raise body.too_large()
    if request.headers.get("expect", "").lower() == "100-continue" and request.transport:
        request.transport.write(CONTINUE)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while part := await request.content.readany():
                parts.append(part)
                size += len(part)
                if size > body.LIMIT:
                    raise body.too_large()
    except TimeoutError:
        raise Problem(408, "request_timeout", "The body did not arrive in time.") from None
    except (HttpProcessingError, RequestPayloadError):
        raise Problem(400, "malformed_http", "The body is broken.") from None
    return b"".join(parts)
