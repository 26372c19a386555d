"""Reads the price list that is installed (`genai_prices`: data only, nothing is fetched) into ours.

Importing this takes a quarter of a second and 13 MiB: whoever serves has it done by a process of its own (`core.apart`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from genai_prices import types
from genai_prices.data import providers
from msgspec.structs import replace

from proxy.core import prices
from proxy.core.model import Price
from proxy.state import pricelist
from proxy.state.pricelist import Clause, How, Listed, Seller

if TYPE_CHECKING:
    from decimal import Decimal

_DAY: Final = 86400
_EPOCH: Final = datetime.fromtimestamp(0, UTC).date()
_FREE: Final = re.compile(r"\bfree\b|included in the subscription", re.IGNORECASE)

RATES: Final = {
    "input": "input_mtok",
    "cached": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "output": "output_mtok",
    "reasoning": "output_reasoning_mtok",
    "audio_input": "input_audio_mtok",
    "audio_output": "output_audio_mtok",
    "character": "input_mchars",
}
"""Fields of a `Price` (micro-dollars for one) and the list's (dollars for a million): the same figures."""

_PICTURES: Final = {
    "input": ("input_image_mtok",),
    "cached": ("cache_image_read_mtok",),
    "output": ("output_image_mtok", "output_video_mtok"),
}
"""What takes the place of the wider part where a model makes pictures, if it is dearer."""

_NOT_COUNTED: Final = frozenset({"input_document_kpages", "input_text_messages_kcount"})
"""What is charged for something else than we count is not known, even if a part of it is."""

_CLAUSES: Final[Mapping[type, Callable[[Any], Clause]]] = {
    types.ClauseEquals: lambda one: Clause(How.EQUALS, one.equals.lower()),
    types.ClauseStartsWith: lambda one: Clause(How.STARTS, one.starts_with.lower()),
    types.ClauseEndsWith: lambda one: Clause(How.ENDS, one.ends_with.lower()),
    types.ClauseContains: lambda one: Clause(How.CONTAINS, one.contains.lower()),
    types.ClauseRegex: lambda one: Clause(How.REGEX, one.regex),
    types.ClauseOr: lambda one: Clause(How.ANY, parts=tuple(map(clause, one.or_))),
    types.ClauseAnd: lambda one: Clause(How.ALL, parts=tuple(map(clause, one.and_))),
}


def read() -> bytes:
    """All of it, as a `PriceList` is made of."""
    return pricelist.encode([_seller(one) for one in providers])


def _seller(theirs: types.Provider) -> Seller:
    return Seller(
        theirs.id,
        theirs.api_pattern,
        None if theirs.provider_match is None else clause(theirs.provider_match),
        None if theirs.model_match is None else clause(theirs.model_match),
        tuple(theirs.fallback_model_providers or ()),
        pricelist.encode_models([listed(info) for info in theirs.models]),
    )


def clause(theirs: types.MatchLogic) -> Clause:
    """Which names they mean."""
    return _CLAUSES[type(theirs)](theirs)


def listed(info: types.ModelInfo) -> Listed:
    """A model with its prices, from the first day to the last change that is announced."""
    starts = {0}
    if isinstance(info.prices, list):
        for one in info.prices:
            if isinstance(one.constraint, types.StartDateConstraint):
                starts.add((one.constraint.start_date - _EPOCH).days)
    found: list[tuple[int, Price | None]] = []
    for day in sorted(starts):
        price = _on(info, day)
        if not found or price != found[-1][1]:
            found.append((day, price))
    return Listed(clause(info.match), tuple(found), info.context_window or 0)


def _on(info: types.ModelInfo, day: int) -> Price | None:
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


def _price(rates: types.ModelPrice, info: types.ModelInfo) -> Price | None:
    given = {key: value for key, value in vars(rates).items() if value is not None}
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
    rates: dict[str, Any] = {name: flat[key] for name, key in RATES.items() if key in flat}
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


def _tiers(rate: Any) -> Iterable[types.Tier]:
    found: Iterable[types.Tier] = getattr(rate, "tiers", ())
    return found


def _rate(rate: Any, prompt: int) -> Decimal:
    found: Decimal = getattr(rate, "base", rate)
    for tier in _tiers(rate):
        if prompt > tier.start:
            found = tier.price
    return found
