"""How often operators may have providers asked: one at a time for each credential, a few at once, some in a minute."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from proxy.control.admin.refusal import too_many
from proxy.core.clock import monotonic

AT_ONCE: Final = 4
IN_A_MINUTE: Final = 30
_MINUTE: Final = 60.0


class Turnstile:
    """One for each worker."""

    __slots__ = ("_begun", "_inside")

    def __init__(self) -> None:
        self._begun: deque[float] = deque(maxlen=IN_A_MINUTE)
        self._inside: set[str] = set()

    @contextmanager
    def through(self, name: str) -> Iterator[None]:
        """While one is under way. `name`: the credential's. Raises Problem 429."""
        moment = monotonic()
        if name in self._inside:
            raise too_many(1.0, "A test with this credential is under way: wait for its end.")
        if len(self._inside) >= AT_ONCE:
            raise too_many(1.0, f"{AT_ONCE} tests are under way: wait for the end of one.")
        if len(self._begun) == IN_A_MINUTE and moment - self._begun[0] < _MINUTE:
            wait = _MINUTE - (moment - self._begun[0])
            raise too_many(wait, f"There were {IN_A_MINUTE} tests in the last minute.")
        self._begun.append(moment)
        self._inside.add(name)
        try:
            yield
        finally:
            self._inside.discard(name)
