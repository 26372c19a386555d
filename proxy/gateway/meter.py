"""What one exchange took and gave: measured while it runs, booked once at its end.

    begin   an attempt is about to be sent
    over    the next write ends the answer: what it comes to is written down, what was held of limits is given back
    settle  everything is over: the same, if that has not been, then counters and the log line

Nothing here awaits, and nothing here can fail the request: counters are plain numbers, the ledger is memory, the log
line is handed to the log's own thread.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from proxy.core import log
from proxy.core.errors import Cause, ProxyError, UpstreamError
from proxy.core.log import logger
from proxy.gateway import admission, booking, charging, tally
from proxy.gateway.attempt import End
from proxy.gateway.capture import Capture
from proxy.gateway.event_relay import EventRelay
from proxy.gateway.lingering import Lingering
from proxy.gateway.plausibility import CHARGED
from proxy.gateway.relay import OUTCOMES
from proxy.limits.accounts import Used

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.metrics import Attempts
    from proxy.core.model import Snapshot
    from proxy.core.series import Gauge
    from proxy.gateway.attempt import Attempt
    from proxy.gateway.booking import Entry
    from proxy.gateway.charging import Bill
    from proxy.gateway.exchange import Exchange, Headers
    from proxy.gateway.plan import Candidate, Step
    from proxy.gateway.plausibility import Doubt
    from proxy.gateway.relay import Relay
    from proxy.state.state import State

_UNSERVED = frozenset({"rejected", "refused", "failed"})
"""Outcomes of a request that no provider has answered."""

_BROKEN = frozenset({"truncated", "upstream_error", "deadline"})
"""Outcomes of streams that ended before they were complete."""

_ALERTS = {
    Cause.AUTH: "the provider refuses the credential",
    Cause.QUOTA: "the provider's account is out of quota",
    Cause.NOT_FOUND: "the provider does not know the model",
    Cause.REDIRECT: "the provider redirects, which is not followed: check base_url",
    Cause.TLS: "the provider's certificate is not accepted, nothing was sent",
}

_THINGS = frozenset({"mcp", "other", "stored"})
"""Operations that are about no model: what is not there is a session that is over, or a file."""


class Meter:
    """One a request; `settle` is called exactly once, whatever happened."""

    __slots__ = (
        "_number",
        "_rid",
        "after",
        "aloft",
        "attempt",
        "attempts",
        "bill",
        "carried",
        "cause",
        "entry",
        "exchange",
        "gift",
        "inflight",
        "left_at",
        "lingering",
        "model",
        "outcome",
        "queued",
        "ready_at",
        "relay",
        "snapshot",
        "state",
        "status",
        "waited",
        "waiting",
    )

    def __init__(self, exchange: Exchange, state: State) -> None:
        self.exchange = exchange
        self.state = state
        self.ready_at = exchange.started
        """When the request had been read whole: what a client takes to send it is no overhead of ours."""
        self.model = ""
        """The configured name of the model asked for, once it is known."""
        self.inflight: Gauge | None = None
        self.waited = 0.0
        self.attempts = 0
        self.attempt: Attempt | None = None
        self._number = 0
        """Of that, the first being 1."""
        self.carried: Bill | None = None
        """What those took whose answer was continued by `attempt`."""
        self.relay: Relay | None = None
        self.outcome = "ok"
        self.cause = ""
        self.snapshot: Snapshot = state.snapshot
        self.entry: Entry | None = None
        """None: nothing of it is recorded, or not yet."""
        self._rid = ""
        """What it is called in the ledger, once it is there."""
        self.queued = -1.0
        """Seconds until something was sent."""
        self.waiting: Attempt | None = None
        """What the client did not wait for."""
        self.bill: Bill | None = None
        """Once it is known, it stays."""
        self.status = 0
        """What the client saw, once there is a bill; 499 when it was gone."""
        self.gift: Bill | None = None
        """What it comes to, where another's answer was given: nobody was asked."""
        self.after: Callable[[Meter], None] | None = None
        """Called once all is booked."""
        self.aloft = False
        """Whoever carries the request for others too settles it."""
        self.lingering: Lingering | None = None
        self.left_at = 0.0

    def ready(self, at: float) -> None:
        """The request has been read whole, at this monotonic time."""
        exchange = self.exchange
        self.ready_at = at
        self.inflight = self.state.metrics.inflight.child(
            exchange.endpoint.route, "true" if exchange.stream else "false"
        )
        self.inflight.value += 1
        logging = self.snapshot.logging
        if logging.detailed and self.state.contents is not None and not self.state.memory.level:
            exchange.witness = Capture(exchange, logging.max_content)

    def begin(self, attempt: Attempt, *, beside: bool = False) -> None:
        """An attempt is about to be sent, and somebody has to know. `beside` another that is under way."""
        exchange, spool = self.exchange, self.state.spool
        exchange.books = self
        attempt.lingers = self.snapshot.ledger.client_gone == "drain"
        if spool is not None:
            entry = self.entry
            if entry is None:
                entry = self.entry = booking.entry(
                    exchange, self.state, self.snapshot, attempt.started
                )
                self.queued = attempt.started - self.ready_at
            entry.begin(attempt, self.attempts + 1 + beside)

    def failed(self, attempt: Attempt, step: Step) -> None:
        """An attempt gave no answer; `step` is what the plan makes of it."""
        error = attempt.error
        assert error is not None
        self._waited(attempt)
        self.cause = str(error.cause)
        outcome = "final_error" if step.candidate is None else step.kind
        self._count(attempt, outcome, self.cause)
        if self.entry is not None:
            cost = self.entry.failed(attempt, self.attempts, outcome, self.cause)
            tally.wasted(self.state.metrics, attempt, cost, self.cause)
        provider = attempt.candidate.deployment.provider.name
        missing = error.cause is Cause.NOT_FOUND and self.exchange.endpoint.operation in _THINGS
        if error.cause in _ALERTS and not missing:
            self._alert(attempt, error.cause)
        if error.cause is Cause.EMPTY:
            self.state.metrics.empty_responses.child(provider, "no_content").inc()
        elif error.cause is Cause.MALFORMED:
            self.state.metrics.malformed_chunks.child(provider, "before_content").inc()

    def _alert(self, attempt: Attempt, cause: Cause) -> None:
        """Tell the operator, once a deployment and cause, of what will not mend itself."""
        deployment = attempt.candidate.deployment.id
        if self.state.alert(f"{deployment}:{cause}"):
            logger.warning("deployment %s: %s (%s)", deployment, _ALERTS[cause], cause)

    def _odd(self, deployment: str, doubt: Doubt) -> None:
        if self.state.alert(f"{deployment}:usage:{doubt}"):
            logger.warning(
                "deployment %s: odd usage is reported (%s): %s", deployment, doubt, CHARGED[doubt]
            )

    def answered(self, attempt: Attempt) -> None:
        """An attempt's gate opened."""
        self._waited(attempt)
        self.attempt, self._number = attempt, self.attempts
        attempts = self._count(attempt, "ok", "")
        attempts.ttft.observe(attempt.answered_at - attempt.started)
        if self.entry is not None and attempt.is_stream:
            self.state.streams.add(self)

    def continued(self, broken: Attempt, attempt: Attempt, kind: str, cause: str) -> None:
        """The answer of `broken` goes on in that of `attempt`: both are paid for."""
        bill = charging.broken_off(self.exchange, broken, self.snapshot)
        self.carried = bill if self.carried is None else charging.both(self.carried, bill)
        number = self._number
        self._waited(attempt)
        self._count(attempt, "ok", "")
        self.attempt, self._number = attempt, self.attempts
        if self.entry is not None:
            self.entry.continued(broken, number, kind, cause, bill.spent)

    def given_back(self, candidate: Candidate, *, sent: bool) -> None:
        """An attempt at it gave no answer: what it was given room for is free. `sent`: its provider was asked."""
        book = None if self.entry is None else self.entry.requested
        admission.leave(self.exchange, candidate, self.state, sent=sent, book=book)

    def hedged(self, attempt: Attempt, other: Attempt) -> None:
        """An attempt was given up that ran beside `other`. What its provider charges nobody pays."""
        self.attempts += 1
        self.waited += max(other.started - attempt.started, 0.0)
        self._count(attempt, "hedged", "")
        bill = charging.NOTHING
        if attempt.connected_at:
            bill = charging.broken_off(self.exchange, attempt, self.snapshot)
        if self.entry is not None:
            self.entry.continued(attempt, self.attempts, "hedged", "", bill.spent)
        tally.wasted(self.state.metrics, attempt, bill.spent, "hedge")

    def overlapped(self, seconds: float) -> None:
        """So long two attempts were waited for at once: that is one wait."""
        self.waited -= max(seconds, 0.0)

    def chosen(self, attempt: Attempt) -> None:
        """Of two that ran at once it is this one."""
        if self.entry is not None:
            self.entry.back(attempt)

    def cancelled(self, attempt: Attempt) -> None:
        """The client left while an attempt was waiting for its answer."""
        self._waited(attempt)
        self._count(attempt, "cancelled", "")
        self.waiting = attempt

    def _waited(self, attempt: Attempt) -> None:
        self.attempts += 1
        if attempt.opened:
            provider = attempt.candidate.deployment.provider.name
            connect = self.state.metrics.upstream_connect.child(provider)
            connect.observe(attempt.connected_at - attempt.started)
        self.waited += (attempt.answered_at or monotonic()) - attempt.started

    def _count(self, attempt: Attempt, outcome: str, reason: str) -> Attempts:
        candidate = attempt.candidate
        deployment = candidate.deployment
        attempts = self.state.metrics.attempts(
            candidate.model.name, deployment.id, deployment.provider.name
        )
        attempts.count(outcome, reason)
        return attempts

    def paused(self, seconds: float) -> None:
        """Back-off before an attempt: time of the provider's making, not ours."""
        self.waited += seconds

    def rejected(self, error: ProxyError) -> None:
        """We answer with an error of our own."""
        self.outcome = "rejected"
        self.cause = self.cause or error.code
        metrics = self.state.metrics
        if error.ref in ("no_auth", "auth_flood", "forbid"):
            metrics.auth_failures.child(error.code).inc()
        elif error.ref == "late":
            self.outcome = "failed"
            stage = "waiting" if self.attempts else "queued"
            metrics.deadline_exceeded.child(self.model, stage).inc()
        elif error.row.status in (400, 408, 413, 415):
            metrics.bad_requests.child(error.code).inc()
        elif error.row.status >= 500:
            self.outcome = "failed"

    def passed_on(self, error: UpstreamError) -> None:
        """The provider refused the request itself."""
        self.outcome = "refused"
        self.cause = str(error.cause)

    def client_gone(self) -> None:
        """The handler was cancelled: the client's connection is lost."""
        if self.relay is not None and self.relay.reason in (End.DONE, End.FINISH_NO_DONE):
            return  # it left after the terminal event: it has everything
        if self.bill is not None:
            return  # so it had when that was written
        self.outcome = "client_gone"
        self.state.metrics.client_gone.child(self._stage()).inc()

    def _stage(self) -> str:
        if self.relay is not None:
            return "write_stall" if self.relay.stalled else "relay"
        return "waiting" if self.attempts else "queued"

    def overhead(self) -> float:
        """Seconds so far that were not spent waiting for a provider."""
        return max(0.0, monotonic() - self.ready_at - self.waited)

    def timing_headers(self) -> Headers:
        """`Server-Timing` and `x-headrace-overhead-ms`, for who asked."""
        milliseconds = self.overhead() * 1000
        upstream = self.waited * 1000
        return [
            (b"server-timing", b"upstream;dur=%.3f, proxy;dur=%.3f" % (upstream, milliseconds)),
            (b"x-headrace-overhead-ms", b"%.3f" % milliseconds),
        ]

    # --- the end ---

    def progress(self, now: float) -> None:
        """A stream goes on."""
        attempt = self.attempt
        if self.entry is not None and attempt is not None and attempt.relay is not None:
            self.entry.progress(attempt, now)

    def over(self, outcome: str = "", more: int = 0) -> None:
        if self.bill is None:
            try:
                self._close(outcome or self.outcome, monotonic(), more)
            except Exception:  # an answer is not lost with its record
                logger.exception("request %s could not be booked", self.exchange.id)

    def linger(self) -> bool:
        attempt = self.attempt or self.waiting
        if (
            attempt is None
            or not attempt.lingers
            or not attempt.connected_at
            or self.bill is not None
            or self.state.draining
        ):
            return False
        if self.lingering is None:
            ledger, relay = self.snapshot.ledger, attempt.relay
            self.lingering = Lingering(
                attempt, ledger.drain_seconds, ledger.drain_tokens, self._drained
            )
            self.state.lingering.add(self.lingering)
            self.lingering.take(b"" if relay is None else relay.rest())
        return not self.lingering.over

    def _drained(self) -> None:
        """Nobody was waiting, and now nothing is left to wait for."""
        assert self.lingering is not None
        self.state.lingering.discard(self.lingering)
        if self.left_at:
            self._settle(self.left_at)

    def settle(self) -> None:
        """Book it, once what it used is known: the ledger, what was held, counters and the log line."""
        now = monotonic()
        if self.inflight is not None:
            self.inflight.value -= 1
        if self.lingering is not None and not self.lingering.over:
            self.left_at = now
        else:
            self._settle(now)

    def _close(self, outcome: str, now: float, more: int = 0) -> Bill:
        """Write down what it comes to, and give back what was held."""
        exchange = self.exchange
        state = self.state
        attempt = self.attempt or self.waiting
        if attempt is None or outcome in _UNSERVED:
            bill = self.gift or charging.NOTHING
        else:
            bill = charging.bill(exchange, attempt, outcome, self.snapshot)
            if self.carried is not None:
                bill = charging.both(bill, self.carried, whole=outcome == "ok")
        self.bill = bill
        self.outcome = outcome
        if outcome == "client_gone":
            status = 499
        else:
            seen = self.attempt
            status = exchange.status or (499 if seen is None else seen.gate.status)
        self.status = status
        entry = self.entry
        if entry is None and state.spool is not None and self.model:
            entry = booking.entry(exchange, state, self.snapshot, now)
        if entry is not None:
            if self._number and entry.attempt is not attempt:
                entry.back(attempt)  # others were asked to go on with its answer, and did not
            relay = self.relay if attempt is None else attempt.relay
            ttft, mine = -1.0, now - self.ready_at - self.waited
            if relay is not None:
                first = relay.first_written
                mine = first - self.ready_at - self.waited
                ttft = (max(first, relay.first_content) - exchange.started) * 1000
            entry.end(
                bill,
                attempt,
                self._number or self.attempts or int(self.gift is not None),
                self.model,
                status,
                outcome,
                self.cause,
                now,
                self.queued * 1000 if self.queued >= 0 else -1.0,
                ttft,
                max(mine, 0.0) * 1000,
                exchange.bytes_out + more,
            )
            state.streams.discard(self)
            self._rid = entry.rid
        hold = exchange.hold
        if hold is not None and state.accounts is not None:
            # Nothing else is written in between, so this is where its end is.
            where = 0 if entry is None or state.spool is None else state.spool.position
            cost = bill.cost if bill.cost > 0 else 0
            requests = 1 if self.attempts or self.gift is not None else 0
            state.accounts.settle(hold, Used(bill.tokens.total, cost, requests), where)
            if bill.source == charging.REPORTED:
                if hold.answers is not None:
                    hold.answers.add(bill.tokens.output)
                if hold.costs is not None:
                    hold.costs.add(cost)
        return bill

    def _settle(self, now: float) -> None:
        exchange = self.exchange
        relay = self.relay
        attempt = self.attempt
        provider = target = upstream_model = ""
        model = self.model
        ttft = None
        if attempt is not None:
            candidate = attempt.candidate
            model = candidate.model.name
            target = candidate.deployment.id
            provider = candidate.deployment.provider.name
            upstream_model = candidate.upstream_model
        overhead = now - self.ready_at - self.waited
        if relay is not None:
            overhead = relay.first_written - self.ready_at - self.waited
            ttft = max(relay.first_written, relay.first_content) - exchange.started
        bill = self.bill
        if bill is None:
            bill = self._close(self.outcome if relay is None else OUTCOMES[relay.reason], now)
        status = self.status
        truncated = relay is not None and self.outcome in _BROKEN
        if truncated and self.outcome == "deadline":
            self.state.metrics.deadline_exceeded.child(self.model, "relay").inc()
        bundle = self.state.metrics.exchange(
            exchange.endpoint.route, model, provider, exchange.stream
        )
        bundle.finish(
            "200_truncated" if truncated else status,
            now - exchange.started,
            ttft=ttft,
            overhead=max(0.0, overhead),
            request_bytes=len(exchange.body),
            response_bytes=exchange.bytes_out,
        )
        if isinstance(relay, EventRelay):
            tally.stream(self.state.metrics, bundle, relay, provider)
        if bill.source != charging.NONE:
            tally.usage(bundle, bill)
        if attempt is not None:
            tally.answer(self.state.metrics, attempt, bill, self.outcome)
            if bill.doubt is not None:
                self._odd(target, bill.doubt)
        if exchange.witness is not None and self._rid and self.state.contents is not None:
            exchange.witness.keep(self._rid, self.state.contents)
        if self.snapshot.logging.requests:
            line = tally.line(exchange, bill)
            line.status, line.outcome, line.cause = status, self.outcome, self.cause
            line.upstream_model, line.provider, line.deployment = upstream_model, provider, target
            line.total_ms = (now - exchange.started) * 1000
            line.overhead_ms = overhead * 1000
            if ttft is not None:
                line.ttft_ms = ttft * 1000
            line.attempts = self.attempts
            log.request(line)
        # Else it and the exchange would hold each other, and all of a request would wait for the garbage collector.
        exchange.books = exchange.witness = None
