"""One simulated provider for all tests of the line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.line.harness import Process, Simulator, config


@pytest.fixture(scope="session")
def sim() -> Iterator[Simulator]:
    """The simulated provider, a process of its own."""
    simulator = Simulator()
    yield simulator
    simulator.stop()


@pytest.fixture(scope="session")
def proxy_process(sim: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a `headrace serve` process in front of the simulated provider."""
    process = Process(config(sim.url), tmp_path_factory.mktemp("process"))
    yield process.url
    assert process.stop() == 0
