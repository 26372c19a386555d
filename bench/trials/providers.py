"""Models of providers: from the moment, what is in flight and chance to how long an answer takes, or what is wrong."""

from __future__ import annotations

from collections import OrderedDict
from math import inf, pi, sin
from typing import TYPE_CHECKING

from msgspec import Struct

from proxy.core.errors import Cause, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random


class Outcome(Struct):
    """Of one attempt. Seconds."""

    first: float
    """Until the first content, or the error."""
    rest: float = 0.0
    """From there to the end."""
    error: UpstreamError | None = None
    prompt: int = 0
    cached: int = 0
    """Tokens of the prompt, and how many of them were in the provider's cache."""


class Ask(Struct, frozen=True):
    """What a provider sees of an attempt."""

    now: float
    """Seconds since the beginning."""
    inflight: int
    """At this provider, without this one."""
    credential: str
    prompt: tuple[str, ...] = ()
    """Blocks of 256 tokens, by name: equal beginnings are equal prompts so far."""


def well(rng: Random, first: float = 0.3, rest: float = 1.0) -> Outcome:
    """An answer as it usually is: the times vary by a fifth."""
    return Outcome(first * rng.uniform(0.8, 1.2), rest * rng.uniform(0.8, 1.2))


def failed(
    cause: Cause, status: int = 0, *, after: float | None = None, took: float = 0.02
) -> Outcome:
    """An error that shows after `took` seconds."""
    sent = cause is not Cause.CONNECT
    return Outcome(took, error=UpstreamError(cause, status=status, retry_after=after, sent=sent))


def grey(begin: float, end: float) -> Callable[[Ask, Random], Outcome]:
    """Between these moments half of its answers are a 500, and all of them take ten times as long."""

    def answer(ask: Ask, rng: Random) -> Outcome:
        if not begin <= ask.now < end:
            return well(rng)
        if rng.random() < 0.5:
            return failed(Cause.SERVER, 500, took=3.0 * rng.uniform(0.8, 1.2))
        return well(rng, 3.0, 10.0)

    return answer


def refusing(share: float, after: float | None) -> Callable[[Ask, Random], Outcome]:
    """429 for a share of requests, whoever asks; with `retry-after` or without."""

    def answer(ask: Ask, rng: Random) -> Outcome:
        if rng.random() < share:
            return failed(Cause.RATE_LIMIT, 429, after=after)
        return well(rng)

    return answer


def down(begin: float, end: float, error: Outcome) -> Callable[[Ask, Random], Outcome]:
    """Between these moments everything fails like this."""

    def answer(ask: Ask, rng: Random) -> Outcome:
        if begin <= ask.now < end:
            return Outcome(error.first, error=error.error)
        return well(rng)

    return answer


def tailed(share: float, slow: float) -> Callable[[Ask, Random], Outcome]:
    """A share of answers takes `slow` seconds."""

    def answer(ask: Ask, rng: Random) -> Outcome:
        return well(rng, slow if rng.random() < share else 0.3, 1.0)

    return answer


class Collapsing:
    """Takes `knee` requests at once; with more each takes longer by the power of four, from `refuses` times as many it says
    503."""

    def __init__(self, knee: int, seconds: float, refuses: float) -> None:
        self.refuses = refuses
        self.knee = knee
        self.seconds = seconds

    def __call__(self, ask: Ask, rng: Random) -> Outcome:
        crowd = (ask.inflight + 1) / self.knee
        if crowd > self.refuses:
            return failed(Cause.SERVER, 503)
        slower = max(crowd, 1.0) ** 4
        return well(rng, 0.2 * self.seconds * slower, 0.8 * self.seconds * slower)


class Restless:
    """Takes as many requests as there are, and is never equally quick: times are spread as a log-normal distribution is,
    with a sigma of `spread`, and on top of that, where it says so:

    cold    five times as long in the first so many seconds
    wander  from half to twice as long and back, so many seconds each time
    spell   three times as long between these moments
    batch   as much longer as its batch is full, which has so many places: what a machine of one's own does
    """

    def __init__(
        self,
        spread: float,
        *,
        cold: float = 0.0,
        wander: float = 0.0,
        spell: tuple[float, float] = (0.0, 0.0),
        batch: float = inf,
    ) -> None:
        self.spread = spread
        self.cold = cold
        self.wander = wander
        self.spell = spell
        self.batch = batch

    def __call__(self, ask: Ask, rng: Random) -> Outcome:
        slower = 1.0 + (ask.inflight + 1) / self.batch
        if ask.now < self.cold:
            slower *= 5.0
        if self.wander:
            slower *= 2.0 ** sin(2.0 * pi * ask.now / self.wander)
        if self.spell[0] <= ask.now < self.spell[1]:
            slower *= 3.0
        reading = 0.3 * max(len(ask.prompt), 1) * slower
        return Outcome(
            reading * rng.lognormvariate(0.0, self.spread),
            0.7 * slower * rng.lognormvariate(0.0, self.spread),
        )


class Caching:
    """Keeps beginnings of prompts for each credential: `blocks` of them, those that were used last, for `ttl` seconds."""

    TOKENS = 256
    """In a block."""

    def __init__(self, blocks: int, ttl: float) -> None:
        self.blocks = blocks
        self.ttl = ttl
        self._kept: dict[str, OrderedDict[tuple[str, ...], float]] = {}

    def __call__(self, ask: Ask, rng: Random) -> Outcome:
        kept = self._kept.setdefault(ask.credential, OrderedDict())
        hit = 0
        for length in range(1, len(ask.prompt) + 1):
            head = ask.prompt[:length]
            if hit == length - 1 and kept.get(head, -self.ttl) + self.ttl > ask.now:
                hit = length
            kept[head] = ask.now
            kept.move_to_end(head)
        while len(kept) > self.blocks:
            kept.popitem(last=False)
        prompt, cached = len(ask.prompt) * self.TOKENS, hit * self.TOKENS
        outcome = well(rng, 0.2 + (prompt - cached) * 0.0002, 1.0)
        outcome.prompt, outcome.cached = prompt, cached
        return outcome
