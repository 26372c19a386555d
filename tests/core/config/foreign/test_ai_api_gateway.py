from __future__ import annotations

from typing import Any

import pytest

from proxy.core.config import parse
from proxy.core.surfaces import OPENAI
from proxy.core.url import join
from proxy.state.snapshot import compile_snapshot
from tests.core.config.foreign.examples import PROVIDER_JSON, plain, translated, warned, wrong


def tree(text: str = PROVIDER_JSON, **env: str) -> Any:
    return plain(translated(text, "provider.json", env).tree)


def test_each_field_has_its_place() -> None:
    found = tree(TZ="Asia/Shanghai", LOG_LEVEL="DEBUG")

    assert found["defaults"] == {
        "strategy": "weighted_round_robin",
        "owned_by": "api-gateway",
        "timeouts": {"request": 90, "ttft": 90},
        "retry": {"count": 1},
    }
    assert found["logging"] == {"level": "debug", "requests": False}
    assert found["keys"] == [{"name": "gateway", "key": "gateway-key-01"}]
    assert found["models"]["gpt-4o"]["deployments"][0] == {
        "provider": "first",
        "model": "gpt-4o-2024",
        "enabled": False,
        "priority": 2,
        "weight": 7,
        "stream": True,
        "non_stream": False,
        "max_context": 8000,
        "quota": {"requests": 100, "tokens": 5000, "cron": "0 */6 * * *", "tz": "Asia/Shanghai"},
        "timeouts": {"request": 45, "ttft": 45},
        "retry": {"count": 4},
    }


def test_what_is_left_out_is_as_it_is_there() -> None:
    found = tree(
        '{"m": {"providers": [{"name": "a", "endpoint": "https://a.example", "api_key": "k", "model": "m"}]}}'
    )

    assert found["server"]["port"] == 6010
    assert found["defaults"]["timeouts"] == {"request": 60, "ttft": 60}
    assert found["defaults"]["retry"] == {"count": 3}
    assert found["models"]["m"]["deployments"] == [
        {"provider": "a", "model": "m", "priority": 1, "weight": 10}
    ]
    assert "keys" not in found


def test_a_provider_is_one_address_with_one_key() -> None:
    found = tree()

    assert found["providers"] == {
        "first": {
            "base_url": "https://first.example.com/v1",
            "credentials": ["sk-first"],
            "headers": {"x-tenant": "seven"},
        },
        "second": {
            "base_url": "http://10.0.0.7:8080/v1",
            "credentials": ["sk-second"],
            "allow_private": True,
        },
        # The same name in another model, with another key.
        "first (deepseek chat)": {
            "base_url": "https://first.example.com/v1",
            "credentials": ["sk-other"],
        },
    }
    deployments = found["models"]["deepseek chat"]["deployments"]
    assert deployments[0]["provider"] == "first (deepseek chat)"


@pytest.mark.parametrize(
    ("endpoint", "asked"),
    [
        ("https://a.example/v1", "https://a.example/v1/chat/completions"),
        ("https://a.example/compatible/v1/", "https://a.example/compatible/v1/chat/completions"),
        ("https://a.example/api/v3", "https://a.example/api/v3/chat/completions"),
        ("https://a.example/api/paas/v4/", "https://a.example/api/paas/v4/chat/completions"),
        ("https://a.example/v1beta/openai", "https://a.example/v1beta/openai/chat/completions"),
        ("https://a.example", "https://a.example/v1/chat/completions"),
    ],
)
def test_what_is_asked_stands_behind_the_endpoint(endpoint: str, asked: str) -> None:
    text = PROVIDER_JSON.replace("https://first.example.com/v1", endpoint)
    config = parse(translated(text).yaml(), env={}).config

    provider = compile_snapshot(config).providers["first"]
    assert join(provider.base_url, provider.dialects["openai.chat"]) == asked
    assert provider.dialects.keys() == set(OPENAI)


def test_a_limit_of_nothing_is_none() -> None:
    text = PROVIDER_JSON.replace('"requests_per_period": 100', '"requests_per_period": null')

    assert tree(text)["models"]["gpt-4o"]["deployments"][0]["quota"] == {
        "tokens": 5000,
        "cron": "0 */6 * * *",
        "tz": "UTC",
    }
    both = text.replace('"tokens_per_period": 5000', '"tokens_per_period": null')
    assert "quota" not in tree(both)["models"]["gpt-4o"]["deployments"][0]


@pytest.mark.parametrize("field", ["name", "endpoint", "api_key", "model"])
def test_what_is_required_is_an_error_where_it_is_missing(field: str) -> None:
    text = PROVIDER_JSON.replace(f'"{field}"', '"x_field"', 2 if field == "api_key" else 1)
    if field == "api_key":
        text = text.replace('"x_field"', '"api_key"', 1)

    assert f"gpt-4o.providers[0].{field}" in wrong(translated(text))


def test_what_is_not_known_is_named() -> None:
    text = PROVIDER_JSON.replace('"weight": 7', '"wieght": 7').replace(
        '"_global"', '"_comment": "x", "_global"'
    )
    found = translated(text, env={"FLASK_ENV": "development"})

    assert "did you mean 'weight'" in warned(found)["gpt-4o.providers[0].wieght"]
    assert "FLASK_ENV" in warned(found)
    assert "_comment" not in warned(found)
    assert "FLASK_ENV" not in warned(translated(text, env={"FLASK_ENV": "production"}))
