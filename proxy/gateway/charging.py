"""From what an answer used to what is charged for it.

What the provider reported is charged, whatever became of the answer. Where it reported nothing, not to the end, or what
cannot be true (`plausibility.py`), what was probably used is estimated, and the configuration says whether that is
charged or only written down: an answer that came whole always, one that the client left by `ledger.client_gone`, one
that the provider broke off by `ledger.failed`.
"""

from __future__ import annotations

from math import ceil
from operator import add
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import astuple, replace

from proxy.core import prices
from proxy.gateway import sizing
from proxy.gateway.answer import Kind
from proxy.gateway.event_relay import EventRelay
from proxy.gateway.plausibility import BELIEVED, Doubt, answers, doubt, received
from proxy.ledger.records import Tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.core.model import Price, Snapshot
    from proxy.dialects.base import Usage
    from proxy.gateway.attempt import Attempt
    from proxy.gateway.exchange import Exchange
    from proxy.gateway.plan import Candidate

_LEFT = frozenset({"client_gone", "deadline"})
"""Outcomes of answers that their client did not want to the end."""
REPORTED, ESTIMATED, SUSPECT, NONE = "reported", "estimated", "suspect", "none"
UNKNOWN = prices.UNKNOWN

_BYTES = 4.0
"""Of text, a token."""
_ENVELOPE: Mapping[str, int] = {"openai": 320, "anthropic": 130, "gemini": 350}
"""Bytes around the text of one event, about."""
_WHOLE = 400
"""Bytes around the text of a whole answer, about."""
_SMALL = 2048
"""Bytes of a request that are not worth looking into: a picture does not fit."""
_MAX_PRICES = 512
"""Names that one wildcard matched, for which it is remembered."""


class Bill(Struct, frozen=True, gc=False):
    """What one request comes to. Money in micro-dollars; UNKNOWN without a price."""

    tokens: Tokens
    source: str
    """REPORTED, ESTIMATED, SUSPECT (as ESTIMATED, because what was reported cannot be true), or NONE."""
    cost: int
    """Charged to the client."""
    estimate: int
    """What was probably used, where nothing was reported; UNKNOWN: nothing had to be estimated."""
    spent: int
    """What the provider will charge for the attempt that answered."""
    doubt: Doubt | None = None
    """What is odd about what was reported."""


NOTHING = Bill(Tokens(), NONE, 0, UNKNOWN, 0)


def price_of(candidate: Candidate, snapshot: Snapshot) -> Price | None:
    """What its provider charges; None: nobody knows."""
    price = candidate.deployment.price
    slot = candidate.slot
    if price is not None or not slot.pattern:
        return price
    # What a wildcard matched: remembered as long as the configuration's prices are the same.
    known = slot.prices
    name = candidate.upstream_model
    try:
        prices, price = known[name]
        if prices is snapshot.prices:
            return price
    except KeyError:
        pass
    if len(known) >= _MAX_PRICES:
        known.clear()
    price = slot.price(name[len(slot.upstream_model) :], snapshot)
    known[name] = snapshot.prices, price
    return price


def bill(exchange: Exchange, attempt: Attempt, outcome: str, snapshot: Snapshot) -> Bill:
    """Of an attempt that answered, or was waiting for its answer when the client left."""
    operation = exchange.endpoint.operation
    if operation in sizing.FREE:
        return NOTHING
    own = price_of(attempt.candidate, snapshot)
    price = snapshot.price_unknown if own is None else own
    gate = attempt.gate if attempt.connected_at else None
    usage = None if gate is None else gate.tap.usage
    odd = None
    whole = usage is not None and (outcome == "ok" or attempt.gate.tap.complete())
    if usage is not None and (usage.suspect or not usage.output or not usage.input):
        odd = doubt(usage, exchange, attempt, whole=whole)
        if odd not in BELIEVED:
            usage = None
    if usage is not None and whole and odd is not Doubt.MISSING:
        cost = UNKNOWN if price is None else prices.cost(price, usage, 0, usage.searches or 1)
        spent = cost if own is not None else UNKNOWN
        return Bill(_tokens(usage), REPORTED, cost, UNKNOWN, spent, odd)
    if gate is None:
        return NOTHING  # it was not sent
    source = ESTIMATED if odd in BELIEVED else SUSPECT
    tokens = estimated(exchange, attempt, usage)
    estimate = UNKNOWN
    if price is not None:
        read = sizing.characters(exchange) if price.character else 0
        estimate = prices.cost(price, tokens, read)
    spent = UNKNOWN if own is None else estimate
    if outcome == "ok" or whole:
        return Bill(tokens, source, estimate, estimate, spent, odd)
    if outcome in _LEFT:
        if snapshot.ledger.client_gone != "cancel":
            return Bill(tokens, source, estimate, estimate, spent, odd)
        if usage is not None:
            cost = UNKNOWN if price is None else prices.cost(price, usage)
            return Bill(_tokens(usage), REPORTED, cost, estimate, spent, odd)
        return Bill(tokens, source, 0, estimate, spent, odd)
    charged = estimate if snapshot.ledger.failed == "estimate" else 0
    return Bill(tokens, source, charged, estimate, UNKNOWN, odd)


def broken_off(exchange: Exchange, attempt: Attempt, snapshot: Snapshot) -> Bill:
    """Of an attempt whose answer broke off and was continued by another."""
    own = price_of(attempt.candidate, snapshot)
    price = snapshot.price_unknown if own is None else own
    tokens = estimated(exchange, attempt, _believed(attempt))
    estimate = UNKNOWN if price is None else prices.cost(price, tokens)
    return Bill(tokens, ESTIMATED, estimate, estimate, UNKNOWN if own is None else estimate)


def both(one: Bill, carried: Bill, *, whole: bool = True) -> Bill:
    """An answer that two attempts gave. Not `whole`: what is charged for the first follows what is for the last.

    `spent` is that of `one`: each attempt's own is written down with it.
    """
    tokens = Tokens(*map(add, astuple(one.tokens), astuple(carried.tokens)))
    charged = carried.cost if whole or one.cost else 0
    cost = UNKNOWN if UNKNOWN in (one.cost, charged) else one.cost + charged
    estimate = (one.cost if one.estimate == UNKNOWN else one.estimate, carried.estimate)
    return Bill(
        tokens,
        ESTIMATED,
        cost,
        UNKNOWN if UNKNOWN in estimate else sum(estimate),
        one.spent,
        one.doubt,
    )


def cost_of(candidate: Candidate, snapshot: Snapshot, tokens: int) -> int:
    """Of a prompt of so many tokens, in micro-dollars; UNKNOWN."""
    price = candidate.deployment.price or price_of(candidate, snapshot) or snapshot.price_unknown
    if price is None:
        return UNKNOWN
    if price.above:
        return prices.cost(price, Tokens(tokens))
    return int(price.request + tokens * price.input + 0.5)


def spent_for_nothing(attempt: Attempt, snapshot: Snapshot) -> int:
    """What a provider charges for an attempt that failed before the client saw anything of it."""
    gate = attempt.gate if attempt.connected_at else None
    if gate is None or not 200 <= gate.status < 300:
        return 0
    usage = _believed(attempt)
    if usage is not None:
        return prices.cost(price_of(attempt.candidate, snapshot), usage)
    came = gate.received or gate.tap.usage is not None or attempt.relay is not None
    return UNKNOWN if came else 0


def so_far(exchange: Exchange, attempt: Attempt, snapshot: Snapshot) -> tuple[Tokens, int]:
    """(tokens, micro-dollars) of an answer that goes on."""
    price = price_of(attempt.candidate, snapshot) or snapshot.price_unknown
    tokens = estimated(exchange, attempt, _believed(attempt))
    return tokens, prices.cost(price, tokens)


def prompt(exchange: Exchange) -> int:
    """Tokens of the request, about."""
    size = len(exchange.body)
    if exchange.envelope is not None and size <= _SMALL:
        return 0 if exchange.endpoint.operation in sizing.FREE else ceil(size / 3.5)
    return sizing.size(exchange).prompt


def estimated(exchange: Exchange, attempt: Attempt, usage: Usage | None) -> Tokens:
    """What an answer used that was not, or not wholly, reported. What was reported of the prompt is believed."""
    output = _output(exchange, attempt)
    if usage is None:
        operation, came = exchange.endpoint.operation, received(exchange, attempt)
        images = answers(exchange) if operation == "images" and came else 0
        seconds = sizing.heard(exchange)
        return Tokens(prompt(exchange), 0, 0, output, images=images, seconds=seconds)
    told = _tokens(usage)
    if not told.total - told.output:
        told = replace(told, input=prompt(exchange))
    return replace(told, output=output) if output > told.output else told


def _believed(attempt: Attempt) -> Usage | None:
    """What an attempt that is not over reports, as far as it can be true."""
    usage = attempt.gate.tap.usage
    if usage is not None and usage.suspect:
        return usage if doubt(usage, attempt.exchange, attempt) in BELIEVED else None
    return usage


def _output(exchange: Exchange, attempt: Attempt) -> int:
    if exchange.endpoint.operation not in sizing.WRITES:
        return 0
    gate, relay = attempt.gate, attempt.relay
    events, size = attempt.late_events, attempt.late_bytes
    if isinstance(relay, EventRelay):
        events += relay.event_count + 1  # the first one opened the gate
        size += exchange.bytes_out - relay.offset
    elif gate.kind is Kind.EVENTS:
        events += gate.held.count(b"\n\n")
        size += gate.received
    else:
        return max(ceil((gate.received + size - _WHOLE) / _BYTES), 0)
    return max(events, ceil((size - events * _ENVELOPE.get(gate.dialect.family, 130)) / _BYTES))


def _tokens(usage: Usage) -> Tokens:
    return Tokens(
        usage.input,
        usage.cache_read,
        usage.cache_write,
        usage.output,
        usage.reasoning,
        usage.audio_input,
        usage.audio_output,
        usage.images,
        usage.seconds,
        usage.cache_write_1h,
    )
