"""Connections to PostgreSQL: how many, for how long, and what their errors mean."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from proxy.store.base import Duplicate, StoreDown, Unusable
from proxy.store.pool import Pool, connect, translate, within
from tests.upstream.certificates import Authority


def server_error(state: str) -> asyncpg.PostgresError:
    error: asyncpg.PostgresError = asyncpg.PostgresError.new(
        {"C": state, "M": "words", "D": "the row"}
    )
    return error


@pytest.mark.parametrize(
    "state",
    [
        "08006",  # connection failure
        "25006",  # read-only
        "25P03",  # idle in a transaction
        "28P01",  # password
        "3D000",  # no such database
        "3F000",  # no such schema
        "42P01",  # no such table: it was emptied, and is being restored
        "40001",  # serialization
        "40P01",  # deadlock
        "53100",  # disk full
        "53300",  # too many connections
        "55P03",  # lock not available
        "57014",  # statement_timeout
        "57P01",  # shut down by an administrator
        "57P02",  # another process crashed
        "57P03",  # starting up
        "58030",  # disk
    ],
)
def test_what_passes_is_a_store_that_is_down(state: str) -> None:
    means = translate(server_error(state))

    assert type(means) is StoreDown
    assert str(means) == "PostgreSQL: words"


@pytest.mark.parametrize(
    ("error", "means"),
    [
        (server_error("23505"), Duplicate),
        (server_error("42501"), Unusable),
        (asyncpg.InterfaceError("the connection is closed"), StoreDown),
        (asyncpg.InternalClientError("got something unexpected"), StoreDown),
        (TimeoutError(), StoreDown),
        (ConnectionRefusedError(111, "refused"), StoreDown),
    ],
)
def test_errors_mean_what_a_caller_does_about_them(
    error: Exception, means: type[Exception]
) -> None:
    assert type(translate(error)) is means


@pytest.mark.parametrize(
    "error",
    [
        server_error("42601"),
        server_error("23502"),
        asyncpg.DataError("a word for a number"),
        KeyError(),
    ],
)
def test_mistakes_of_ours_stay_what_they_are(error: Exception) -> None:
    assert translate(error) is error


async def test_a_certificate_that_has_expired_is_a_store_that_is_down(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = authority.server(expired=True)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)  # whether there is TLS
        writer.write(b"S")
        with suppress(OSError):
            await writer.start_tls(context)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(StoreDown, match="certificate has expired") as caught:
            await connect(
                f"postgresql://u:p@127.0.0.1:{port}/d?sslmode=verify-full&sslrootcert={authority.path}"
            )

    assert type(caught.value) is StoreDown


async def test_a_url_that_cannot_be_read_is_unusable_and_not_repeated() -> None:
    with pytest.raises(Unusable, match="URL cannot be read") as caught:
        await connect("postgresql://u:a-river@[127.0.0.1/d")

    assert "river" not in str(caught.value)


async def test_a_connection_is_used_again(postgres_url: str) -> None:
    pool = Pool(postgres_url, 1)

    async with pool.connection(5) as (first, _):
        pass
    async with pool.connection(5) as (second, _):
        assert second is first
    pool.close()


async def test_a_connection_that_was_lost_is_replaced(postgres_url: str) -> None:
    pool = Pool(postgres_url, 1)
    async with pool.connection(5) as (first, _):
        pass

    first.terminate()

    async with pool.connection(5) as (second, _):
        assert await second.fetchval("SELECT 1") == 1
    pool.close()


async def test_there_are_no_more_than_so_many(postgres_url: str) -> None:
    pool = Pool(postgres_url, 2)

    async with pool.connection(5) as (one, _), pool.connection(5) as (two, _):
        assert one is not two
        with pytest.raises(StoreDown, match="all connections are busy"):
            async with pool.connection(0.01):
                pass
    async with pool.connection(0.01):
        pass
    pool.close()


async def test_the_statement_ends_with_the_deadline_and_the_connection_with_it(
    postgres_url: str,
) -> None:
    connection = await connect(postgres_url)

    with pytest.raises(StoreDown, match="no answer in time"):
        await within(connection, connection.fetch("SELECT pg_sleep(60)"), 0.05)

    assert connection.is_closed()


async def test_a_cancelled_statement_ends_the_connection(postgres_url: str) -> None:
    connection = await connect(postgres_url)
    work = asyncio.ensure_future(within(connection, connection.fetch("SELECT pg_sleep(60)"), 60))
    await asyncio.sleep(0.01)

    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work

    assert connection.is_closed()


async def test_an_error_of_ours_leaves_the_connection(postgres_url: str) -> None:
    connection = await connect(postgres_url)

    with pytest.raises(asyncpg.PostgresSyntaxError):
        await within(connection, connection.fetch("SELEKT"), 5)

    assert await within(connection, connection.fetchval("SELECT 1"), 5) == 1
    connection.terminate()


async def test_an_error_does_not_carry_the_row(postgres_url: str) -> None:
    connection = await connect(postgres_url)
    await connection.execute("CREATE TABLE t (x text UNIQUE)")
    sql = "INSERT INTO t VALUES ('a-river')"
    await connection.execute(sql)

    with pytest.raises(Duplicate) as caught:
        await within(connection, connection.execute(sql), 5)

    assert "river" not in str(caught.value)
    assert caught.value.__suppress_context__
    connection.terminate()
