"""Pages of the whole instance, answered without any worker: is it alive, is it ready, what does it count?

Not a web server: GET and HEAD from a table of pages, one request a connection. It lives in the supervisor's one loop, so a page
must not block: one that has to wait for something says so, and is asked again. Whoever is slow is cut off.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final

from proxy.core.log import logger

Said = tuple[int, str, bytes]
"""Status, content type, body."""
Page = Callable[[], Said | None]
"""What a page is; None: that is not known yet."""

HEAD: Final = 8192
"""Bytes of a request head, at most."""
PATIENCE: Final = 5.0
"""Seconds for a request to come and its answer to go."""
AGAIN: Final = 0.002
"""Seconds until a page that was not known is asked for again."""
MOST: Final = 64
"""Connections at a time; the oldest makes room."""
TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json; charset=utf-8"
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Ops:
    """Listens in somebody else's loop, whose selector calls what is registered with it."""

    def __init__(self, selector: selectors.BaseSelector, pages: Mapping[str, Page]) -> None:
        self._selector = selector
        self._pages = pages
        self._listeners: list[socket.socket] = []
        self._open: dict[_Connection, None] = {}
        """Oldest first."""
        self._waiting: dict[_Connection, Callable[[], bytes]] = {}
        """Those whose page is not known yet. The selector does not look at them."""

    def listen(self, listener: socket.socket) -> None:
        """Answer on a socket that listens already."""
        listener.setblocking(False)
        self._listeners.append(listener)
        self._selector.register(listener, selectors.EVENT_READ, lambda _: self._accept(listener))

    def sockets(self) -> list[socket.socket]:
        """What a process forked from here has no use for."""
        return [*self._listeners, *(each.socket for each in self._open)]

    def due(self) -> list[float]:
        """When `again` is to be called."""
        return [monotonic() + AGAIN] if self._waiting else []

    def again(self) -> None:
        """Answer those who wait, as far as that is possible by now."""
        for connection, answer in list(self._waiting.items()):
            if said := answer():
                del self._waiting[connection]
                self._begin(connection, said)

    def tick(self) -> None:
        """Now and then: cut off who is slow."""
        late = monotonic() - PATIENCE
        for connection in [one for one in self._open if one.begun < late]:
            self._close(connection)

    def close(self) -> None:
        """Stop listening; who was not answered yet is not."""
        for connection in list(self._open):
            self._close(connection)
        for listener in self._listeners:
            self._selector.unregister(listener)
            listener.close()
        self._listeners.clear()

    def _accept(self, listener: socket.socket) -> None:
        try:
            accepted, _ = listener.accept()
        except OSError:  # it has left again, or there are no descriptors for a moment
            return
        accepted.setblocking(False)
        if len(self._open) >= MOST:
            self._close(next(iter(self._open)))
        connection = _Connection(accepted)
        self._open[connection] = None
        self._selector.register(
            accepted, selectors.EVENT_READ, lambda mask: self._turn(connection, mask)
        )

    def _turn(self, connection: _Connection, mask: int) -> None:
        try:
            if mask & selectors.EVENT_READ and not connection.answer:
                if not connection.read():
                    return
                self._selector.unregister(connection.socket)
                answer = self._answer(bytes(connection.head))
                if said := answer():
                    self._begin(connection, said)
                else:
                    self._waiting[connection] = answer
                return
            done = connection.write()
        except OSError:
            done = True
        if done:
            self._close(connection)

    def _begin(self, connection: _Connection, answer: bytes) -> None:
        """To say it, as fast as the other side takes it."""
        connection.answer = answer
        self._selector.register(
            connection.socket, selectors.EVENT_WRITE, lambda mask: self._turn(connection, mask)
        )

    def _close(self, connection: _Connection) -> None:
        self._open.pop(connection, None)
        if self._waiting.pop(connection, None) is None:
            self._selector.unregister(connection.socket)
        connection.socket.close()

    def _answer(self, head: bytes) -> Callable[[], bytes]:
        """What says what to answer; nothing while it is not known."""
        words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
        if b"\r\n\r\n" not in head:
            return lambda: _rendered(431 if len(head) >= HEAD else 400, TEXT, b"")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return lambda: _rendered(400, TEXT, b"")
        method, target, _ = words
        path = target.partition("?")[0]
        page = self._pages.get(path)
        if page is None:
            return lambda: _rendered(404, TEXT, " ".join((*self._pages, "\n")).encode())
        if method not in ("GET", "HEAD"):
            return lambda: _rendered(405, TEXT, b"", "allow: GET, HEAD\r\n")
        return lambda: _made(path, page, bodiless=method == "HEAD")


def _made(path: str, page: Page, *, bodiless: bool) -> bytes:
    try:
        said = page()
    except Exception:
        logger.exception("the page %s failed", path)
        return _rendered(500, TEXT, b"")
    return b"" if said is None else _rendered(*said, bodiless=bodiless)


class _Connection:
    __slots__ = ("answer", "begun", "head", "socket")

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self.begun = monotonic()
        self.head = bytearray()
        self.answer = b""

    def read(self) -> bool:
        """Whether all has come that will be read. Raises OSError when the other side is gone."""
        data = self.socket.recv(HEAD)
        if not data and not self.head:
            raise ConnectionError
        self.head += data
        return not data or b"\r\n\r\n" in self.head or len(self.head) >= HEAD

    def write(self) -> bool:
        """Whether all is written. Raises OSError when the other side is gone."""
        try:
            self.answer = self.answer[self.socket.send(self.answer) :]
        except BlockingIOError:
            return False
        if self.answer:
            return False
        try:
            self.socket.recv(1 << 16)  # or closing would be a reset, which overtakes the answer
        except BlockingIOError:
            pass
        return True


def _rendered(
    status: int, kind: str, body: bytes, further: str = "", *, bodiless: bool = False
) -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}\r\ncontent-type: {kind}\r\n"
        f"content-length: {len(body)}\r\ncache-control: no-store\r\nconnection: close\r\n{further}\r\n"
    )
    return head.encode() + (b"" if bodiless else body)
