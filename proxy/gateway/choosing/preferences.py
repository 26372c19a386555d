"""Which deployments a client wants its request to go to, and in which order, where the model lets it choose.

    header                          body (OpenRouter's `provider` object and `models` list)
    x-headrace-order: a, b          provider.order        those first, in this order
    x-headrace-only: a, b           provider.only         nobody else
    x-headrace-ignore: a, b         provider.ignore       not those
    x-headrace-sort: price          provider.sort         price, throughput or latency: how else is chosen
    x-headrace-strategy: p2c                              a strategy by its name
    x-headrace-fallbacks: m, n, no  provider.allow_fallbacks, models   models that are tried after it; no: none
                                    provider.max_price    {prompt, completion}: US dollars for a million tokens
                                    provider.data_collection, zdr       deny, true: only who keeps nothing it is sent
                                    provider.require_parameters         only who takes all that the request says

Names are those of providers here. A header goes over the body. Source: openrouter.ai/docs, "Provider Routing", "Model
Fallbacks".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson
from msgspec import Struct
from msgspec.structs import replace

from proxy.core.errors import ProxyError
from proxy.core.model import Deployment, Model, Strategy
from proxy.state.prices import price_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.core.model import Price
    from proxy.gateway.exchange import Exchange

PREFIX = "x-headrace-"
FIELDS = ("provider", "models", "route")
"""Of a body: ours to read, and nobody's to be sent."""
_HEADERS = ("order", "only", "ignore", "sort", "strategy", "fallbacks")
_SORTS = {
    "price": Strategy.COST,
    "throughput": Strategy.PERFORMANCE,
    "latency": Strategy.TTFT,
}
_NAME = re.compile(r"[^\s,][^,]*")
_MOST = 32
"""Names in one list."""


class Preferences(Struct, frozen=True):
    """Of one request. Two that are the same lead to the same route."""

    order: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    strategy: Strategy | None = None
    fallbacks: tuple[str, ...] | None = None
    """None: those of the model."""
    most: tuple[float, float] | None = None
    """US dollars for a million tokens of (prompt, answer)."""
    affordable: tuple[str, ...] = ()
    """Ids of deployments that cost no more for what a wildcard matched."""
    private: bool = False
    """Nobody who keeps what it is sent."""
    strict: bool = False
    """Nobody who would leave out what the request says."""
    dropped: tuple[str, ...] = ()
    """Of its fields, those that somebody leaves out."""


NONE = Preferences()


def read(exchange: Exchange) -> Preferences:
    """What a request prefers; its body is left without these fields. Raises ProxyError bad_req."""
    found: dict[str, Any] = {}
    envelope = exchange.envelope
    if envelope is not None and any(name in envelope for name in FIELDS):
        found = _of_body(_value(envelope.raw("provider")), _value(envelope.raw("models")))
        for name in FIELDS:
            envelope.drop(name)
        exchange.body = envelope.encode()  # what is translated, and what is sent as it is
    headers = exchange.request.headers
    for name in _HEADERS:
        text = headers.get(PREFIX + name)
        if text is not None:
            found |= _of_header(name, text)
    return Preferences(**found) if found else NONE


def required(wanted: Preferences, model: Model, exchange: Exchange) -> Preferences:
    """With those of the request's fields that not all providers of the model take."""
    envelope, dialect = exchange.envelope, exchange.endpoint.dialect
    if envelope is None:
        return wanted
    names = {name for one in _all(model) for name in _drops(one, dialect) if name in envelope}
    return replace(wanted, dropped=tuple(sorted(names))) if names else wanted


def priced(
    wanted: Preferences, model: Model, matched: str, prices: Mapping[str, Price]
) -> Preferences:
    """With those who are not too dear where the price depends on what a wildcard matched."""
    if wanted.most is None:
        return wanted
    names = [
        one.id
        for one in _all(model)
        if one.model.endswith("*")
        and _is_within(
            price_of(prices, one.provider, one.model[:-1] + matched, one.price), wanted.most
        )
    ]
    return replace(wanted, affordable=tuple(names)) if names else wanted


def _all(model: Model) -> Iterator[Deployment]:
    return (deployment for tier in model.tiers for deployment in tier)


def _drops(deployment: Deployment, dialect: str) -> tuple[str, ...]:
    how = deployment.provider.fields.get(dialect)
    return () if how is None else how.drop


def narrowed(model: Model, wanted: Preferences, dialect: str = "") -> Model:
    """The model as this request is to see it. Raises ProxyError bad_req when nobody is left."""
    kept = [
        deployment
        for deployment in _all(model)
        if _may(deployment, wanted)
        and _affordable(deployment, wanted)
        and not set(wanted.dropped).intersection(_drops(deployment, dialect))
    ]
    if not kept:
        raise ProxyError(
            "bad_req",
            f"No provider of the model '{model.name}' is left by what the request prefers.",
            code="no_provider_left",
        )
    named = [
        tuple(one for one in kept if one.provider.name == name)
        for name in dict.fromkeys(wanted.order)
    ]
    rest = [
        tuple(one for one in tier if one in kept and one.provider.name not in wanted.order)
        for tier in model.tiers
    ]
    if wanted.order and wanted.fallbacks == ():
        rest = [] if any(named) else rest
    changes: dict[str, Any] = {"tiers": tuple(tier for tier in (*named, *rest) if tier)}
    if wanted.strategy is not None:
        changes["strategy"] = wanted.strategy
    if wanted.strict:
        changes["strict"] = True
    if wanted.private:
        # Nor may it be sent to others only to be compared.
        changes |= {"private": True, "shadow": None}
    if wanted.fallbacks is not None:
        changes["fallbacks"] = wanted.fallbacks
    return replace(model, **changes)


def _may(deployment: Deployment, wanted: Preferences) -> bool:
    name = deployment.provider.name
    if wanted.private and deployment.provider.collects:
        return False
    return (not wanted.only or name in wanted.only) and name not in wanted.ignore


def _affordable(deployment: Deployment, wanted: Preferences) -> bool:
    if wanted.most is None:
        return True
    if deployment.model.endswith("*"):
        return deployment.id in wanted.affordable
    return _is_within(deployment.price, wanted.most)


def _is_within(price: Price | None, most: tuple[float, float]) -> bool:
    """What costs nobody knows what is dearer than anything."""
    return price is not None and price.input <= most[0] and price.output <= most[1]


def _of_body(provider: Any, models: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if provider is not None:
        if not isinstance(provider, dict):
            raise _wrong("provider", "an object")
        for name in ("order", "only", "ignore"):
            if provider.get(name) is not None:
                found[name] = _names(f"provider.{name}", provider[name])
        if provider.get("sort") is not None:
            found["strategy"] = _sort("provider.sort", provider["sort"])
        if provider.get("max_price") is not None:
            found["most"] = _most(provider["max_price"])
        if provider.get("allow_fallbacks") is False:
            found["fallbacks"] = ()
        found |= _conditions(provider)
    if models is not None and "fallbacks" not in found:
        found["fallbacks"] = _names("models", models)
    return found


def _conditions(provider: dict[str, Any]) -> dict[str, Any]:
    found = {}
    keeping = provider.get("data_collection")
    if keeping not in (None, "allow", "deny"):
        raise _wrong("provider.data_collection", "one of allow, deny")
    for name, field in (("zdr", "private"), ("require_parameters", "strict")):
        if provider.get(name) is not None:
            if not isinstance(provider[name], bool):
                raise _wrong(f"provider.{name}", "true or false")
            found[field] = provider[name]
    if keeping == "deny":
        found["private"] = True
    return {name: value for name, value in found.items() if value}


def _of_header(name: str, text: str) -> dict[str, Any]:
    header = PREFIX + name
    if name == "sort":
        return {"strategy": _sort(header, text.strip().lower())}
    if name == "strategy":
        try:
            return {"strategy": Strategy(text.strip().lower().replace("-", "_"))}
        except ValueError:
            raise _wrong(header, f"one of {', '.join(Strategy)}") from None
    if name == "fallbacks" and text.strip().lower() == "no":
        return {"fallbacks": ()}
    return {name: _names(header, [found.strip() for found in _NAME.findall(text)])}


def _names(where: str, value: Any) -> tuple[str, ...]:
    if (
        not isinstance(value, list)
        or len(value) > _MOST
        or not all(isinstance(one, str) and one for one in value)
    ):
        raise _wrong(where, f"a list of at most {_MOST} names")
    return tuple(dict.fromkeys(value))


def _sort(where: str, value: Any) -> Strategy:
    by = value.get("by") if isinstance(value, dict) else value
    if not isinstance(by, str) or by not in _SORTS:
        raise _wrong(where, f"one of {', '.join(_SORTS)}")
    return _SORTS[by]


def _most(value: Any) -> tuple[float, float]:
    if isinstance(value, dict):
        prices = [value.get(name, float("inf")) for name in ("prompt", "completion")]
        try:  # OpenRouter takes numbers and numbers in quotes
            prompt, completion = (float(price) for price in prices)
        except (TypeError, ValueError):
            pass
        else:
            if prompt >= 0 and completion >= 0:
                return prompt, completion
    raise _wrong("provider.max_price", "{prompt, completion} in US dollars for a million tokens")


def _value(raw: bytes | None) -> Any:
    try:
        return None if raw is None else orjson.loads(raw)
    except orjson.JSONDecodeError:
        # A number beyond any double, which the envelope lets pass in a long value.
        raise ProxyError("bad_json") from None


def _wrong(where: str, expected: str) -> ProxyError:
    return ProxyError(
        "bad_req", f"'{where}' must be {expected}.", code="invalid_preference", param=where
    )
