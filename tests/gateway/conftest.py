"""What tests of the gateway share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.recorded import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger. It is opened and closed beside the loop, for it has a thread."""
    ledger = Ledger(tmp_path)
    yield ledger
    ledger.close()
