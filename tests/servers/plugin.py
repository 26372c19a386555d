"""Fixtures for the servers. A server starts with the first test that asks for it.

postgres        shared by all tests; each makes databases of its own in it
postgres_url    a new database there
spare_postgres  one to kill, freeze and restart; running whenever a test begins
store_url       a new, empty place for a store: once in SQLite, once in PostgreSQL
valkey          one to kill, freeze and restart; running, and empty, whenever a test begins

Close what you connect, in a fixture, also where the test fails: with warnings as errors, uvloop (0.22) does not come
to the end of closing a loop that still has a connection, and hangs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.postgres import PostgresServer
from tests.servers.valkey import ValkeyServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture(scope="session")
def _second_postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture
def spare_postgres(_second_postgres: PostgresServer) -> Iterator[PostgresServer]:
    server = _second_postgres
    if not server.running:
        server.start()
    yield server
    if server.running:
        server.thaw()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store' / 'headrace.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.empty_schema()


@pytest.fixture(scope="session")
def _one_valkey() -> Iterator[ValkeyServer]:
    server = ValkeyServer()
    yield server
    server.close()


@pytest.fixture
def valkey(_one_valkey: ValkeyServer) -> Iterator[ValkeyServer]:
    server = _one_valkey
    if not server.running:
        server.start()
    server.command("FLUSHALL")
    yield server
    if server.running:
        server.thaw()
