"""A short restart under load: nobody notices."""

from __future__ import annotations

import pytest

from bench import machine, peers
from bench.restart import QUICK, measure

pytestmark = pytest.mark.allow_blocking("has a loop of its own, and processes")


@pytest.mark.timeout(90)
def test_nobody_notices_a_restart_nor_reloads() -> None:
    said: list[str] = []

    with peers.simulator(machine.share_out_cores()) as upstream:
        found = {one.name: one.value for one in measure(QUICK, upstream, said.append)}

    assert found["restart_failed"] == 0, said
    assert found["restart_restarts"] == QUICK.restarts
    assert found["restart_reloads"] == QUICK.reloads
    assert found["restart_requests"] > 20
    assert found["restart_reused"] > 10
    assert found["restart_streams"] > QUICK.streams
    assert found["restart_processes"] > QUICK.workers
