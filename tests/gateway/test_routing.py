"""From a requested name to a plan: exact names, wildcards, permissions, dialects."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from proxy.core.errors import Cause, ProxyError
from proxy.core.model import Snapshot, VirtualKey
from proxy.gateway.routing import permitted, plan, plan_stored, resolve
from proxy.state.live import Live
from tests.gateway.fleet import CHAT, error, model, provider, snapshot

if TYPE_CHECKING:
    from proxy.gateway.plan import Candidate

P = provider("p")


def asked(snapshot: Snapshot, name: str, key: VirtualKey | None = None) -> Candidate:
    return plan(snapshot, Live(snapshot), name, key, CHAT, Random(1)).first(10.0)


def refusal(snapshot: Snapshot, name: str, key: VirtualKey | None = None) -> ProxyError:
    with pytest.raises(ProxyError) as caught:
        plan(snapshot, Live(snapshot), name, key, CHAT, Random(1))
    return caught.value


def key(*patterns: str) -> VirtualKey:
    return VirtualKey("k", b"", patterns)


def test_an_exact_name_comes_before_any_wildcard() -> None:
    exact, wild = model("openai/gpt", P), model("openai/*", P)

    assert resolve(snapshot(exact, wild), "openai/gpt") == (exact, "")


def test_an_alias_is_a_name() -> None:
    one = model("gpt", P)

    assert resolve(snapshot(one, latest=one), "latest") == (one, "")


def test_the_longest_prefix_wins() -> None:
    everything, openai, gpt = model("*", P), model("openai/*", P), model("openai/gpt-*", P)
    configured = snapshot(everything, openai, gpt)

    assert resolve(configured, "openai/gpt-4o") == (gpt, "4o")
    assert resolve(configured, "openai/o3") == (openai, "o3")
    assert resolve(configured, "llama") == (everything, "llama")


@pytest.mark.parametrize("name", ["", "unknown", "openai/"])
def test_a_name_that_matches_nothing_is_no_model(name: str) -> None:
    with pytest.raises(ProxyError) as caught:
        resolve(snapshot(model("openai/*", P), model("gpt", P)), name)

    assert caught.value.ref == "no_model"


@pytest.mark.parametrize(
    ("public", "upstream", "asked_for", "sent"),
    [
        ("openai/*", "*", "openai/gpt-4o", "gpt-4o"),
        ("*", "*", "gpt-4o", "gpt-4o"),
        ("sim*", "sim*", "sim-fast", "sim-fast"),
        ("sim*", "sim*", "sim", "sim"),
        ("fast/*", "vendor/*", "fast/gpt", "vendor/gpt"),
        ("any/*", "one-model", "any/gpt", "one-model"),
        ("gpt", "gpt-2026", "gpt", "gpt-2026"),
        ("gpt", "*", "gpt", "gpt"),
    ],
)
def test_the_upstream_name_follows_the_wildcard(
    public: str, upstream: str, asked_for: str, sent: str
) -> None:
    configured = snapshot(model(public, P, upstream=upstream))

    assert asked(configured, asked_for).upstream_model == sent


def test_an_alias_of_a_model_sent_as_is_goes_by_its_own_name() -> None:
    one = model("gpt", P, upstream="*")

    assert asked(snapshot(one, latest=one), "latest").upstream_model == "gpt"


def test_a_wildcard_fallback_gets_what_it_matched() -> None:
    first = model("m", provider("q"), fallbacks=("openai/gpt-4o",))
    configured = snapshot(first, model("openai/*", P, upstream="*"))
    live = Live(configured)
    live.deployments["m/0:q"].until = 1e9

    candidate = plan(configured, live, "m", None, CHAT, Random(1)).first(10.0)

    assert candidate.upstream_model == "gpt-4o"


@pytest.mark.parametrize(
    ("patterns", "name", "allowed"),
    [
        (("*",), "anything", True),
        (("gpt",), "gpt", True),
        (("gpt",), "gpt-4", False),
        (("gpt*",), "gpt-4", True),
        (("openai/*", "x"), "openai/x", True),
        (("openai/*",), "openai", False),
        ((), "gpt", False),
    ],
)
def test_a_key_is_for_the_names_in_its_list(
    patterns: tuple[str, ...], name: str, allowed: bool
) -> None:
    assert permitted(key(*patterns), name) is allowed


def test_without_a_key_everything_is_permitted() -> None:
    assert permitted(None, "gpt")


def test_unknown_and_not_permitted_look_alike() -> None:
    configured = snapshot(model("gpt", P))

    unknown = refusal(configured, "other", key("other"))
    forbidden = refusal(configured, "gpt", key("other"))

    assert [unknown.ref, unknown.message, unknown.param] == [
        forbidden.ref,
        forbidden.message,
        forbidden.param,
    ]


def test_a_fallback_needs_no_permission_of_its_own() -> None:
    configured = snapshot(model("m", provider("q"), fallbacks=("other",)), model("other", P))
    live = Live(configured)
    live.deployments["m/0:q"].until = 1e9

    assert plan(configured, live, "m", key("m"), CHAT, Random(1)).first(10.0).model.name == "other"


def test_only_providers_that_speak_the_dialect_are_asked() -> None:
    other = provider("other", 1, "anthropic.messages")
    configured = snapshot(model("m", other, P))
    live = Live(configured)

    ids = {
        plan(configured, live, "m", None, CHAT, Random(at)).first(10.0).deployment.id
        for at in range(20)
    }

    assert ids == {"m/1:p"}


def test_a_dialect_nobody_speaks_is_named_with_the_model() -> None:
    caught = refusal(snapshot(model("claude", provider("a", 1, "anthropic.messages"))), "claude")

    assert (caught.ref, caught.code) == ("bad_req", "dialect_not_supported")
    assert "claude" in caught.message
    assert CHAT in caught.message


def test_what_was_worked_out_is_kept_for_the_snapshot_and_dropped_with_it() -> None:
    configured = snapshot(model("m", P))
    live = Live(configured)
    plan(configured, live, "m", None, CHAT, Random(1))
    kept = dict(live.routes)

    plan(configured, live, "m", None, CHAT, Random(1))
    assert live.routes == kept

    live.swap(snapshot(model("m", P)))
    assert live.routes == {}


def test_a_request_older_than_the_snapshot_is_served_and_leaves_nothing_behind() -> None:
    old, new = snapshot(model("m", P), model("old", P)), snapshot(model("m", P))
    live = Live(old)
    live.swap(new)

    candidate = plan(old, live, "old", None, CHAT, Random(1)).first(10.0)

    assert candidate.deployment.id == "old/0:p"
    assert live.routes == {}
    assert list(live.deployments) == ["m/0:p"]


def test_a_live_state_without_a_snapshot_adopts_the_first_it_sees() -> None:
    configured, live = snapshot(model("m", P)), Live()

    plan(configured, live, "m", None, CHAT, Random(1))

    assert live.snapshot is configured


def test_unknown_fallbacks_and_circles_are_no_trouble() -> None:
    one = model("m", P, fallbacks=("m", "gone", "n"))
    two = model("n", provider("q"), fallbacks=("m", "n"))

    assert asked(snapshot(one, two), "m").deployment.id == "m/0:p"


def test_many_other_models_are_not_looked_at() -> None:
    others = [model(f"x{at}", P) for at in range(1000)]
    configured = snapshot(model("m", P), *others)
    live = Live(configured)

    plan(configured, live, "m", None, CHAT, Random(1)).first(10.0)

    assert len(live.routes) == 1


def test_a_stored_object_is_looked_for_at_each_provider() -> None:
    p, q = provider("p"), provider("q")
    configured = snapshot(model("m", p, q), model("n", p))
    live = Live(configured)

    found = plan_stored(configured, live, CHAT, Random(1))
    first = found.first(10.0)
    step = found.failed(first, error(Cause.NOT_FOUND, 404), 10.0)

    assert step.candidate is not None
    assert {first.deployment.provider, step.candidate.deployment.provider} == {p, q}
    assert plan_stored(configured, live, CHAT, Random(1)).model is found.model
