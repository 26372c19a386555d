from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from proxy.core.config import parse
from proxy.core.config.foreign import Foreign
from proxy.core.config.foreign.litellm import recognised
from tests.core.config.foreign.examples import plain, translated, warned

CONFIG = """
model_list:
  - model_name: small
    litellm_params: {model: openai/gpt-small, api_key: os.environ/OPENAI_KEY}
  - model_name: large
    litellm_params: {model: anthropic/claude-large, api_key: os.environ/ANTHROPIC_KEY}
  - model_name: gemini/*
    litellm_params: {model: gemini/*, api_key: os.environ/GEMINI_KEY}
router_settings:
  routing_strategy: usage-based-routing-v2
  num_retries: 3
  timeout: 30
  stream_timeout: 10
  retry_after: 1
  allowed_fails: 3
  cooldown_time: 20
  enable_pre_call_checks: true
  model_group_alias: {tiny: small, huge: {model: large, hidden: true}, lost: nowhere}
  fallbacks: [{small: [large, nowhere]}, {nowhere: [small]}]
  redis_host: os.environ/REDIS_HOST
  redis_port: 6380
  redis_password: os.environ/REDIS_PASSWORD
  retry_policy: {TimeoutErrorRetries: 2}
litellm_settings:
  drop_params: true
  request_timeout: 600
  context_window_fallbacks: [{small: [large]}]
  content_policy_fallbacks: [{small: [large]}]
  default_fallbacks: [small]
  callbacks: [prometheus, langfuse]
  json_logs: true
  set_verbose: true
  cache: true
  cache_params: {type: redis, ttl: 120, mode: default_on, namespace: x}
  max_budget: 100
  budget_duration: 30d
  telemetry: false
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
  database_url: os.environ/DATABASE_URL
  store_model_in_db: true
  alerting: [slack]
  health_check_interval: 60
  global_max_parallel_requests: 50
environment_variables:
  REDIS_HOST: cache.example
files_settings: [{custom_llm_provider: openai}]
odd: 1
"""
VARIABLES = {
    "OPENAI_KEY": "sk-one",
    "ANTHROPIC_KEY": "sk-two",
    "GEMINI_KEY": "sk-three",
    "REDIS_HOST": "cache.example",
    "REDIS_PASSWORD": "p",
    "LITELLM_MASTER_KEY": "sk-a-master-key-of-litellm",
    "DATABASE_URL": "postgresql://a:b@c/d",
}


@pytest.fixture(scope="module")
def found() -> Foreign:
    return translated(CONFIG, "config.yaml")


def test_it_is_a_configuration_of_ours(found: Foreign) -> None:
    config = parse(found.yaml(), env=VARIABLES).config

    assert config.models["small"].fallbacks == ["large"]
    assert config.models["small"].fallbacks_context == ["large"]
    assert config.models["small"].fallbacks_content == ["large"]
    assert config.models["small"].aliases == ["tiny"]
    assert config.models["large"].aliases == ["huge"]
    assert config.providers["openai"].credentials[0].key.reveal() == "sk-one"
    assert config.admin.token is not None
    assert config.admin.token.reveal() == "sk-a-master-key-of-litellm"
    assert config.store.url == "postgresql://a:b@c/d"
    assert config.shared.url is not None
    assert config.shared.url.reveal() == "redis://:p@cache.example:6380/0"


def test_its_settings_have_their_places(found: Foreign) -> None:
    tree: Any = plain(found.tree)

    assert tree["server"] == {"host": "0.0.0.0", "port": 4000}
    assert tree["defaults"] == {
        "strategy": "least_used",
        "timeouts": {"request": 30, "ttft": 10},
        "retry": {"count": 3, "base": 1},
    }
    assert tree["health"] == {"max_errors": 4, "open_base": 20, "interval": 60}
    assert tree["logging"] == {"level": "debug", "format": "json"}
    assert tree["limits"] == {"concurrency": 50, "budget": {"usd": 100, "period": "month"}}
    assert all(
        model["cache"] == {"ttl": 120, "requests": "all"} for model in tree["models"].values()
    )
    # Those without fallbacks of their own fall back on the usual one.
    assert tree["models"]["gemini/*"]["fallbacks"] == ["small"]


def test_what_has_no_equal_is_named_with_the_nearest(found: Foreign) -> None:
    named = warned(found)

    assert named.keys() == {
        "environment_variables.REDIS_HOST",
        "router_settings.model_group_alias.huge",
        "router_settings.model_group_alias.lost",
        "router_settings.fallbacks[0].small[1]",
        "router_settings.fallbacks[1].nowhere[0]",
        "litellm_settings.default_fallbacks[0]",
        "router_settings.retry_policy",
        "litellm_settings.callbacks[1]",
        "litellm_settings.cache_params.type",
        "litellm_settings.cache_params.namespace",
        "litellm_settings.telemetry",
        "general_settings.alerting",
        "files_settings",
        "odd",
    }
    assert "docs/routing.md" in named["router_settings.retry_policy"]
    assert "circles" in named["litellm_settings.default_fallbacks[0]"]
    assert not found.problems


def test_without_a_master_key_only_this_machine_reaches_it() -> None:
    tree: Any = plain(translated("model_list: []\n").tree)

    assert tree["server"] == {"host": "127.0.0.1", "port": 4000}
    assert tree["admin"]["anonymous"] is True
    assert tree["defaults"] == {"strategy": "weighted_random"}


@pytest.mark.parametrize(
    ("theirs", "ours", "named"),
    [
        ("simple-shuffle", "weighted_random", False),
        ("least-busy", "least_inflight", False),
        ("latency-based-routing", "ttft", False),
        ("cost-based-routing", "cost", False),
        ("lowest-tps", "p2c", True),
    ],
)
def test_a_strategy_has_another_name(theirs: str, ours: str, named: bool) -> None:
    found = translated(f"model_list: []\nrouter_settings: {{routing_strategy: {theirs}}}\n")

    assert plain(found.tree)["defaults"]["strategy"] == ours
    assert ("router_settings.routing_strategy" in warned(found)) is named


def test_it_is_recognised() -> None:
    assert recognised({"model_list": []})
    assert recognised({"general_settings": {}, "litellm_settings": {}})
    assert not recognised({})
    assert not recognised({"models": {}})


@pytest.mark.parametrize("password", ["p/a#s?s@w:d", "100%25", "a${B}", "ü"])
def test_a_password_of_redis_may_hold_what_means_something_in_a_url(password: str) -> None:
    text = f"model_list: []\nrouter_settings: {{redis_host: h.example, redis_password: '{password}'}}\n"

    url = parse(translated(text).yaml(), env={}).config.shared.url

    assert url is not None
    parts = urlsplit(url.reveal())
    assert (parts.hostname, parts.port, parts.path) == ("h.example", 6379, "/0")
    assert unquote(parts.password or "") == password


def test_a_fallback_may_be_an_alias_or_what_a_wildcard_serves() -> None:
    found = translated("""
model_list:
  - {model_name: small, litellm_params: {model: openai/a}}
  - {model_name: large, litellm_params: {model: openai/b}}
  - {model_name: anthropic/*, litellm_params: {model: anthropic/*}}
router_settings:
  model_group_alias: {big: large}
  fallbacks:
    - small: [big, anthropic/claude, openai/c, anthropic/*]
    - anthropic/*: [small]
  default_fallbacks: [big]
""")

    models = parse(found.yaml(), env={}).config.models
    assert models["small"].fallbacks == ["big", "anthropic/claude"]
    assert models["large"].fallbacks == []
    assert [text.partition(" for")[0] for path, text in warned(found).items() if path] == [
        "left out: there is no model called 'openai/c'",
        "left out: there is no model called 'anthropic/*'",
        "left out",  # anthropic/* falls back on small, which falls back on a name of it
    ]


@pytest.mark.parametrize(
    ("params", "kept", "named"),
    [
        ("{type: local}", True, set()),
        ("{type: local, supported_call_types: [acompletion]}", True, {"supported_call_types"}),
        ("{type: local, supported_call_types: []}", False, set()),
        ("{mode: default_off, ttl: 60}", False, {"mode"}),
    ],
)
def test_answers_are_kept_of_those_alone_who_would_have_them_kept_there(
    params: str, kept: bool, named: set[str]
) -> None:
    found = translated(f"""
model_list: [{{model_name: m, litellm_params: {{model: openai/a}}}}]
litellm_settings: {{cache: true, cache_params: {params}}}
""")

    assert ("cache" in plain(found.tree)["models"]["m"]) is kept
    assert {path for path in warned(found) if path} == {
        f"litellm_settings.cache_params.{name}" for name in named
    }


@pytest.mark.parametrize(("general", "of_all"), [(20, 20), (0, None)])
def test_requests_at_once_are_of_all_or_of_each_deployment(
    general: int, of_all: int | None
) -> None:
    found = translated(f"""
model_list:
  - {{model_name: m, litellm_params: {{model: openai/a, max_parallel_requests: 3}}}}
  - {{model_name: m, litellm_params: {{model: openai/b}}}}
general_settings: {{max_parallel_requests: 5, global_max_parallel_requests: {general}}}
""")

    config = parse(found.yaml(), env={}).config
    assert config.limits.concurrency == of_all
    assert [one.concurrency for one in config.models["m"].deployments] == [3, 5]
