from __future__ import annotations

import subprocess
import sys
from typing import Any

import orjson
import pytest
import yaml

from proxy.core import model
from proxy.core.config import parse
from proxy.core.model import Auth, Snapshot, Strategy
from proxy.core.paths import PACKAGE
from proxy.core.virtual_key import digest
from proxy.state.snapshot import compile_snapshot

BASE = {"base_url": "https://api.example.com/v1/", "credentials": ["k"]}


def snapshot(content: dict[str, Any] | str, **env: str) -> Snapshot:
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    return compile_snapshot(parse(text, "h.yaml", env).config)


def one(
    *,
    defaults: dict[str, Any] | None = None,
    provider: dict[str, Any] | None = None,
    public: dict[str, Any] | None = None,
    deployment: dict[str, Any] | None = None,
) -> model.Deployment:
    """One deployment with something said at each level."""
    compiled = snapshot(
        {
            "defaults": defaults or {},
            "providers": {"p": BASE | (provider or {})},
            "models": {
                "m": (public or {}) | {"deployments": [{"provider": "p"} | (deployment or {})]}
            },
        }
    )
    return compiled.models["m"].tiers[0][0]


def test_an_empty_configuration_is_the_default_snapshot() -> None:
    compiled = snapshot("")

    default = Snapshot()
    for name in (
        "server", "admin", "logging", "health", "exempt", "require_auth", "store_url", "limits", "teams", "prices",
        "price_unknown", "shared",
    ):  # fmt: skip
        assert getattr(compiled, name) == getattr(default, name)


def test_sections_become_their_structs() -> None:
    compiled = snapshot(
        {
            "server": {"port": 1, "drain": "5m", "max_body": "1KiB", "workers": 3, "timing": True},
            "admin": {"port": 2, "token": "0123456789abcdef"},
            "logging": {"level": "DEBUG", "format": "json", "file": "x.log"},
            "health": {"open_max": "1m", "max_errors": 2},
            "auth": {"require": True, "exempt": ["/a"]},
            "store": {"url": "postgresql://h/d"},
        }
    )

    assert compiled.server == model.Server(port=1, drain=300, max_body=1024, workers=3, timing=True)
    assert compiled.admin.token is not None
    assert compiled.admin.token.reveal() == "0123456789abcdef"
    assert compiled.logging == model.Logging(level="debug", format="json", file="x.log")
    assert compiled.health == model.Health(open_max=60, max_errors=2)
    assert compiled.require_auth
    assert compiled.exempt == {"/a"}
    assert compiled.store_url == "postgresql://h/d"


# --- providers ---


def test_a_provider_is_compiled_with_what_a_request_needs() -> None:
    compiled = snapshot(
        {
            "providers": {
                "p": {
                    "base_url": "https://api.example.com/v1/",
                    "dialects": ["openai.chat", "anthropic.messages"],
                    "credentials": ["${A}", {"key": "b", "weight": 3}],
                    "auth": {"anthropic": "bearer"},
                    "headers": {"x-a": "1"},
                    "query": {"q": "2"},
                    "proxy": "http://proxy.example:3128",
                    "max_connections": 7,
                    "verify_tls": False,
                }
            }
        }
    )

    provider = compiled.providers["p"]
    assert provider.base_url == "https://api.example.com/v1"
    assert provider.dialects["openai.chat"] == "/v1/chat/completions"
    # The first credential is left out: its variable is not set. The other keeps its place as its name.
    assert [(item.id, item.weight) for item in provider.credentials] == [("p#1", 3)]
    assert provider.auth == {"openai": Auth("bearer"), "anthropic": Auth("bearer")}
    assert (provider.headers, provider.query) == ({"x-a": "1"}, {"q": "2"})
    assert (provider.proxy, provider.max_connections) == ("http://proxy.example:3128", 7)
    assert not provider.verify_tls


def test_a_conversation_is_compiled_with_its_provider() -> None:
    block = {
        "create": {"path": "/c", "id_path": "data.id", "body": {"model": "{model}"}},
        "path": "/c/{conversation_id}",
        "body": {"q": "{prompt}"},
        "text_path": ["delta", "message.text"],
        "done": {"path": "type", "equals": "end"},
        "prefetch": 2,
        "expire": "5m",
    }

    provider = one(provider={"conversation": block}).provider

    assert provider.dialects == {"conversation.chat": "/c/{conversation_id}"}
    assert provider.auth == {"conversation": Auth("bearer")}
    settings = provider.conversation
    assert settings is not None
    assert settings.create.id == ("data", "id")
    assert settings.create.body == {"model": "{model}"}
    assert settings.text == (("delta",), ("message", "text"))
    assert settings.done is not None
    assert (settings.done.path, settings.done.equals) == (("type",), "end")
    assert (settings.prefetch, settings.expire, settings.error) == (2, 300.0, ("error",))
    assert one().provider.conversation is None


def test_providers_without_a_credential_or_switched_off_are_left_out() -> None:
    compiled = snapshot(
        {
            "providers": {
                "bare": {"base_url": "https://a.example", "credentials": ["${NOT_SET}"]},
                "off": BASE | {"enabled": False},
                "open": {"base_url": "https://b.example", "auth": "none"},
            },
            "models": {
                "m": {"deployments": [{"provider": name} for name in ("bare", "off", "open")]},
                "n": {"deployments": [{"provider": "bare"}]},
            },
        }
    )

    assert set(compiled.providers) == {"open"}
    assert [item.id for item in compiled.models["m"].tiers[0]] == ["m/2:open"]
    assert "n" not in compiled.models


# --- what is said where ---


def test_parameters_of_the_narrower_place_win_and_null_takes_a_default_away() -> None:
    deployment = one(
        defaults={"param_defaults": {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1}},
        provider={"param_defaults": {"b": 2, "c": 2, "d": 2}},
        public={"param_defaults": {"c": 3, "d": 3}},
        deployment={"param_defaults": {"d": 4, "e": None}},
    )

    assert deployment.param_defaults == {"a": 1, "b": 2, "c": 3, "d": 4}


def test_a_null_override_stays_because_it_removes_what_the_client_sent() -> None:
    deployment = one(
        defaults={"param_overrides": {"a": 1, "b": 1}},
        provider={"param_overrides": {"b": None}},
    )

    assert deployment.param_overrides == {"a": 1, "b": None}
    assert deployment.provider.param_overrides == {"a": 1, "b": None}


def test_the_name_of_the_model_is_never_taken_from_parameters() -> None:
    deployment = one(
        defaults={"param_overrides": {"model": "other", "stream": True}},
        deployment={"param_defaults": {"model": "other"}},
    )

    assert deployment.param_overrides == deployment.param_defaults == {}


def test_timeouts_and_retries_come_from_the_narrowest_place_that_says_something() -> None:
    deployment = one(
        defaults={
            "timeouts": {"connect": 1, "ttft": 1, "idle": 1, "event": 1},
            "retry": {"count": 1, "cap": 1},
        },
        provider={"timeouts": {"ttft": 2, "idle": 2, "event": 2}, "retry": {"count": 2}},
        public={"timeouts": {"idle": 3, "event": 3}, "retry": {"count": 3}},
        deployment={"timeouts": {"event": "4s"}, "retry": {"count": 4}},
    )

    assert deployment.timeouts == model.Timeouts(connect=1, ttft=2, idle=3, event=4)
    assert deployment.retry == model.Retry(count=4, cap=1)
    assert deployment.provider.timeouts == model.Timeouts(connect=1, ttft=2, idle=2, event=2)


@pytest.mark.parametrize(
    ("default", "provider", "public", "expected"),
    [
        (None, None, None, True),
        (False, None, None, False),
        (None, False, None, False),
        (False, True, None, True),
        (None, False, True, True),
        (None, None, False, False),
    ],
)
def test_usage_is_forced_where_the_narrowest_place_says_so(
    default: bool | None, provider: bool | None, public: bool | None, expected: bool
) -> None:
    deployment = one(
        defaults={"force_usage": default},
        provider={"force_usage": provider},
        public={"force_usage": public},
    )

    assert deployment.force_usage is expected


@pytest.mark.parametrize(
    ("default", "provider", "public", "deployment", "expected"),
    [
        (None, None, None, None, 4096),
        (1, None, None, None, 1),
        (1, 2, None, None, 2),
        (1, 2, 3, None, 3),
        (1, 2, 3, 4, 4),
    ],
)
def test_the_limit_of_tokens_comes_from_the_narrowest_place_that_says_something(
    default: int | None,
    provider: int | None,
    public: int | None,
    deployment: int | None,
    expected: int,
) -> None:
    compiled = one(
        defaults={"max_tokens": default},
        provider={"max_tokens": provider},
        public={"max_tokens": public},
        deployment={"max_tokens": deployment},
    )

    assert compiled.max_tokens == expected


def test_a_deployment_can_prefill_if_it_says_so() -> None:
    assert not one().prefills
    assert one(deployment={"continuation": "prefill"}).prefills


def test_a_deployment_prefers_what_its_provider_prefers_unless_it_says_else() -> None:
    account = {"prefer": ["openai.responses", "openai.chat"]}

    assert one().prefer == ()
    assert one(provider=account).prefer == ("openai.responses", "openai.chat")
    assert one(provider=account, deployment={"prefer": "openai.chat"}).prefer == ("openai.chat",)
    assert one(provider=account, deployment={"prefer": []}).prefer == ()


def test_a_deployment_gives_streams_and_whole_answers_unless_it_says_else() -> None:
    assert (one().streams, one().non_streams) == (True, True)
    assert one(deployment={"stream": False}).streams is False
    assert one(deployment={"non_stream": False}).non_streams is False


# --- models ---


def models(block: dict[str, Any], **rest: Any) -> Snapshot:
    return snapshot({"providers": {"p": BASE, "q": BASE}, "models": block, **rest})


def test_deployments_are_in_tiers_the_smallest_priority_first() -> None:
    compiled = models(
        {
            "m": {
                "deployments": [
                    {"provider": "p", "priority": 2},
                    {"provider": "q", "model": "x", "weight": 5},
                    {"provider": "p", "priority": 2, "model": "y"},
                    {"provider": "q", "preferred": True},
                    {"provider": "q", "weight": 0},
                    {"provider": "q", "enabled": False},
                ]
            }
        }
    )

    assert [[item.id for item in tier] for tier in compiled.models["m"].tiers] == [
        ["m/3:q"],
        ["m/1:q"],
        ["m/0:p", "m/2:p"],
    ]
    deployment = compiled.models["m"].tiers[1][0]
    assert (deployment.model, deployment.weight, deployment.priority) == ("x", 5, 1)
    assert compiled.models["m"].tiers[2][0].model == "m"


def test_aliases_lead_to_the_same_model_and_defaults_apply() -> None:
    compiled = models(
        {
            "m": {"aliases": ["a", "b"], "deployments": [{"provider": "p"}]},
            "n": {"strategy": "random", "retry": {"count": 0}, "deployments": [{"provider": "p"}]},
        },
        defaults={"strategy": "least used", "retry": {"cap": 1}},
    )

    assert compiled.models["a"] is compiled.models["b"] is compiled.models["m"]
    assert compiled.models["m"].strategy is Strategy.LEAST_USED
    assert compiled.models["n"].strategy is Strategy.RANDOM
    assert compiled.models["n"].retry == model.Retry(count=0, cap=1)


def test_wildcards_are_sorted_by_length_and_are_no_names() -> None:
    deployments = [{"provider": "p", "model": "*"}]
    compiled = models(
        {
            "*": {"deployments": deployments},
            "openai/*": {"aliases": ["oai/*"], "deployments": deployments},
            "openai/gpt-*": {"deployments": [{"provider": "p", "model": "vendor/gpt-*"}]},
            "m": {"deployments": [{"provider": "p"}]},
        }
    )

    assert [(prefix, item.name) for prefix, item in compiled.wildcards] == [
        ("openai/gpt-", "openai/gpt-*"),
        ("openai/", "openai/*"),
        ("oai/", "openai/*"),
        ("", "*"),
    ]
    assert set(compiled.models) == {"m"}
    assert compiled.wildcards[0][1].tiers[0][0].model == "vendor/gpt-*"
    assert compiled.wildcards[0][1].tiers[0][0].id == "openai/gpt-*/0:p"


def test_a_model_without_deployments_lives_as_long_as_a_fallback_does() -> None:
    compiled = models(
        {
            "a": {"fallbacks": ["b", "served"]},
            "b": {"fallbacks": ["c"]},
            "c": {"fallbacks": ["d1"]},
            "d": {"aliases": ["d1"]},
            "served": {
                "fallbacks": ["x/anything"],
                "fallbacks_context": ["b"],
                "fallbacks_content": ["y/z"],
                "deployments": [{"provider": "p"}],
            },
            "x/*": {"deployments": [{"provider": "p", "model": "*"}]},
            "y/*": {},
        }
    )

    assert set(compiled.models) == {"a", "served"}
    assert compiled.models["a"].fallbacks == ("served",)
    assert compiled.models["served"].fallbacks == ("x/anything",)
    assert compiled.models["served"].fallbacks_context == ()
    assert compiled.models["served"].fallbacks_content == ()


# --- keys ---


def test_keys_are_found_by_their_digest_and_not_kept() -> None:
    compiled = snapshot(
        {
            "keys": [
                {"name": "a", "key": "sk-12345678", "models": ["gpt-*"], "expires": "2100-01-01"},
                {"name": "b", "key": "${K}", "enabled": False},
            ]
        },
        K=" sk-from-outside\n",
    )

    first = compiled.keys[digest("sk-12345678", compiled.peppers[0])]
    second = compiled.keys[digest("sk-from-outside", compiled.peppers[0])]
    assert (first.name, first.models, first.enabled) == ("a", ("gpt-*",), True)
    assert first.expires == 4102444800
    assert not second.enabled
    assert "sk-" not in repr(compiled.keys)


@pytest.mark.parametrize(
    ("require", "keys", "expected"),
    [("auto", 0, False), ("auto", 1, True), (True, 0, True), (False, 1, False)],
)
def test_keys_are_required_as_soon_as_there_is_one(
    require: str | bool, keys: int, expected: bool
) -> None:
    content = {"auth": {"require": require}, "keys": [{"name": "a", "key": "sk-12345678"}][:keys]}

    assert snapshot(content).require_auth is expected


# --- limits and money ---


def test_limits_are_where_they_were_written() -> None:
    compiled = snapshot(
        {
            "limits": {"rpm": 9},
            "teams": {"t": {"tpm": 8}},
            "prices": {"gpt-*": {"input": 3}},
            "defaults": {"price_unknown": {"output": 4}},
            "ledger": {"path": "/var/h", "keep": {"content": "1h"}},
            "shared": {"url": "redis://h", "prefix": "x"},
            "providers": {
                "p": BASE | {"credentials": [{"key": "k", "rpm": 4, "quota": {"tokens": 5}}, "l"]}
            },
            "models": {"m": {"concurrency": 6, "deployments": [{"provider": "p", "tpm": 7}]}},
        }
    )

    assert compiled.limits == model.Limits(rpm=9)
    assert compiled.teams == {"t": model.Limits(tpm=8)}
    assert compiled.prices == {"gpt-*": model.Price(input=3.0)}
    assert compiled.price_unknown == model.Price(output=4.0)
    assert (compiled.ledger.path, compiled.ledger.keep_content) == ("/var/h", 3600.0)
    assert (compiled.shared.url, compiled.shared.prefix) == ("redis://h", "x")
    first, second = compiled.providers["p"].credentials
    assert (first.limits, first.quota) == (model.Limits(rpm=4), model.Quota(tokens=5))
    assert (second.limits, second.quota) == (None, None)
    assert compiled.models["m"].limits == model.Limits(concurrency=6)
    assert compiled.models["m"].tiers[0][0].limits == model.Limits(tpm=7)


def test_a_key_has_its_budget() -> None:
    keys = "keys: [{name: k, key: sk-application, budget: {usd: 5, period: day, tz: Asia/Tokyo, strict: true}}]"

    [key] = snapshot(keys).keys.values()

    assert key.budget == model.Budget(5.0, "day", "", "Asia/Tokyo", True)


OPENAI = {"base_url": "https://api.openai.com/v1"}


@pytest.mark.parametrize(
    ("deployment", "prices", "expected"),
    [
        ({"model": "gpt-4o"}, {}, 2.5),
        ({"model": "gpt-4o"}, {"gpt-4o": {"input": 9}}, 9.0),
        ({"model": "gpt-4o"}, {"gpt-*": {"input": 8}, "*": {"input": 7}}, 8.0),
        ({"model": "gpt-4o"}, {"gpt-4o": {}}, 2.5),
        ({"model": "gpt-4o", "price": {"input": 1}}, {"gpt-4o": {"input": 9}}, 1.0),
        ({"model": "gpt-4o", "price": {}}, {}, 2.5),
        ({"model": "nobody-has-it"}, {}, None),
    ],
)
def test_a_deployment_has_the_price_that_is_said_nearest_to_it(
    deployment: dict[str, Any], prices: dict[str, Any], expected: float | None
) -> None:
    compiled = snapshot(
        {
            "prices": prices,
            "providers": {"p": BASE | OPENAI},
            "models": {"m": {"deployments": [{"provider": "p"} | deployment]}},
        }
    )

    price = compiled.models["m"].tiers[0][0].price
    assert (price and price.input) == expected


def test_a_wildcard_costs_only_what_it_says_itself() -> None:
    compiled = snapshot(
        {
            "prices": {"gpt-*": {"input": 9}},
            "providers": {"p": BASE | OPENAI},
            "models": {
                "gpt-*": {"deployments": [{"provider": "p", "model": "gpt-*"}]},
                "x/*": {"deployments": [{"provider": "p", "model": "*", "price": {"input": 1}}]},
            },
        }
    )

    priced = {prefix: item.tiers[0][0].price for prefix, item in compiled.wildcards}
    assert priced == {"gpt-": None, "x/": model.Price(input=1.0)}


# --- at all ---


def test_a_large_configuration_is_complete() -> None:
    content = {
        "providers": {f"p{n}": BASE for n in range(4)},
        "models": {
            f"m{n}": {
                "aliases": [f"a{n}"],
                "deployments": [{"provider": f"p{k}"} for k in range(4)],
            }
            for n in range(250)
        },
        "keys": [{"name": f"k{n}", "key": f"sk-{n:012}"} for n in range(1000)],
    }
    # JSON is YAML, and faster to write.
    compiled = snapshot(orjson.dumps(content).decode())

    assert len(compiled.models) == 500
    assert sum(len(tier) for n in range(250) for tier in compiled.models[f"m{n}"].tiers) == 1000
    assert len(compiled.keys) == 1000


def test_importing_the_compiler_does_not_bring_pydantic() -> None:
    program = (
        "import sys, proxy.state.snapshot; print('pydantic' in sys.modules, 'yaml' in sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == ["False", "False"]
