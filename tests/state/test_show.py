from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from proxy.core.config import load, parse
from proxy.core.paths import CONF
from proxy.state.show import show
from proxy.state.snapshot import compile_snapshot

TEXT = """
admin: {token: literal-admin-token, password: literal-admin-password}
tracing: {headers: {x-collector: literal-collector-header}}
secrets: {keys: [literal-kQ9vX2mB7tR4wZ1pL6sD8fG3hJ5nC0yU]}
store: {url: "postgresql://user:literal-password@db.example/headrace"}
defaults: {param_overrides: {user: "${END_USER_TOKEN}", n: 1}, timeouts: {ttft: 9}}
providers:
  p:
    base_url: "https://${REGION}.example.com/v1"
    credentials: ["${P_API_KEY}", literal-credential]
    headers: {x-api-key: literal-header, x-title: shown, x-env: "${TITLE}"}
    query: {token: literal-query, api-version: preview}
    proxy: "http://me:literal-proxy@proxy.example:3128"
    dialects: {openai.chat: "/v1/chat/completions", openai.images: "/x/{model}/images"}
models:
  m: {aliases: [a], deployments: [{provider: p, model: up, weight: 3, param_defaults: {t: 0.5}}]}
  "w*": {deployments: [{provider: p, model: "*"}]}
keys:
  - {name: app, key: literal-virtual-key, models: ["m*"], cidrs: [10.0.0.0/8], budget: {usd: 3}}
"""
ENV = {
    "REGION": "eu",
    "P_API_KEY": "sk-from-environment",
    "END_USER_TOKEN": "token-from-environment",
    "TITLE": "title-from-environment",
}


def shown(text: str = TEXT, env: dict[str, str] = ENV) -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads(show(parse(text, "h.yaml", env), as_json=True))
    return content


def test_no_secret_is_shown_wherever_it_came_from() -> None:
    loaded = parse(TEXT, "h.yaml", ENV)

    for text in (show(loaded), show(loaded, as_json=True)):
        assert "literal-" not in text
        assert "-from-environment" not in text


def test_secrets_of_files_are_not_shown_even_in_odd_places(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("from-a-file\n")
    (tmp_path / "h.yaml").write_text(
        "providers: {p: {base_url: 'https://a.example/${file:s}', auth: none, query: {v: 'file:s'}}}\n"
    )

    text = show(load(tmp_path / "h.yaml", {}))

    assert "from-a-file" not in text
    assert "https://a.example/***" in text


def test_a_deployment_is_shown_with_what_it_amounts_to() -> None:
    (deployment,) = shown()["models"]["m"]["deployments"]

    assert deployment["id"] == "m/0:p"
    assert deployment["provider"] == "p"
    assert deployment["weight"] == 3
    assert deployment["priority"] == 1
    assert deployment["urls"] == {
        "openai.chat": "https://eu.example.com/v1/chat/completions",
        "openai.images": "https://eu.example.com/v1/x/up/images",
    }
    assert deployment["timeouts"]["ttft"] == 9
    assert deployment["timeouts"]["connect"] == 5
    assert deployment["param_defaults"] == {"t": 0.5}
    assert deployment["param_overrides"] == {"user": "***", "n": 1}
    assert deployment["force_usage"] is True
    assert deployment["stream"] is deployment["non_stream"] is True
    assert deployment["max_tokens"] == 4096
    assert deployment["prefer"] == []


def test_everything_else_is_shown_once() -> None:
    content = shown()
    no_limits = dict.fromkeys(("rpm", "tpm", "concurrency", "quota"))

    assert list(content["models"]) == ["m", "w*"]
    assert content["models"]["m"]["aliases"] == ["a"]
    assert content["models"]["m"]["strict"] is False
    assert content["providers"]["p"]["credentials"] == [
        {"id": "p#0", "key": "***", "weight": 1, **no_limits},
        {"id": "p#1", "key": "***", "weight": 1, **no_limits},
    ]
    assert content["providers"]["p"]["headers"]["x-title"] == "shown"
    assert content["providers"]["p"]["query"] == {"token": "***", "api-version": "preview"}
    assert content["providers"]["p"]["proxy"] == "http://***@proxy.example:3128"
    assert content["store"]["url"] == "postgresql://***@db.example/headrace"
    assert content["admin"]["token"] == content["admin"]["password"] == "***"
    assert content["secrets"] == {"keys": ["***"], "file": None, "sources": {}}
    assert content["keys"][0]["cidrs"] == ["10.0.0.0/8"]
    assert content["keys"][0]["budget"] == {
        "usd": 3.0,
        "period": "month",
        "cron": "",
        "tz": "UTC",
        "strict": False,
    }
    assert content["keys"][0]["models"] == ["m*"]
    assert content["auth"]["require"] is True


def test_a_conversation_is_shown_with_the_url_that_begins_it() -> None:
    text = """
providers:
  p:
    base_url: "https://chat.example/api"
    credentials: [literal-credential]
    conversation:
      create: {path: /c, id_path: "data[0].id", headers: {x-token: literal-header}}
      path: /c/{conversation_id}
      body: {q: "{prompt}", key: "${P_API_KEY}"}
      text_path: text
      done: {path: end}
"""
    content = shown(text)["providers"]["p"]["conversation"]

    assert content["create"]["url"] == "POST https://chat.example/api/c"
    assert content["create"]["headers"] == {"x-token": "***"}
    assert content["create"]["id_path"] == "data.0.id"
    assert content["body"] == {"q": "{prompt}", "key": "***"}
    assert content["done"] == {"path": "end", "equals": None}


def test_yaml_and_json_say_the_same() -> None:
    loaded = parse(TEXT, "h.yaml", ENV)

    assert yaml.safe_load(show(loaded)) == orjson.loads(show(loaded, as_json=True))


def test_the_example_and_its_warnings_are_shown() -> None:
    content: dict[str, Any] = yaml.safe_load(show(load(CONF / "headrace.yaml", {})))

    assert set(content["providers"]) == {"ollama"}
    assert set(content["models"]) == {"ollama/*"}
    assert any("OPENAI_API_KEY" in line for line in content["warnings"])
    assert content["admin"]["token"] is None


def test_limits_and_prices_are_shown_in_the_units_of_the_file() -> None:
    text = """
limits: {rpm: 9, budget: {usd: 2}}
teams: {t: {tpm: 8, burst: 3}}
prices: {up: {input: 1.5, image: 0.04, above: {1000: {input: 3}}}}
defaults: {price_unknown: {output: 4}}
ledger: {path: /var/h}
providers: {p: {base_url: "https://a.example", credentials: [{key: literal, rpm: 4, quota: {tokens: 5}}]}}
models: {m: {concurrency: 6, deployments: [{provider: p, model: up, tpm: 7}, {provider: p, model: nobody/has-it}]}}
"""

    content = shown(text)

    assert content["limits"]["rpm"] == 9
    assert content["limits"]["budget"]["usd"] == 2
    assert content["teams"] == {"t": {"rpm": None, "tpm": 8, "concurrency": None, "burst": 3, "budget": None}}  # fmt: skip
    price = content["prices"]["up"]
    assert (price["input"], price["image"], price["output"]) == (1.5, 0.04, 0)
    assert price["above"]["1000"]["input"] == 3
    assert content["price_unknown"]["output"] == 4
    assert content["ledger"]["path"] == "/var/h"
    [credential] = content["providers"]["p"]["credentials"]
    assert (credential["rpm"], credential["quota"]["tokens"]) == (4, 5)
    model = content["models"]["m"]
    assert model["concurrency"] == 6
    assert [one["tpm"] for one in model["deployments"]] == [7, None]
    assert [one["price"] for one in model["deployments"]] == [price, None]
    assert shown("")["price_unknown"] == "refuse"


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:geheim@h:1/0",
        "redis://h/0?password=geheim",
        "rediss://h/0?username=u&password=geheim@x",
        "unix://:geheim@/run/x.sock",
    ],
)
def test_a_server_of_shared_limits_is_shown_without_its_password(url: str) -> None:
    loaded = parse(f"shared: {{url: '{url}'}}", "h.yaml", {})

    for text in (
        show(loaded),
        repr(loaded.config),
        repr(loaded.config.shared),
        repr(compile_snapshot(loaded.config)),
    ):
        assert "geheim" not in text
    assert shown(f"shared: {{url: '{url}'}}")["shared"]["url"].startswith(url[:5])


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:literal@literal@db.example/headrace",
        "postgresql://user:literal/literal@db.example/headrace",
        "postgresql://db.example/headrace?user=u&password=literal",
    ],
)
def test_no_part_of_a_password_in_the_url_of_the_database_is_shown(url: str) -> None:
    for text in (f'store: {{url: "{url}"}}', 'store: {url: "${DATABASE}"}'):
        assert "literal" not in show(parse(text, "h.yaml", {"DATABASE": url}))


def test_the_place_of_a_database_in_a_file_is_shown_whole() -> None:
    text = 'store: {url: "sqlite:////srv/a@b/headrace.db"}'

    assert shown(text)["store"]["url"] == "sqlite:////srv/a@b/headrace.db"


def test_rules_are_shown_with_what_they_look_at() -> None:
    text = """
providers: {p: {base_url: "https://p.example", credentials: [literal], fields: {openai.chat: {drop: [user]}}}}
models:
  big: {deployments: [{provider: p}]}
  m:
    deployments: [{provider: p}]
    rules: [{use: big, when: {headers: {x-tier: [gold, "${TIER_TOKEN}"]}, min_tokens: 9}, share: 0.5}]
"""
    loaded = parse(text, "h.yaml", {"TIER_TOKEN": "literal-tier"})

    (rule,) = yaml.safe_load(show(loaded))["models"]["m"]["rules"]
    assert rule["use"] == "big"
    assert rule["when"]["headers"] == {"x-tier": ["gold", "***"]}
    assert (rule["when"]["min_tokens"], rule["share"]) == (9, 0.5)
    assert orjson.loads(show(loaded, as_json=True))["models"]["m"]["rules"] == [rule]


def test_of_the_query_of_a_server_of_tools_the_names_are_shown() -> None:
    text = 'mcp: {s: {url: "https://tools.example/mcp?profile=literal&k=literal"}}'

    server = shown(text)["mcp"]["s"]
    assert server["url"] == "https://tools.example/mcp"
    assert server["query"] == {"profile": "***", "k": "***"}
