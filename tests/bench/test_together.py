"""One worker, several, and several instances, on one core."""

from __future__ import annotations

import os

import pytest

from bench import machine, peers
from bench.together import QUICK, measure

pytestmark = pytest.mark.allow_blocking("has a loop of its own, and processes")


@pytest.mark.timeout(120)
def test_each_of_three_shapes_has_its_cost_and_the_machine_is_as_before() -> None:
    before, said = os.sched_getaffinity(0), list[str]()

    with peers.simulator(machine.share_out_cores()) as upstream:
        found = {one.name: one.value for one in measure(QUICK, upstream, said.append)}

    for name in ("one", "workers", "apart"):
        assert found[f"together_cpu_{name}"] > 0
        assert found[f"together_wakes_{name}"] > 0
    assert len(said) == 3
    assert os.sched_getaffinity(0) == before
