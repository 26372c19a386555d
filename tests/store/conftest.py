"""A store in each of the two databases."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from proxy.store import postgres, sqlite  # noqa: F401 - imported here, where it blocks no loop
from proxy.store.opening import Database, open_store


@pytest_asyncio.fixture
async def store(store_url: str) -> AsyncIterator[Database]:
    """Open, and closed at the end."""
    store = open_store(store_url)
    await store.open()
    yield store
    await store.close()


@pytest_asyncio.fixture
async def other(store: Database, store_url: str) -> AsyncIterator[Database]:
    """What another process has: a second one on the same database."""
    other = open_store(store_url)
    await other.open()
    yield other
    await other.close()
