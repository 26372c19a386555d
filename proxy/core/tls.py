"""TLS towards clients, ended here: between the transport of a TCP connection and the protocol that answers on it.

    Termination    of one listener: who it is at present, and the handshakes that are under way
    Secure         of one connection: a protocol below, a transport above

It is no protocol of asyncio's own, which treats the end of what a client sends as the end of the connection, keeps a
buffer of 256 KiB for each, reports no handshake that failed, and looks for more after each record by raising an exception. What is
written is encrypted at once and handed to the transport below, which alone buffers: so back-pressure, half-closed clients and
the probes for those who are gone are what they are without TLS.

A certificate is replaced by giving new connections another context. Those that stand have theirs.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from proxy.core.log import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

READ: Final = 65536
"""Bytes that are asked for at once; a record has 16 KiB at most."""
RECORD: Final = 1.0
"""Seconds for the rest of a record that has begun to come, before its connection is idle all the same."""
LINGER: Final = 1.0
"""Seconds for whoever failed to read why: closing at once would be a reset, which overtakes it."""
PLAIN: Final = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 43\r\nconnection: close\r\n\r\n"
    b"This port speaks TLS: ask with https://...\n"
)
OK: Final = "ok"
"""How a handshake ends, beside `timeout`, `closed`, `other` and these:"""
_SIGNS: Final = {
    "HTTP_REQUEST": "plain_http",
    "HTTPS_PROXY_REQUEST": "plain_http",
    "CERT": "certificate",
    "UNKNOWN_CA": "certificate",
    "VERSION": "protocol",
    "PROTOCOL": "protocol",
    "CIPHER": "protocol",
}
"""What OpenSSL's reasons have in them."""
_NOBODY: Any = None
"""In the place of the protocol above, before there is one and after it."""


class Identity(Struct, frozen=True, eq=False):
    """Who a listener is."""

    context: ssl.SSLContext
    expires: float
    """Unix time at which the first certificate of its chain ends."""


class Termination:
    """Of one listener, in one process. Without an identity its connections are plain ones."""

    __slots__ = ("identity", "name", "patience", "results", "shaking")

    def __init__(self, name: str = "api") -> None:
        self.name = name
        self.identity: Identity | None = None
        """None: it speaks no TLS."""
        self.patience = 10.0
        """Seconds for a handshake."""
        self.results: Counter[str] = Counter()
        """How many ended how."""
        self.shaking: dict[Secure, float] = {}
        """Connections whose handshake is not done, and since when; the oldest first."""

    def connection(self, make: Callable[[], asyncio.Protocol]) -> asyncio.Protocol:
        """The protocol of a new connection; `make` makes the one that answers on it."""
        return make() if self.identity is None else Secure(self, self.identity.context, make)

    def over(self, make: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """The same as a factory."""
        return lambda: self.connection(make)

    def dismiss(self, count: int, before: float) -> int:
        """Close as many connections, the oldest first, whose handshake began before then; how many there were."""
        slow = [one for one, since in self.shaking.items() if since <= before][:count]
        for one in slow:
            one.give_up("timeout")
        return len(slow)

    def ended(self, result: str) -> None:
        """A handshake is over."""
        self.results[result] += 1
        if result != OK:
            logger.debug("a handshake with the %s listener failed: %s", self.name, result)


class Secure(asyncio.Protocol, asyncio.Transport):
    """One connection. `make` is called when its handshake is done."""

    __slots__ = (
        "_below",
        "_closing",
        "_context",
        "_ended",
        "_incoming",
        "_inner",
        "_make",
        "_object",
        "_open",
        "_outgoing",
        "_partial",
        "_result",
        "_seal",
        "_termination",
        "_timer",
    )

    def __init__(
        self,
        termination: Termination,
        context: ssl.SSLContext,
        make: Callable[[], asyncio.Protocol],
    ) -> None:
        self._termination = termination
        self._context = context
        self._make = make
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._seal = self._object.write
        self._open = self._object.read
        self._inner: asyncio.Protocol = _NOBODY
        self._below: asyncio.Transport = _NOBODY
        self._timer: asyncio.TimerHandle | None = None
        self._result = ""
        """Of its handshake; empty: that is under way."""
        self._closing = False
        self._ended = False
        """What the client sends is not read any more."""
        self._partial = 0.0
        """When a piece of a record came whose rest is missing; 0: none is."""

    # Protocol: of the connection below

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._below = transport  # type: ignore[assignment]
        termination = self._termination
        termination.shaking[self] = monotonic()
        self._timer = asyncio.get_running_loop().call_later(
            termination.patience, self.give_up, "timeout"
        )

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        self._incoming.write(data)
        if self._inner is _NOBODY:
            self._shake()
        else:
            self._read()

    def eof_received(self) -> bool:
        if self._inner is _NOBODY:
            self.give_up("closed")
            return False
        if self._ended:
            return False
        self._ended = True
        if not self._inner.eof_received():
            self.close()
        return not self._closing

    def pause_writing(self) -> None:
        if self._inner is not _NOBODY:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not _NOBODY:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = self._ended = True
        self._over("closed")
        self._termination.shaking.pop(self, None)
        inner, self._inner = self._inner, _NOBODY
        if inner is not _NOBODY:
            inner.connection_lost(exc)

    # ---

    def give_up(self, result: str) -> None:
        """It will not become one."""
        self._over(result)
        self.abort()

    def _over(self, result: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._result:
            self._result = result
            self._termination.ended(result)

    def _shake(self) -> None:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self._fail(_result(error.reason or ""))
        else:
            self._flush()
            self._over(OK)
            self._termination.shaking.pop(self, None)
            self._inner = self._make()
            self._inner.connection_made(self)
            if self._incoming.pending or self._object.pending():
                self._read()

    def _fail(self, result: str) -> None:
        """Say why, in the words of whom it is said to."""
        self._over(result)
        alert = self._outgoing.read()
        below = self._below
        below.write(PLAIN if result == "plain_http" else alert)
        below.write_eof()
        self._closing = self._ended = True
        self._timer = asyncio.get_running_loop().call_later(LINGER, below.abort)

    def _read(self) -> None:
        """What is in records that are here, to the protocol above, in one piece."""
        incoming, pending = self._incoming, self._object.pending
        parts: list[bytes] = []
        try:
            while True:
                part = self._open(READ)
                parts.append(part)
                if not part or not (incoming.pending or pending()):
                    break  # so most reads end without an exception
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self._flush()
            self.abort()
            return
        if self._outgoing.pending:
            self._flush()  # the answer to a change of keys
        content = parts[0] if len(parts) == 1 else b"".join(parts)
        self._partial = 0.0 if content else monotonic()
        if content:
            self._inner.data_received(content)
        if parts and not parts[-1]:
            self._leave()

    def _leave(self) -> None:
        """The client has said that it ends (`close_notify`). Its own side alone, as TLS 1.3 has it, nobody ends who asks by
        HTTP; but many wait for our word of it, and take and throw away what comes until then."""
        self._ended = True
        if self._below.get_write_buffer_size():
            self.abort()
        else:
            self.close()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._below.write(self._outgoing.read())

    # Transport: of the protocol above

    def write(self, data: bytes | bytearray | memoryview) -> None:
        size = len(data)
        if self._closing or not size:
            return
        try:
            done = self._seal(data)
            if done < size:  # a record has 16 KiB
                rest = memoryview(data)
                while done < size:
                    done += self._seal(rest[done:])
        except ssl.SSLError:
            self.abort()
            return
        self._below.write(self._outgoing.read())

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        if self._inner is not _NOBODY:
            try:
                self._object.unwrap()
            except ssl.SSLError:
                pass  # the client's own word that it ends is not waited for: RFC 8446, 6.1
            self._flush()
        self._below.close()

    def abort(self) -> None:
        self._closing = self._ended = True
        self._below.abort()

    def is_closing(self) -> bool:
        return self._closing or self._below.is_closing()

    def pause_reading(self) -> None:
        self._below.pause_reading()

    def resume_reading(self) -> None:
        self._below.resume_reading()

    def is_reading(self) -> bool:
        return self._below.is_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._below.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._below.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._below.get_write_buffer_limits()

    def can_write_eof(self) -> bool:
        return False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._inner = protocol  # type: ignore[assignment]

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._inner

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the connection below knows; of this one `sslcontext`, `ssl_object`, `peercert`, and `unread`: whether a
        piece of a record is here and the rest on its way."""
        if name == "sslcontext":
            return self._context
        if name == "ssl_object":
            return self._object
        if name == "peercert":
            return self._object.getpeercert()
        if name == "unread":
            return bool(self._partial) and monotonic() - self._partial < RECORD
        return self._below.get_extra_info(name, default)


def _result(reason: str) -> str:
    return next((result for sign, result in _SIGNS.items() if sign in reason), "other")
