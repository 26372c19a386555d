"""One simulator for all tests of the room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulator.raw import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def sim() -> Iterator[Simulator]:
    """The process; at the end it must have stopped cleanly, without a word of complaint."""
    simulator = Simulator()
    yield simulator
    assert simulator.stop() == (0, "")
