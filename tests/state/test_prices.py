"""Prices of the list that is installed: who is asked for them, and whether they come to what the list itself computes.

No figure of the list is written down here: the next one has others.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import orjson
import pytest
from genai_prices import Usage as TheirUsage
from genai_prices.data import providers
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import clock
from proxy.core.model import Price, Provider
from proxy.core.prices import cost
from proxy.dialects import usage
from proxy.dialects.ir import Usage
from proxy.state import prices
from proxy.state.prices import lookup, price_of

SELLERS = {seller.id: seller for seller in providers}
NOW = 1_795_000_000.0
"""2026-11-18, in the afternoon."""


def provider(name: str, base_url: str, *roots: str) -> Provider:
    return Provider(name, base_url, {str(n): root for n, root in enumerate(roots)})


OPENAI = provider("openai", "https://api.openai.com/v1", "")
ANTHROPIC = provider("anthropic", "https://api.anthropic.com", "/v1")
GEMINI = provider("gemini", "https://generativelanguage.googleapis.com/v1beta", "")
BEDROCK = provider("bedrock", "https://bedrock-runtime.eu-west-1.amazonaws.com", "")
OWN = provider("corporate", "http://10.0.0.7:8080", "/v1")


# --- as the list itself computes ---------------------------------------------------------------------------------


def micro(dollars: Decimal) -> int:
    return int((dollars * 1_000_000).to_integral_value(ROUND_HALF_UP))


CLAUDE_USAGE = {
    "input_tokens": 10,
    "cache_read_input_tokens": 1800,
    "cache_creation_input_tokens": 1248,
    "cache_creation": {"ephemeral_5m_input_tokens": 248, "ephemeral_1h_input_tokens": 1000},
    "output_tokens": 503,
}


@pytest.mark.parametrize(
    ("account", "seller", "flavour", "answer", "read"),
    [
        (OPENAI, "openai", "chat",
         {"model": "gpt-4o", "usage": {
             "prompt_tokens": 1203, "completion_tokens": 307, "total_tokens": 1510,
             "prompt_tokens_details": {"cached_tokens": 801, "audio_tokens": 0},
             "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0}}}, usage.openai),
        (OPENAI, "openai", "responses",
         {"model": "gpt-5", "usage": {
             "input_tokens": 2001, "output_tokens": 515, "total_tokens": 2516,
             "input_tokens_details": {"cached_tokens": 1024},
             "output_tokens_details": {"reasoning_tokens": 448}}}, usage.openai),
        (OPENAI, "openai", "chat",
         {"model": "gpt-audio", "usage": {
             "prompt_tokens": 90, "completion_tokens": 60, "total_tokens": 150,
             "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 70},
             "completion_tokens_details": {"audio_tokens": 48}}}, usage.openai),
        (ANTHROPIC, "anthropic", "default", {"model": "claude-sonnet-4-5", "usage": CLAUDE_USAGE},
         lambda raw: usage.anthropic(raw, b"null")),
        # Beyond 200,000 tokens all of it has another price, whichever cache they come from.
        (ANTHROPIC, "anthropic", "default",
         {"model": "claude-sonnet-4-5", "usage": {**CLAUDE_USAGE, "cache_read_input_tokens": 198_743}},
         lambda raw: usage.anthropic(raw, b"null")),
        (GEMINI, "google", "default",
         {"modelVersion": "gemini-2.5-pro", "usageMetadata": {
             "promptTokenCount": 1001, "cachedContentTokenCount": 600, "candidatesTokenCount": 50,
             "thoughtsTokenCount": 201, "totalTokenCount": 1252}}, usage.gemini),
        (GEMINI, "google", "default",
         {"modelVersion": "gemini-2.5-flash", "usageMetadata": {
             "promptTokenCount": 500, "candidatesTokenCount": 20, "totalTokenCount": 520,
             "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 101},
                                     {"modality": "AUDIO", "tokenCount": 399}]}}, usage.gemini),
        (BEDROCK, "aws", "default",
         {"model": "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "usage": {
             "inputTokens": 12, "outputTokens": 99, "totalTokens": 2671,
             "cacheReadInputTokens": 2048, "cacheWriteInputTokens": 512}}, usage.bedrock),
    ],
)  # fmt: skip
def test_an_answer_costs_what_the_list_itself_makes_of_it(
    account: Provider,
    seller: str,
    flavour: str,
    answer: dict[str, Any],
    read: Callable[[bytes], Usage | None],
) -> None:
    model = answer.get("model") or answer["modelVersion"]
    info = SELLERS[seller].find_model(model)
    assert info is not None
    _, theirs = SELLERS[seller].extract_usage(answer, api_flavor=flavour)
    at = datetime.fromtimestamp(NOW, UTC)
    expected = info.calc_price(theirs, SELLERS[seller], genai_request_timestamp=at).total_price

    with clock.held(NOW):
        price = lookup(account, model)
    ours = read(orjson.dumps(answer.get("usage") or answer["usageMetadata"]))

    assert price is not None
    assert ours is not None
    assert cost(price, ours) == micro(expected) > 0


def plain(info: ModelInfo) -> bool:
    """Whether it is sold by nothing but tokens, which we count too, at any time of the day."""
    listed = (
        [info.prices] if isinstance(info.prices, ModelPrice) else [c.prices for c in info.prices]
    )
    times = [] if isinstance(info.prices, ModelPrice) else [c.constraint for c in info.prices]
    counted = {*prices._RATES.values(), "web_searches_kcount", "storage_searches_kcount"}
    keys = {key for one in listed for key, value in vars(one).items() if value is not None}
    timed = any(isinstance(constraint, TimeOfDateConstraint) for constraint in times)
    return keys <= counted and bool(keys) and not timed and "image" not in info.id  # fmt: skip


MODELS = [(s, m) for s in providers for m in s.models if plain(m)]
TOKENS = st.integers(0, 5000) | st.integers(0, 2_000_000)


@given(st.sampled_from(MODELS), *[TOKENS] * 4, st.floats(0, 1), st.floats(0, 1))
def test_every_model_that_is_sold_by_tokens_costs_what_the_list_makes_of_it(
    which: tuple[Any, ModelInfo], uncached: int, read: int, written: int, output: int,
    of_hour: float, of_thoughts: float,
) -> None:  # fmt: skip
    seller, info = which
    hour, thoughts = int(written * of_hour), int(output * of_thoughts)
    theirs = TheirUsage(
        input_tokens=uncached + read + written,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_5m_tokens=written - hour,
        cache_write_1h_tokens=hour,
        output_tokens=output,
        output_reasoning_tokens=thoughts,
        input_audio_tokens=0,
        output_audio_tokens=0,
    )
    at = datetime.fromtimestamp(NOW, UTC)
    expected = info.calc_price(theirs, seller, genai_request_timestamp=at).total_price

    price = prices._of(info, int(NOW) // 86400)

    used = Usage(uncached, read, written, output, thoughts, cache_write_1h=hour)
    assert cost(price, used) == micro(expected)


def test_no_price_that_is_listed_is_lost() -> None:
    assert len(MODELS) > 1000
    assert None not in [prices._of(info, int(NOW) // 86400) for _, info in MODELS]


# --- compiling ---------------------------------------------------------------------------------------------------


def info(listed: Any, id: str = "m", **more: Any) -> ModelInfo:
    return ModelInfo(id=id, match=ClauseEquals(id), prices=listed, **more)


def dollars(**rates: float | str) -> ModelPrice:
    return ModelPrice(**{key: Decimal(str(rate)) for key, rate in rates.items()})


DAY = int(NOW) // 86400


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (dollars(input_mtok=3, output_mtok=15), Price(input=3, output=15)),
        (
            dollars(input_mtok=3, cache_read_mtok=0.3, cache_write_mtok=3.75, cache_write_1h_mtok=6),
            Price(input=3, cached=0.3, cache_write=3.75, cache_write_1h=6),
        ),
        (
            dollars(output_reasoning_mtok=3, input_audio_mtok=32, output_audio_mtok=64),
            Price(reasoning=3, audio_input=32, audio_output=64),
        ),
        (dollars(audio_hours=0.36, input_audio_hours=0.36), Price(second=100)),
        (dollars(input_mtok=1, requests_kcount=12), Price(input=1, request=12_000)),
        (dollars(input_mtok=1, web_searches_kcount=10), Price(input=1)),
        (dollars(input_mtok=0, output_mtok=0), Price()),
        # Pictures are dearer than words, and nobody tells them apart.
        (dollars(input_mtok=1, output_mtok=2, output_image_mtok=30), Price(input=1, output=30)),
        (dollars(input_mtok=1, input_image_mtok=5, output_video_mtok=9), Price(input=5, output=9)),
        (dollars(input_mtok=4, input_image_mtok=5, output_mtok=16), Price(input=4, output=16)),
        # Sold by what we do not count, or by nothing at all.
        (dollars(input_mchars=15), None),
        (dollars(input_mtok=1, input_document_kpages=4), None),
        (dollars(web_searches_kcount=10), None),
        (dollars(), None),
    ],
)  # fmt: skip
def test_what_is_listed_becomes_a_price(listed: ModelPrice, expected: Price | None) -> None:
    assert prices._of(info(listed), DAY) == expected


def test_a_model_of_images_is_known_by_its_name_too() -> None:
    listed = dollars(input_mtok=5, input_image_mtok=10, cache_read_mtok=1, cache_image_read_mtok=2)

    assert prices._of(info(listed, "gpt-image-9"), DAY) == Price(input=10, cached=2)


@pytest.mark.parametrize(
    "said",
    [
        {"id": "gemma:free"},
        {"name": "Gemma (free)"},
        {"description": "All of it is free of charge"},
        {"price_comments": "Included in the subscription"},
    ],
)
def test_no_rates_are_nothing_only_where_the_list_says_so(said: dict[str, str]) -> None:
    assert prices._of(info(dollars(), **said), DAY) == Price()
    assert prices._of(info(dollars(), description="carefree"), DAY) is None


def test_tiers_of_each_part_are_laid_over_each_other() -> None:
    def tiered(base: int, **tiers: int) -> TieredPrices:
        return TieredPrices(
            Decimal(base), [Tier(int(start[1:]), Decimal(p)) for start, p in tiers.items()]
        )

    listed = ModelPrice(
        input_mtok=tiered(1, _100=2, _300=3), output_mtok=tiered(5, _200=6), cache_read_mtok=Decimal(1)
    )  # fmt: skip

    assert prices._of(info(listed), DAY) == Price(
        input=1,
        cached=1,
        output=5,
        above=(
            (100, Price(input=2, cached=1, output=5)),
            (200, Price(input=2, cached=1, output=6)),
            (300, Price(input=3, cached=1, output=6)),
        ),
    )


def test_a_price_holds_from_its_day_on() -> None:
    start = datetime(2026, 11, 18, tzinfo=UTC).date()
    listed = [
        ConditionalPrice(prices=dollars(input_mtok=1)),
        ConditionalPrice(StartDateConstraint(start), prices=dollars(input_mtok=2)),
    ]

    found = [prices._of(info(listed), day) for day in (DAY - 1, DAY, DAY + 1)]

    assert found == [Price(input=1), Price(input=2), Price(input=2)]


def test_where_the_hour_decides_the_dearest_counts() -> None:
    listed = [
        ConditionalPrice(prices=dollars(input_mtok=1, output_mtok=9)),
        ConditionalPrice(
            TimeOfDateConstraint(time(1, tzinfo=UTC), time(4, tzinfo=UTC)),
            prices=dollars(input_mtok=3, output_mtok=4),
        ),
        ConditionalPrice(
            TimeOfDateConstraint(time(6), time(10)), prices=dollars(input_mtok=2, output_mtok=10)
        ),
    ]

    found = prices._of(info(listed), DAY)

    assert found is not None
    assert (found.input, found.output) == (3, 10)


# --- who is asked ------------------------------------------------------------------------------------------------


def listed(seller: str, model: str) -> Price | None:
    found = SELLERS[seller].find_model(model, all_providers=providers)
    assert found is not None
    return prices._of(found, DAY)


@pytest.fixture(autouse=True)
def today() -> Any:
    with clock.held(NOW):
        yield


@pytest.mark.parametrize(
    ("account", "model", "seller", "name"),
    [
        (OPENAI, "gpt-4o", "openai", "gpt-4o"),
        (OPENAI, "GPT-4o", "openai", "gpt-4o"),
        (OPENAI, "gpt-4o-2024-08-06", "openai", "gpt-4o"),
        (provider("any", "https://openrouter.ai/api/v1", ""), "openai/gpt-4o", "openrouter", "openai/gpt-4o"),
        (provider("any", "https://r.openai.azure.com/openai", ""), "gpt-4o", "azure", "gpt-4o"),
        (provider("any", "https://us-central1-aiplatform.googleapis.com/v1", ""), "claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5"),
        (BEDROCK, "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "aws", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        # Only with its path is it known whose it is.
        (provider("any", "https://h.cloud.databricks.com", "/serving-endpoints"), "databricks-gpt-oss-20b", "databricks", "databricks-gpt-oss-20b"),
        # By the name of the provider, where its address tells nothing.
        (provider("groq", "http://10.0.0.7", ""), "llama-3.3-70b-versatile", "groq", "llama-3.3-70b-versatile"),
        (provider("bedrock-eu", "https://vpce-1.example.com", ""), "amazon.nova-pro-v1:0", "aws", "amazon.nova-pro-v1:0"),
        # By who makes the model, where the provider's name tells nothing either.
        (OWN, "gpt-4o", "openai", "gpt-4o"),
        (OWN, "openai/gpt-4o", "openai", "gpt-4o"),
        (OWN, "claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5"),
        (provider("openai", "http://127.0.0.1:9", ""), "claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5"),
    ],
)  # fmt: skip
def test_the_seller_is_asked_or_else_the_maker(
    account: Provider, model: str, seller: str, name: str
) -> None:
    found = lookup(account, model)

    assert found is not None
    assert found == listed(seller, name)


@pytest.mark.parametrize(
    ("account", "model"),
    [
        (OPENAI, "no-such-model"),
        # It is known who sells, and they do not list it.
        (OPENAI, "claude-sonnet-4-5"),
        (OWN, "llama-3"),
        (OWN, "nobody/gpt-4o"),
        (OWN, ""),
        (OWN, "*"),
        (OWN, "gpt-4o" + "x" * 300),
        (OWN, "\ud800"),
        (provider("ollama", "http://127.0.0.1:11434", ""), "gpt-4o"),
    ],
)
def test_where_nobody_can_be_asked_the_price_is_unknown(account: Provider, model: str) -> None:
    assert lookup(account, model) is None


def test_a_model_of_two_makers_has_a_price_if_it_is_the_same() -> None:
    one, other = Price(input=1), Price(input=2)

    assert prices._only([one, None, Price(input=1)]) == one
    assert prices._only([one, other]) is None
    assert prices._only([]) is None


@given(st.text(max_size=40), st.sampled_from([OPENAI, BEDROCK, GEMINI, OWN]))
def test_any_name_has_a_price_or_none(model: str, account: Provider) -> None:
    assert isinstance(lookup(account, model), Price | None)


def test_a_new_day_is_looked_up_anew_and_the_memory_is_bounded() -> None:
    prices._lookup.cache_clear()
    with clock.held(NOW) as hands:
        first = lookup(OPENAI, "gpt-4o")
        assert lookup(OPENAI, "gpt-4o") is first
        hands.advance(86400)
        lookup(OPENAI, "gpt-4o")

    found = prices._lookup.cache_info()
    assert (found.hits, found.misses) == (1, 2)
    assert found.maxsize is not None


def test_deployments_of_one_provider_and_model_share_a_lookup() -> None:
    prices._lookup.cache_clear()

    for _ in range(100):
        for name in ("p", "q"):
            lookup(provider(name, "https://api.openai.com/v1", ""), "gpt-4o")

    assert prices._lookup.cache_info().misses == 2


# --- what the configuration says -----------------------------------------------------------------------------------


def test_the_deployments_own_price_comes_first_then_the_closest_of_the_configuration() -> None:
    own, exact, long, short, rest = (Price(input=n) for n in range(1, 6))
    table = {"gpt-*": short, "gpt-4*": long, "gpt-4o": exact, "*": rest}

    def ask(model: str, own: Price | None = None) -> Price | None:
        return price_of(table, OPENAI, model, own)

    assert ask("gpt-4o", own) is own
    assert ask("gpt-4o") is exact
    assert ask("gpt-4o-mini") is long
    assert ask("gpt-3.5-turbo") is short
    assert ask("whisper-1") is rest
    # Another table, as after a change of the configuration.
    assert price_of({"gpt-*": rest}, OPENAI, "gpt-3.5-turbo", None) is rest
    assert price_of({"claude-*": rest}, OPENAI, "gpt-4o", None) == lookup(OPENAI, "gpt-4o")
    assert price_of({}, OPENAI, "gpt-4o", None) == lookup(OPENAI, "gpt-4o") is not None
    assert price_of({}, OPENAI, "no-such-model", None) is None


def test_a_price_of_nothing_in_the_configuration_is_a_price() -> None:
    assert price_of({"gpt-4o": Price()}, OPENAI, "gpt-4o", None) == Price()
    assert price_of({}, OPENAI, "gpt-4o", Price()) == Price()


def test_the_list_is_not_loaded_before_it_is_asked() -> None:
    code = "import sys; import proxy.state.prices; sys.exit('genai_prices' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], check=False)

    assert done.returncode == 0


@pytest.mark.parametrize("upstream", ["gpt-4o", "*"])
def test_the_list_is_loaded_while_a_configuration_is_compiled(upstream: str) -> None:
    code = f"""
import sys
from proxy.core.config.schema import Config
from proxy.state.snapshot import compile_snapshot
deployments = [{{"provider": "p", "model": "{upstream}"}}]
compile_snapshot(Config.model_validate({{
    "providers": {{"p": {{"base_url": "http://p.test", "dialects": ["openai.chat"], "credentials": ["x"]}}}},
    "models": {{"*": {{"deployments": deployments}}}},
}}))
sys.exit("genai_prices.data" not in sys.modules)
"""

    done = subprocess.run([sys.executable, "-c", code], check=False)

    assert done.returncode == 0
