"""The API listener: from a parsed request head to an `Exchange`, and the few pages that are no exchanges."""

from __future__ import annotations

import asyncio
import heapq
import re
from collections.abc import Awaitable, Callable, Mapping
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from aiohttp.http import HttpVersion10, HttpVersion11
from aiohttp.web_server import Server

from proxy.core.errors import ProxyError
from proxy.core.log import logger
from proxy.core.tls import Termination
from proxy.dialects.render import render_error
from proxy.gateway import beside, body, forwarded, pipeline, routing
from proxy.gateway.connection import ClientConnection
from proxy.gateway.endpoints import (
    VERBS,
    Match,
    allowed,
    family_of,
    is_spelled_out,
    match,
    other,
    unknown_verb,
)
from proxy.gateway.exchange import Exchange, Headers, new_request_id, render_response
from proxy.gateway.glance import Glance
from proxy.gateway.throttle import Throttle

if TYPE_CHECKING:
    from aiohttp.web_request import BaseRequest

    from proxy.state.state import State
    from proxy.upstream.pool import UpstreamPool

Said = tuple[int, str, bytes]
"""Status, content type, body."""
Page = Callable[[], Said | Awaitable[Said]]
"""What a page of ours is, now or as soon as it is known."""

Aside = Callable[["BaseRequest", str], Awaitable[beside.Answer] | None]
"""(request, its path) to an answer that is on its way (status, headers, body), or None for what is not its own."""

_HOST = re.compile(r"[A-Za-z0-9._-]*(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.%]+\](?::[0-9]{1,5})?")
_VERSIONS = (HttpVersion10, HttpVersion11)
TIMING = "x-headrace-timing"
_MAX_HEAD = 64 * 1024
_FLUSH = 0.5
"""Seconds for those who were cut to be told."""
IDLE = 1.0
"""Seconds without a request after which a connection may be closed to make room for another."""
TURN = 0.1
"""Seconds between two looks, while this process leaves, at who is idle."""
SAY = 5.0
"""Seconds between two lines in the log about that."""
HURRY = 5.0
"""Seconds that are left for all requests once there is haste."""


class Gateway:
    """Handles every request of one API listener."""

    __slots__ = (
        "_glance",
        "_pages",
        "_pool",
        "_server",
        "_state",
        "_throttle",
        "aside",
        "beyond",
        "tls",
    )

    def __init__(
        self,
        state: State,
        pool: UpstreamPool,
        pages: Mapping[str, Page],
        tls: Termination | None = None,
    ) -> None:
        self.aside: Aside | None = None
        """Asked first about everything but our own pages, where another application shares this port."""
        self.beyond: Aside | None = None
        """Asked last, about paths that are nothing here."""
        self.tls = Termination() if tls is None else tls
        self._state = state
        self._pool = pool
        self._pages = pages
        self._throttle = Throttle()
        self._glance = Glance(state)
        # aiohttp's server keeps the connections and cancels what a lost one was doing; requests come to
        # `_answer` from the connection itself.
        self._server = Server(cast("Any", self._answer), handler_cancellation=True, access_log=None)

    def connection(self) -> asyncio.Protocol:
        """The protocol of a new connection: the factory a listener is made with."""
        return self.tls.connection(self.client)

    def client(self) -> ClientConnection:
        """What answers a client, on a connection that is as it should be."""
        limits = self._state.snapshot.server
        return ClientConnection(
            self._server,
            loop=asyncio.get_running_loop(),
            answer=self._answer,
            reject=self._reject,
            head_timeout=limits.head_timeout,
            keepalive=limits.keepalive,
            write_timeout=limits.write_timeout,
            proxies=limits.proxies,
            lag=self._state.lag,
            refusal=self._glance.refusal,
        )

    @property
    def connections(self) -> int:
        """Client connections open now, those whose handshake is not done among them."""
        # Not `connections` of it: that is a new list, and everybody who comes in is counted.
        return len(self._server._connections) + len(self.tls.shaking)

    @property
    def limit(self) -> int:
        """Client connections there may be, as configured; 0: as many as descriptors allow."""
        return self._state.snapshot.server.max_connections

    def is_idle(self) -> bool:
        """Whether no request is under way."""
        return not any(one.busy for one in self._connections())

    def dismiss_idle(self, count: int) -> int:
        """Close `count` connections that have carried no request for IDLE seconds, the longest first; how many there were.

        Who has just come, or has just had an answer, is about to ask. So is who has not done with its handshake.
        """
        now = monotonic()
        slow = self.tls.dismiss(count, now - IDLE)
        count -= slow
        idle = [
            (since, number, one)
            for number, one in enumerate(self._connections())
            if (since := one.idle_since) is not None and since <= now - IDLE
        ]
        for _, _, one in heapq.nsmallest(count, idle):
            one.dismiss(now, now, 0.0)
        return slow + min(count, len(idle))

    async def drain(
        self,
        timeout: float,
        idle: Callable[[], float] = lambda: 0.0,
        hurry: asyncio.Event | None = None,
    ) -> None:
        """Let what runs finish within `timeout` seconds (5 from `hurry` on), then cut it, and say so.

        A connection without a request is closed when it was idle for `idle()` seconds since this began: a client may
        have sent one that is not read yet, and closing under it would lose it. Each answer says that it is the last.
        """
        began = said = monotonic()
        deadline = began + timeout
        while True:
            now = monotonic()
            haste = hurry is not None and hurry.is_set()
            if haste:
                deadline = min(deadline, now + HURRY)
                hurry = None
            patience = 0.0 if haste or hurry is None else idle()
            connections = self._connections()
            for connection in connections:
                connection.dismiss(began, now, patience)
            busy = [one.task for one in connections if one.task is not None]
            coming = bool(self.tls.shaking) and now - began < max(patience, IDLE)
            if not (busy or coming) or now >= deadline:
                break
            if now - said >= SAY:
                said = now
                running = sum(one.busy for one in connections)
                logger.info(
                    "leaving: %d requests under way, %d idle connections",
                    running,
                    len(busy) - running,
                )
            pause = min(TURN, deadline - now)
            await (asyncio.wait(busy, timeout=pause) if busy else asyncio.sleep(pause))
        self.tls.dismiss(len(self.tls.shaking), inf)
        self._server.pre_shutdown()
        for connection in self._connections():
            connection.cut()
        for one in tuple(self._state.lingering):
            one.cut()
        await self._server.shutdown(_FLUSH)

    def _connections(self) -> list[ClientConnection]:
        return [one for one in self._server.connections if isinstance(one, ClientConnection)]

    async def _answer(self, request: BaseRequest, client: ClientConnection) -> bool:
        """Answer `request`; whether its connection can carry another."""
        transport = client.transport
        if transport is None:
            return False
        target = request.raw_path
        path, _, query = target.partition("?")
        try:
            self._check(request)
        except ProxyError as error:
            transport.write(self._reject(error.ref, f"- {path} -"))
            return False
        page = self._pages.get(path)
        if page is not None and request.method in ("GET", "HEAD"):
            return await self._page(request, transport, page)
        if self.aside is not None:
            answer = self.aside(request, path)
            if answer is not None:
                return await self._beside(request, client, answer)
        found = match(request.method, path)
        if found is None and routing.takes_other(self._state.snapshot):
            found = _elsewhere(request.method, path)
        if found is None:
            answer = None if self.beyond is None else self.beyond(request, path)
            if answer is not None:
                return await self._beside(request, client, answer)
            refusal = _nothing(request.method, path, close=not request.content.is_eof())
            transport.write(_as_asked(request.method, refusal))
            return request.content.is_eof() and request.keep_alive
        if client.forwards:
            said = request.headers.getall("x-forwarded-for", ())
            proxies = self._state.snapshot.server.proxies
            request = request.clone(remote=forwarded.client(said, request.remote or "", proxies))
        exchange = Exchange(request, transport, found[0], found[1], query, client.received_at)
        client.owed = exchange
        exchange.keep_alive &= not (self._state.draining or client.half_closed)
        exchange.exempt = path in self._state.snapshot.exempt
        exchange.timing = self._state.snapshot.server.timing or TIMING in request.headers
        if self._state.tracer is not None:
            self._state.tracer.begin(exchange)
        await pipeline.serve(exchange, client, self._state, self._pool, self._throttle)
        if not request.content.is_eof():
            await body.linger(request.content)
            return False
        return exchange.keep_alive and not client.half_closed

    def _reject(self, ref: str, request_line: str) -> bytes:
        """A whole response for a request that could not be parsed; logs the reason's code, never the bytes."""
        error = ProxyError(ref)
        logger.info("malformed request: %s", error.code)
        self._state.metrics.bad_requests.child(error.code).inc()
        target = request_line.split(" ")[1] if request_line.count(" ") else ""
        return _render(error, family_of(target.partition("?")[0]), close=True)

    def _check(self, request: BaseRequest) -> None:
        """What aiohttp lets through and a proxy must not.

        HTTP/0.9 and invented versions; a `Host` that is missing, double or no host, from which a careless reader
        would build another URL than the one asked for.
        """
        if request.version not in _VERSIONS:
            raise ProxyError("bad_http")
        hosts = request.headers.getall("Host", ())
        if len(hosts) > 1 or (not hosts and request.version is not HttpVersion10):
            raise ProxyError("bad_http")
        if hosts and not _HOST.fullmatch(hosts[0]):
            raise ProxyError("bad_http")
        raw = request.raw_headers
        # Fewer than eight fields, of at most 8 KiB each, cannot reach the limit.
        if len(raw) > 7 and sum([len(name) + len(value) for name, value in raw]) > _MAX_HEAD:
            raise ProxyError("hdr_big")

    async def _page(self, request: BaseRequest, transport: asyncio.Transport, page: Page) -> bool:
        made = page()
        status, kind, content = made if isinstance(made, tuple) else await made
        keep_alive = request.keep_alive and request.content.is_eof() and not self._state.draining
        response = render_response(
            status,
            [(b"content-type", kind.encode())],
            content,
            new_request_id(),
            close=not keep_alive,
        )
        transport.write(response if request.method == "GET" else response[: -len(content) or None])
        return keep_alive

    async def _beside(
        self, request: BaseRequest, client: ClientConnection, answer: Awaitable[beside.Answer]
    ) -> bool:
        made = await answer
        keep_alive = request.keep_alive and not self._state.draining
        if not request.content.is_eof():
            await body.linger(request.content)
            keep_alive = False
        kept = await beside.send(made, request, client, keep_alive=keep_alive)
        return kept and not self._state.draining  # it may have taken as long as anybody watched


def _elsewhere(method: str, path: str) -> Match | None:
    """What a provider that takes other paths may have there."""
    ours = is_spelled_out(path) or unknown_verb(method, path)
    return None if ours else other(method, path)


def _nothing(method: str, path: str, *, close: bool) -> bytes:
    verb = unknown_verb(method, path)
    if verb:
        message = f"There is no method '{verb}' of models here. There are {', '.join(VERBS)}."
        return _render(ProxyError("no_route", message), "gemini", close=close)
    methods = allowed(path)
    if not methods:
        return _render(ProxyError("no_route"), family_of(path), close=close)
    error = ProxyError("bad_method", f"This path takes {', '.join(methods)}.")
    return _render(
        error, family_of(path), close=close, extra=[(b"allow", ", ".join(methods).encode())]
    )


def _as_asked(method: str, response: bytes) -> bytes:
    """The head alone for a `HEAD`: what follows one would be read as the next answer."""
    return response[: response.index(b"\r\n\r\n") + 4] if method == "HEAD" else response


def _render(error: ProxyError, family: str, *, close: bool, extra: Headers | None = None) -> bytes:
    """A whole response for an error outside of any exchange."""
    request_id = new_request_id()
    status, headers, content = render_error(family, error, request_id)
    return render_response(status, headers + (extra or []), content, request_id, close=close)
