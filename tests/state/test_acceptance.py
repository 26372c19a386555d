"""How much of what a host is sent it takes, and how much is held back for that."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.model import Snapshot
from proxy.state.acceptance import Acceptance
from proxy.state.live import Live
from tests.gateway.fleet import model, provider, snapshot


def seen(sent: int, refused: int, now: float = 1000.0) -> Acceptance:
    found = Acceptance()
    for _ in range(sent):
        found.sent(now)
    for _ in range(refused):
        found.refused(now)
    return found


@pytest.mark.parametrize(
    ("sent", "refused", "share"),
    [(0, 0, 0.0), (19, 19, 0.0), (40, 20, 0.0), (40, 30, 20 / 41), (40, 40, 40 / 41)],
)
def test_half_may_be_refused_before_anything_is_held_back(
    sent: int, refused: int, share: float
) -> None:
    assert seen(sent, refused).share(1000.0) == pytest.approx(share)


@given(st.lists(st.tuples(st.floats(0.0, 30.0), st.booleans()), max_size=200))
def test_it_is_the_share_of_the_last_two_minutes(events: list[tuple[float, bool]]) -> None:
    found, now, kept = Acceptance(), 1000.0, []
    for passes, refused in events:
        now += passes
        found.sent(now)
        if refused:
            found.refused(now)
        kept.append((int(now / 5.0), refused))
    recent = [refused for number, refused in kept if number > int(now / 5.0) - 24]
    sent, accepted = len(recent), len(recent) - sum(recent)

    expected = max(0.0, (sent - 2 * accepted) / (sent + 1)) if sent >= 20 else 0.0
    assert found.share(now) == pytest.approx(expected)


def test_what_was_is_forgotten() -> None:
    found = seen(40, 40)

    assert found.share(1115.0) > 0.9
    assert found.share(1120.0) == 0.0
    found = seen(40, 40)
    found.forget()
    assert found.share(1000.0) == 0.0


def test_one_a_second_is_never_held_back() -> None:
    found, rng = seen(10_000, 10_000), Random(1)

    assert found.holds_back(1000.5, rng)
    assert not found.holds_back(1001.0, rng)


def test_as_many_are_held_back_as_the_share_says() -> None:
    found, rng = seen(40, 30), Random(1)
    held = sum(found.holds_back(1000.1, rng) for _ in range(2000))

    assert held / 2000 == pytest.approx(20 / 41, abs=0.05)


def test_the_smaller_share_of_the_two_is_held_back() -> None:
    """Another model's outage is no reason, nor is a failure of one deployment where the host is well."""
    rng = Random(1)
    ill, well = seen(1000, 1000), seen(1000, 0)
    well.host = ill.host
    assert not any(well.holds_back(1000.1, rng) for _ in range(100))

    alone = seen(40, 40)
    for _ in range(1000):
        alone.host.sent(1000.0)
    assert not any(alone.holds_back(1000.1, rng) for _ in range(100))


def test_all_that_is_served_at_one_host_counts_for_it() -> None:
    live = Live(snapshot(model("m", provider("a"), provider("b")), model("n", provider("a"))))
    deployments = live.deployments

    assert deployments["m/0:a"].acceptance is not deployments["n/0:a"].acceptance
    assert deployments["m/0:a"].acceptance.host is deployments["n/0:a"].acceptance.host
    assert deployments["m/0:a"].acceptance.host is not deployments["m/1:b"].acceptance.host

    kept = deployments["m/1:b"].acceptance.host
    live.swap(snapshot(model("m", provider("b"))))
    assert live.deployments["m/0:b"].acceptance.host is kept
    live.swap(Snapshot())
    assert not live.acceptances
