"""What a request probably uses, and what it cannot exceed."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.core.errors import ProxyError
from proxy.core.model import Deployment, Model, Price, Provider, Snapshot
from proxy.gateway import estimating, routing, sizing
from proxy.gateway.estimating import Tariff, tariff
from proxy.limits.accounts import Ask
from proxy.state.live import Live
from tests.gateway.asked import CHAT, exchange, provider, raw, snapshot

CHEAP, DEAR = Price(input=1.0, output=4.0), Price(input=10.0, output=20.0)
HERE = provider("http://p.invalid")


def priced(*deployments: tuple[Provider, Price | None], name: str = "m", **fields: Any) -> Model:
    tiers = tuple(
        (Deployment(f"{name}/{at}:p", one, "made-up", price=price, **fields),)
        for at, (one, price) in enumerate(deployments)
    )
    return Model(name, tiers)


def of(*models: Model, name: str = "m", dialect: str = "openai.chat", **fields: Any) -> Tariff:
    settings = replace(snapshot(HERE), models={one.name: one for one in models}, **fields)
    plan = routing.plan(settings, Live(settings), name, None, dialect, Random(1), "chat")
    return tariff(plan.route, plan.matched, settings)


def asked(
    found: Tariff, *, path: str = CHAT, money: bool = True, strict: bool = True, **body: Any
) -> Ask:
    spends, usual = body.pop("spends", 0), body.pop("usual", 0)
    one = exchange(raw("POST", path, orjson.dumps({"model": "m", **body})))
    return estimating.ask(one, found, money=money, strict=strict, usual=usual, spends=spends)


def code(found: Tariff, **fields: Any) -> str:
    with pytest.raises(ProxyError) as caught:
        asked(found, **fields)
    assert caught.value.ref == "bad_req"
    return caught.value.code


def test_the_dearest_that_may_serve_is_the_ceiling() -> None:
    found = of(
        replace(priced((HERE, CHEAP)), fallbacks=("other",)),
        replace(priced((HERE, DEAR), name="other"), fallbacks=("m",)),
    )

    assert found.own == CHEAP
    assert found.every is not None
    assert (found.every.input, found.every.output) == (10.0, 20.0)


@pytest.mark.parametrize("way", ["fallbacks", "fallbacks_context", "fallbacks_content"])
async def test_one_price_nobody_knows_makes_all_of_them_unknown(way: str) -> None:
    first: Model = replace(priced((HERE, CHEAP)), **{way: ("other",)})
    found = of(first, priced((HERE, None), name="other"))

    assert (found.own, found.every) == (CHEAP, None)
    assert code(found, max_tokens=5) == "price_unknown"


def test_a_price_for_what_is_unknown_is_used() -> None:
    found = of(priced((HERE, None), (HERE, CHEAP)), price_unknown=DEAR)

    assert found.every is not None
    assert (found.every.input, found.every.output) == (10.0, 20.0)


def test_prices_of_the_configuration_are_looked_up_for_what_a_wildcard_matched() -> None:
    wild = Model("w/*", ((Deployment("w/0:p", HERE, "*"),),))
    settings = replace(
        snapshot(HERE), wildcards=(("w/", wild),), prices={"one": CHEAP, "two": DEAR}
    )
    live = Live(settings)

    for name, price in (("one", CHEAP), ("two", DEAR), ("one", CHEAP)):
        plan = routing.plan(settings, live, f"w/{name}", None, "openai.chat", Random(1))
        assert tariff(plan.route, plan.matched, settings).own == price


def test_it_is_worked_out_anew_when_prices_change_under_the_same_models() -> None:
    settings = replace(snapshot(HERE), models={"m": priced((HERE, None))})
    plan = routing.plan(settings, Live(settings), "m", None, "openai.chat", Random(1))

    before = tariff(plan.route, plan.matched, settings)
    assert tariff(plan.route, plan.matched, settings) is before
    after = tariff(plan.route, plan.matched, replace(settings, price_unknown=CHEAP))

    assert (before.own, after.own) == (None, CHEAP)


def test_any_number_of_names_take_little_memory() -> None:
    wild = Model("*", ((Deployment("w/0:p", HERE, "*", price=CHEAP),),))
    settings = replace(snapshot(HERE), wildcards=(("", wild),))
    live = Live(settings)
    plans = [
        routing.plan(settings, live, f"n{at}", None, "openai.chat", Random(1)) for at in range(600)
    ]
    for plan in plans:
        tariff(plan.route, plan.matched, settings)

    assert 0 < len(plans[0].route.tariffs) <= 256


async def test_probably_is_less_than_surely() -> None:
    found = asked(of(priced((HERE, CHEAP))), max_tokens=100, n=2)

    assert found.tokens > 200
    assert found.likely == pytest.approx((found.tokens - 200) + 800, abs=1)
    assert found.worst > found.likely


async def test_what_requests_like_it_used_is_enough() -> None:
    whole = asked(of(priced((HERE, CHEAP))), strict=False, max_tokens=100_000)
    usual = asked(
        of(priced((HERE, CHEAP))), strict=False, max_tokens=100_000, usual=300, spends=900
    )

    assert whole.tokens > 100_000
    assert usual.tokens < 400
    assert usual.likely == 900
    assert usual.worst == 0


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("usual", [0, 20_000_000])
async def test_more_answers_than_anybody_gives_are_not_reserved(strict: bool, usual: int) -> None:
    found = of(priced((HERE, CHEAP)))
    most = sizing.MOST

    ask = asked(found, strict=strict, max_tokens=most, n=most, usual=usual)
    free = asked(found, money=False, max_tokens=most, n=2)

    assert ask.tokens == free.tokens == most
    assert most * CHEAP.output <= ask.likely < (most + 1_000) * CHEAP.output
    # What a strict budget has to bear is what was asked for: somebody may serve it.
    assert (ask.worst >= most * most * CHEAP.output) is strict


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "max_tokens": st.one_of(st.integers(-1, 3000), st.sampled_from([10**8, 1.5, None, "7"])),
        "max_completion_tokens": st.integers(-1, 3000),
        "n": st.integers(1, 3),
        "messages": st.just([{"role": "user", "content": "é" * 3000}]),
    },
)


@given(FIELDS, st.integers(1, 20_000), st.sampled_from([CHEAP, DEAR, Price(request=300.0)]))
def test_what_is_as_usual_is_what_is_found_otherwise(
    fields: dict[str, Any], spends: int, price: Price
) -> None:
    async def check() -> None:
        found = of(priced((HERE, price)))
        one = exchange(raw("POST", CHAT, orjson.dumps({"model": "m", **fields})))
        usual = estimating.as_usual(one, found, spends)
        if usual is not None:
            asked = estimating.ask(one, found, money=True, strict=False, spends=spends)
            assert usual.likely == asked.likely == spends

    asyncio.run(check())


async def test_most_requests_are_as_usual() -> None:
    found = of(priced((HERE, CHEAP)))
    one = exchange(raw("POST", CHAT, orjson.dumps({"model": "m", "max_tokens": 256})))
    free = exchange(raw("POST", CHAT, orjson.dumps({"model": "m"})))

    assert estimating.as_usual(one, found, 1024) == Ask(0, 1024)
    assert estimating.as_usual(one, found, 1025) is None
    assert estimating.as_usual(free, found, 4 * 4096) == Ask(0, 4 * 4096)


async def test_without_money_no_price_is_needed() -> None:
    found = asked(of(priced((HERE, None))), money=False, strict=False)

    assert (found.likely, found.worst) == (0, 0)
    assert found.tokens > 4096


@pytest.mark.parametrize(
    ("path", "dialect", "param"),
    [
        (CHAT, "openai.chat", "max_completion_tokens"),
        ("/v1/responses", "openai.responses", "max_output_tokens"),
        ("/v1beta/models/m:generateContent", "gemini.generate", "generationConfig.maxOutputTokens"),
    ],
)
async def test_a_strict_budget_needs_a_limit(path: str, dialect: str, param: str) -> None:
    found = of(priced((HERE, CHEAP)), dialect=dialect)
    with pytest.raises(ProxyError) as caught:
        asked(found, path=path)

    assert (caught.value.code, caught.value.param) == ("max_tokens_required", param)


async def test_a_strict_budget_bears_an_answer_to_each_question() -> None:
    found = of(priced((HERE, CHEAP)), dialect="openai.completions")
    one, ten = (
        asked(found, path="/v1/completions", prompt=["x"] * count, max_tokens=1000)
        for count in (1, 10)
    )

    assert ten.worst - one.worst >= 9 * 1000 * CHEAP.output
    assert ten.tokens - one.tokens >= 9 * 1000


async def test_a_limit_of_the_configuration_will_do() -> None:
    given = of(priced((HERE, CHEAP), param_defaults={"max_tokens": 50}))
    forced = of(priced((HERE, CHEAP), param_overrides={"max_tokens": 5000}))
    more = asked(forced, max_tokens=1).worst - asked(given, max_tokens=1).worst

    assert asked(given).worst - asked(given, max_tokens=1).worst == pytest.approx(49 * 4, abs=20)
    assert more == 4999 * 4


@pytest.mark.parametrize("value", [None, 0, -1, 1e5, "1e5", 99_999_999])
async def test_a_limit_of_the_configuration_is_none_where_the_client_sent_something_else(
    value: object,
) -> None:
    found = of(priced((HERE, CHEAP), param_defaults={"max_tokens": 50}))

    assert code(found, max_tokens=value) == "max_tokens_required"


async def test_of_several_limits_that_are_sent_the_largest_counts() -> None:
    found = of(priced((HERE, CHEAP), param_overrides={"max_tokens": 5}))
    more = asked(found, max_completion_tokens=5005).worst - asked(found, max_tokens=9999).worst

    assert more == pytest.approx(5000 * 4, abs=20)
    assert code(found, max_tokens=1, max_completion_tokens=1e6) == "max_tokens_required"
    assert asked(found, max_tokens=1e6).worst == pytest.approx(asked(found).worst, abs=60)


async def test_a_limit_that_the_configuration_takes_out_is_none() -> None:
    found = of(priced((HERE, CHEAP), param_overrides={"max_tokens": None}))

    assert code(found, max_tokens=5) == "max_tokens_required"


async def test_gemini_takes_settings_of_the_configuration_as_a_whole() -> None:
    settings = {"generationConfig": {"maxOutputTokens": 50}}
    path = "/v1beta/models/m:generateContent"
    given = of(priced((HERE, CHEAP), param_defaults=settings), dialect="gemini.generate")
    forced = of(priced((HERE, CHEAP), param_overrides=settings), dialect="gemini.generate")

    assert asked(given, path=path).worst > 0
    assert code(given, path=path, generationConfig={}) == "max_tokens_required"
    assert asked(forced, path=path, generationConfig={}).worst > 0
    assert (
        code(
            forced,
            path=path,
            generation_config={"maxOutputTokens": 9, "max_output_tokens": 1e6},
        )
        == "max_tokens_required"
    )


async def test_where_we_name_a_limit_the_client_need_not() -> None:
    speaks = provider("http://p.invalid", dialects={"anthropic.messages": "/v1/messages"})

    assert asked(of(priced((speaks, CHEAP), max_tokens=77))).worst > 0


async def test_what_gives_no_text_needs_no_limit() -> None:
    settings = Snapshot(models={"m": priced((HERE, CHEAP))}, providers={"p": HERE})
    plan = routing.plan(settings, Live(settings), "m", None, "openai.embeddings", Random(1))
    found = tariff(plan.route, plan.matched, settings)

    assert asked(found, path="/v1/embeddings", input="hi").worst > 0


PAINTER, LISTENER = Price(image=40_000.0), Price(second=100.0)
FORM = "Content-Type: multipart/form-data; boundary=b"


def form(**fields: bytes) -> bytes:
    parts = [
        b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), value)
        for name, value in {"model": b"m", **fields}.items()
    ]
    return b"".join((*parts, b"--b--\r\n"))


@pytest.mark.parametrize("every", [PAINTER, Price(image=50_000.0)])
async def test_pictures_are_reserved_as_they_are_charged(every: Price) -> None:
    found = of(
        replace(priced((HERE, PAINTER)), fallbacks=("other",)),
        replace(priced((HERE, every), name="other")),
        dialect="openai.images",
    )
    four = asked(found, path="/v1/images/generations", prompt="a cat", n=4)
    edits = exchange(raw("POST", "/v1/images/edits", form(n=b"3", image=b"x"), FORM))
    three = estimating.ask(edits, found, money=True, strict=True)

    assert (four.likely, four.worst) == (4 * 40_000, 4 * every.image)
    assert (three.likely, three.worst) == (3 * 40_000, 3 * every.image)


@pytest.mark.parametrize("price", [LISTENER, replace(LISTENER, above=((10, LISTENER),))])
async def test_a_recording_is_reserved_by_its_length(price: Price) -> None:
    found = of(priced((HERE, price)), dialect="openai.audio")
    one = exchange(raw("POST", "/v1/audio/transcriptions", form(), FORM))
    one.body = b"x" * 1_600_000
    ask = estimating.ask(one, found, money=True, strict=True)

    assert ask.likely == ask.worst == 100 * 100


@pytest.mark.parametrize(
    ("path", "dialect", "tokens"),
    [
        ("/v1/images/edits", "openai.images", 2 * 8_000),
        ("/v1/audio/transcriptions", "openai.audio", 4_000_000 // 100 + 50_000),
    ],
)
async def test_what_is_made_of_a_file_has_not_as_many_tokens_as_that_has_bytes(
    path: str, dialect: str, tokens: int
) -> None:
    found = of(priced((HERE, Price(output=40.0))), dialect=dialect)
    one = exchange(raw("POST", path, form(n=b"2"), FORM))
    one.body = b"x" * 4_000_000

    ask = estimating.ask(one, found, money=True, strict=True)

    assert ask.worst == tokens * 40
