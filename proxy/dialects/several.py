"""Streams in which several answers to one question come, mixed or one behind the other."""

from __future__ import annotations

from proxy.dialects.base import Tap


class Several:
    """The part of a tap that knows which answers have begun, and which have ended."""

    __slots__ = ("_done", "_ended", "_seen", "awaited")

    _done: bool
    """The protocol has said so of all."""
    _seen: set[int]
    _ended: set[int]
    awaited: int
    """Answers that were asked for: before so many have ended another may begin. 1: those that have begun are all."""

    def complete(self) -> bool:
        """The protocol's last word, which not everybody sends, or a finish reason for every answer."""
        return self._done or (
            len(self._ended) >= self.awaited and bool(self._seen) and self._seen <= self._ended
        )


def expect(tap: Tap, answers: int) -> None:
    """So many have been asked for; 1 once no more can come, as not everybody gives as many as that."""
    if isinstance(tap, Several):
        tap.awaited = answers
