"""What a provider charges for a model: what the configuration says, else what the price list that is installed says.

The list (`genai_prices`, data only, nothing is fetched) is read for whom the money goes to: the seller that the address
of the provider belongs to, or its name. A seller that has no such model charges nobody knows what; where the seller
itself is unknown (a proxy of one's own), the maker of the model is asked, if there is exactly one.

Loading the list takes 0.2 s, so it comes with the first question: while a configuration is compiled, in a thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from proxy.core import clock, prices
from proxy.core.model import Price, Provider

if TYPE_CHECKING:
    from decimal import Decimal

    from genai_prices.types import ModelInfo, ModelPrice, Tier
    from genai_prices.types import Provider as Seller

_LONGEST = 256
"""Characters of the name of a model; nobody sells one with a longer name."""

_NOBODY = frozenset({"ollama", "vllm", "llama.cpp", "lm-studio"})
"""Presets of programs that run models: what that costs is in no list, even where the model has a namesake."""

_FREE = re.compile(r"\bfree\b|included in the subscription", re.IGNORECASE)

_DAY = 86400


def price_of(
    prices: Mapping[str, Price], provider: Provider, upstream_model: str, own: Price | None
) -> Price | None:
    """`own`, which is the deployment's; else what `prices` (the configuration) say of the model: by its name, by the
    longest beginning followed by `*`; else `lookup`. None: nobody knows.
    """
    if own is not None:
        return own
    if prices:
        found = prices.get(upstream_model)
        if found is not None:
            return found
        for beginning, price in _beginnings.of(prices):
            if upstream_model.startswith(beginning):
                return price
    return lookup(provider, upstream_model)


def lookup(provider: Provider, upstream_model: str) -> Price | None:
    """What the price list says of a model of this provider today; None if it has none, or nothing we can count.

    Where the price depends on the time of day, the dearest. Where a model makes pictures and its tokens are not told
    apart, all of them are priced as pictures.
    """
    if len(upstream_model) > _LONGEST or provider.name in _NOBODY:
        return None
    day = int(clock.now()) // _DAY
    return _lookup(
        provider.name, provider.base_url, tuple(provider.dialects.values()), upstream_model, day
    )


def load() -> None:
    """Read the price list now: `lookup` is quick from then on, a twentieth of a millisecond for a name it has not seen."""
    _sellers()


class _Beginnings:
    """The `beginning*` of the prices asked for last, the longest first: a configuration has but one such table."""

    __slots__ = ("_found", "_prices")

    def __init__(self) -> None:
        self._prices: Mapping[str, Price] = {}
        self._found: tuple[tuple[str, Price], ...] = ()

    def of(self, prices: Mapping[str, Price]) -> tuple[tuple[str, Price], ...]:
        if prices is not self._prices:
            found = [(name[:-1], price) for name, price in prices.items() if name.endswith("*")]
            found.sort(key=lambda item: -len(item[0]))
            self._prices, self._found = prices, tuple(found)
        return self._found


_beginnings = _Beginnings()


# --- finding ------------------------------------------------------------------------------------------------


@lru_cache(maxsize=8192)
def _lookup(name: str, base_url: str, roots: tuple[str, ...], model: str, day: int) -> Price | None:
    sellers = _sellers_at(base_url, roots)
    if sellers:
        return _only(_compiled(seller, model, day) for seller in sellers)
    seller = _seller_named(name)
    if seller is not None:
        found = _compiled(seller, model, day)
        if found is not None:
            return found
    return _only(_compiled(maker, of, day) for maker, of in _makers(model))


def _only(found: Iterable[Price | None]) -> Price | None:
    """The price, if all who have one have the same."""
    known = {price for price in found if price is not None}
    return known.pop() if len(known) == 1 else None


@lru_cache(maxsize=1024)
def _sellers_at(base_url: str, roots: tuple[str, ...]) -> tuple[Seller, ...]:
    addresses = (base_url + "/", *(f"{base_url}{root}/" for root in roots))
    return tuple(
        seller
        for seller in _sellers().values()
        if any(re.match(seller.api_pattern, address) for address in addresses)
    )


def _seller_named(name: str) -> Seller | None:
    name = name.lower()
    found = _sellers().get(name)
    if found is not None:
        return found
    for seller in _sellers().values():
        if seller.provider_match is not None and seller.provider_match.is_match(name):
            return seller
    return None


def _makers(model: str) -> list[tuple[Seller, str]]:
    """Whom a name of a model points to, with the name it has there: `gpt-4o`, `openai/gpt-4o`."""
    prefix, slash, rest = model.partition("/")
    named = _sellers().get(prefix.lower()) if slash else None
    if named is not None:
        return [(named, rest)]
    return [
        (seller, model)
        for seller in _sellers().values()
        if seller.model_match is not None and seller.model_match.is_match(model.lower())
    ]


@cache
def _sellers() -> dict[str, Seller]:
    from genai_prices.data import providers

    return {seller.id: seller for seller in providers}


# --- compiling ----------------------------------------------------------------------------------------------


def _compiled(seller: Seller, model: str, day: int) -> Price | None:
    # Not through the snapshot of the package: that remembers every name it was ever asked for.
    info = seller.find_model(model, all_providers=list(_sellers().values()))
    return None if info is None else _of(info, day)


def _of(info: ModelInfo, day: int) -> Price | None:
    """The dearest of the prices of a day."""
    if not isinstance(info.prices, list):
        return _price(info.prices, info)
    start = datetime.fromtimestamp(day * _DAY, UTC)
    times = {start}
    for conditional in info.prices:
        begins = getattr(conditional.constraint, "start_time", None)
        ends = getattr(conditional.constraint, "end_time", None)
        if begins is not None and ends is not None:
            times |= {datetime.combine(start, at, at.tzinfo or UTC) for at in (begins, ends)}
    return prices.ceiling(_price(info.get_prices(at), info) for at in times)


_RATES = {
    "input": "input_mtok",
    "cached": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "output": "output_mtok",
    "reasoning": "output_reasoning_mtok",
    "audio_input": "input_audio_mtok",
    "audio_output": "output_audio_mtok",
}
"""Fields of a `Price` (micro-dollars for one) and the list's (dollars for a million): the same figures."""

_PICTURES = {
    "input": ("input_image_mtok",),
    "cached": ("cache_image_read_mtok",),
    "output": ("output_image_mtok", "output_video_mtok"),
}
"""What takes the place of the wider part where a model makes pictures, if it is dearer."""

_NOT_COUNTED = frozenset({"input_mchars", "input_document_kpages", "input_text_messages_kcount"})
"""What is charged for something else than we count is not known, even if a part of it is."""


def _price(listed: ModelPrice, info: ModelInfo) -> Price | None:
    given = {key: value for key, value in vars(listed).items() if value is not None}
    if not given:
        # No rates at all: either it is free, and then the list says so, or nobody looked.
        said = (info.id, info.name, info.description, info.price_comments)
        return Price() if any(text and _FREE.search(text) for text in said) else None
    if not _NOT_COUNTED.isdisjoint(given):
        return None
    pictures = "image" in info.id or any(key in given for key in _PICTURES["output"])
    bounds = sorted({tier.start for rate in given.values() for tier in _tiers(rate)})
    base = _at(given, 0, pictures)
    if base is None or not bounds:
        return base
    above = tuple((bound, _at(given, bound + 1, pictures) or base) for bound in bounds)
    return replace(base, above=above)


def _at(given: Mapping[str, Any], prompt: int, pictures: bool) -> Price | None:
    """The prices for a prompt of so many tokens."""
    flat = {key: float(_rate(rate, prompt)) for key, rate in given.items()}
    rates: dict[str, Any] = {name: flat[key] for name, key in _RATES.items() if key in flat}
    if pictures:
        for name, keys in _PICTURES.items():
            dearer = [flat[key] for key in keys if key in flat]
            if dearer:
                rates[name] = max(rates.get(name, 0.0), *dearer)
    hour = flat.get("audio_hours", flat.get("input_audio_hours"))
    if hour is not None:
        rates["second"] = hour * 1e6 / 3600
    if "requests_kcount" in flat:
        rates["request"] = flat["requests_kcount"] * 1e3
    return Price(**rates) if rates else None


def _tiers(rate: Any) -> list[Tier]:
    return getattr(rate, "tiers", [])


def _rate(rate: Any, prompt: int) -> Decimal:
    found: Decimal = getattr(rate, "base", rate)
    for tier in _tiers(rate):
        if prompt > tier.start:
            found = tier.price
    return found
