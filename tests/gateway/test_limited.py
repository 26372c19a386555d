"""Who is limited is worked out once, and again when it may be somebody else."""

from __future__ import annotations

from random import Random
from typing import Any

from msgspec.structs import replace

from proxy.core.model import Budget, Ledger, Limits, Snapshot, VirtualKey
from proxy.gateway import limited, routing
from proxy.gateway.limited import Limited
from proxy.state.state import State
from tests.gateway.asked import provider, snapshot, state

KEY = VirtualKey("app", b"d", id="k1", team="red", rpm=5)


def of(where: State, key: VirtualKey | None = KEY) -> Limited:
    now = where.snapshot
    plan = routing.plan(now, where.live, "m", key, "openai.chat", Random(1), "chat")
    return limited.of(key, plan, where)


def served(**fields: Any) -> Snapshot:
    return replace(snapshot(provider("http://p.invalid")), **fields)


def test_everybody_who_is_limited_is_found() -> None:
    where = state(served(limits=Limits(rpm=100), teams={"red": Limits(rpm=50)}))

    found = of(where)

    assert [one.id for one in found.subjects] == ["key:k1", "team:red", "global:global"]
    assert [one.id for one in of(where, None).subjects] == ["global:global"]
    assert (found.tokens, found.money, found.strict, found.recorded) == (False,) * 4


def test_what_they_count_and_must_not_lose() -> None:
    frugal = replace(KEY, tpm=9, budget=Budget(1.0, "day", strict=True))
    where = state(served())

    found = of(where, frugal)

    assert (found.tokens, found.money, found.strict, found.recorded) == (True,) * 4
    assert not of(where, replace(frugal, budget=Budget(1.0, "day"))).recorded
    assert of(state(served(ledger=Ledger(on_full="refuse"))), None).recorded
    assert not of(state(served(ledger=Ledger(on_full="serve"))), frugal).recorded


def test_a_snapshot_whose_models_are_the_same_may_limit_otherwise() -> None:
    where = state(served(teams={"red": Limits(rpm=50)}))
    before = of(where)

    where.use(replace(where.snapshot, teams={"red": Limits(rpm=7)}))

    assert [one.rpm for one in before.subjects] == [5, 50]
    assert [one.rpm for one in of(where).subjects] == [5, 7]


def test_what_requests_come_to_outlives_a_snapshot() -> None:
    where = state(served())
    of(where).costs.add(7)

    where.use(replace(where.snapshot, teams={"red": Limits(rpm=7)}))

    assert of(where).costs is where.costs.of("k1", "m")


def test_names_and_keys_that_are_remembered_are_bounded(monkeypatch: Any) -> None:
    monkeypatch.setattr(limited, "_MOST", 3)
    where = state(served())
    keys = [replace(KEY, id=f"k{number}") for number in range(9)]

    for key in keys:
        of(where, key)

    plan = routing.plan(where.snapshot, where.live, "m", KEY, "openai.chat", Random(1), "chat")
    assert 0 < len(plan.route.limited) <= 3
