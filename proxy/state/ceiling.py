"""How many requests a deployment is given at once: learned from what it refuses, and from how long it takes.

Every window's worth of requests that went well raises it by one; one that shows the deployment overloaded (a rate limit,
a 503 or 529, no first content in time) cuts it to seven tenths, once for the time an answer takes, because those that
were under way then say nothing new (AIMD; Chiu and Jain, 1989). It is raised only while it is used: a ceiling nobody
reaches is not known to hold.

A deployment that gets slower before it refuses is found out by a trial. When answers take longer than they used to, and
now and then in any case, the ceiling is cut for a stretch of answers. With fewer at once a deployment that has too many
is quicker by as much, so that nothing is lost (as BBR does it, the most it delivers is looked for; Cardwell and others,
2016): the cut stays, and is followed by another while it is still slow. One that is slow by itself, or because answers
are longer, is as slow as before: the ceiling is what it was, that pace is its own from now on, and the next trial has to
wait twice as long. So being slow alone never costs more than a trial does.
"""

from __future__ import annotations

from math import exp, log, sqrt
from typing import TYPE_CHECKING

from proxy.state.stretch import LEAST, Kinds, Stretch

if TYPE_CHECKING:
    from proxy.state.waiting import Waiting

CUT = 0.7
_USED = 0.5
"""The share of it that has to be in flight for a success to say something."""
_LEAST_PAUSE = 0.1
"""Seconds between two cuts at least."""
_QUICK = 0.25
"""What a success raises it by where nothing is known against that: a quarter in each window."""
_NEAR = 0.9
"""The part of what it was before a trial that it returns to in this way."""

_TIGHT = 0.9
"""The share of it that is in flight while it holds requests back."""
_SLOWER = 0.1
"""By which part answers have to take longer (a logarithm: 0.1 is a tenth) before that means anything,"""
_SURE = 3.0
"""and by how many standard errors."""
_TRIED, _TRIED_MOST = 0.8, 0.5
"""To which part it is cut for a trial: by as much as answers have become slower, within these."""
_GAIN = 0.7
"""The part of what the number of requests was cut by, by which answers have to be quicker for the cut to stay,"""
_PROVEN = 2.0
"""and by how many standard errors."""
_LOOKS = 4
"""Stretches after which a trial that shows nothing is over."""
_SOON, _LATE = 8, 64
"""Stretches between two trials that nothing else calls for: after one that stayed, and at most."""
_DOWN, _UP = 0.3, 0.02
"""By which part a stretch moves the pace that is its own: quicker ones say what it can do."""


class Ceiling:
    """Of one deployment, as one worker sees it. Times are monotonic seconds."""

    __slots__ = (
        "_before",
        "_cut_at",
        "_kinds",
        "_left",
        "_looks",
        "_own",
        "_patience",
        "_quick",
        "_settles",
        "_since",
        "_stretch",
        "_was",
        "least",
        "limit",
        "most",
        "slow",
        "waiting",
    )

    def __init__(self, start: int, least: int, most: int) -> None:
        self.waiting: list[Waiting] = []
        """Of the models that use the deployment: who is called when a place comes free."""
        self.least = float(min(least, most))
        self.most = float(most)
        self.limit = min(max(float(start), self.least), self.most)
        """Requests at once; the whole part counts."""
        self.slow = False
        """The last stretch of answers took longer than they used to."""
        self._cut_at = self._since = -1e9
        """What was sent before `_since` belongs to no stretch."""
        self._settles = 0.0
        """Seconds after it until slow answers come, too: the first to come are the quick ones."""
        self._quick = self.most
        """Up to here it rises quickly: to begin with, and back to where a trial began."""
        self._kinds = Kinds()
        self._stretch = Stretch()
        self._own: float | None = None
        """The pace that is its own: the mean of a stretch."""
        self._before: Stretch | None = None
        """What was seen before the trial that is under way; None: there is none."""
        self._was = self.limit
        """It, before that trial."""
        self._looks = 0
        self._left = self._patience = _SOON

    @property
    def trying(self) -> bool:
        """A trial is under way."""
        return self._before is not None

    def bound(self, least: int, most: int) -> None:
        """The configuration has changed: what was learned stays, as far as it may."""
        self.least, self.most = float(min(least, most)), float(most)
        self.limit = min(max(self.limit, self.least), self.most)
        self._was = min(max(self._was, self.least), self.most)

    def full(self, inflight: int) -> bool:
        """One more would be too many."""
        return inflight >= int(self.limit)

    def freed(self, inflight: int) -> bool:
        """One has ended: whether it is full all the same. Else somebody who waits is called."""
        if self.full(inflight):
            return True
        for waiting in self.waiting:
            waiting.call()
        return False

    def lift(self) -> None:
        """There is none any more: all who wait are called."""
        for waiting in self.waiting:
            for _ in range(waiting.live):
                waiting.call()

    def good(self, inflight: int) -> None:
        """A request went well, of so many that were in flight."""
        if inflight >= self.limit * _USED and not self.slow and self._before is None:
            gain = self.limit * _QUICK if self.limit < self._quick else 1.0
            self.limit = min(self.limit + gain / max(self.limit, LEAST), self.most)

    def took(self, now: float, started: float, seconds: float, inflight: int, kind: int) -> None:
        """An answer that was asked for at `started`, or its first content, took so long; `kind` is any number that is the
        same for those that can be compared."""
        if inflight > self.limit + 1.0:
            self._since = now  # those beyond a cut have not left yet
        if started < self._since or now < self._since + self._settles:
            return
        stretch = self._stretch
        stretch.add(self._kinds.level(kind, seconds), inflight)
        if stretch.over(self._looks + 1):
            (self._look if self._before is None else self._decide)(now, stretch)

    def bad(self, now: float, pause: float) -> None:
        """A request showed that it was too many; `pause` seconds is what an answer takes, about."""
        if now - self._cut_at >= max(pause, _LEAST_PAUSE):
            self._cut_at = now
            self.limit = max(self.limit * CUT, self.least)
            self._quick = 0.0
            self._begin(now)

    def _look(self, now: float, stretch: Stretch) -> None:
        """A stretch is over, and no trial is under way."""
        mean = stretch.mean
        own = mean if self._own is None else self._own
        slower = mean - own
        steady = self.slow or self.limit >= self._quick
        self.slow = slower > max(_SLOWER, _SURE * sqrt(stretch.doubt))
        self._left -= 1
        if slower > 0.0:
            own += slower * _UP
        elif self._left <= 0:
            own += slower * _DOWN
        self._own = own
        tight = stretch.inflight >= self.limit * _TIGHT
        if tight and (steady if self.slow else self._left <= 0):
            self._try(now, stretch, slower)
        elif self.slow and not steady:
            # What has come was asked for when there were fewer. It is not raised any more: the next is to be compared with.
            self._settles = stretch.long
            self._begin(now)
        else:
            self._begin(now, self._since)

    def _try(self, now: float, stretch: Stretch, slower: float) -> None:
        part = min(max(exp(-slower), _TRIED_MOST), _TRIED)
        fewer = max(min(self.limit * part, self.limit - 1.0), self.least)
        if int(fewer) == int(self.limit):
            self.slow = False  # there is nothing to be done about it
            self._begin(now, self._since)
            return
        self._was, self.limit = self.limit, fewer
        self._settles = stretch.long
        self._begin(now)
        self._before = stretch

    def _decide(self, now: float, stretch: Stretch) -> None:
        """The trial has lasted for a stretch, or some."""
        before = self._before
        assert before is not None
        assert self._own is not None
        quicker = before.mean - stretch.mean
        needed = _GAIN * max(log(before.inflight / stretch.inflight), 0.0)
        doubt = _PROVEN * sqrt(before.doubt + stretch.doubt)
        if quicker > max(needed, doubt):
            slower = stretch.mean - self._own
            self.slow = slower > max(_SLOWER, _SURE * sqrt(stretch.doubt))
            self._own += min(slower, 0.0) * _DOWN
            self._left = self._patience = max(self._patience // 2, _SOON)
            self._quick = self._was * _NEAR
            if self.slow:
                self._try(now, stretch, slower)
            else:
                self._begin(now, self._since)
        elif quicker + doubt < needed or self._looks + 1 >= _LOOKS:
            self.limit = max(self.limit, self._was)
            self.slow = False
            self._own = before.mean
            self._left = self._patience = min(2 * self._patience, _LATE)
            self._begin(now)
        else:
            self._looks += 1

    def _begin(self, now: float, since: float | None = None) -> None:
        """Another stretch, of what is sent from `since` on (None: from now)."""
        self._since = now if since is None else since
        self._before, self._looks, self._stretch = None, 0, Stretch()
