"""How quick, how reliable and how dear a deployment has been lately: what strategies compare that look for the best.

Averages fade with time and not with the number of samples: whatever is HALF_LIFE old counts half. A burst does not wash out
what came before it, and where samples are rare each of them says more. Only deployments of models whose strategy compares
have a `Pace`; each sample costs a few multiplications.
"""

from __future__ import annotations

HALF_LIFE = 30.0
"""Seconds."""
_FORGOTTEN = 10 * HALF_LIFE
"""Seconds without a sample after which nothing is known."""
_DOUBT = 1.0
"""Successes that are believed without having been seen, so that one failure does not condemn."""
_RATE, _RATE_MAX = 1e-4, 2e-3
"""Seconds that a token of the prompt takes where nobody knows yet, and at most."""
_RATE_SAMPLES = 4.0
_SPREAD = 100.0
"""Tokens by which prompts have to differ before anything can be learned from the difference."""


class Mean:
    """A moving average over time: each sample stands for the time since the one before.

    While there are few, each stands for as much as the others, so the first does not weigh more than the second.
    """

    __slots__ = ("_at", "_count", "_value")

    def __init__(self) -> None:
        self._value = 0.0
        self._count = 0.0
        self._at = 0.0

    def add(self, now: float, value: float, weight: float = 1.0) -> None:
        """A sample, or so much of one."""
        keep = _kept(now - self._at)
        self._count = self._count * keep + weight
        part = max(1.0 - keep, 1.0 / self._count) * weight
        self._value += (value - self._value) * min(part, 1.0)
        self._at = max(now, self._at)

    def value(self, now: float) -> float | None:
        """None while nothing is known, and when it was too long ago."""
        return self._value if self._count and now - self._at < _FORGOTTEN else None

    def samples(self, now: float) -> float:
        """How many there are, as far as they still count."""
        return self._count * _kept(now - self._at)


class Slope:
    """By how much y grows with x: least squares (a line through all samples) over samples that fade."""

    __slots__ = ("_at", "_n", "_x", "_xx", "_xy", "_y")

    def __init__(self) -> None:
        self._n = self._x = self._y = self._xx = self._xy = 0.0
        self._at = 0.0

    def add(self, now: float, x: float, y: float) -> None:
        """A sample."""
        keep = _kept(now - self._at)
        self._n = self._n * keep + 1.0
        self._x = self._x * keep + x
        self._y = self._y * keep + y
        self._xx = self._xx * keep + x * x
        self._xy = self._xy * keep + x * y
        self._at = max(now, self._at)

    def value(self, spread: float) -> float | None:
        """None while the samples are few, or their x differ by less than `spread` (a standard deviation)."""
        n = self._n
        if n < _RATE_SAMPLES:
            return None
        variance = self._xx / n - (self._x / n) ** 2
        if variance < spread * spread:
            return None
        return (self._xy / n - self._x * self._y / (n * n)) / variance


class Pace:
    """One deployment's figures. Times are monotonic seconds."""

    __slots__ = ("_cached", "_good", "_rate", "first", "input", "output", "whole")

    def __init__(self) -> None:
        self.first = Mean()
        """Seconds to the first content of a stream."""
        self.whole = Mean()
        """Seconds to an answer that comes in one piece."""
        self.input = Mean()
        self.output = Mean()
        """Tokens of a prompt, and of an answer."""
        self._good = Mean()
        self._cached = Mean()
        self._rate = Slope()

    def succeeded(self, now: float, seconds: float, *, stream: bool) -> None:
        """The first content of a stream, or a whole answer, came after `seconds`."""
        (self.first if stream else self.whole).add(now, seconds)
        self._good.add(now, 1.0)

    def failed(self, now: float, harm: float) -> None:
        """An attempt failed by the provider's fault; `harm` 1 is a whole failure."""
        self._good.add(now, 0.0, harm)

    def cut(self, now: float, harm: float) -> None:
        """An answer that counted as good broke off: so much more of a failure."""
        self._good.add(now, 0.0, 1.0 + harm)

    def used(self, now: float, fresh: int, cached: int, output: int, ttft: float | None) -> None:
        """What an answer took: tokens of the prompt that were read anew and from a cache, tokens of the answer; and how
        long its first content took, where that is known."""
        prompt = fresh + cached
        self.input.add(now, prompt)
        self.output.add(now, output)
        if prompt > 0:
            self._cached.add(now, cached / prompt)
            if ttft is not None:
                self._rate.add(now, fresh, ttft)

    def latency(self, now: float, *, stream: bool) -> float | None:
        """Seconds that an answer of this form, or else of the other, takes; None: nobody knows."""
        own, other = (self.first, self.whole) if stream else (self.whole, self.first)
        found = own.value(now)
        return other.value(now) if found is None else found

    def success(self, now: float) -> float:
        """The share of attempts that went well; 1 where nothing is known."""
        seen = self._good.samples(now)
        return ((self._good.value(now) or 0.0) * seen + _DOUBT) / (seen + _DOUBT)

    def cached(self, now: float) -> float:
        """The part of a prompt that is usually in the cache; all of it where nobody knows."""
        share = self._cached.value(now)
        return 1.0 if share is None else share

    def reading(self, tokens: float) -> float:
        """Seconds by which so many tokens that are in no cache lengthen the wait: learned from answers to prompts of which more
        and less was cached."""
        rate = self._rate.value(_SPREAD)
        return tokens * (_RATE if rate is None else min(max(rate, 0.0), _RATE_MAX))


def _kept(age: float) -> float:
    """The part of a sample that still counts."""
    return 0.5 ** (age / HALF_LIFE) if age > 0.0 else 1.0
