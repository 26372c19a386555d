"""Spans of requests: one for an exchange, and under it one for each attempt.

Whether a request is recorded is decided before anything is made for it, from the client's `traceparent` and by lot. One
that is not has no `Trace`, and costs the look at that header. One that is remembers its attempts, and turns them into
plain values (`core.span`) once it is over; the thread of `telemetry.sending` makes of those what OpenTelemetry sends.

A trace that begins here has the id of the request, without its dashes: a UUIDv7, of which the last 56 bits are random, as
level 2 of W3C Trace Context wants it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from proxy.core import clock, trace_context
from proxy.core.lines import QUEUED, name
from proxy.core.log import logger
from proxy.core.span import Content, Event, Span
from proxy.core.trace_context import RANDOM, SAMPLED, Parent
from proxy.gateway import charging
from proxy.gateway.answer import Kind
from proxy.gateway.attempt import CUT
from proxy.gateway.relay import OUTCOMES
from proxy.gateway.sight import Sight
from proxy.gateway.vendors import OPERATIONS, address, vendor

if TYPE_CHECKING:
    from proxy.dialects.ir import Usage
    from proxy.gateway.attempt import Attempt
    from proxy.gateway.exchange import Exchange
    from proxy.gateway.meter import Meter
    from proxy.ledger.records import Tokens

Put = Callable[[list[Span]], None]
"""Takes the spans of one exchange, at once and whatever happens."""

_BITS = 56
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_PARENT, _STATE = "traceparent", "tracestate"


class Tracer:
    """One a worker, while tracing is on."""

    __slots__ = ("_bound", "content", "follow", "put", "rng")

    def __init__(
        self, put: Put, *, sample: float = 1.0, follow: bool = True, content: int = 0
    ) -> None:
        """`sample`: share of the traces that begin here. `content`: characters of what is asked and answered."""
        self.put = put
        self.follow = follow
        self.content = content
        self.rng = Random()
        # An id is drawn by its last bits, so that all who see the trace and draw like this agree.
        least = round((1.0 - sample) * (1 << _BITS))
        self._bound = f"{least:014x}" if least < 1 << _BITS else "g"

    def begin(self, exchange: Exchange) -> None:
        """Give it a trace, if it is to be recorded."""
        headers = exchange.request.headers
        text = headers.get(_PARENT)
        parent = None
        if text is not None and len(headers.getall(_PARENT)) == 1:
            parent = trace_context.parse(text)
        if parent is not None:
            if parent.sampled if self.follow else parent.trace_id[18:] >= self._bound:
                state = trace_context.state(headers.getall(_STATE, ()))
                exchange.trace = Trace(self, exchange, parent.trace_id, parent, state)
            return
        if self._bound == "g":
            return
        # What a client calls its requests may be the same for all of them.
        id = f"{self.rng.getrandbits(128):032x}" if exchange.named else exchange.id.replace("-", "")
        if id[18:] >= self._bound:
            exchange.trace = Trace(self, exchange, id, None, "")

    def span_id(self) -> str:
        """A new one."""
        return f"{self.rng.getrandbits(64) or 1:016x}"


class Trace:
    """Of one exchange, as `Exchange.trace`."""

    __slots__ = ("_exchange", "_parent", "_sight", "_state", "_tracer", "_tries", "id", "span_id")

    def __init__(
        self, tracer: Tracer, exchange: Exchange, id: str, parent: Parent | None, state: str
    ) -> None:
        self.id = id
        self.span_id = tracer.span_id()
        self._tracer = tracer
        self._exchange = exchange
        self._parent = parent
        self._state = state
        self._tries: list[tuple[Attempt, str]] = []
        """Each with the id of its span."""
        self._sight: Sight | None = None

    @property
    def _flags(self) -> int:
        return SAMPLED | (RANDOM if self._parent is None else self._parent.flags & RANDOM)

    def began(self, attempt: Attempt) -> None:
        """An attempt is about to be made."""
        if self._sight is None:
            exchange = self._exchange
            self._sight = Sight(exchange, exchange.witness, self._tracer.content)
            exchange.witness = self._sight
        self._tries.append((attempt, self._tracer.span_id()))

    def context(self, attempt: Attempt) -> bytes:
        """Header lines that tell its provider of its span."""
        span_id = next(id for one, id in self._tries if one is attempt)
        parent = trace_context.render(self.id, span_id, self._flags)
        lines = f"{_PARENT}: {parent}\r\n"
        if self._state:
            lines += f"{_STATE}: {self._state}\r\n"
        return lines.encode()

    def over(self, meter: Meter) -> None:
        """The exchange has been settled. Never raises."""
        exchange = self._exchange
        exchange.trace = None  # else they would hold each other
        try:
            self._tracer.put(self._spans(meter))
        except Exception:
            logger.exception("the spans of request %s could not be made", exchange.id)

    # --- what is recorded ---

    def _spans(self, meter: Meter) -> list[Span]:
        now = clock.monotonic()
        wall = clock.now() - now
        spans = [self._whole(meter, now, wall)]
        before: list[Attempt] = []
        for attempt, span_id in self._tries:
            spans.append(self._one(attempt, span_id, before, meter, now, wall))
            before.append(attempt)
        return spans

    def _whole(self, meter: Meter, now: float, wall: float) -> Span:
        exchange, relay, parent = self._exchange, meter.relay, self._parent
        endpoint = exchange.endpoint
        status = meter.status or exchange.status or 499
        failed = status >= 500 or meter.outcome in _BROKEN
        attributes: dict[str, Any] = {
            "http.request.method": endpoint.method,
            "http.route": endpoint.route,
            "http.response.status_code": status,
            "url.scheme": exchange.request.scheme,
            "url.path": _fit(exchange.request.raw_path.partition("?")[0]),
            "network.protocol.version": "1.0" if exchange.http10 else "1.1",
            "client.address": exchange.request.remote or "",
            "user_agent.original": _fit(exchange.request.headers.get("User-Agent", "")),
            "gen_ai.operation.name": OPERATIONS.get(endpoint.operation, endpoint.operation),
            "gen_ai.request.model": _fit(exchange.model),
            "gen_ai.request.stream": exchange.stream,
            "headrace.request_id": exchange.id,
            "headrace.model": meter.model,
            "headrace.outcome": meter.outcome,
            "headrace.cause": meter.cause,
            "headrace.attempts": meter.attempts,
            "headrace.key": "" if exchange.key is None else exchange.key.name,
            "headrace.team": "" if exchange.key is None else exchange.key.team,
        }
        events: tuple[Event, ...] = ()
        if relay is not None:
            first = relay.first_written
            attributes["gen_ai.response.time_to_first_chunk"] = first - exchange.started
            attributes["headrace.overhead"] = max(first - meter.ready_at - meter.waited, 0.0)
            events = (Event("headrace.first_chunk", first + wall),)
        bill = meter.bill
        if bill is not None and bill.source != charging.NONE:
            attributes["headrace.usage_source"] = bill.source
            if bill.cost >= 0:
                attributes["headrace.cost_usd"] = bill.cost / 1e6
        if failed:
            attributes["error.type"] = meter.cause or meter.outcome or str(status)
        return Span(
            f"{endpoint.method} {endpoint.route}",
            True,
            self.id,
            self.span_id,
            "" if parent is None else parent.span_id,
            parent is not None,
            self._flags,
            self._state,
            exchange.started + wall,
            now + wall,
            failed,
            _said(attributes),
            events,
            self._content(meter),
        )

    def _content(self, meter: Meter) -> Content | None:
        sight, exchange = self._sight, self._exchange
        if not self._tracer.content or sight is None or exchange.form is not None:
            return None
        attempt = meter.attempt
        reason = None if attempt is None else attempt.gate.tap.finish_reason
        return Content(exchange.body, sight.text, reason or "", self._tracer.content)

    def _one(
        self,
        attempt: Attempt,
        span_id: str,
        before: list[Attempt],
        meter: Meter,
        now: float,
        wall: float,
    ) -> Span:
        exchange, candidate = self._exchange, attempt.candidate
        provider, deployment = candidate.deployment.provider, candidate.deployment
        operation = exchange.endpoint.operation
        operation = OPERATIONS.get(operation, operation)
        host, port = address(provider.base_url)
        ended, outcome, failure = _end(attempt, meter, now)
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": vendor(provider.base_url, provider.name),
            "gen_ai.request.model": _fit(candidate.upstream_model),
            "gen_ai.request.stream": exchange.stream,
            "server.address": host,
            "server.port": port,
            "headrace.provider": provider.name,
            "headrace.deployment": deployment.id,
            "headrace.credential": "" if candidate.credential is None else candidate.credential.id,
            "headrace.dialect": candidate.dialect or exchange.endpoint.dialect,
            "headrace.attempt.number": len(before) + 1,
            "headrace.attempt.kind": _kind(attempt, before),
            "headrace.attempt.outcome": outcome,
            "error.type": failure,
            **self._asked(),
        }
        events = []
        if attempt.connected_at:
            gate = attempt.gate
            attributes["headrace.connection.reused"] = not attempt.opened
            events.append(Event("headrace.connected", attempt.connected_at + wall))
            if gate.status:
                attributes["http.response.status_code"] = gate.status
            if gate.tap.finish_reason:
                attributes["gen_ai.response.finish_reasons"] = [gate.tap.finish_reason[:256]]
            if attempt.relay is not None and gate.kind is not Kind.WHOLE:
                first = attempt.answered_at
                attributes["gen_ai.response.time_to_first_chunk"] = first - attempt.started
                events.append(Event("headrace.first_chunk", first + wall))
            _count(attributes, attempt, meter)
        if attempt is meter.attempt and self._sight is not None:
            attributes["gen_ai.response.id"] = _fit(self._sight.id)
            attributes["gen_ai.response.model"] = _fit(self._sight.model)
        return Span(
            f"{operation} {_fit(candidate.upstream_model)}",
            False,
            self.id,
            span_id,
            self.span_id,
            False,
            self._flags,
            self._state,
            attempt.started + wall,
            ended + wall,
            bool(failure),
            _said(attributes),
            tuple(events),
        )

    def _asked(self) -> dict[str, Any]:
        """What the client said of the answer it wants."""
        envelope = self._exchange.envelope
        if envelope is None:
            return {}
        numbers = (envelope.integer(name) for name in _LIMITS)
        return {"gen_ai.request.max_tokens": next((one for one in numbers if one is not None), "")}


_BROKEN = frozenset({"failed", "truncated", "upstream_error", "deadline"})
_CLIENTS = frozenset({"client_gone", "deadline"})
"""Ends of streams that are no fault of the provider's."""


def _fit(text: str) -> str:
    """A short text from outside, fit to be sent. What is remembered of it is no longer than what is read of it."""
    return name(text[:QUEUED])


def _said(attributes: dict[str, Any]) -> dict[str, Any]:
    """Without what is not known."""
    return {name: value for name, value in attributes.items() if value != ""}


def _end(attempt: Attempt, meter: Meter, now: float) -> tuple[float, str, str]:
    """When it ended, how, and if it failed, by what."""
    error, relay = attempt.error, attempt.relay
    if error is not None:
        return attempt.answered_at, "failed", str(error.cause)
    if relay is not None:
        outcome = OUTCOMES[relay.reason]
        ended = now if attempt is meter.attempt else relay.last_read
        failure = CUT.get(relay.reason)
        return ended, outcome, "" if failure is None or outcome in _CLIENTS else str(failure)
    if attempt is meter.attempt:
        return attempt.answered_at, "ok", ""
    # Given up: the client left, or somebody beside it was quicker.
    left = meter.waiting is attempt or not attempt.answered_at
    return attempt.answered_at or now, "cancelled" if left else "hedged", ""


def _kind(attempt: Attempt, before: list[Attempt]) -> str:
    """Why it was made."""
    if not before:
        return "first"
    last = before[-1]
    if attempt.started < last.answered_at or not last.answered_at:
        return "hedge"
    if last.relay is not None or any(one.relay is not None for one in before):
        return "continuation"
    if attempt.candidate.deployment is last.candidate.deployment:
        return "retry"
    return "switch" if attempt.candidate.model is last.candidate.model else "fallback"


def _count(attributes: dict[str, Any], attempt: Attempt, meter: Meter) -> None:
    """Tokens: what is charged of the attempt that answered, else what its provider reported."""
    found: Tokens | Usage | None = attempt.gate.tap.usage
    bill = meter.bill
    if attempt is meter.attempt and bill is not None and meter.carried is None:
        found = None if bill.source == charging.NONE else bill.tokens
    if found is None:
        return
    attributes["gen_ai.usage.input_tokens"] = found.input + found.cache_read + found.cache_write
    attributes["gen_ai.usage.output_tokens"] = found.output
    parts = {
        "gen_ai.usage.cache_read.input_tokens": found.cache_read,
        "gen_ai.usage.cache_creation.input_tokens": found.cache_write,
        "gen_ai.usage.reasoning.output_tokens": found.reasoning,
    }
    attributes |= {name: number for name, number in parts.items() if number}
