"""Sockets through a relay and through the gateway, a few of them for a moment."""

from __future__ import annotations

import pytest

from bench import machine
from bench.sockets import QUICK, Plan, measure, scaled

pytestmark = pytest.mark.allow_blocking("has a loop of its own, and processes")


@pytest.mark.timeout(90)
def test_every_way_has_its_figures_and_nothing_is_wrong() -> None:
    said: list[str] = []
    found = {one.name: one.value for one in measure(QUICK, machine.share_out_cores(), said.append)}

    assert found["sockets_wrong"] == 0
    assert 0 < found["sockets_headrace_p50"] <= found["sockets_headrace_p99"]
    assert found["sockets_added_p99"] == pytest.approx(
        found["sockets_headrace_p99"] - found["sockets_aiohttp_p99"]
    )
    assert len(said) == 3


def test_it_can_be_longer_or_shorter() -> None:
    assert scaled(Plan(), 5, 2.0) == Plan(rounds=5, seconds=2.0)
    assert scaled(Plan(), None, None) == Plan()
