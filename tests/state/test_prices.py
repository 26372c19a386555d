"""Prices of the list that is installed: who is asked for them, and whether they come to what the list itself computes.

No figure of the list is written down here: the next one has others.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import orjson
import pytest
from genai_prices.data import providers
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.core import clock
from proxy.core.model import Price, Provider
from proxy.core.prices import cost
from proxy.dialects import usage
from proxy.dialects.ir import Usage
from proxy.state import price_reading, prices
from proxy.state.pricelist import Clause, How, Listed, Seller, encode, encode_models
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


# --- who is asked ------------------------------------------------------------------------------------------------


DAY = int(NOW) // 86400


def listed(seller: str, model: str) -> Price | None:
    found = SELLERS[seller].find_model(model, all_providers=providers)
    assert found is not None
    return price_reading.listed(found).on(DAY)


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
        (provider("sglang", "http://127.0.0.1:30000", ""), "gpt-4o"),
        (replace(OWN, runs=True), "gpt-4o"),
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


def test_a_list_that_another_process_has_read_is_used() -> None:
    account = provider("p", "http://shop.test", "")
    clauses = Clause(How.EQUALS, "m"), Clause(How.STARTS, "m")
    models = encode_models([Listed(clauses[0], ((0, Price(input=7)),))])
    before = lookup(account, "m")
    try:
        prices.use(encode([Seller("shop", r"http://shop\.", None, clauses[1], (), models)]))

        found = lookup(account, "m"), lookup(OWN, "m"), lookup(OPENAI, "gpt-4o")
    finally:
        prices.use(price_reading.read())

    assert before is None
    assert found == (Price(input=7), Price(input=7), None)
    assert lookup(OPENAI, "gpt-4o") is not None


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


@pytest.mark.parametrize(
    ("account", "model", "least"),
    [
        (provider("a", "https://api.openai.com/v1"), "gpt-4o", 128_000),
        (provider("a", "http://10.0.0.1"), "gpt-4o", 128_000),
        (provider("anthropic", "http://10.0.0.1"), "claude-3-7-sonnet-latest", 200_000),
    ],
)
def test_the_list_knows_how_much_a_model_reads(account: Provider, model: str, least: int) -> None:
    assert least <= prices.window(account, model) < 2 * least


@pytest.mark.parametrize(
    ("account", "model"),
    [
        (provider("a", "https://api.openai.com/v1"), "no-such-model"),
        (provider("ollama", "http://10.0.0.1"), "gpt-4o"),
        (replace(provider("a", "http://10.0.0.1"), runs=True), "gpt-4o"),
        (provider("a", "http://10.0.0.1"), "x" * 300),
    ],
)
def test_nobody_knows_of_all_of_them(account: Provider, model: str) -> None:
    assert prices.window(account, model) == 0
