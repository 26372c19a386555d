from __future__ import annotations

import os
import random

import pytest

from bench import machine, peers
from bench.dashboard import program, scaled
from bench.dashboard_cost import QUICK, interval, measure

pytestmark = pytest.mark.allow_blocking("has a loop of its own, and processes")


@pytest.mark.timeout(90)
def test_both_witnesses_have_their_figures() -> None:
    if program() is None and os.environ.get("CI") != "true":
        pytest.skip("no Chromium here")
    cores = machine.share_out_cores()
    said: list[str] = []

    with peers.simulator(cores) as upstream:
        found = {one.name: one.value for one in measure(QUICK, upstream, cores, said.append)}

    assert len(said) == 2
    assert found["dashboard_account_spent"] > 0
    assert 0 < found["dashboard_account_share"] < 100
    assert 0 <= found["dashboard_account_low"] <= found["dashboard_account_high"]
    assert found["dashboard_account_rate"] > 20
    assert found["dashboard_compared_rate"] > 20
    assert found["dashboard_compared_workers"] > 0
    assert found["dashboard_compared_low"] <= found["dashboard_compared_share"]
    assert found["dashboard_compared_share"] <= found["dashboard_compared_high"]


def test_it_can_be_longer_and_at_another_rate() -> None:
    assert scaled(QUICK, None, None) == QUICK
    plan = scaled(QUICK, 2.0, 50.0, 3, 4.0)
    assert (plan.minutes, plan.rate, plan.rounds, plan.window) == (2.0, 50.0, 3, 4.0)


def test_an_interval_has_the_median_of_what_is_drawn_from_in_it() -> None:
    chance = random.Random(7)
    missed = 0
    for _ in range(20):
        low, high = interval([chance.gauss(0.5, 2.0) for _ in range(60)], resampled=300)
        assert low < high < low + 3
        missed += not low <= 0.5 <= high

    assert missed <= 4
