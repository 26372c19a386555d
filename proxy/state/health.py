"""What one deployment's past says about its next request: may it be used, and how quick is it.

A `Circuit` is closed (in use), open (left alone until its timer ends) or half-open (one live request at a time proves
it again). Only failures of the provider's making count; a refused client request says nothing about health. Time is
passed in as monotonic seconds, chance as a `random.Random`.

What one of several workers finds out may be told to the others (`sharing`): a change that lasts is made within `change`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from contextlib import nullcontext
from itertools import islice
from math import exp, inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from random import Random

    from proxy.core.model import Health

CLOSED, HALF_OPEN, OPEN = 0, 1, 2

WELL = 1.0
"""The `health` of a deployment with which nothing is the matter."""

NO_PROBE, PROBE, PANIC = 0, 1, 2
"""How an attempt relates to a circuit that is not closed: it is the one probe, or a last resort beside it."""

LIVE_OPEN_MAX = 24.0
"""With the jitter below 30 s. `open_max` may shorten it, not lengthen it: a failed probe costs one request a second
attempt, while a longer timer costs everybody a provider that is well again."""

_BUCKET = 3.0
_BUCKETS = 20
_TRIP_BUCKETS = 10
_SAMPLES = 20.0
_TRIP_SHARE, _DEGRADED_SHARE, _WELL_SHARE = 0.5, 0.1, 0.05
_FORGIVEN_AFTER = 300.0
_SLOW_START, _SLOW_START_FLOOR = 30.0, 0.1
_HALF = 0.5
"""Of its weight is left to a deployment that is degraded."""
_ALONE = nullcontext()

_LATENCY_DECAY = 30.0
_LATENCY_DEFAULT = 1.0
_LATENCY_FLOOR = 0.001
_LATENCY_SHARE = 0.1
_LATENCY_SAMPLES, _LATENCY_SAMPLES_MIN = 100, 20
_LATELY = 5


class Window:
    """Outcomes of the last 60 s in buckets of 3 s."""

    __slots__ = ("_bad", "_good", "_number")

    def __init__(self) -> None:
        self._good = [0.0] * _BUCKETS
        self._bad = [0.0] * _BUCKETS
        self._number = 0

    def add(self, now: float, good: float, bad: float) -> None:
        index = self._turn(now)
        self._good[index] += good
        self._bad[index] += bad

    def share(self, now: float, buckets: int) -> tuple[float, float]:
        """(samples, share of failures) in the last `buckets`."""
        index = self._turn(now)
        good = bad = 0.0
        for at in range(index - buckets + 1, index + 1):  # negative indices wrap, as the ring does
            good += self._good[at]
            bad += self._bad[at]
        # A retracted success may lie in a later bucket than the success itself.
        total = max(good, 0.0) + bad
        return total, (bad / total if total else 0.0)

    def clear(self) -> None:
        self._good = [0.0] * _BUCKETS
        self._bad = [0.0] * _BUCKETS

    def _turn(self, now: float) -> int:
        number = int(now / _BUCKET)
        if number > self._number:
            for stale in range(max(self._number + 1, number - _BUCKETS + 1), number + 1):
                self._good[stale % _BUCKETS] = self._bad[stale % _BUCKETS] = 0.0
            self._number = number
        return self._number % _BUCKETS


class Circuit:
    """Whether a deployment may be used. `until` answers at once: not before this moment."""

    __slots__ = (
        "_degraded",
        "_window",
        "lease",
        "opened",
        "passes",
        "phase",
        "recovered",
        "rules",
        "since",
        "slow",
        "streak",
        "trips",
        "until",
    )

    def __init__(self, rules: Health) -> None:
        self.rules = rules
        self.phase = CLOSED
        self.until = 0.0
        """0 while closed, the end of the timer while open, infinite while a probe is out."""
        self.streak = 0.0
        """Hard failures since the last success."""
        self.trips = 0
        """How often it has opened without being forgiven: the timer doubles each time."""
        self.passes = 0
        """Proofs since it opened."""
        self.recovered = -inf
        """When it was last closed again."""
        self.opened = 0
        """How often this worker has opened it, for metrics."""
        self.lease = 0.0
        """Which worker has the probe out, where several share what they know (`sharing`)."""
        self.since = -inf
        """When it was last taken out, having been in use."""
        self.slow = False
        """It takes much longer than those it stands beside (`pace`)."""
        self._degraded = False
        self._window = Window()

    def change(self) -> AbstractContextManager[None]:
        """What is done within is one step, which begins with what others have made of it."""
        return _ALONE

    def good(self, now: float, probe: int = NO_PROBE) -> None:
        """An attempt succeeded."""
        self._window.add(now, 1.0, 0.0)
        if self.phase == CLOSED and self.streak == 0.0:
            if self._degraded:
                self._grade(now)
            return
        with self.change():
            self.prove(now, probe)

    def bad(self, now: float, weight: float, probe: int, rng: Random) -> None:
        """An attempt failed by the provider's fault; `weight` 1 is a whole failure, 0 only fails a probe."""
        self._window.add(now, 0.0, weight)
        with self.change():
            self.fail(now, weight, probe, rng)

    def cut(self, now: float, weight: float, streak: float, rng: Random) -> None:
        """An answer counted as good broke off: take the success back and count `weight` of a failure.

        `streak` is what it was before that success, so that a provider which always breaks off is found out.
        """
        self._window.add(now, -1.0, weight)
        with self.change():
            self.streak = max(self.streak, streak)
            self.fail(now, weight, NO_PROBE, rng)

    def take_probe(self, now: float = inf) -> bool:
        """One live request goes out, and nobody else until it is back. False: somebody else was quicker."""
        with self.change():
            if self.until > now:
                return False
            if self.phase != CLOSED:
                self.lend()
            return True

    def release_probe(self) -> None:
        """The probe came back without a verdict (the client left, or was at fault itself)."""
        with self.change():
            self.give_back()

    def refresh(self) -> None:
        """Know what others have made of it by now."""

    def factor(self, now: float) -> float:
        """What the configured weight is multiplied by: less while degraded or newly recovered."""
        factor = _HALF if self.slow or (self._degraded and self._grade(now)) else 1.0
        if now < self.recovered + _SLOW_START:
            factor *= max(_SLOW_START_FLOOR, (now - self.recovered) / _SLOW_START)
        return factor

    @property
    def health(self) -> float:
        """1 healthy, 0.5 degraded, 0 out."""
        if self.phase != CLOSED:
            return 0.0
        return _HALF if self._degraded or self.slow else 1.0

    # --- steps of a change -------------------------------------------------------------------------------------

    def prove(self, now: float, probe: int) -> None:
        """It works."""
        self.streak = 0.0
        if self.phase == CLOSED:
            if self._degraded:
                self._grade(now)
            return
        # What was sent before the circuit opened proves nothing about now.
        if probe == NO_PROBE:
            return
        self.passes += 1
        if self.passes >= self.rules.recover_after:
            self.close(now)
        elif probe == PROBE or self.until < inf:
            # Only a last resort comes back while a probe is out, and does not end it.
            self.phase, self.until = HALF_OPEN, 0.0

    def fail(self, now: float, weight: float, probe: int, rng: Random) -> None:
        """It does not work."""
        self.streak += weight
        if not self.rules.enabled:
            self.phase, self.until = CLOSED, 0.0  # it may have been open when it was switched off
            return
        if self.phase == CLOSED:
            self._grade(now)
            if self.streak >= self.rules.max_errors or self._failing(now):
                self.open(now, rng)
        elif probe == PROBE:
            self.open(now, rng)

    def lend(self) -> None:
        """A probe is out."""
        self.phase, self.until = HALF_OPEN, inf

    def give_back(self) -> None:
        """It is back, and nobody knows more."""
        if self.phase == HALF_OPEN and self.until == inf:
            self.until = 0.0

    def open(self, now: float, rng: Random) -> None:
        """Leave it alone until a timer ends."""
        if self.phase == CLOSED:
            self.since = now
            if now - self.recovered > _FORGIVEN_AFTER:
                self.trips = 0
        pause = min(self.rules.open_base * 2.0 ** min(self.trips, 30), self.rules.open_max)
        self.phase = OPEN
        self.until = now + min(pause, LIVE_OPEN_MAX) * rng.uniform(0.8, 1.2)
        self.opened += 1
        self.trips += 1
        self.passes = 0
        self._degraded = False

    def close(self, now: float) -> None:
        """Use it again, little by little."""
        self.phase, self.until = CLOSED, 0.0
        self.recovered = now
        self._window.clear()

    def adopt(self, phase: int, until: float, recovered: float) -> None:
        """Be as somebody else says it is."""
        if phase == CLOSED:
            until = 0.0
            if self.phase != CLOSED:
                self.close(recovered)
        else:
            self._degraded = False
        self.phase, self.until, self.recovered = phase, until, recovered

    def _failing(self, now: float) -> bool:
        samples, share = self._window.share(now, _TRIP_BUCKETS)
        return samples >= _SAMPLES and share >= _TRIP_SHARE

    def _grade(self, now: float) -> bool:
        """Degraded or not, from what the last minute shows; in between it stays as it was."""
        samples, share = self._window.share(now, _BUCKETS)
        if share < _WELL_SHARE:
            self._degraded = False
        elif samples >= _SAMPLES and share >= _DEGRADED_SHARE:
            self._degraded = True
        return self._degraded


class Latency:
    """Time to the first token: a moving average that peaks lift at once, for balancing; a p95, for limits."""

    __slots__ = ("_at", "_ordered", "_recent", "value")

    def __init__(self) -> None:
        self.value = _LATENCY_DEFAULT
        self._at = -1.0
        self._recent: deque[float] = deque()
        self._ordered: list[float] = []

    def observe(self, now: float, seconds: float) -> None:
        self.value = max(seconds, self.estimate(now))  # bad news at once, good news as it fades
        self._at = now
        recent, ordered = self._recent, self._ordered
        if len(recent) == _LATENCY_SAMPLES:
            del ordered[bisect_left(ordered, recent.popleft())]
        recent.append(seconds)
        insort(ordered, seconds)

    def estimate(self, now: float) -> float:
        """The average, fading while nothing is seen: what was slow is looked at again after a while."""
        if self._at < 0.0:
            self._at = now
        return max(self.value * exp(min(0.0, self._at - now) / _LATENCY_DECAY), _LATENCY_FLOOR)

    def exceeded(self, now: float, seconds: float) -> None:
        """It was given up after so long: how long it would have taken is not known."""
        self.value = max(seconds, self.estimate(now))
        self._at = now

    def usual(self, now: float) -> float:
        """The median, fading as the average does; 0 while there are too few samples to tell."""
        count = len(self._ordered)
        if count < _LATENCY_SAMPLES_MIN:
            return 0.0
        return min(self._ordered[count // 2], self.estimate(now))

    @property
    def mean(self) -> float | None:
        """A moving average without the guess it begins with and the peaks that stay: for people. None: nothing was seen."""
        samples = iter(self._recent)
        mean = next(samples, None)
        if mean is not None:
            for seconds in samples:
                mean += (seconds - mean) * _LATENCY_SHARE
        return mean

    @property
    def known(self) -> bool:
        """It was seen often enough to be compared."""
        return len(self._recent) >= _LATELY

    @property
    def lately(self) -> float:
        """The best of the last few."""
        return min(islice(reversed(self._recent), _LATELY), default=self.value)

    @property
    def p50(self) -> float | None:
        """The median of the last; None while there are too few samples."""
        count = len(self._ordered)
        return self._ordered[count // 2] if count >= _LATENCY_SAMPLES_MIN else None

    @property
    def p95(self) -> float | None:
        """None while there are too few samples."""
        count = len(self._ordered)
        return self._ordered[int(count * 0.95)] if count >= _LATENCY_SAMPLES_MIN else None
