"""One worker's routing in virtual time: the decisions are the proxy's own, the providers and the clock are not.

`Fleet.request` does what `gateway.attempts.first_answer` does, and what `gateway.overload.place` and `gateway.hedging` do
where a model has these options; what takes time there is a pause here.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from msgspec import Struct

from bench.trials.providers import Ask
from proxy.core.errors import Cause, ProxyError, UpstreamError
from proxy.core.model import Credential, Deployment, Model, Provider, Snapshot
from proxy.core.secret import Secret
from proxy.gateway import routing
from proxy.state.health import NO_PROBE, WELL
from proxy.state.live import Live

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from random import Random

    from bench.trials.clockwork import Clock, Steps
    from bench.trials.providers import Outcome
    from proxy.gateway.hints import Hints
    from proxy.gateway.plan import Candidate, Plan
    from proxy.state.waiting import Waiting

CHAT = "openai.chat"
SIZE = 1000
"""Bytes of a request's body, where nothing else is said."""


class Try(Struct, frozen=True):
    """An attempt: when it was sent (seconds since the beginning), and the number of its deployment."""

    at: float
    where: int
    first: bool
    """It was its request's first."""


class Answer(Struct, frozen=True):
    """What a caller got."""

    asked: float
    at: float
    ok: bool
    tries: int
    ttft: float = inf
    prompt: int = 0
    cached: int = 0
    end: float = inf
    """When the last of an answer that was given came."""


class Running:
    """One attempt under way."""

    __slots__ = ("candidate", "limit", "outcome", "sent")

    def __init__(self, candidate: Candidate, outcome: Outcome, limit: float, sent: float) -> None:
        self.candidate = candidate
        self.sent = sent
        self.limit = limit
        self.outcome = outcome

    @property
    def due(self) -> float:
        """When it is known what becomes of it."""
        return self.sent + min(self.outcome.first, self.limit)

    @property
    def error(self) -> UpstreamError | None:
        if self.outcome.first > self.limit:
            return UpstreamError(Cause.TIMEOUT_TTFT)
        return self.outcome.error


def model(count: int, keys: int = 1, **fields: object) -> Model:
    """Model `m`: equal deployments, each at a provider of its own with so many credentials."""
    deployments = []
    for at in range(count):
        accounts = tuple(
            Credential(f"p{at}#{number}", Secret(f"{at}-{number}")) for number in range(keys)
        )
        provider = Provider(f"p{at}", f"http://p{at}.invalid", {CHAT: "/"}, accounts)
        deployments.append(Deployment(f"m/{at}:p{at}", provider, "up"))
    return Model("m", (tuple(deployments),), **fields)  # type: ignore[arg-type]


class Fleet:
    """A model, and what its providers do."""

    def __init__(
        self, clock: Clock, model: Model, providers: Sequence[Callable[[Ask, Random], Outcome]]
    ) -> None:
        deployments = model.tiers[0]
        self.clock = clock
        self.snapshot = Snapshot(
            models={model.name: model},
            wildcards=(),
            providers={one.provider.name: one.provider for one in deployments},
        )
        self.live = Live(self.snapshot)
        self.providers = providers
        self.numbers = {one.id: number for number, one in enumerate(deployments)}
        self.inflight = [0] * len(deployments)
        self.tries: list[Try] = []
        self.answers: list[Answer] = []
        self.beside = 0
        """Second attempts."""

    def request(
        self, prompt: tuple[str, ...] = (), hints: Hints | None = None, size: int = SIZE
    ) -> Steps:
        """One, to its end."""
        clock = self.clock
        asked = clock.elapsed
        plan = routing.plan(self.snapshot, self.live, "m", None, CHAT, clock.rng)
        plan.size = size
        if hints is not None:
            plan.look(hints)
        if plan.route.waiting is not None:
            yield from _place(clock, plan, plan.route.waiting)
        tries = 0
        try:
            candidate = plan.first(clock.now)
        except ProxyError:
            self.answers.append(Answer(asked, clock.elapsed, ok=False, tries=0))
            return
        delay = plan.pause
        while True:
            if delay:
                yield delay
            tries += 1
            running = self._send(plan, candidate, prompt, first=tries == 1)
            if plan.route.hedges is not None and not plan.attempts:
                running, more = yield from self._race(plan, running, prompt)
                tries += more
            else:
                yield running.due - clock.now
            candidate, now = running.candidate, clock.now
            error = running.error
            if error is None:
                break
            self._over(plan, running)
            step = plan.failed(candidate, error, now)
            if step.candidate is None:
                self.answers.append(Answer(asked, clock.elapsed, ok=False, tries=tries))
                return
            candidate, delay = step.candidate, step.delay
        outcome, ttft = running.outcome, now - running.sent
        plan.succeeded(candidate, now, ttft)
        waited = clock.elapsed
        yield outcome.rest
        self._over(plan, running)
        pace = candidate.state.pace
        if pace is not None:
            pace.used(clock.now, outcome.prompt - outcome.cached, outcome.cached, 100, ttft)
        self.answers.append(
            Answer(
                asked, waited, ok=True, tries=tries, ttft=waited - asked,
                prompt=outcome.prompt, cached=outcome.cached, end=clock.elapsed,
            )
        )  # fmt: skip

    def _send(
        self, plan: Plan, candidate: Candidate, prompt: tuple[str, ...], *, first: bool
    ) -> Running:
        clock = self.clock
        where = self.numbers[candidate.deployment.id]
        credential = candidate.credential.id if candidate.credential is not None else ""
        ask = Ask(clock.elapsed, self.inflight[where], credential, prompt)
        self.inflight[where] += 1
        self.tries.append(Try(clock.elapsed, where, first))
        outcome = self.providers[where](ask, clock.rng)
        return Running(candidate, outcome, plan.ttft_limit(candidate), clock.now)

    def _over(self, plan: Plan, running: Running) -> None:
        self.inflight[self.numbers[running.candidate.deployment.id]] -= 1
        plan.ended(running.candidate)

    def _race(
        self, plan: Plan, first: Running, prompt: tuple[str, ...]
    ) -> Generator[float, None, tuple[Running, int]]:
        """As `gateway.hedging.Race`: the one that answered, or the last that failed; and how many were begun beside."""
        clock, hedges = self.clock, plan.route.hedges
        assert hedges is not None
        hedges.deposit()
        p95 = plan.p95(first.candidate)
        after = hedges.rule.after or (inf if p95 is None else max(p95, hedges.rule.floor))
        if after >= first.limit:
            yield first.due - clock.now
            return first, 0
        yield min(after, first.due - clock.now)
        late = first.due > clock.now
        hedges.seen(late=late)
        second = self._beside(plan, first, after, prompt) if late else None
        if second is None:
            yield max(first.due - clock.now, 0.0)
            return first, 0
        one, other = sorted((first, second), key=lambda running: running.due)
        yield one.due - clock.now
        if one.error is not None:
            self._over(plan, one)
            plan.lost(one.candidate, one.error, clock.now)
            yield other.due - clock.now
            winner = other
        else:
            if other is first:
                plan.beaten(other.candidate, clock.now)
            self._over(plan, other)
            winner = one
        hedges.ended(won=winner is second and winner.error is None)
        return winner, 1

    def _beside(
        self, plan: Plan, first: Running, after: float, prompt: tuple[str, ...]
    ) -> Running | None:
        """As `gateway.hedging._somebody`, for a request that is harmless and has no limits."""
        now, hedges, one = self.clock.now, plan.route.hedges, first.candidate
        assert hedges is not None
        if one.probe != NO_PROBE or one.state.health != WELL or hedges.why(now):
            return None
        candidate = plan.beside(one, now)
        if candidate is None:
            return None
        if min(plan.p50(one) or 0.0, plan.p50(candidate) or 0.0) > after:
            plan.ended(candidate)
            return None
        hedges.take(now)
        self.beside += 1
        return self._send(plan, candidate, prompt, first=False)


def _place(clock: Clock, plan: Plan, waiting: Waiting) -> Steps:
    """As `gateway.overload.place`, for requests of one urgency."""
    end, called = clock.now + waiting.patience, False
    while _is_full(plan, clock.now) or (not called and waiting.ahead(1)):
        ticket = waiting.join(1, clock.waker())
        if ticket is None:
            return
        yield max(end - clock.now, 0.0)
        called = ticket.called
        waiting.leave(ticket)
        if not called:
            return


def _is_full(plan: Plan, now: float) -> bool:
    route = plan.route
    return not route.usable(now) and any(slot.state.full for slot in route.slots)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest of which at least `share` are no larger."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def buckets(times: Sequence[float], width: float, end: float) -> list[int]:
    """How many of the moments are in each stretch of `width` seconds."""
    counts = [0] * int(end / width)
    for at in times:
        if at < len(counts) * width:
            counts[int(at / width)] += 1
    return counts
