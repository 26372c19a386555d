"""What a request will probably use, and what it cannot exceed: for limits of tokens and of money, before it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from proxy.core import prices
from proxy.core.errors import ProxyError
from proxy.core.model import MAX_TOKENS
from proxy.gateway import sizing
from proxy.ledger.records import Tokens
from proxy.limits.accounts import Ask

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from proxy.core.model import Price, Snapshot
    from proxy.gateway.exchange import Exchange
    from proxy.gateway.selection import Route, Slot
    from proxy.gateway.sizing import Size

_MAX_TARIFFS = 256
"""Names that one wildcard matched, for which it is remembered."""
_DEMANDING = frozenset({"anthropic.messages"})
"""Dialects in which we name a limit when the client gave none."""
_LONG = 8_000
"""Tokens of what is made by those who write no text, each: pictures, speech."""


class Bounds(Struct, frozen=True, gc=False):
    """What one deployment makes of the limits of an answer; by the name of the field, 0 is none."""

    forced: tuple[tuple[str, int], ...]
    """In the place of what the client says."""
    default: tuple[tuple[str, int], ...]
    """Where it says nothing, not even null."""
    named: int
    """What we name in its place when it gave no limit; 0: none."""


class Tariff(Struct, frozen=True, gc=False):
    """What a route may cost. Prices are nowhere below any of those meant; None: one of them is not known."""

    own: Price | None
    """Of the model's own deployments."""
    every: Price | None
    """Of its fallbacks too."""
    limits: tuple[Bounds, ...]
    """Limits of an answer that deployments set, each combination once."""
    usual: int
    """The limit of an answer where nobody set one."""
    known: tuple[object, object]
    """The parts of the snapshot it was worked out from."""


def tariff(route: Route, matched: str, snapshot: Snapshot) -> Tariff:
    """Worked out once for each route, and each name that a wildcard of it matched."""
    found: Tariff | None = route.tariffs.get(matched)
    if found is not None:
        by_name, unknown = found.known
        if by_name is snapshot.prices and unknown is snapshot.price_unknown:
            return found
    if len(route.tariffs) >= _MAX_TARIFFS:
        route.tariffs.clear()
    own = [(slot, matched) for slot in route.slots]
    every = list(_every(route, matched, {route}))
    found = Tariff(
        _ceiling(own, snapshot),
        _ceiling(every, snapshot),
        tuple({_limits(slot) for slot, _ in every}),
        max((slot.deployment.max_tokens for slot in route.slots), default=MAX_TOKENS),
        (snapshot.prices, snapshot.price_unknown),
    )
    route.tariffs[matched] = found
    return found


def _every(route: Route, matched: str, seen: set[Route]) -> Iterator[tuple[Slot, str]]:
    """Whoever may serve a request for this route, fallbacks of fallbacks included."""
    for slot in route.slots:
        yield slot, matched
    for others in (route.fallbacks, route.fallbacks_context, route.fallbacks_content):
        for other, name in others:
            if other not in seen:
                seen.add(other)
                yield from _every(other, name, seen)


def _ceiling(slots: Iterable[tuple[Slot, str]], snapshot: Snapshot) -> Price | None:
    unknown = snapshot.price_unknown
    return prices.ceiling(slot.price(matched, snapshot) or unknown for slot, matched in slots)


def _limits(slot: Slot) -> Bounds:
    deployment = slot.deployment
    return Bounds(
        sizing.limits_in(deployment.param_overrides),
        sizing.limits_in(deployment.param_defaults),
        deployment.max_tokens if slot.dialect in _DEMANDING else 0,
    )


def ask(
    exchange: Exchange,
    found: Tariff,
    *,
    money: bool,
    strict: bool,
    usual: int = 0,
    spends: int = 0,
) -> Ask:
    """What one request may take. `money`: somebody counts it; `strict`: and must not be exceeded.

    `usual`, `spends`: tokens of the answer and micro-dollars that requests like it do not exceed; 0: not known.

    Raises ProxyError bad_req: price_unknown, max_tokens_required.
    """
    size = sizing.size(exchange, strict=strict)
    prompt, operation, output = size.prompt, exchange.endpoint.operation, 0
    if operation in sizing.WRITES:
        output = (size.limit or found.usual) * size.answers
        if 0 < usual < output:
            output = usual
        if output > sizing.MOST:
            output = sizing.MOST
    # Each number of a client is one that somebody may mean; their product, and a body full of pictures, need not be.
    tokens = min(prompt + output, sizing.MOST)
    if not money or operation in sizing.FREE:
        return Ask(tokens)
    own = found.own
    if own is None or found.every is None:
        raise ProxyError(
            "bad_req",
            "The price of this model is not known, so it cannot be used with a budget.",
            code="price_unknown",
            param="model",
        )
    images = size.answers if operation == "images" else 0
    seconds = sizing.heard(exchange)
    if own.character or own.above or images or seconds:
        used = Tokens(input=prompt, output=output, images=images, seconds=seconds)
        likely = prices.cost(own, used, sizing.characters(exchange))
    else:
        likely = int(own.request + prompt * own.input + output * own.output + 0.5)
    if 0 < spends < likely:
        likely = spends
    if not strict:
        return Ask(tokens, likely)
    most = _most(exchange, size, found)
    worst = prices.worst(found.every, size.most, most, images, seconds)
    return Ask(tokens, likely, worst)


def as_usual(exchange: Exchange, found: Tariff, spends: int) -> Ask | None:
    """What `ask` says, where only money is counted and that need not be looked for: the limit of the answer alone would cost
    more than requests like it do. Without tokens. None: it has to be looked at.

    `found` has both prices, and `own` no steps.
    """
    envelope, endpoint = exchange.envelope, exchange.endpoint
    if envelope is None or endpoint.operation not in sizing.WRITES or endpoint.family == "gemini":
        return None
    own, limits = found.own, envelope.integers(sizing.LIMITS)
    limit = limits[0] if limits else found.usual
    if own is None or len(limits) > 1 or not 0 < limit <= sizing.MOST:
        return None
    return Ask(0, spends) if own.request + limit * own.output >= spends else None


def _most(exchange: Exchange, size: Size, found: Tariff) -> int:
    """Tokens the answer cannot exceed."""
    operation = exchange.endpoint.operation
    if operation == "images":
        return _LONG * size.answers
    if operation == "speech":
        return _LONG + len(exchange.body)
    if operation in sizing.HEARD:
        return size.most  # what is said in a recording has no more than that itself
    if operation not in sizing.WRITES:
        return 0
    given = sizing.limits(exchange)
    most = 0
    for bounds in found.limits:
        limit = _limit(given, bounds)
        if not limit:
            raise ProxyError(
                "bad_req",
                "This API key has a strict budget: say how long the answer may be.",
                code="max_tokens_required",
                param=_NAMES.get(exchange.endpoint.dialect, "max_tokens"),
            )
        most = max(most, limit)
    return most * size.answers


def _limit(given: Mapping[str, int | None], bounds: Bounds) -> int:
    """The largest that is in the body as the provider gets it, as nobody knows which of several it takes; 0: none."""
    body: dict[str, int | None] = {**dict(bounds.default), **given, **dict(bounds.forced)}
    largest = 0
    for limit in body.values():
        if limit is None:
            return 0
        largest = max(largest, limit)
    return largest or bounds.named


_NAMES = {
    "openai.chat": "max_completion_tokens",
    "openai.responses": "max_output_tokens",
    "gemini.generate": "generationConfig.maxOutputTokens",
}
"""What a limit is called, where it is not `max_tokens`."""
