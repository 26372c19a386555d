"""What one exchange took and gave: measured while it runs, booked once at its end.

Nothing here awaits, and nothing here can fail the request: counters are plain numbers, the log line is handed to
the log's own thread.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from proxy.core import clock, log
from proxy.core.errors import Cause, ProxyError, UpstreamError
from proxy.core.lines import RequestLine
from proxy.core.log import logger
from proxy.gateway.attempt import End
from proxy.gateway.relay import EventRelay

if TYPE_CHECKING:
    from proxy.core.metrics import Attempts
    from proxy.core.series import Gauge
    from proxy.dialects.base import Usage
    from proxy.gateway.attempt import Attempt
    from proxy.gateway.exchange import Exchange, Headers
    from proxy.gateway.plan import Step
    from proxy.gateway.relay import Relay
    from proxy.gateway.translation import Translation
    from proxy.state.state import State

_OUTCOMES = {
    End.DONE: "ok",
    End.FINISH_NO_DONE: "ok",
    End.TRUNCATED: "truncated",
    End.STALLED: "truncated",
    End.CLIENT_GONE: "client_gone",
    End.ERROR_EVENT: "upstream_error",
    End.DEADLINE: "truncated",
    End.MALFORMED: "upstream_error",
    End.RESTART: "truncated",
}

_REPORTS = frozenset({"chat", "completions", "responses", "embeddings", "messages", "generate"})
"""Operations whose answers should say what they used."""

_ALERTS = {
    Cause.AUTH: "the provider refuses the credential",
    Cause.QUOTA: "the provider's account is out of quota",
    Cause.NOT_FOUND: "the provider does not know the model",
    Cause.REDIRECT: "the provider redirects, which is not followed: check base_url",
    Cause.TLS: "the provider's certificate is not accepted, nothing was sent",
}


class Meter:
    """One a request; `settle` is called exactly once, whatever happened."""

    __slots__ = (
        "attempt",
        "attempts",
        "cause",
        "exchange",
        "inflight",
        "model",
        "outcome",
        "ready_at",
        "relay",
        "state",
        "waited",
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
        self.relay: Relay | None = None
        self.outcome = "ok"
        self.cause = ""

    def ready(self, at: float) -> None:
        """The request has been read whole, at this monotonic time."""
        exchange = self.exchange
        self.ready_at = at
        self.inflight = self.state.metrics.inflight.child(
            exchange.endpoint.route, "true" if exchange.stream else "false"
        )
        self.inflight.value += 1

    def failed(self, attempt: Attempt, step: Step) -> None:
        """An attempt gave no answer; `step` is what the plan makes of it."""
        error = attempt.error
        assert error is not None
        self._waited(attempt)
        self.cause = str(error.cause)
        self._count(attempt, "final_error" if step.candidate is None else step.kind, self.cause)
        provider = attempt.candidate.deployment.provider.name
        if error.cause in _ALERTS:
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

    def answered(self, attempt: Attempt) -> None:
        """An attempt's gate opened."""
        self._waited(attempt)
        self.attempt = attempt
        attempts = self._count(attempt, "ok", "")
        attempts.ttft.observe(attempt.answered_at - attempt.started)

    def cancelled(self, attempt: Attempt) -> None:
        """The client left while an attempt was waiting for its answer."""
        self._waited(attempt)
        self._count(attempt, "cancelled", "")

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

    def settle(self) -> None:
        """Book it: counters and the log line."""
        now = monotonic()
        if self.inflight is not None:
            self.inflight.value -= 1
        exchange = self.exchange
        relay = self.relay
        attempt = self.attempt
        provider = target = upstream_model = ""
        model = self.model
        usage: Usage | None = None
        ttft = None
        if attempt is not None:
            candidate = attempt.candidate
            model = candidate.model.name
            target = candidate.deployment.id
            provider = candidate.deployment.provider.name
            upstream_model = candidate.upstream_model
            usage = attempt.gate.tap.usage
        overhead = now - self.ready_at - self.waited
        if relay is not None:
            self.outcome = _OUTCOMES[relay.reason]
            overhead = relay.first_written - self.ready_at - self.waited
            ttft = relay.first_written - exchange.started
        status = exchange.status or 499
        if self.outcome == "client_gone":
            status = 499
        truncated = relay is not None and self.outcome in ("truncated", "upstream_error")
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
            events = relay.event_count
            spread = relay.last_content - relay.first_content
            if relay.reason is End.MALFORMED:
                self.state.metrics.malformed_chunks.child(provider, "mid_stream").inc()
            bundle.finish_stream(
                str(relay.reason),
                max_gap=relay.max_gap if events > 1 else None,
                inter_token=spread / (events - 1) if events > 1 else None,
            )
        if attempt is not None and usage is None and exchange.endpoint.operation in _REPORTS:
            self.state.metrics.empty_responses.child(provider, "no_usage").inc()
        if usage is not None:
            bundle.count_tokens(
                usage.input,
                usage.output,
                cached_input=usage.cache_read,
                cache_write=usage.cache_write,
                reasoning=usage.reasoning,
            )
        if attempt is not None and attempt.translation is not None:
            self._count_loss(attempt.translation)
        if self.state.snapshot.logging.requests:
            self._log(now, status, ttft, overhead, usage, provider, target, upstream_model)

    def _count_loss(self, translation: Translation) -> None:
        """What the translation left out, each feature once an exchange."""
        dropped = self.state.metrics.translation_dropped
        for feature in set(translation.loss.names.values()):
            dropped.child(translation.client.name, translation.provider.name, feature).inc()

    def _log(
        self,
        now: float,
        status: int,
        ttft: float | None,
        overhead: float,
        usage: Usage | None,
        provider: str,
        target: str,
        upstream_model: str,
    ) -> None:
        exchange = self.exchange
        request = exchange.request
        line = RequestLine(
            time=clock.now(),
            request_id=exchange.id,
            method=exchange.endpoint.method,
            route=exchange.endpoint.route,
            status=status,
            outcome=self.outcome,
            stream=exchange.stream,
            dialect=exchange.endpoint.dialect,
            model=exchange.model,
            upstream_model=upstream_model,
            provider=provider,
            deployment=target,
            key=exchange.key.name if exchange.key is not None else "",
            total_ms=(now - exchange.started) * 1000,
            ttft_ms=None if ttft is None else ttft * 1000,
            overhead_ms=overhead * 1000,
            attempts=self.attempts,
            cause=self.cause,
            bytes_in=len(exchange.body),
            bytes_out=exchange.bytes_out,
            client=request.remote or "",
            user_agent=request.headers.get("User-Agent", ""),
        )
        if usage is not None:
            line.input_tokens = usage.input
            line.cached_tokens = usage.cache_read
            line.cache_write_tokens = usage.cache_write
            line.output_tokens = usage.output
            line.reasoning_tokens = usage.reasoning
        log.request(line)
