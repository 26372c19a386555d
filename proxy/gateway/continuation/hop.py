"""Whoever goes on with a stream that was left open: who is asked, in which order, and what comes of it.

    the other deployments of the model  ->  the plan's fallbacks  ->  the same deployment once more

Each is asked by the first rung that suits it; one that answered but did not go on from where the first ended is asked
by the next. Attempts, the budget for retries and the client's deadline count as for any other failure. A client that
waits hears a comment now and again, and one that leaves ends it all.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, cast

from proxy.core.errors import Cause, UpstreamError
from proxy.core.log import logger
from proxy.gateway import admission, attempts
from proxy.gateway.attempt import Attempt, End
from proxy.gateway.continuation import asking
from proxy.gateway.continuation.relays import (
    OpenEventRelay,
    OpenTranslatingRelay,
    SpliceRelay,
    error_of,
    mark,
)
from proxy.gateway.continuation.rungs import RUNGS
from proxy.gateway.continuation.seam import Seam
from proxy.gateway.pulse import BEAT
from proxy.gateway.translation import Translation

if TYPE_CHECKING:
    from proxy.dialects.base import Decoder
    from proxy.gateway.connection import ClientConnection
    from proxy.gateway.exchange import Exchange
    from proxy.gateway.meter import Meter
    from proxy.gateway.plan import Candidate, Plan, Step
    from proxy.upstream.pool import UpstreamPool

Open = OpenEventRelay | OpenTranslatingRelay

_OVER = frozenset({End.CLIENT_GONE, End.RESTART, End.DEADLINE, End.CLIENT_DEADLINE})
"""Ends of the whole exchange."""
_UNWILLING = frozenset({Cause.CLIENT, Cause.UNTRANSLATABLE})
"""Refusals that a request with turns of ours in it has to expect: they are not the client's fault."""


async def go_on(
    exchange: Exchange,
    plan: Plan,
    pool: UpstreamPool,
    meter: Meter,
    client: ClientConnection,
    attempt: Attempt,
) -> None:
    """After the relay of `attempt` has ended: as long as it was left open, somebody else goes on.

    `meter.attempt` is the attempt that gives the last of the answer. All others have been closed.
    """
    while getattr(attempt.relay, "left_open", False):
        relay = cast("Open", attempt.relay)
        with Interval(exchange, client, relay) as interval:
            try:
                after = await _Hop(exchange, plan, pool, meter, attempt).run(interval)
            except asyncio.CancelledError:
                if not interval.restarts:
                    relay.reason = End.CLIENT_GONE
                    raise
                interval.task.uncancel()
                relay.reason = End.RESTART
                after = None
        if after is None:
            if relay.reason is not End.CLIENT_GONE:
                relay.give_up(relay.reason)
            return
        attempt = after


class Interval:
    """Keeps a client's connection while nobody feeds it: a sign of life now and then, an end when it leaves."""

    def __init__(self, exchange: Exchange, client: ClientConnection, relay: Open) -> None:
        self._exchange = exchange
        self._client = client
        self._relay = relay
        self.task = cast("asyncio.Task[None]", asyncio.current_task())
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.restarts = False

    def __enter__(self) -> Interval:
        self.take()
        self._timer = self._loop.call_later(BEAT, self._beat)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._client.flow is self:
            self._client.flow = None

    def take(self) -> None:
        """Nobody feeds the client."""
        self._client.flow = self

    def stop(self) -> None:
        """It hears again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self) -> None:
        if not self._exchange.transport.is_closing():
            self._exchange.transport.write(self._relay.probe())
            self._timer = self._loop.call_later(BEAT, self._beat)

    # Flow

    def pause(self) -> None:
        """Nothing is read that it could be told."""

    def resume(self) -> None:
        """The same."""

    def gone(self) -> None:
        """Nobody waits for the rest."""
        self.task.cancel()

    def restart(self) -> None:
        """The gateway ends."""
        self.restarts = True
        self.task.cancel()

    def probe(self) -> bytes:
        return self._relay.probe()


class _Hop:
    """From one break to the next, or to the end."""

    def __init__(
        self, exchange: Exchange, plan: Plan, pool: UpstreamPool, meter: Meter, broken: Attempt
    ) -> None:
        self._exchange = exchange
        self._plan = plan
        self._pool = pool
        self._meter = meter
        self._broken = broken
        self._relay = cast("Open", broken.relay)
        self._ladder = plan.model.continuation
        self._rung = ""
        self._kind = ""
        """What the plan calls the step that is being made."""

    async def run(self, interval: Interval) -> Attempt | None:
        """The attempt that has gone on, until it ended; None: nobody did."""
        plan, broken = self._plan, self._broken
        attempts.ended(plan, broken)
        step = plan.resumed(broken.candidate, error_of(self._relay), monotonic())
        while step.candidate is not None:
            candidate = step.candidate
            self._kind = step.kind
            await self._pause(candidate, step.delay)
            added = self._way(candidate)
            if added is None:
                plan.ended(candidate)
                step = plan.resumed(candidate, None, monotonic())
                continue
            refused = await self._enter(candidate)
            if refused is not None:
                step = refused
                continue
            attempt = Attempt(asking.asking(self._exchange, added), candidate)
            error = await self._ask(attempt, added, interval)
            if error is None:
                return attempt
            relay = attempt.relay
            if relay is not None and relay.reason in _OVER:
                self._relay.reason = relay.reason
                plan.ended(candidate)
                return None
            step = self._failed(attempt, error, added)
        return None

    async def _pause(self, candidate: Candidate, delay: float) -> None:
        if delay > 0:
            try:
                await asyncio.sleep(delay)
            except BaseException:
                self._plan.ended(candidate)
                raise

    async def _enter(self, candidate: Candidate) -> Step | None:
        """Room where the deployment is limited; else what to do instead."""
        try:
            return await admission.enter(self._exchange, self._plan, candidate, self._meter.state)
        except BaseException:
            self._plan.ended(candidate)
            raise

    def _way(self, candidate: Candidate) -> list[asking.Turn] | None:
        """What to ask with, by the first rung that suits; None: none does."""
        said, request = self._relay.sent.text, self._exchange.asked
        assert request is not None
        for rung in self._ladder:
            if rung == "prefill" and not candidate.deployment.prefills:
                continue
            added = asking.turns(rung, said, request)
            if added is not None:
                self._rung = rung
                return added
        return None

    async def _ask(
        self, attempt: Attempt, added: list[asking.Turn], interval: Interval
    ) -> UpstreamError | None:
        """Send it, and let it go on if it can. The error that it did not; None: see the relay."""
        plan, meter, candidate = self._plan, self._meter, attempt.candidate
        waited = meter.waited
        if meter.state.spool is not None or self._exchange.hold is not None:
            meter.begin(attempt)
        try:
            limit = min(plan.ttft_limit(candidate), max(self._relay.limit - monotonic(), 0.001))
            answered = await attempt.run(
                self._pool.of(candidate.deployment.provider), limit, eager=False
            )
            if not answered:
                return attempt.error
            plan.succeeded(candidate, attempt.answered_at, attempt.answered_at - attempt.started)
            await self._splice(attempt, added, interval)
        except BaseException:
            plan.ended(candidate)
            if attempt.relay is None:
                meter.cancelled(attempt)
            attempt.close()
            raise
        finally:
            meter.waited = (
                waited  # the client has its first content: what it waits for is no overhead
            )
        relay = cast("SpliceRelay", attempt.relay)
        if relay.seam.joined:
            return None
        return UpstreamError(Cause.MISMATCH) if relay.seam.missed else error_of(relay)

    async def _splice(self, attempt: Attempt, added: list[asking.Turn], interval: Interval) -> None:
        exchange = self._exchange
        if attempt.translation is None:
            attempt.translation = Translation(attempt.exchange, attempt.candidate)

        def joined() -> None:
            interval.stop()
            self._joined(attempt)

        def sew(decoder: Decoder) -> Seam:
            sent = self._relay.sent
            said = sent.text
            words = "".join(text for _, text in added)
            rung = RUNGS[self._rung if added else "match"](said)
            return Seam(decoder, rung, sent, words, joined, exchange.witness)

        relay = attempt.relay = SpliceRelay(self._relay, attempt, sew)
        relay.begin([])
        relay.first_written = self._relay.first_written
        relay.first_content = self._relay.first_content
        if not relay.done.done():
            await relay.done
        if not relay.seam.joined:
            if exchange.transport.is_closing():
                relay.reason = End.CLIENT_GONE
            interval.take()

    def _joined(self, attempt: Attempt) -> None:
        """It goes on: this attempt gives the answer from here."""
        exchange, relay = self._exchange, self._relay
        marked = mark(relay)
        if marked and not exchange.transport.is_closing():
            exchange.transport.write(exchange.frame(marked))
        cause = str(error_of(relay).cause)
        self._meter.continued(self._broken, attempt, self._kind, cause)
        self._count("spliced")
        # How the stream ends is counted with its last part; this one has ended, too.
        metrics, broken = self._meter.state.metrics, self._broken.candidate.deployment.provider.name
        metrics.stream_terminations.child(self._meter.model, broken, str(relay.reason)).inc()
        logger.info(
            "request %s: the answer of %s broke off (%s) and goes on at %s (%s)",
            exchange.id,
            self._broken.candidate.deployment.id,
            cause,
            attempt.candidate.deployment.id,
            self._rung,
        )

    def _failed(self, attempt: Attempt, error: UpstreamError, added: list[asking.Turn]) -> Step:
        """Who is next: the same one in another way, if the way was wrong; else somebody else."""
        plan, meter, candidate = self._plan, self._meter, attempt.candidate
        now = monotonic()
        plan.ended(candidate)
        if candidate.subjects:
            meter.given_back(candidate, sent=error.sent)
        missed = error.cause is Cause.MISMATCH
        if missed or (added and error.cause in _UNWILLING):
            self._count("mismatch" if missed else "refused")
            self._ladder = self._ladder[self._ladder.index(self._rung) + 1 :]
            step = plan.resumed(candidate, error, now, same=True)
        else:
            self._count("failed")
            step = plan.failed(candidate, error, now)
        attempt.error = error
        meter.failed(attempt, step)
        return step

    def _count(self, outcome: str) -> None:
        name = self._plan.model.name
        self._meter.state.metrics.continuations.child(name, self._rung, outcome).inc()
