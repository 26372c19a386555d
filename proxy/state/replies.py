"""Answers that are kept to be given again, bounded by bytes: the one unused for longest goes first.

One for each worker: two workers may both ask once, and nothing is shared but through the clock.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from msgspec import Struct

OVERHEAD = 512
"""Bytes an entry takes besides its content, about."""


class Reply(Struct, frozen=True, gc=False):
    """A whole answer as a client was given it, but for what is each client's own."""

    status: int
    lines: bytes
    """Of its head, each with its line end: how the body is framed among them."""
    body: bytes
    """As it is framed."""
    bill: Any = None
    """What it came to (`gateway.charging.Bill`)."""
    model: str = ""
    """The configured name of the model that gave it."""

    @property
    def size(self) -> int:
        """Bytes it takes, about."""
        return len(self.lines) + len(self.body) + OVERHEAD


class Replies:
    """By what makes two requests the same (`gateway.reuse.identity`)."""

    __slots__ = ("_kept", "dropped", "size")

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, tuple[Reply, float, float]] = OrderedDict()
        self.size = 0
        """Bytes kept."""
        self.dropped = 0
        """Entries that had to go to make room, before their time."""

    def __len__(self) -> int:
        return len(self._kept)

    def get(
        self, name: bytes, now: float, max_age: float | None = None
    ) -> tuple[Reply, float] | None:
        """(the answer, its age in seconds); None: there is none, or none so fresh. `now` is monotonic."""
        found = self._kept.get(name)
        if found is None:
            return None
        reply, made, expires = found
        if expires <= now:
            self._drop(name)
            return None
        age = now - made
        if max_age is not None and age > max_age:
            return None
        self._kept.move_to_end(name)
        return reply, age

    def put(self, name: bytes, reply: Reply, now: float, ttl: float, room: int) -> bool:
        """Keep it for `ttl` seconds within `room` bytes in all; False: it is too large for that."""
        if name in self._kept:
            self._drop(name)
        if reply.size > room:
            return False
        while self.size + reply.size > room:
            self._drop(next(iter(self._kept)))
            self.dropped += 1
        self._kept[name] = reply, now, now + ttl
        self.size += reply.size
        return True

    def clear(self) -> int:
        """Forget all; how many they were."""
        count = len(self._kept)
        self._kept.clear()
        self.size = 0
        return count

    def _drop(self, name: bytes) -> None:
        self.size -= self._kept.pop(name)[0].size
