from __future__ import annotations

import os

import pytest

from bench import machine, peers
from bench.dashboard import PAGES, QUICK, measure, program, scaled

pytestmark = pytest.mark.allow_blocking("has a loop of its own, and processes")


@pytest.mark.timeout(90)
def test_what_a_dashboard_costs_has_its_figures() -> None:
    if program() is None and os.environ.get("CI") != "true":
        pytest.skip("no Chromium here")
    cores = machine.share_out_cores()
    said: list[str] = []

    with peers.simulator(cores) as upstream:
        found = {one.name: one.value for one in measure(QUICK, upstream, cores, said.append)}

    assert len(said) == 2
    for name in ("calm", "calm_watched"):
        assert found[f"dashboard_{name}"] > 0
    for name in PAGES:
        assert found[f"dashboard_{name}_frames"] > 0
        assert 0 < found[f"dashboard_{name}_frame_p50"] <= found[f"dashboard_{name}_frame_p99"]
        assert 0 < found[f"dashboard_{name}_heap_after"] < 64


def test_it_can_be_longer_and_at_another_rate() -> None:
    assert scaled(QUICK, None, None) == QUICK
    plan = scaled(QUICK, 2.0, 50.0, 3, 4.0)
    assert (plan.minutes, plan.rate, plan.rounds, plan.window) == (2.0, 50.0, 3, 4.0)
