from __future__ import annotations

from typing import Any

from proxy.core.config.schema import Config
from proxy.core.model import Credential, Hedge, Performance, Price, Strategy
from proxy.core.secret import Secret
from proxy.state import snapshot
from proxy.state.targets import Account, Builder, Public, Targets
from tests.state.rows import file

FILE = """
defaults: {timeouts: {ttft: 7}}
providers:
  p: {base_url: "https://p.example.com", credentials: [sk-p]}
  q: {base_url: "https://q.example.com", auth: none}
models:
  a: {aliases: [b], deployments: [{provider: p, priority: 2}, {provider: q}]}
  "w/*": {aliases: ["wide/*"], deployments: [{provider: q, model: "*"}]}
  c: {fallbacks: [w/x], deployments: [{provider: p, weight: 0}]}
"""


def build(builder: Builder, config: Config, **public: Any) -> Targets:
    models = snapshot.public(config) | public
    return builder.build(snapshot.accounts(config), models, config.defaults)


def test_everything_that_can_serve_is_there() -> None:
    found = build(Builder(), file(FILE))

    assert list(found.providers) == ["p", "q"]
    assert set(found.models) == {"a", "b", "c"}
    # The longest beginning first: it is the one that counts.
    assert [prefix for prefix, _ in found.wildcards] == ["wide/", "w/"]
    assert [tier[0].id for tier in found.models["a"].tiers] == ["a/1:q", "a/0:p"]
    assert found.models["c"].tiers == ()
    assert found.models["a"].tiers[0][0].timeouts.ttft == 7


MIXED = """
providers:
  p: {base_url: "https://p.example.com", credentials: [sk-p]}
  q: {base_url: "https://q.example.com", credentials: [sk-q]}
  off: {base_url: "https://off.example.com", enabled: false}
models:
  mixed: {strategy: pareto, models: [a, b1, a, gone], fallbacks: [b]}
  a: {deployments: [{provider: p, preferred: true}, {provider: q, priority: 7}]}
  b: {aliases: [b1], strategy: random, deployments: [{provider: p, priority: 3}, {provider: q, priority: 3}]}
  gone: {deployments: [{provider: off}]}
"""


def test_what_each_model_uses_first_competes_with_what_the_others_use_first() -> None:
    found = build(Builder(), file(MIXED)).models
    mixed = found["mixed"]

    assert [[one.id for one in tier] for tier in mixed.tiers] == [
        ["a/0:p", "b/0:p", "b/1:q"],
        ["a/1:q"],
    ]
    assert mixed.tiers[0][0] is found["a"].tiers[0][0]  # with its state, limits and price
    assert (mixed.strategy, mixed.fallbacks) == (Strategy.PARETO, ("b",))
    assert found["b"].strategy is Strategy.RANDOM
    assert list(mixed.own) == []
    assert [one.id for one in found["a"].own] == ["a/0:p", "a/1:q"]


def test_a_change_of_a_model_reaches_those_that_use_its_deployments() -> None:
    builder = Builder()
    before = build(builder, file(MIXED)).models
    same = build(builder, file(MIXED)).models
    after = build(builder, file(MIXED.replace("priority: 7", "priority: 7, weight: 3"))).models

    assert same["mixed"] is before["mixed"]
    assert after["mixed"].tiers[1][0].weight == 3
    assert after["b"] is before["b"]


def test_what_the_strategy_is_told_comes_from_the_nearest() -> None:
    text = MIXED.replace("strategy: random", "strategy: random, performance: {success: 3}")
    found = build(Builder(), file("defaults: {performance: {latency: 2}}\n" + text)).models

    assert found["b"].performance == Performance(2, 3)
    assert found["a"].performance == Performance(2, 0.5)


def test_an_account_is_usable_with_what_it_needs() -> None:
    blocks = file(FILE).providers
    held = (Credential("p#0", Secret("k")),)

    assert Account(blocks["p"], held).usable
    assert not Account(blocks["p"]).usable
    assert Account(blocks["q"]).usable
    off = blocks["p"].model_copy(update={"enabled": False})
    assert not Account(off, held).usable


def test_of_the_same_the_same_is_made() -> None:
    builder, config = Builder(), file(FILE)
    before = build(builder, config)

    for again in (config, file(FILE)):
        after = build(builder, again)
        assert all(after.providers[name] is before.providers[name] for name in before.providers)
        assert all(after.models[name] is before.models[name] for name in before.models)
        assert after.wildcards == before.wildcards


def test_a_change_reaches_what_is_made_of_it() -> None:
    builder = Builder()
    before = build(builder, file(FILE))

    after = build(builder, file(FILE.replace("//p.", "//other.")))

    assert after.providers["p"] is not before.providers["p"]
    assert after.providers["q"] is before.providers["q"]
    assert after.models["a"].tiers[1][0].provider is after.providers["p"]
    # Its other deployment has nothing to do with that.
    assert after.models["a"].tiers[0][0] is before.models["a"].tiers[0][0]
    assert after.wildcards == before.wildcards


def test_defaults_reach_everything() -> None:
    builder = Builder()
    before = build(builder, file(FILE))

    after = build(builder, file(FILE.replace("ttft: 7", "ttft: 8")))

    assert after.providers["q"].timeouts.ttft == 8
    assert after.models["a"].tiers[0][0].timeouts.ttft == 8
    assert before.models["a"].tiers[0][0].timeouts.ttft == 7


def test_a_fallback_that_comes_and_goes() -> None:
    config = file(FILE)
    builder = Builder()
    block = config.models["a"].model_copy(update={"fallbacks": ["late"]})
    late = Public(config.models["a"], snapshot.public(config)["a"].deployments, ())
    first = Public(block, snapshot.public(config)["a"].deployments, ())

    without = build(builder, config, first=first)
    same = build(builder, config, first=first)
    having = build(builder, config, first=first, late=late)

    assert without.models["first"].fallbacks == ()
    assert same.models["first"] is without.models["first"]
    assert having.models["first"].fallbacks == ("late",)


def test_another_price_is_another_deployment_and_no_other_provider() -> None:
    builder, config = Builder(), file(FILE)
    accounts, public = snapshot.accounts(config), snapshot.public(config)
    before = builder.build(accounts, public, config.defaults)

    after = builder.build(accounts, public, config.defaults, {"a": Price(input=1.0)})
    again = builder.build(accounts, public, config.defaults, {"a": Price(input=1.0)})

    assert {item.price for tier in after.models["a"].tiers for item in tier} == {Price(input=1.0)}
    assert {item.price for tier in before.models["a"].tiers for item in tier} == {None}
    assert after.providers["p"] is before.providers["p"]
    assert again.models["a"] is after.models["a"]


def test_what_runs_models_itself_has_nobodys_price_whatever_it_is_called() -> None:
    text = """
providers:
  other: {base_url: "http://10.0.0.8:8001", allow_private: true, auth: none}
  keyless: {preset: vllm, base_url: "http://10.0.0.8:8001"}
  local: {preset: ollama}
models:
  a: {deployments: [{provider: other, model: gpt-4o}, {provider: keyless, model: gpt-4o}, {provider: local, model: gpt-4o}]}
  b: {deployments: [{provider: local, model: gpt-4o, price: {input: 2}}]}
"""
    found = build(Builder(), file(text))
    other, keyless, local = (one for tier in found.models["a"].tiers for one in tier)

    assert other.price is not None
    assert other.window > 0
    assert [(one.price, one.window) for one in (keyless, local)] == [(None, 0)] * 2
    assert found.models["b"].tiers[0][0].price == Price(input=2.0)


def test_a_second_attempt_is_begun_where_it_is_asked_for() -> None:
    def hedge(text: str) -> Hedge | None:
        content = FILE.replace("aliases: [b]", f"aliases: [b], hedge: {text}")
        return build(Builder(), file(content)).models["a"].hedge

    assert hedge("{after: 1s}") is None
    assert hedge("{enabled: true}") == Hedge(0.0, 1.0, 0.05)
    assert hedge("{enabled: true, after: p95, floor: 300ms}") == Hedge(0.0, 0.3, 0.05)
    assert hedge("{enabled: true, after: 2s, share: 0.2}") == Hedge(2.0, 1.0, 0.2)
