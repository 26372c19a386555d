"""What is counted and logged of an exchange that is over."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from proxy.core import clock
from proxy.core.lines import RequestLine
from proxy.gateway import charging
from proxy.gateway.attempt import End

if TYPE_CHECKING:
    from proxy.core.metrics import Bundle, Metrics
    from proxy.gateway.attempt import Attempt
    from proxy.gateway.charging import Bill
    from proxy.gateway.event_relay import EventRelay
    from proxy.gateway.exchange import Exchange
    from proxy.state.pace import Pace

_REPORTS = frozenset({"chat", "completions", "responses", "embeddings", "messages", "generate"})
"""Operations whose answers should say what they used."""


def stream(metrics: Metrics, bundle: Bundle, relay: EventRelay, provider: str) -> None:
    """How a stream ended, and how evenly it came."""
    events = relay.event_count
    spread = relay.last_content - relay.first_content
    if relay.reason is End.MALFORMED:
        metrics.malformed_chunks.child(provider, "mid_stream").inc()
    bundle.finish_stream(
        str(relay.reason),
        max_gap=relay.max_gap if events > 1 else None,
        inter_token=spread / (events - 1) if events > 1 else None,
    )


def usage(bundle: Bundle, bill: Bill) -> None:
    """Tokens, and what the client is charged for them."""
    tokens, estimated = bill.tokens, bill.source != charging.REPORTED
    bundle.count_tokens(
        tokens.input,
        tokens.output,
        cached_input=tokens.cache_read,
        cache_write=tokens.cache_write,
        reasoning=tokens.reasoning,
        estimated=estimated,
    )
    if bill.cost > 0:
        bundle.count_cost(bill.cost, estimated=estimated)


def answer(metrics: Metrics, attempt: Attempt, bill: Bill, outcome: str) -> None:
    """What an answer lacked: a report, a true one, a charge, or what its translation left out."""
    pace = attempt.candidate.state.pace
    if pace is not None and bill.source == charging.REPORTED:
        learn(pace, attempt, bill)
    if bill.doubt is not None:
        metrics.odd_usage.child(attempt.candidate.deployment.provider.name, bill.doubt).inc()
    if bill.source != charging.REPORTED:
        silent = outcome == "ok" and bill.doubt is None
        if silent and attempt.exchange.endpoint.operation in _REPORTS:
            provider = attempt.candidate.deployment.provider.name
            metrics.empty_responses.child(provider, "no_usage").inc()
        if bill.cost == 0:
            wasted(metrics, attempt, bill.estimate, outcome)
    translation = attempt.translation
    if translation is not None:
        dropped = metrics.translation_dropped
        for feature in set(translation.loss.names.values()):
            dropped.child(translation.client.name, translation.provider.name, feature).inc()


def learn(pace: Pace, attempt: Attempt, bill: Bill) -> None:
    """What an answer took, for strategies that compare."""
    tokens = bill.tokens
    ttft = attempt.answered_at - attempt.started if attempt.is_stream else None
    fresh = tokens.input + tokens.cache_write
    pace.used(monotonic(), fresh, tokens.cache_read, tokens.output, ttft)


def wasted(metrics: Metrics, attempt: Attempt, micro: int, reason: str) -> None:
    """What a provider probably charges, and nobody pays."""
    if micro > 0:
        candidate = attempt.candidate
        provider = candidate.deployment.provider.name
        metrics.wasted_cost.child(candidate.model.name, provider, reason).inc(micro / 1e6)


def line(exchange: Exchange, bill: Bill) -> RequestLine:
    """The log line, as far as the request and the bill say it: how it went is still missing."""
    request = exchange.request
    found = RequestLine(
        time=clock.now(),
        request_id=exchange.id,
        method=exchange.endpoint.method,
        route=exchange.endpoint.route,
        status=exchange.status,
        outcome="ok",
        stream=exchange.stream,
        dialect=exchange.endpoint.dialect,
        model=exchange.model,
        key=exchange.key.name if exchange.key is not None else "",
        bytes_in=len(exchange.body),
        bytes_out=exchange.bytes_out,
        client=request.remote or "",
        user_agent=request.headers.get("User-Agent", ""),
    )
    if exchange.trace is not None:
        found.trace_id = exchange.trace.id
    if bill.source != charging.NONE:
        tokens = bill.tokens
        found.input_tokens = tokens.input
        found.cached_tokens = tokens.cache_read
        found.cache_write_tokens = tokens.cache_write
        found.output_tokens = tokens.output
        found.reasoning_tokens = tokens.reasoning
        found.usage_source = bill.source
        if bill.cost >= 0:
            found.cost = bill.cost / 1e6
    return found
