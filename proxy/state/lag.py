"""How far behind the event loop is, and how many requests a second may begin because of it.

Sampled every TICK. While even the smallest of STANDING lags is above TARGET the loop has more to do than it can (the idea
of CoDel, RFC 8289: a standing queue, not a burst); so it has when a request finds that a sample is overdue by ALARM.
Then there is a quota of requests a second: what was finished lately says what can be done, so it begins a little below
that. While the loop is behind it is what is being finished, less the more it is behind, so that what was let in before is
worked off; each tick that is on time raises it a little. Once nobody has had to go for a while it is gone. A quota, and not
a share of what comes: when fewer ask again, none of them is refused.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING

from proxy.state.demand import Demand

if TYPE_CHECKING:
    from random import Random

TICK = 0.1
TARGET = 0.02
STANDING = 3
"""Samples; one less while there is a quota."""
ALARM = 0.2
"""Seconds."""
WINDOW = 10
"""Ticks over which it is counted what is finished."""
ROUND = 5
"""Ticks after which what there is is divided anew."""
BEGIN, RISE = 0.9, 1.01
"""What is finished times this is the quota to begin with; what a tick that is on time multiplies it by."""
FLOOR = 0.4
"""The part of what is being finished that may begin in any case."""
LEAST = 20.0
"""Requests a second, and at once: a worker that was merely held up for a moment turns away hardly anybody."""
CALM = 20
"""Ticks without anybody who had to go, after which there is no quota any more."""
_SLIGHT = 1e-9
"""A share of nobody, while there is a quota."""


class Lag:
    """Of one worker. Times are monotonic seconds."""

    __slots__ = (
        "_due",
        "_finished",
        "_lags",
        "_left",
        "_round",
        "_since",
        "_untouched",
        "demand",
        "done",
        "late",
        "quota",
        "share",
    )

    def __init__(self) -> None:
        self.done = 0
        """Requests that were answered, ever."""
        self.quota = inf
        """Requests a second that may begin."""
        self.share = 0.0
        """Of the requests that come, how many have to go; above 0 as long as there is a quota."""
        self.late = inf
        """When the next sample is overdue."""
        self.demand = Demand()
        self._lags: deque[float] = deque(maxlen=STANDING)
        self._finished: deque[tuple[float, int]] = deque(maxlen=WINDOW + 1)
        """(moment, `done` then)."""
        self._due: float | None = None
        self._since = 0.0
        """When it was last divided."""
        self._left = (0.0, 0.0)
        """(moment, requests that might begin then)."""
        self._round = self._untouched = 0

    def tick(self, now: float) -> float:
        """Called every TICK seconds, or as soon after as the loop can; how many seconds after it was."""
        due, self._due = self._due, now + TICK
        self.late = self._due + ALARM
        lag = max(now - due, 0.0) if due is not None else 0.0
        self._lags.append(lag)
        self._finished.append((now, self.done))
        needed = STANDING - bool(self.share)
        behind = len(self._lags) >= needed and min(self._lags) > TARGET
        if self.share:
            self._steer(now, lag, behind=behind)
        elif behind:
            self._begin(now)
        return lag

    def takes(self, now: float, rank: int, name: str, urgency: int, rng: Random) -> bool:
        """Whether a request may begin: of somebody of this class and name, and this urgent. While there is a quota, or `now`
        is later than `late`."""
        if not self.share:
            self._begin(now)
        at, left = self._left
        left = min(left + max(now - at, 0.0) * self.quota, max(self.quota * TICK, LEAST))
        taken = rng.random() < self.demand.asked(rank, name, urgency) and left >= 1.0
        self._left = max(now, at), left - taken
        return taken

    def _begin(self, now: float) -> None:
        self.quota, self.share = max(self._rate() * BEGIN, LEAST), 1.0
        self.demand, self._left = Demand(), (now, LEAST)
        self._since, self._round, self._untouched = now, ROUND - 1, 0
        self._lags.clear()

    def _steer(self, now: float, lag: float, *, behind: bool) -> None:
        if behind:
            self.quota = max(self.quota * max(BEGIN - lag, FLOOR), self._rate() * FLOOR, LEAST)
            self._lags.clear()  # what it comes to is seen in the next ones
        elif lag <= TARGET:
            self.quota *= RISE
        self._round += 1
        if self._round >= ROUND:
            self._round = 0
            self.demand.divide(self.quota * 1.1, now - self._since)
            self._since = now
            total = self.demand.total
            self.share = max(1.0 - self.quota / total, _SLIGHT) if total > 0.0 else _SLIGHT
        if self.share > _SLIGHT or lag > TARGET:
            self._untouched = 0
            return
        self._untouched += 1
        if self._untouched >= CALM:
            self.quota, self.share = inf, 0.0

    def _rate(self) -> float:
        """Requests that were finished, a second."""
        if not self._finished:
            return 0.0
        (begin, before), (end, after) = self._finished[0], self._finished[-1]
        return (after - before) / (end - begin) if end > begin else 0.0
