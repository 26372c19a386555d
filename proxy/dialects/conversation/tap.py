"""Watches an answer of the service pass."""

from __future__ import annotations

from proxy.core.errors import UpstreamError
from proxy.dialects.base import BAD, CONTENT, ERROR, FINISH, Usage
from proxy.dialects.conversation.answer import DONE, Reader, decoded
from proxy.dialects.lenient import is_idle


class ConversationTap:
    """Watches one answer."""

    __slots__ = ("_done", "_reader", "_shown", "bad", "error")

    sequence = 0
    closing = b""

    def __init__(self, reader: Reader) -> None:
        self.error: UpstreamError | None = None
        self.bad = 0
        self._reader = reader
        self._shown = False
        self._done = False

    @property
    def usage(self) -> Usage | None:
        """Such services report none."""
        return None

    @property
    def finish_reason(self) -> str | None:
        return "stop" if self.complete() else None

    def complete(self) -> bool:
        return self._done or (self._shown and self._reader.settings.done_at_end)

    def event(self, name: bytes, data: bytes) -> int:
        if data.strip() == DONE:
            self._done = True
            return FINISH
        if is_idle(data):
            return 0
        found = decoded(data)
        if found is None:
            self.bad += 1
            return BAD
        if self._reader.failed(found):
            self.error = self._reader.error(data, found)
            return ERROR
        flags = 0
        if self._reader.text(found):
            self._shown = True
            flags = CONTENT
        if self._reader.is_last(found):
            self._done = True
            flags |= FINISH
        return flags

    def oversized(self, head: bytes, tail: bytes) -> int:
        self._shown = True
        return CONTENT

    def body(self, raw: bytes) -> int:
        found = decoded(raw)
        if found is None:
            self.bad += 1
            return BAD
        if self._reader.failed(found):
            self.error = self._reader.error(raw, found)
            return ERROR
        if self._reader.text(found) is None:
            return BAD
        self._done = True
        return CONTENT | FINISH
