"""What a request costs: worked out by hand for what each provider reports, and against decimals for anything."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.core.model import Price
from proxy.core.prices import UNKNOWN, Amounts, ceiling, cost, worst
from proxy.dialects import usage
from proxy.dialects.ir import Usage
from proxy.ledger.records import Tokens

GPT_4O = Price(input=2.5, cached=1.25, output=10)
GPT_5 = Price(input=1.25, cached=0.125, output=10)
GPT_AUDIO = Price(input=2.5, output=10, audio_input=32, audio_output=64)
GEMINI_PRO = Price(
    input=1.25,
    cached=0.125,
    output=10,
    above=((200_000, Price(input=2.5, cached=0.25, output=15)),),
)
GEMINI_FLASH = Price(input=0.3, cached=0.03, output=2.5, audio_input=1)
SONNET = Price(input=3, cached=0.3, cache_write=3.75, cache_write_1h=6, output=15)
SONNET_IN_EUROPE = Price(input=3.3, cached=0.33, cache_write=4.125, cache_write_1h=6.6, output=16.5)
SONAR = Price(input=2, output=8, reasoning=3, request=5000)


def openai(**report: Any) -> Usage | None:
    return usage.openai(orjson.dumps(report))


def anthropic(start: dict[str, Any], last: dict[str, Any] | None = None) -> Usage | None:
    return usage.anthropic(orjson.dumps(start), orjson.dumps(last))


def gemini(**report: Any) -> Usage | None:
    return usage.gemini(orjson.dumps(report))


def bedrock(**report: Any) -> Usage | None:
    return usage.bedrock(orjson.dumps(report))


@pytest.mark.parametrize(
    ("price", "used", "micro"),
    [
        # Cached tokens are in the prompt: 402 * 2.5 + 801 * 1.25 + 307 * 10 = 1005 + 1001.25 + 3070
        (GPT_4O, openai(prompt_tokens=1203, completion_tokens=307, total_tokens=1510,
                        prompt_tokens_details={"cached_tokens": 801, "audio_tokens": 0}), 5076),
        # Thoughts are in the answer: 977 * 1.25 + 1024 * 0.125 + 515 * 10 = 1221.25 + 128 + 5150
        (GPT_5, openai(input_tokens=2001, output_tokens=515, total_tokens=2516,
                       input_tokens_details={"cached_tokens": 1024},
                       output_tokens_details={"reasoning_tokens": 448}), 6499),
        # 20 * 2.5 + 70 * 32 + 12 * 10 + 48 * 64 = 50 + 2240 + 120 + 3072
        (GPT_AUDIO, openai(prompt_tokens=90, completion_tokens=60, total_tokens=150,
                           prompt_tokens_details={"cached_tokens": 0, "audio_tokens": 70},
                           completion_tokens_details={"audio_tokens": 48}), 5482),
        # Thoughts that are only in the total: 10 * 1.25 + 24 * 10 = 252.5
        (GPT_5, openai(prompt_tokens=10, completion_tokens=4, total_tokens=34), 253),
        # 12.5 s * 100
        (Price(second=100), openai(type="duration", seconds=12.5), 1250),
        (Price(image=40_000), usage.openai(b"null", images=2), 80_000),
        # Cached tokens are beside the input: 10 * 3 + 1800 * 0.3 + 248 * 3.75 + 1000 * 6 + 503 * 15
        #   = 30 + 540 + 930 + 6000 + 7545
        (SONNET, anthropic({"input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": 1800,
                            "cache_creation_input_tokens": 1248,
                            "cache_creation": {"ephemeral_5m_input_tokens": 248,
                                               "ephemeral_1h_input_tokens": 1000}},
                           {"output_tokens": 503}), 15_045),
        # 7 * 3 + 2000 * 3.75 + 11 * 15 = 21 + 7500 + 165: written costs 1.25 times the input.
        (SONNET, anthropic({"input_tokens": 7, "output_tokens": 11, "cache_read_input_tokens": 0,
                            "cache_creation_input_tokens": 2000}), 7686),
        # Thoughts are beside the answer: 401 * 1.25 + 600 * 0.125 + (50 + 201) * 10 = 501.25 + 75 + 2510
        (GEMINI_PRO, gemini(promptTokenCount=1001, cachedContentTokenCount=600, candidatesTokenCount=50,
                            thoughtsTokenCount=201, totalTokenCount=1252), 3086),
        # 200000 * 1.25 + 10 * 10
        (GEMINI_PRO, gemini(promptTokenCount=200_000, candidatesTokenCount=10), 250_100),
        # One more, half of it cached: all at the other price. 100001 * 2.5 + 100000 * 0.25 + 10 * 15
        #   = 250002.5 + 25000 + 150
        (GEMINI_PRO, gemini(promptTokenCount=200_001, cachedContentTokenCount=100_000,
                            candidatesTokenCount=10), 275_153),
        # 100 * 0.3 + 400 * 1 + 20 * 2.5
        (GEMINI_FLASH, gemini(promptTokenCount=500, candidatesTokenCount=20, promptTokensDetails=[
            {"modality": "TEXT", "tokenCount": 100}, {"modality": "AUDIO", "tokenCount": 400}]), 480),
        # 12 * 3.3 + 2048 * 0.33 + 512 * 4.125 + 99 * 16.5 = 39.6 + 675.84 + 2112 + 1633.5
        (SONNET_IN_EUROPE, bedrock(inputTokens=12, outputTokens=99, totalTokens=2671,
                                   cacheReadInputTokens=2048, cacheWriteInputTokens=512), 4461),
        # 12 * 3.3 + 512 * 6.6 + 99 * 16.5 = 39.6 + 3379.2 + 1633.5
        (SONNET_IN_EUROPE, bedrock(inputTokens=12, outputTokens=99, cacheWriteInputTokens=512,
                                   cacheDetails=[{"ttl": "1h", "inputTokens": 512}]), 5052),
        # 100 * 2 + 50 * 8 + 150 * 3 + 5000
        (SONAR, openai(prompt_tokens=100, completion_tokens=200, total_tokens=300,
                       completion_tokens_details={"reasoning_tokens": 150}), 6050),
    ],
)  # fmt: skip
def test_what_a_provider_reports_costs_what_its_list_says(
    price: Price, used: Usage | None, micro: int
) -> None:
    assert used is not None
    assert not used.suspect
    assert cost(price, used) == micro


def test_an_unknown_price_is_not_nothing() -> None:
    assert cost(None, Usage(5, output=5)) == UNKNOWN == -1
    assert cost(Price(), Usage(5, output=5)) == 0


@pytest.mark.parametrize(("tokens", "micro"), [(0, 0), (24, 0), (25, 1), (74, 1), (75, 2)])
def test_half_a_micro_dollar_is_rounded_up(tokens: int, micro: int) -> None:
    assert cost(Price(input=0.02), Usage(tokens)) == micro


@pytest.mark.parametrize(("rate", "tokens", "micro"), [(0.35, 90, 32), (0.145, 100, 15), (1.15, 50, 58)])  # fmt: skip
def test_half_is_half_where_floats_fall_short_of_it(rate: float, tokens: int, micro: int) -> None:
    assert int(rate * tokens + 0.5) == micro - 1, "no case of what is tested here"

    assert cost(Price(input=rate), Usage(tokens)) == micro
    assert cost(Price(output=rate), Usage(output=tokens)) == micro
    assert cost(Price(reasoning=rate), Usage(output=tokens, reasoning=tokens)) == micro
    assert cost(Price(cache_write=rate), Usage(cache_write=tokens)) == micro
    assert cost(Price(above=((1, Price(input=rate)),)), Usage(tokens)) == micro


def test_a_tier_is_chosen_by_all_of_the_prompt() -> None:
    price = Price(input=1, cached=1, cache_write=1, above=((10, Price(input=2)), (20, Price(input=3))))  # fmt: skip

    costs = [cost(price, Usage(n - 9, 5, 4, output=100)) for n in (10, 11, 20, 21)]

    assert costs == [10, 22, 40, 63]


def test_a_part_without_a_price_costs_what_the_wider_part_costs() -> None:
    used = Usage(10, 20, 30, 40, 15, audio_input=5, audio_output=7, cache_write_1h=9)

    assert cost(Price(input=1, output=2), used) == 60 + 80
    assert cost(Price(input=1, cache_write=4, output=2), used) == 30 + 120 + 80


def test_what_a_record_of_the_ledger_has_is_enough() -> None:
    used = Tokens(10, 20, 30, 40, cache_write_1h=30)

    assert cost(SONNET, used) == 30 + 6 + 180 + 600


# --- against decimals -----------------------------------------------------------------------------------------

RATE = st.one_of(
    st.sampled_from([0.0, 0.02, 0.035, 0.145, 0.15, 0.35, 1.15, 2.5, 3.75, 10.0]),
    st.integers(0, 10**6).map(lambda n: n / 1000),
    st.floats(0, 100).map(lambda x: round(x, 6)),
)
COUNT = st.one_of(st.integers(0, 400), st.integers(0, 10**9))


def rates(**more: st.SearchStrategy[Any]) -> st.SearchStrategy[Price]:
    perhaps = st.none() | RATE
    return st.builds(
        Price, RATE, perhaps, perhaps, RATE, perhaps, perhaps, perhaps, RATE, RATE, RATE,
        cache_write_1h=perhaps, **more,
    )  # fmt: skip


def tiers(items: list[tuple[int, Price]]) -> tuple[tuple[int, Price], ...]:
    return tuple(sorted({bound: (bound, price) for bound, price in items}.values()))


PRICE = rates(above=st.lists(st.tuples(COUNT, rates()), max_size=3).map(lambda found: tiers(found)))


@st.composite
def amounts(draw: st.DrawFn) -> Usage:
    """What adds up, as a report that was read does; and parts that are more than their whole."""
    plain, read, written, output = (draw(COUNT) for _ in range(4))
    reasoning = draw(st.integers(0, output))
    return Usage(
        plain,
        read,
        written,
        output,
        reasoning,
        images=draw(st.integers(0, 3)),
        seconds=draw(st.integers(0, 10**5)) / 100,
        audio_input=draw(st.integers(0, plain)),
        audio_output=draw(st.integers(0, output)),
        cache_write_1h=draw(st.integers(0, written)),
    )


def exact(price: Price, used: Amounts) -> Decimal:
    """The same from the definition: narrower parts first, each at its own price or that of the wider one."""
    for bound, above in price.above:
        if used.input + used.cache_read + used.cache_write > bound:
            price = above

    def rate(*names: str) -> Decimal:
        return next(
            Decimal(repr(getattr(price, n))) for n in names if getattr(price, n) is not None
        )

    said = 0 if price.audio_output is None else used.audio_output
    thought = min(used.reasoning, used.output - said)
    return sum(
        (
            (used.input - used.audio_input) * rate("input"),
            used.audio_input * rate("audio_input", "input"),
            used.cache_read * rate("cached", "input"),
            (used.cache_write - used.cache_write_1h) * rate("cache_write", "input"),
            used.cache_write_1h * rate("cache_write_1h", "cache_write", "input"),
            (used.output - said - thought) * rate("output"),
            said * rate("audio_output", "output"),
            thought * rate("reasoning", "output"),
            used.images * rate("image"),
            Decimal(repr(used.seconds)) * rate("second"),
            rate("request"),
        ),
        Decimal(),
    )


@given(PRICE, amounts())
def test_a_cost_is_exact(price: Price, used: Usage) -> None:
    assert cost(price, used) == int(exact(price, used).to_integral_value(ROUND_HALF_UP))


@given(RATE, COUNT)
def test_a_cost_of_one_part_is_exact(rate: float, tokens: int) -> None:
    expected = int((Decimal(repr(rate)) * tokens).to_integral_value(ROUND_HALF_UP))

    assert cost(Price(input=rate), Usage(tokens)) == expected


def test_no_halves_are_lost_among_cheap_tokens() -> None:
    # Every half there is below two hundred tokens, at prices of three places.
    for thousandths in range(1, 400):
        for tokens in range(200):
            expected = (thousandths * tokens + 500) // 1000
            assert cost(Price(input=thousandths / 1000), Usage(tokens)) == expected


@given(PRICE, amounts(), st.integers(0, 10**6), st.integers(0, 10**6))
def test_nothing_costs_more_than_the_worst(
    price: Price, used: Usage, longer: int, more: int
) -> None:
    tokens = replace(used, images=0, seconds=0.0)
    prompt = used.input + used.cache_read + used.cache_write + longer

    assert worst(price, prompt, used.output + more) >= cost(price, tokens)


@given(PRICE, st.integers(0, 10**4), st.integers(0, 10**4))
def test_the_worst_is_that_of_one_kind_of_tokens(price: Price, prompt: int, output: int) -> None:
    tables = [price, *(above for bound, above in price.above if prompt > bound)]

    def dearest(table: Price, *names: str) -> Decimal:
        return max(Decimal(repr(getattr(table, name) or 0.0)) for name in names)

    asked = ("input", "cached", "cache_write", "cache_write_1h", "audio_input", "character")
    said = ("output", "reasoning", "audio_output")
    totals = [
        Decimal(repr(table.request))
        + prompt * dearest(table, *asked)
        + output * dearest(table, *said)
        for table in tables
    ]
    assert worst(price, prompt, output) == int(max(totals).to_integral_value(ROUND_CEILING))


@pytest.mark.parametrize(
    ("price", "prompt", "output", "micro"),
    [
        (Price(input=0.1), 30, 0, 3),
        (Price(input=0.1), 31, 0, 4),
        (SONNET, 1000, 100, 6000 + 1500),
        (GPT_AUDIO, 10, 10, 320 + 640),
        # A shorter prompt would be cheaper, but it could not be dearer either.
        (GEMINI_PRO, 200_001, 0, 500_003),
        (Price(input=5, above=((10, Price(input=1)),)), 11, 0, 55),
        (Price(request=0.5), 0, 0, 1),
        (Price(), 10, 10, 0),
    ],
)
def test_the_worst_is_rounded_up(price: Price, prompt: int, output: int, micro: int) -> None:
    assert worst(price, prompt, output) == micro


# --- the dearest of several -----------------------------------------------------------------------------------


@given(st.lists(PRICE, min_size=1, max_size=4), amounts())
def test_a_ceiling_is_nowhere_below_any(prices: list[Price], reported: Usage) -> None:
    top = ceiling(prices)

    assert top is not None
    # A thought is no audio: what is called both has the price of either.
    used = replace(
        reported, reasoning=min(reported.reasoning, reported.output - reported.audio_output)
    )
    assert all(cost(top, used) >= cost(price, used) for price in prices)
    prompt = used.input + used.cache_read + used.cache_write
    assert all(worst(top, prompt, used.output) >= worst(p, prompt, used.output) for p in prices)


def test_a_ceiling_is_no_higher_than_it_must_be() -> None:
    one = Price(input=1, cached=0.5, output=8, above=((100, Price(input=2, output=9)),))
    other = Price(input=3, output=4, above=((50, Price(input=1, output=20)),))

    top = ceiling([one, other])

    assert top is not None
    assert [bound for bound, _ in top.above] == [50, 100]
    middle, long = (price for _, price in top.above)
    assert (top.input, top.cached, top.output) == (3, 3, 8)
    assert (middle.input, middle.cached, middle.output) == (1, 1, 20)
    assert (long.input, long.cached, long.output) == (2, 2, 20)


def test_one_price_is_its_own_ceiling() -> None:
    assert ceiling([GPT_4O]) is GPT_4O


def test_there_is_no_ceiling_over_what_nobody_knows() -> None:
    assert ceiling([]) is None
    assert ceiling([None]) is None
    assert ceiling([GPT_4O, None]) is None
