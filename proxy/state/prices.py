"""What a provider charges for a model: what the configuration says, else what the price list that is installed says.

The list is asked for whom the money goes to: the seller that the address of the provider belongs to, or its name. A seller
that has no such model charges nobody knows what; where the seller itself is unknown (a proxy of one's own), the maker of
the model is asked, if there is exactly one.

Reading the list takes a quarter of a second, and comes with the first question: while a configuration is compiled, in a
thread. Where several processes serve, one has read it for all of them (`use`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from proxy.core import clock
from proxy.core.model import Price, Provider
from proxy.state.pricelist import PriceList, Seller

_LONGEST = 256
"""Characters of the name of a model; nobody sells one with a longer name."""

NOBODY = frozenset({"ollama", "vllm", "llama.cpp", "lm-studio", "sglang"})
"""Presets of programs that run models, and providers called so: what that costs is in no list, even where the model has a
namesake."""

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
    if len(upstream_model) > _LONGEST or provider.runs or provider.name in NOBODY:
        return None
    day = int(clock.now()) // _DAY
    return _lookup(
        provider.name, provider.base_url, tuple(provider.dialects.values()), upstream_model, day
    )


def window(provider: Provider, upstream_model: str) -> int:
    """Tokens of a prompt and its answer, as the price list has it; 0 where it does not. Those who sell it are asked as for a
    price; where they differ, the least of them is said."""
    if len(upstream_model) > _LONGEST or provider.runs or provider.name in NOBODY:
        return 0
    sellers = [
        (one, upstream_model)
        for one in _sellers_at(provider.base_url, tuple(provider.dialects.values()))
    ]
    named = _seller_named(provider.name)
    if not sellers and named is not None:
        sellers = [(named, upstream_model)]
    found = (_list().find(*one) for one in sellers or _makers(upstream_model))
    return min((one.window for one in found if one is not None and one.window), default=0)


def load() -> None:
    """Read the price list now: `lookup` is quick from then on, a twentieth of a millisecond for a name it has not seen, and
    two more for the first that a seller is asked for."""
    _list()


def use(data: bytes) -> None:
    """Answer by this list from now on, which another process has read (`price_reading.read`)."""
    global _known
    _known = PriceList(data)
    _lookup.cache_clear()
    _sellers_at.cache_clear()


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
        return _only(_price(seller, model, day) for seller in sellers)
    seller = _seller_named(name)
    if seller is not None:
        found = _price(seller, model, day)
        if found is not None:
            return found
    return _only(_price(maker, of, day) for maker, of in _makers(model))


def _only(found: Iterable[Price | None]) -> Price | None:
    """The price, if all who have one have the same."""
    known = {price for price in found if price is not None}
    return known.pop() if len(known) == 1 else None


@lru_cache(maxsize=1024)
def _sellers_at(base_url: str, roots: tuple[str, ...]) -> tuple[Seller, ...]:
    addresses = (base_url + "/", *(f"{base_url}{root}/" for root in roots))
    return tuple(
        seller
        for seller in _list().sellers.values()
        if any(re.match(seller.address, address) for address in addresses)
    )


def _seller_named(name: str) -> Seller | None:
    name = name.lower()
    found = _list().sellers.get(name)
    if found is not None:
        return found
    for seller in _list().sellers.values():
        if seller.called is not None and seller.called.fits(name):
            return seller
    return None


def _makers(model: str) -> list[tuple[Seller, str]]:
    """Whom a name of a model points to, with the name it has there: `gpt-4o`, `openai/gpt-4o`."""
    prefix, slash, rest = model.partition("/")
    named = _list().sellers.get(prefix.lower()) if slash else None
    if named is not None:
        return [(named, rest)]
    return [
        (seller, model)
        for seller in _list().sellers.values()
        if seller.makes is not None and seller.makes.fits(model.lower())
    ]


def _price(seller: Seller, model: str, day: int) -> Price | None:
    found = _list().find(seller, model)
    return None if found is None else found.on(day)


_known: PriceList | None = None


def _list() -> PriceList:
    global _known
    if _known is None:
        from proxy.state import price_reading

        _known = PriceList(price_reading.read())
    return _known
