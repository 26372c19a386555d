"""What a choice may want to know of the request it is for: who asks, how it begins, how long it is.

Nothing here knows requests: `looking.Asked` finds in one what is asked for. Whoever drives a `Plan` without a request (a
simulation, a test) says it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from proxy.core.model import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORTEST, LONGEST = 1024, 32 * 1024
"""Bytes of a beginning that are hashed: no provider caches less than about the first, 1,024 tokens being 4 KiB."""
_NO_SNAPSHOT = Snapshot()


class Hints:
    """Of one request."""

    __slots__ = (
        "_caller",
        "_digests",
        "_head",
        "_sizes",
        "matched",
        "pinned",
        "snapshot",
        "stream",
    )

    def __init__(
        self,
        snapshot: Snapshot | None = None,
        *,
        stream: bool = True,
        caller: int | None = 0,
        head: bytes | None = b"",
        sizes: tuple[int, int] | None = (0, 0),
    ) -> None:
        self.snapshot = snapshot or _NO_SNAPSHOT
        self.stream = stream
        """Whether the answer is to be a stream."""
        self.matched = ""
        """What a wildcard matched of the name of the model."""
        self.pinned: Any = None
        """The credential (`state.credentials.Key`) that was chosen with the deployment; None: whose turn it is."""
        self._caller = caller
        self._head = head
        self._sizes = sizes
        self._digests: list[int] = []

    @property
    def caller(self) -> int:
        """64 bits of whoever asks: the key, and the session as far as the request names one."""
        if self._caller is None:
            self._caller = self._find_caller()
        return self._caller

    @property
    def prompt(self) -> int:
        """Tokens of the prompt, about."""
        return self._size()[0]

    @property
    def tokens(self) -> int:
        """Tokens of the prompt, about, and of the answer as far as the client limited it."""
        return sum(self._size())

    def beginnings(self) -> Iterator[int]:
        """64 bits of the first KiB of the prompt, of the first two, four, … as far as it goes. None where it is short."""
        if self._head is None:
            self._head = self._find_head()
        head, known = self._head, self._digests
        yield from known
        length = SHORTEST << len(known)
        while length <= min(len(head), LONGEST):
            known.append(digest(head[:length]))
            yield known[-1]
            length *= 2

    def _size(self) -> tuple[int, int]:
        if self._sizes is None:
            self._sizes = self._find_sizes()
        return self._sizes

    def _find_caller(self) -> int:
        return 0

    def _find_head(self) -> bytes:
        return b""

    def _find_sizes(self) -> tuple[int, int]:
        return 0, 0


NOTHING = Hints()
"""For strategies that do not look."""


def digest(data: bytes) -> int:
    """64 bits of BLAKE2."""
    return int.from_bytes(blake2b(data, digest_size=8).digest())
