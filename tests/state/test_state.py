"""A worker's state: the configuration is swapped, the rest lives on."""

from __future__ import annotations

from time import monotonic
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.core.metrics import Metrics
from proxy.core.model import Deployment, Health, Model, Provider, Snapshot, VirtualKey
from proxy.state.live import Live
from proxy.state.state import State


def snapshot(*names: str) -> Snapshot:
    provider = Provider("p", "http://p.invalid", {})
    models = {name: Model(name, ((Deployment(f"{name}/0:p", provider, name),),)) for name in names}
    return Snapshot(models=models, providers={"p": provider})


def state(settings: Snapshot) -> State:
    return State(settings, Live(settings), Metrics())


def test_a_worker_begins_serving_now() -> None:
    before = monotonic()

    one = state(Snapshot())

    assert before <= one.started <= monotonic()
    assert not one.draining


def test_a_new_configuration_is_used_and_what_was_learnt_is_kept() -> None:
    one = state(snapshot("a", "b"))
    learnt = one.live.deployments["a/0:p"]
    metrics = one.metrics
    after = snapshot("a", "c")

    one.use(after)

    assert one.snapshot is after
    assert one.live.snapshot is after
    assert one.live.deployments["a/0:p"] is learnt
    assert list(one.live.deployments) == ["a/0:p", "c/0:p"]
    assert one.metrics is metrics


def test_only_new_keys_leave_what_was_worked_out() -> None:
    one = state(snapshot("a"))
    routes = one.live.routes
    one.alert("x")
    after = replace(one.snapshot, keys={b"digest": VirtualKey("new", b"digest")})

    assert not one.use(after)

    assert one.snapshot is one.live.snapshot is after
    assert one.live.routes is routes
    assert not one.alert("x")


@pytest.mark.parametrize(
    "change",
    [
        {"models": {}},
        {"providers": {}},
        {"wildcards": (("b", Model("b*", ())),)},
        {"mcp": {}},
        {"health": Health(max_errors=1)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_anything_else_that_is_new_is_worked_out_anew(change: dict[str, Any]) -> None:
    one = state(snapshot("a"))
    routes = one.live.routes

    assert one.use(replace(one.snapshot, **change))

    assert one.live.snapshot is one.snapshot
    assert one.live.routes is not routes


def test_news_is_news_once() -> None:
    one = state(Snapshot())

    assert [one.alert("a"), one.alert("b"), one.alert("a")] == [True, True, False]


def test_with_a_new_configuration_it_is_news_again() -> None:
    one = state(Snapshot())
    one.alert("a")

    one.use(Snapshot())

    assert one.alert("a")


def test_workers_draw_lots_of_their_own() -> None:
    one, other = state(Snapshot()), state(Snapshot())

    assert [one.rng.random() for _ in range(3)] != [other.rng.random() for _ in range(3)]
