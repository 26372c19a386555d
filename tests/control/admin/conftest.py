"""The admin API for a test, with a store of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.control.admin.desk import Desk, open_desk
from tests.control.admin.office import Office, open_office


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as one:
        yield one


@pytest.fixture
async def either(tmp_path: Path, store_url: str) -> AsyncIterator[Desk]:
    """The same with each of the two databases."""
    async with open_desk(tmp_path, store=store_url) as one:
        yield one


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    """Every route, and objects in the configuration file."""
    async with open_office(tmp_path) as one:
        yield one
