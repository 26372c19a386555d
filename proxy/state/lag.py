"""How far behind the event loop is, and how many requests a second may begin because of it.

Sampled every TICK. While even the smallest of STANDING lags is above TARGET the loop has more to do than it can (the idea
of CoDel, RFC 8289: a standing queue, not a burst); so it has when a request finds that a sample is overdue by ALARM.
Then there is a quota of requests a second: what was finished lately says what can be done, so it begins a little below
that. While the loop is behind it is what is being finished, less the more it is behind, so that what was let in before is
worked off; each tick that is on time raises it a little. What it lets in is held back within milliseconds besides: no
time counts by which a sample is overdue, so a loop that hangs behind finds nobody let in meanwhile. Once nobody has had to go for a while it is gone. A quota, and not
a share of what comes: when fewer ask again, none of them is refused.

While nobody asks a sample is rare: a host that has nothing to do is not to be woken for it. The next request ends that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from proxy.state.demand import Demand

if TYPE_CHECKING:
    from random import Random

TICK, QUICK, REST = 0.1, 0.01, 1.0
"""Seconds between two samples; while there is a quota; while nobody asks."""
TARGET, CLOSE = 0.02, 0.01
"""Seconds; while there is a quota."""
STANDING = 3
"""Samples; one less while there is a quota."""
ALARM = 0.2
"""Seconds."""
WINDOW = 10
"""Times TICK: over so long it is counted what is finished."""
ROUND = 0.5
"""Seconds after which what there is is divided anew."""
BEGIN, CUT, RISE = 0.9, 0.98, 1.005
"""What is finished times this is the quota to begin with; what multiplies it when the
loop is behind, less the seconds it is late, and with a tick that is on time."""
BURST = 0.01
"""Seconds of the quota that may begin at once."""
ALLOW = 0.005
"""Seconds by which a sample may be overdue before time stops to count."""
FLOOR = 0.4
"""The part of what is being finished that may begin in any case."""
LEAST = 50.0
"""Requests a second, and at once: a worker that was merely held up for a moment turns away hardly anybody."""
CALM = 2.0
"""Seconds without anybody who had to go, after which there is no quota any more."""
MORE = 1.1
"""So much more than the quota is divided, because not everybody asks as before; together they have no more than it."""
_SLIGHT = 1e-9
"""A share of nobody, while there is a quota."""


class Lag:
    """Of one worker. Times are monotonic seconds."""

    __slots__ = (
        "_divide",
        "_due",
        "_finished",
        "_lags",
        "_left",
        "_since",
        "_touched",
        "demand",
        "done",
        "late",
        "pause",
        "quota",
        "share",
        "wake",
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
        self.pause = TICK
        """Seconds until the next sample."""
        self.wake: Callable[[], None] = lambda: None
        """Called when somebody asks again: the next sample is `pause` from now, not from the last one."""
        self.demand = Demand()
        self._lags: deque[float] = deque(maxlen=STANDING)
        self._finished: deque[tuple[float, int]] = deque(maxlen=WINDOW + 1)
        """(moment, `done` then)."""
        self._due: float | None = None
        self._since = 0.0
        """When it was last divided."""
        self._divide = 0.0
        """When it is to be divided again."""
        self._left = (0.0, 0.0)
        """(moment, requests that might begin then)."""
        self._touched = 0.0
        """When somebody had to go, or the loop was late."""

    def tick(self, now: float) -> float:
        """Called `pause` seconds after the last time, or as soon after as the loop can; how many seconds after it was."""
        due = self._due
        lag = max(now - due, 0.0) if due is not None else 0.0
        self._lags.append(lag)
        finished = self._finished
        if not finished or now - finished[-1][0] >= 0.9 * TICK:
            finished.append((now, self.done))
        needed, target = (STANDING - 1, CLOSE) if self.share else (STANDING, TARGET)
        behind = len(self._lags) >= needed and min(self._lags) > target
        if self.share:
            self._steer(now, lag, behind=behind)
        elif behind:
            self._begin(now)
        if not self.share:
            self.pause = REST if not lag > TARGET and self._is_idle() else TICK
        self._due = now + self.pause
        # Whoever asks meanwhile is late, and so ends the rest.
        self.late = self._due + ALARM if self.pause < REST else now
        return lag

    def takes(self, now: float, rank: int, name: str, urgency: int, rng: Random) -> bool:
        """Whether a request may begin: of somebody of this class and name, and this urgent. While there is a quota, or `now`
        is later than `late`."""
        if self.pause == REST:
            self.pause = TICK
            self._due = now + TICK
            self.late = self._due + ALARM
            self._finished.clear()  # of what was done in so long a time nothing is to be learnt
            self._finished.append((now, self.done))
            self.wake()
            return True
        if not self.share:
            self._begin(now)
        at, left = self._left
        most = max(self.quota * BURST, 3.0)
        if left < most:
            until = now if self._due is None else min(now, self._due + ALLOW)
            left = min(left + max(until - at, 0.0) * self.quota, most)
        chance = self.demand.asked(rank, name, urgency)
        # What nobody has used for a while is for whoever comes: the others are fewer than they were.
        # Who asks for no more than is theirs goes into debt, which the others pay.
        least = 1.0 if chance < 1.0 else 1.0 - most
        taken = left >= least and (left >= most or rng.random() < chance)
        self._left = max(now, at), left - taken
        return taken

    def _begin(self, now: float) -> None:
        self.quota, self.share = max(self._rate() * BEGIN, LEAST), 1.0
        self.demand, self._left = Demand(), (now, LEAST)
        self._since, self._divide = now, now + TICK
        self._touched, self.pause = now, QUICK
        self._lags.clear()

    def _steer(self, now: float, lag: float, *, behind: bool) -> None:
        if behind:
            self.quota = max(self.quota * max(CUT - lag, FLOOR), self._rate() * FLOOR, LEAST)
            self._lags.clear()  # what it comes to is seen in the next ones
        elif lag <= CLOSE:
            self.quota *= RISE
        if now >= self._divide:
            self.demand.divide(self.quota * MORE, now - self._since)
            self._since, self._divide = now, now + ROUND
            total = self.demand.total
            self.share = max(1.0 - self.quota / total, _SLIGHT) if total > 0.0 else _SLIGHT
        if self.share > _SLIGHT or lag > TARGET:
            self._touched = now
        elif now - self._touched >= CALM:
            self.quota, self.share, self.pause = inf, 0.0, TICK

    def _is_idle(self) -> bool:
        """Nothing was finished for as long as is remembered."""
        finished = self._finished
        return len(finished) == WINDOW + 1 and finished[0][1] == self.done

    def _rate(self) -> float:
        """Requests that were finished, a second."""
        if not self._finished:
            return 0.0
        (begin, before), (end, after) = self._finished[0], self._finished[-1]
        return (after - before) / (end - begin) if end > begin else 0.0
