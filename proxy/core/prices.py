"""What a request costs, in micro-dollars. A price that is not known is None, and its cost -1: never 0."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from math import ceil
from typing import Protocol

from msgspec import Struct

from proxy.core.model import Price

UNKNOWN = -1


class Amounts(Protocol):
    """Disjoint token parts; `reasoning` is a part of `output`, audio parts are parts of `input` and `output`,
    `cache_write_1h` is one of `cache_write`.
    """

    @property
    def input(self) -> int: ...
    @property
    def cache_read(self) -> int: ...
    @property
    def cache_write(self) -> int: ...
    @property
    def cache_write_1h(self) -> int: ...
    @property
    def output(self) -> int: ...
    @property
    def reasoning(self) -> int: ...
    @property
    def audio_input(self) -> int: ...
    @property
    def audio_output(self) -> int: ...
    @property
    def images(self) -> int: ...
    @property
    def seconds(self) -> float: ...


def cost(price: Price | None, used: Amounts, characters: int = 0, requests: int = 1) -> int:
    """Micro-dollars of one answer, rounded half up; UNKNOWN without a price.

    `characters`: that were read aloud; `requests`: for how many it is counted.
    """
    if price is None:
        return UNKNOWN
    if price.above:
        price = _at(price, used.input + used.cache_read + used.cache_write)
    plain, output = used.input, used.output
    total = price.request * requests
    if used.cache_read:
        total += used.cache_read * (price.input if price.cached is None else price.cached)
    if used.cache_write:
        written, rate = used.cache_write, _or(price.cache_write, price.input)
        if used.cache_write_1h and price.cache_write_1h is not None:
            hour = min(used.cache_write_1h, written)
            written -= hour
            total += hour * price.cache_write_1h
        total += written * rate
    if used.audio_input and price.audio_input is not None:
        audio = min(used.audio_input, plain)
        plain -= audio
        total += audio * price.audio_input
    if used.audio_output and price.audio_output is not None:
        audio = min(used.audio_output, output)
        output -= audio
        total += audio * price.audio_output
    if used.reasoning and price.reasoning is not None:
        reasoning = min(used.reasoning, output)
        output -= reasoning
        total += reasoning * price.reasoning
    if used.images or used.seconds or characters:
        total += used.images * price.image + used.seconds * price.second
        total += characters * price.character
    total += plain * price.input + output * price.output
    below = int(total)
    if abs(total - below - 0.5) <= _doubt(total):
        return _exactly(price, used, characters, requests)
    return below + (total - below > 0.5)


def ceiling(prices: Iterable[Price | None]) -> Price | None:
    """A price that is nowhere below any of these; None when one is unknown, or there is none."""
    known: list[Price] = []
    for price in prices:
        if price is None:
            return None
        known.append(price)
    if len(known) < 2:
        return known[0] if known else None
    bounds = sorted({bound for price in known for bound, _ in price.above})
    return _highest(
        known, tuple((bound, _highest([_at(p, bound + 1) for p in known])) for bound in bounds)
    )


def worst(price: Price, prompt: int, output: int, images: int = 0, seconds: float = 0.0) -> int:
    """Micro-dollars that so many tokens cannot exceed, whatever kinds they turn out to be, with so many images and seconds;
    rounded up."""
    total = _worst(price, prompt, output, images, seconds)
    for bound, above in price.above:
        # All of them: a shorter prompt than was thought may be in a dearer tier.
        if prompt > bound:
            total = max(total, _worst(above, prompt, output, images, seconds))
    return ceil(total - _doubt(total))


def _doubt(total: float) -> float:
    """More than a sum of floats is off by. Only beside a half, or beside a whole, does that decide anything."""
    return 1e-9 + total * 1e-14


def _worst(price: Price, prompt: int, output: int, images: int, seconds: float) -> float:
    # One that is not given is as a wider one, which is here too.
    asked = max(
        price.input,
        price.cached or 0.0,
        price.cache_write or 0.0,
        price.cache_write_1h or 0.0,
        price.audio_input or 0.0,
        price.character,  # of which there are no more than bytes, and these are what is counted here
    )
    said = max(price.output, price.reasoning or 0.0, price.audio_output or 0.0)
    each = price.request + images * price.image + seconds * price.second
    return each + prompt * asked + output * said


def _at(price: Price, prompt: int) -> Price:
    """The prices that hold for a prompt of so many tokens."""
    found = price
    for bound, above in price.above:
        if prompt <= bound:
            break
        found = above
    return found


def _exactly(price: Price, used: Amounts, characters: int, requests: int) -> int:
    """The same sum of what the prices say in decimals, as people write them."""
    audio_input = min(used.audio_input, used.input)
    audio_output = min(used.audio_output, used.output)
    if price.audio_output is None:
        audio_output = 0
    reasoning = min(used.reasoning, used.output - audio_output)
    hour = min(used.cache_write_1h, used.cache_write)
    full = _rates(price)
    parts = (
        (used.input - audio_input, full.input),
        (audio_input, full.audio_input),
        (used.cache_read, full.cached),
        (used.cache_write - hour, full.cache_write),
        (hour, full.cache_write_1h),
        (used.output - audio_output - reasoning, full.output),
        (audio_output, full.audio_output),
        (reasoning, full.reasoning),
        (used.images, full.image),
        (used.seconds, full.second),
        (characters, full.character),
        (requests, full.request),
    )
    total = sum((Decimal(repr(count)) * Decimal(repr(rate)) for count, rate in parts), Decimal())
    return int(total.to_integral_value(ROUND_HALF_UP))


class _Rates(Struct, frozen=True, gc=False):
    """The fields of a `Price`, each with a figure of its own."""

    input: float
    cached: float
    cache_write: float
    cache_write_1h: float
    output: float
    reasoning: float
    audio_input: float
    audio_output: float
    image: float
    second: float
    character: float
    request: float


def _rates(price: Price) -> _Rates:
    written = _or(price.cache_write, price.input)
    return _Rates(
        input=price.input,
        cached=_or(price.cached, price.input),
        cache_write=written,
        cache_write_1h=_or(price.cache_write_1h, written),
        output=price.output,
        reasoning=_or(price.reasoning, price.output),
        audio_input=_or(price.audio_input, price.input),
        audio_output=_or(price.audio_output, price.output),
        image=price.image,
        second=price.second,
        character=price.character,
        request=price.request,
    )


def _or(own: float | None, wider: float) -> float:
    return wider if own is None else own


def _highest(prices: list[Price], above: tuple[tuple[int, Price], ...] = ()) -> Price:
    tables = [_rates(price) for price in prices]
    highest = {
        name: max(getattr(rates, name) for rates in tables) for name in _Rates.__struct_fields__
    }
    return Price(**highest, above=above)
