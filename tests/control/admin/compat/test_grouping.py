"""What of a group is in the store, and what of the file looks like one."""

from __future__ import annotations

from typing import Any

import orjson

from proxy.control.admin.compat.grouping import ANSWERED, FIELDS, Group, of_the_file, shown, stored
from proxy.core.config.loading import parse
from proxy.core.records import Kind, Record
from proxy.core.secret import Secret
from proxy.core.vault import Vault
from proxy.state.mirror import Mirror

VAULT = Vault([Secret("a master key for tests, of no use to anyone 7f3a9c1e5b2d8064")])


def record(kind: str, id: int, name: str = "", parent: int = 0, **spec: Any) -> Record:
    return Record(kind, id, id, name, parent, orjson.dumps(spec), created=0.0, updated=86_400.0)


def mirror(*more: Record) -> Mirror:
    """`p` alone serves `alone`; it shares `shared` with `q`, twice."""
    found = Mirror()
    found.apply(
        [
            record(Kind.PROVIDER, 1, "p", preset="openai"),
            record(Kind.PROVIDER, 2, "q", base_url="https://q.example.com"),
            record(Kind.MODEL, 3, "shared", strategy="random"),
            record(Kind.MODEL, 4, "alone", strategy="least_used"),
            record(Kind.DEPLOYMENT, 5, parent=4, provider="p", priority=4),
            record(Kind.DEPLOYMENT, 6, parent=3, provider="p", priority=2),
            record(Kind.DEPLOYMENT, 7, parent=3, provider="q"),
            record(Kind.DEPLOYMENT, 8, parent=3, provider="p", priority=3),
            *more,
        ]
    )
    return found


def every(seen: Mirror) -> list[Group]:
    return [stored(one, seen, VAULT) for one in seen.records[Kind.PROVIDER].values()]


def test_a_group_is_what_its_provider_serves_in_the_order_it_was_made() -> None:
    seen = mirror()
    group = stored(seen.records[Kind.PROVIDER][1], seen, VAULT)

    assert [
        (one.model.name, [each.id for each in one.deployments], one.owned) for one in group.models
    ] == [("alone", [5], True), ("shared", [6, 8], False)]


def test_its_strategy_is_that_of_a_model_of_its_own_and_its_priority_the_first() -> None:
    seen = mirror()
    one, other = (shown(group) for group in every(seen))

    assert (one["balancePolicy"], one["priority"], one["models"]) == (
        "least_used",
        2,
        ["alone", "shared"],
    )
    assert (other["balancePolicy"], other["priority"], other["models"]) == (None, 1, ["shared"])


def test_what_was_not_said_is_null_and_times_are_texts() -> None:
    seen = mirror()

    assert shown(every(seen)[1]) == {
        "id": 2,
        "groupName": "q",
        "providerType": "openai_compatible",
        "baseUrl": "https://q.example.com",
        "apiKeys": [],
        "models": ["shared"],
        "balancePolicy": None,
        "retryCount": None,
        "timeout": None,
        "priority": 1,
        "enabled": True,
        "parameters": {},
        "description": None,
        "source": "store",
        "createdAt": "1970-01-01T00:00:00+00:00",
        "updatedAt": "1970-01-02T00:00:00+00:00",
    }


def test_keys_are_those_of_the_provider_and_one_that_does_not_open_is_all_mask() -> None:
    sealed = VAULT.seal(orjson.dumps({"key": "sk-a-long-key-0001"}), "credential/9")
    seen = mirror(
        Record(Kind.CREDENTIAL, 9, 9, parent=1, sealed=sealed),
        Record(Kind.CREDENTIAL, 10, 10, parent=1, sealed=sealed),
    )
    group = stored(seen.records[Kind.PROVIDER][1], seen, VAULT)

    assert group.credentials == ((9, "sk-a-long-key-0001"), (10, None))
    assert shown(group)["apiKeys"] == ["***0001", "***"]


def test_a_provider_of_the_file_has_the_same_fields() -> None:
    config = parse(
        """
        providers:
          v: {preset: anthropic, credentials: [sk-ant-0123456789], retry: {count: 1}, timeouts: {ttft: 9},
              enabled: false, note: ours, param_defaults: {top_k: 3}}
        models:
          m: {strategy: random, deployments: [{provider: v, priority: 6}, {provider: v, priority: 5}]}
        """
    ).config
    seen = mirror()
    group = of_the_file(config, "v")

    assert group.keys() == shown(every(seen)[0]).keys()
    assert group == {
        "id": None,
        "groupName": "v",
        "providerType": "anthropic",
        "baseUrl": "https://api.anthropic.com",
        "apiKeys": ["***6789"],
        "models": ["m"],
        "balancePolicy": "random",
        "retryCount": 1,
        "timeout": 9.0,
        "priority": 5,
        "enabled": False,
        "parameters": {"top_k": 3},
        "description": "ours",
        "source": "file",
        "createdAt": None,
        "updatedAt": None,
    }


def test_a_description_that_nobody_wrote_is_none() -> None:
    config = parse("providers: {v: {preset: anthropic, credentials: [sk-ant-0123456789]}}").config

    assert of_the_file(config, "v")["description"] is None


def test_everything_shown_may_be_sent_back() -> None:
    seen = mirror()

    assert shown(every(seen)[0]).keys() <= FIELDS.keys() | set(ANSWERED)
