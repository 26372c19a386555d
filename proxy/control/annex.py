"""The admin application of a worker, made when somebody asks for it first.

It takes 30 ms and 5 MiB to load, for the schemas of what may be written. Of several workers few are ever asked: the one that
takes the first connection loads it, in a thread, and the others stay as small as they were.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from proxy.core import tasks
from proxy.core.tls import Termination

if TYPE_CHECKING:
    from aiohttp.web_request import BaseRequest

    from proxy.control.admin.app import AdminApp, Response

DOCUMENTATION: Final = frozenset({"/docs", "/swagger", "/openapi.json"})
ASSETS: Final = "/assets/"
"""Paths of what anybody may read, on the API's port too, and where those of its pages begin."""
AGAIN: Final = 1.0
"""Seconds until the listener is looked at again when there were no descriptors."""


class Annex:
    """Of one worker. `make` builds the application, and of that what anybody may read; it is called once, in a thread."""

    def __init__(
        self, make: Callable[[], tuple[AdminApp, AdminApp]], tls: Termination | None = None
    ) -> None:
        self._make = make
        self._tls = Termination("admin") if tls is None else tls
        self._made: asyncio.Task[tuple[AdminApp, AdminApp]] | None = None
        self._listener: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._closed = False

    def listen(self, listener: socket.socket) -> None:
        """Answer on this socket, which is ours from now on."""
        listener.setblocking(False)
        self._listener = listener
        self._watch()

    def close(self) -> None:
        """Take nobody in any more. Who was taken in is answered."""
        if self._closed:
            return
        self._closed = True
        if self._server is not None:
            self._server.close()
        elif self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()

    def beyond(self, request: BaseRequest, path: str) -> Awaitable[Response] | None:
        """What answers a request on the API's port; None: it is not for the documentation."""
        if request.method in ("GET", "HEAD") and (path in DOCUMENTATION or path.startswith(ASSETS)):
            return self._answer(request)
        return None

    async def _answer(self, request: BaseRequest) -> Response:
        _, documentation = await self._apps()
        from proxy.control.listener import answer

        return await answer(documentation, request)

    def _watch(self) -> None:
        if self._listener is not None and not self._closed:
            asyncio.get_running_loop().add_reader(self._listener, self._knocked, self._listener)

    def _knocked(self, listener: socket.socket) -> None:
        try:
            first, _ = listener.accept()
        except BlockingIOError:
            return  # another worker was quicker
        except OSError:
            loop = asyncio.get_running_loop()
            loop.remove_reader(listener)
            loop.call_later(AGAIN, self._watch)
            return
        first.setblocking(False)
        asyncio.get_running_loop().remove_reader(listener)
        tasks.spawn(self._open(listener, first), name="open the admin listener")

    async def _open(self, listener: socket.socket, first: socket.socket) -> None:
        """The first has come: serve, from now on as servers do."""
        loop = asyncio.get_running_loop()
        try:
            app, _ = await self._apps()
        except BaseException:
            first.close()
            self._watch()
            raise
        from proxy.control.listener import admin_server

        server = admin_server(app).entrance(self._tls)
        if not self._closed:
            self._server = await loop.create_server(server, sock=listener)
        await loop.connect_accepted_socket(server, first)

    async def _apps(self) -> tuple[AdminApp, AdminApp]:
        """Both, made if they are not."""
        if self._made is None or (self._made.done() and self._made.exception() is not None):
            self._made = tasks.spawn(asyncio.to_thread(self._make), name="load the admin API")
        return await asyncio.shield(self._made)
