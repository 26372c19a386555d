"""A deployment ready to be asked: what it costs, what it is called, what it hashes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from proxy.core.model import Credential, Price, Snapshot, Strategy
from proxy.core.secret import Secret
from proxy.gateway.slots import Slot
from proxy.state.live import Live
from tests.gateway.choices import Choices, deployment

if TYPE_CHECKING:
    from proxy.core.model import Deployment


def slot(one: Deployment, twin: int = 0) -> Slot:
    live = Live(Snapshot())
    state = live.deployment(one)
    made = Slot(one, state, live.pool(one, state))
    made.sow(twin)
    return made


def changed(one: Deployment, **provider: Any) -> Deployment:
    return replace(one, provider=replace(one.provider, **provider))


def test_a_price_by_what_a_wildcard_matched_is_remembered_until_prices_change() -> None:
    one = slot(deployment("a", model="up-*"))
    before = Snapshot(prices={"up-x": Price(input=1)})
    after = Snapshot(prices={"up-x": Price(input=2)})

    assert one.known_price("x", before) == Price(input=1)
    assert one.known_price("x", before) is one.known_price("x", before)
    assert one.known_price("x", after) == Price(input=2)
    assert one.known_price("y", after) is None


def test_the_price_of_one_name_is_the_deployment_s() -> None:
    assert slot(deployment("a", price=Price(input=3))).known_price("", Snapshot()) == Price(input=3)


@pytest.mark.parametrize(
    "other",
    [
        deployment("b"),
        deployment("a", model="down"),
        changed(deployment("a"), base_url="http://elsewhere.invalid"),
    ],
    ids=["provider", "model", "address"],
)
def test_another_deployment_has_another_seed(other: Deployment) -> None:
    assert slot(other).seed != slot(deployment("a")).seed


def test_a_seed_says_what_it_is_and_not_where_it_stands() -> None:
    one = deployment("a", keys=2)
    moved = changed(
        replace(one, id="m/7"),
        credentials=(
            Credential("a#0", Secret("a-1")),
            Credential("a#1", Secret("a-0")),
        ),
    )

    assert slot(moved).seed == slot(one).seed
    assert slot(moved).seeds == slot(one).seeds[::-1]
    assert len({slot(one).seed, *slot(one).seeds}) == 3
    assert slot(one, twin=1).seed != slot(one).seed


def test_strategies_that_do_not_hash_have_no_seeds() -> None:
    assert Choices.of(Strategy.P2C, "a").route.slots[0].seeds == ()


def test_a_share_is_weight_by_health() -> None:
    one = slot(deployment("a", weight=20))
    assert one.share(0.0) == 20.0
    for _ in range(20):
        one.state.good(0.0)
    for _ in range(4):
        one.state.bad(0.0, 1.0, 0, Choices.of(Strategy.P2C, "a").rng)

    assert one.share(0.0) == 10.0


def test_a_window_that_nobody_said_is_infinite() -> None:
    assert slot(deployment("a")).window == float("inf")
    assert slot(deployment("a", max_context=8192)).window == 8192.0
