"""Frames of a WebSocket, as far as one that passes them on has to see them (RFC 6455, 5.2).

A server's frames are not masked, so what it says is read where it stands. Extensions are not negotiated, so nothing is compressed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import Struct

TEXT, BINARY, CLOSE = 0x1, 0x2, 0x8
_CONTINUED = 0x0
_FINAL, _OPCODE, _LENGTH = 0x80, 0x0F, 0x7F
_MEDIUM, _LARGE = 126, 127
_two, _eight = Struct(">H").unpack_from, Struct(">Q").unpack_from
_code = Struct(">H").pack
MOST = 1024 * 1024
"""Bytes of a message that is looked into; a larger one passes unread."""


KEY = "openai-insecure-api-key."
"""What browsers put before a key: they cannot set headers, but subprotocols."""


def subprotocols(values: Iterable[str]) -> list[str]:
    """Those that fields of this name list."""
    return [name for listed in values for name in listed.replace(" ", "").split(",") if name]


def key_of(values: Iterable[str]) -> str | None:
    """The key among them, if there is one."""
    found = (name.removeprefix(KEY) for name in subprotocols(values) if name.startswith(KEY))
    return next(found, None)


def close_frame(code: int, reason: str = "") -> bytes:
    """The frame by which a server ends; `reason` of at most 123 bytes."""
    payload = _code(code) + reason.encode()[:123]
    return bytes((_FINAL | CLOSE, len(payload))) + payload


class Reader:
    """Takes a server's bytes as they come, and tells of each whole text message, and of the end."""

    __slots__ = (
        "_buffer",
        "_final",
        "_left",
        "_parts",
        "_size",
        "_skip",
        "_text",
        "closed",
        "told",
    )

    def __init__(self, told: Callable[[bytes], None]) -> None:
        self.told = told
        """Called with each text message."""
        self.closed = False
        """A close frame has come."""
        self._buffer = b""
        self._left = 0
        """Bytes of the present frame's payload that are still to come."""
        self._skip = True
        """They are of nothing that is looked into."""
        self._text = False
        """The present message is one that is."""
        self._final = False
        """The present frame is the last of its message."""
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Any bytes; what is no frame is read as if it were one, and harms nobody."""
        at = 0
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        while at < len(data):
            if self._left:
                end = min(at + self._left, len(data))
                self._left -= end - at
                if not self._skip:
                    self._keep(data[at:end])
                at = end
                if not self._left:
                    self._end()
                continue
            head = self._head(data, at)
            if head == 0:
                self._buffer = data[at:]
                return
            at += head
            if not self._left:
                self._end()

    def _head(self, data: bytes, at: int) -> int:
        """Bytes of the head at this place; 0: it is not here as a whole."""
        have = len(data) - at
        if have < 2:
            return 0
        first, length = data[at], data[at + 1] & _LENGTH
        size = 2
        if length == _MEDIUM:
            size = 4
        elif length == _LARGE:
            size = 10
        if data[at + 1] & _FINAL:  # a mask, which no server sends
            size += 4
        if have < size:
            return 0
        if length == _MEDIUM:
            (length,) = _two(data, at + 2)
        elif length == _LARGE:
            (length,) = _eight(data, at + 2)
        opcode = first & _OPCODE
        if opcode == CLOSE:
            self.closed = True
        if opcode in (TEXT, BINARY):
            self._text = opcode == TEXT
            self._parts.clear()
            self._size = 0
        self._skip = opcode not in (TEXT, _CONTINUED) or not self._text
        self._final = bool(first & _FINAL) and opcode < CLOSE
        self._left = length
        return size

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > MOST:
            self._text, self._skip = False, True
            self._parts.clear()
        else:
            self._parts.append(part)

    def _end(self) -> None:
        """A frame is here as a whole."""
        if self._final and self._text and not self._skip:
            message = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._parts.clear()
            self._size = 0
            self._text = False
            self.told(message)
