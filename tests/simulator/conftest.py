"""One simulator for all tests of the room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulator.raw import Simulator


@pytest.fixture(scope="session")
def sim() -> Iterator[Simulator]:
    """The process; at the end it must have stopped cleanly, without a word of complaint."""
    simulator = Simulator()
    yield simulator
    assert simulator.stop() == (0, "")
