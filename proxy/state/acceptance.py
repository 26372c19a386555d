"""How much of what is sent to a host it takes: a client that is mostly refused sends less, and not the same again.

After "Handling Overload" in Google's *Site Reliability Engineering* (2016): of `sent` requests of the last two minutes
`accepted` were taken, and the next is held back with probability max(0, (sent - 2 accepted) / (sent + 1)). Counted when
sent; what is under way counts as accepted until it is refused, so that slow answers do not look like refusals.

Counted for each host and for each deployment there, and the smaller of the two is held back: a host that refuses one model
says nothing of the others, and one deployment that fails is for its circuit.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

_BUCKET = 5.0
_BUCKETS = 24
_FEWEST = 20
"""Requests in two minutes below which nothing is concluded."""
_PROBE = 1.0
"""Seconds without a request after which one is sent in any case: or nobody would see that it is well again."""


class Counts:
    """Requests of two minutes. Times are monotonic seconds."""

    __slots__ = ("_number", "_refused", "_sent", "calm")

    def __init__(self) -> None:
        self._sent = [0] * _BUCKETS
        self._refused = [0] * _BUCKETS
        self._number = 0
        self.calm = True
        """Nothing is held back, as far as was last looked at."""

    def sent(self, now: float) -> None:
        """A request goes out."""
        self._sent[self._turn(now)] += 1

    def refused(self, now: float) -> None:
        """One of them was not taken: no connection, no answer, or an error of the server's."""
        self._refused[self._turn(now)] += 1
        self.share(now)

    def forget(self) -> None:
        """It is well again."""
        self._sent = [0] * _BUCKETS
        self._refused = [0] * _BUCKETS
        self.calm = True

    def share(self, now: float) -> float:
        """Of requests that are to be held back."""
        self._turn(now)
        sent = sum(self._sent)
        accepted = max(sent - sum(self._refused), 0)
        self.calm = sent < _FEWEST or sent <= 2 * accepted
        return 0.0 if self.calm else (sent - 2 * accepted) / (sent + 1)

    def _turn(self, now: float) -> int:
        number = int(now / _BUCKET)
        if number > self._number:
            for stale in range(max(self._number + 1, number - _BUCKETS + 1), number + 1):
                self._sent[stale % _BUCKETS] = self._refused[stale % _BUCKETS] = 0
            self._number = number
        return self._number % _BUCKETS


class Acceptance(Counts):
    """Of one deployment, in one worker."""

    __slots__ = ("_sent_at", "host")

    def __init__(self) -> None:
        super().__init__()
        self.host = Counts()
        """Of all that is served there."""
        self._sent_at = -inf

    def sent(self, now: float) -> None:
        super().sent(now)
        self.host.sent(now)
        self._sent_at = now

    def refused(self, now: float) -> None:
        super().refused(now)
        self.host.refused(now)

    def forget(self) -> None:
        super().forget()
        self.host.forget()

    def holds_back(self, now: float, rng: Random) -> bool:
        """Whether this request is."""
        if self.calm or self.host.calm or now - self._sent_at >= _PROBE:
            return False
        share = min(self.share(now), self.host.share(now))
        return share > 0.0 and rng.random() < share
