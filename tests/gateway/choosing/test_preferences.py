"""What a client may say of the way of its request."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.core.errors import ProxyError
from proxy.core.model import Deployment, Fit, Model, Price, Strategy
from proxy.gateway.choosing.preferences import NONE, Preferences, narrowed, read, required
from tests.gateway.asked import CHAT, exchange, provider, raw

BODY = {"model": "m", "messages": []}


def preferred(*fields: str, **body: Any) -> Preferences:
    return read(exchange(raw("POST", CHAT, orjson.dumps(BODY | body), *fields)))


async def test_nothing() -> None:
    assert preferred() is NONE


async def test_what_openrouter_takes() -> None:
    provider = {
        "order": ["a", "b", "a"],
        "only": ["a", "b"],
        "ignore": ["c"],
        "sort": "price",
        "max_price": {"prompt": "1.5", "completion": 2},
        "data_collection": "deny",
    }

    assert preferred(provider=provider, models=["n"], route="fallback") == Preferences(
        ("a", "b"), ("a", "b"), ("c",), Strategy.COST, ("n",), (1.5, 2.0), private=True
    )
    assert preferred(provider={"zdr": True}).private
    assert preferred(provider={"require_parameters": True}).strict
    assert preferred(provider={"data_collection": "allow", "zdr": False}) is NONE
    assert preferred(provider={"allow_fallbacks": False}, models=["n"]).fallbacks == ()
    assert preferred(provider={"sort": {"by": "latency"}}).strategy is Strategy.TTFT
    assert preferred(provider=None) is NONE


async def test_it_is_not_sent_on() -> None:
    one = exchange(
        raw("POST", CHAT, orjson.dumps(BODY | {"provider": {}, "models": [], "route": 1}))
    )
    read(one)

    assert one.envelope is not None
    assert orjson.loads(one.envelope.encode()) == BODY


async def test_headers_go_over_the_body() -> None:
    found = preferred(
        "X-Headrace-Order: b, a",
        "X-Headrace-Strategy: round-robin",
        "X-Headrace-Fallbacks: No",
        provider={"order": ["a"], "sort": "price"},
        models=["n"],
    )

    assert found == Preferences(order=("b", "a"), strategy=Strategy.ROUND_ROBIN, fallbacks=())
    assert preferred("X-Headrace-Fallbacks: n, o").fallbacks == ("n", "o")
    assert preferred("X-Headrace-Sort: Throughput").strategy is Strategy.PERFORMANCE


@pytest.mark.parametrize(
    "body",
    [
        {"provider": {"data_collection": "maybe"}},
        {"provider": {"zdr": "yes"}},
        {"provider": {"require_parameters": 1}},
        {"provider": "a"},
        {"provider": {"order": "a"}},
        {"provider": {"only": [1]}},
        {"provider": {"ignore": [""]}},
        {"provider": {"sort": "luck"}},
        {"provider": {"sort": []}},
        {"provider": {"max_price": 1}},
        {"provider": {"max_price": {"prompt": "much"}}},
        {"provider": {"max_price": {"prompt": -1}}},
        {"provider": {"max_price": {"prompt": float("inf"), "completion": None}}},
        {"models": "n"},
        {"models": ["n"] * 33},
    ],
)
async def test_what_means_nothing_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ProxyError) as refused:
        preferred(**body)
    assert (refused.value.ref, refused.value.code) == ("bad_req", "invalid_preference")


async def test_what_cannot_be_read_is_no_json() -> None:
    """A number beyond any double, in a value that is too long to be looked into by whoever takes the body apart."""
    long = b'{"only":["a"],"x":"%b","n":1e999}' % (b"x" * 512)
    with pytest.raises(ProxyError) as refused:
        read(exchange(raw("POST", CHAT, b'{"model":"m","messages":[],"provider":%b}' % long)))
    assert refused.value.ref == "bad_json"


@pytest.mark.parametrize("field", ["X-Headrace-Sort: luck", "X-Headrace-Strategy: luck"])
async def test_a_header_that_means_nothing_is_refused(field: str) -> None:
    with pytest.raises(ProxyError) as refused:
        preferred(field)
    assert refused.value.code == "invalid_preference"


def deployment(name: str, price: float | None = None) -> Deployment:
    cost = None if price is None else Price(input=price, output=2 * price)
    return Deployment(f"{name}-1", provider(name=name), "up", price=cost)


A, B, C = deployment("a", 1.0), deployment("b", 3.0), deployment("c")
MODEL = Model("m", ((A, B), (C,)), fallbacks=("n",))


@pytest.mark.parametrize(
    ("wanted", "tiers"),
    [
        (Preferences(only=("b", "c")), ((B,), (C,))),
        (Preferences(ignore=("a",)), ((B,), (C,))),
        (Preferences(order=("c", "b")), ((C,), (B,), (A,))),
        (Preferences(order=("c", "nobody")), ((C,), (A, B))),
        (Preferences(order=("b",), fallbacks=()), ((B,),)),
        (Preferences(order=("nobody",), fallbacks=()), ((A, B), (C,))),
        (Preferences(fallbacks=()), ((A, B), (C,))),
        (Preferences(most=(1.0, 2.0)), ((A,),)),
        (Preferences(most=(9.0, float("inf"))), ((A, B),)),
    ],
)
def test_whom_it_may_go_to(wanted: Preferences, tiers: tuple[tuple[Deployment, ...], ...]) -> None:
    assert narrowed(MODEL, wanted).tiers == tiers


def test_all_else_stays() -> None:
    one = narrowed(MODEL, Preferences(strategy=Strategy.COST, fallbacks=("x",)))

    assert (one.name, one.strategy, one.fallbacks) == ("m", Strategy.COST, ("x",))
    assert narrowed(MODEL, Preferences(ignore=("a",))).fallbacks == ("n",)


def test_when_nobody_is_left_it_is_said() -> None:
    with pytest.raises(ProxyError) as refused:
        narrowed(MODEL, Preferences(only=("nobody",)))
    assert refused.value.code == "no_provider_left"


# --- who keeps what it is sent, who leaves out what it is told ---


def providers(model: Model) -> list[str]:
    return [one.provider.name for tier in model.tiers for one in tier]


async def test_only_who_keeps_nothing() -> None:
    keeps, forgets = provider("http://a", "a"), replace(provider("http://b", "b"), collects=False)
    tiers = ((Deployment("m-a", keeps, "m"), Deployment("m-b", forgets, "m")),)

    assert providers(narrowed(Model("m", tiers), Preferences(private=True))) == ["b"]
    with pytest.raises(ProxyError) as caught:
        narrowed(Model("m", (tiers[0][:1],)), Preferences(private=True))
    assert caught.value.code == "no_provider_left"


async def test_only_who_takes_all_that_is_said() -> None:
    drops = replace(
        provider("http://a", "a"), fields={"openai.chat": Fit(drop=("logit_bias", "user"))}
    )
    tiers = ((Deployment("m-a", drops, "m"), Deployment("m-b", provider("http://b", "b"), "m")),)
    model = Model("m", tiers)
    for body, left in (({"user": "me"}, ["b"]), ({"temperature": 1}, ["a", "b"])):
        one = exchange(
            raw(
                "POST",
                CHAT,
                orjson.dumps({**BODY, **body, "provider": {"require_parameters": True}}),
            )
        )
        wanted = required(read(one), model, one)
        found = narrowed(model, wanted, "openai.chat")

        assert (providers(found), found.strict) == (left, True)
